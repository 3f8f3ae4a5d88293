"""The real messages of one car over TCP: decoded, witnessed, stored, anchored, proven; equal to their cross-check."""

from __future__ import annotations

import random

from capsule.batch import BatchDocument, check_continuity, verify_frame_proof
from capsule.frame import Mark, received_digest, verify_frame
from gateway.gbt32960.errors import Answer
from gateway.gbt32960.frame import read_message
from gateway.gbt32960.message import read_time
from tests.gateway.gbt32960.vehicles import Garage, cross_check, live_messages
from tests.gateway.space import GATEWAY_KEY

NOT_READINGS = {"frame_no", "vin", "time", "unknown_block"}


def test_all_live_messages_are_witnessed_anchored_and_equal_to_the_cross_check_table(garage: Garage) -> None:
    live, expected = live_messages(), cross_check()
    vin = read_message(live[0]).vin.decode()
    vehicle = garage.register(vin)
    answers = []
    with garage.terminal() as terminal:
        stream, chance, sent = b"".join(live), random.Random(32960), 0
        while sent < len(stream):  # split and glued, as TCP does
            size = chance.choice((1, 7, 24, 300, 5_000))
            terminal.send(stream[sent : sent + size])
            sent += size
        answers = [terminal.answer() for _ in live]
    assert [(one.command, one.answer) for one in answers] == [(message[2], Answer.OK) for message in live]
    assert [one.data for one in answers] == [read_message(message).data[:6] for message in live]

    (anchored,) = garage.gateway.anchor_all()
    assert anchored.batch.size == 246
    document = BatchDocument.from_bytes(garage.gateway.batch_document(1))
    assert [(entry.device, entry.first, entry.last) for entry in document.entries] == [(vehicle.device, 1, 246)]
    assert check_continuity(document.entries) == ()
    assert {str(one.kind) for one in document.incidents} == {"late"}  # of 2019, and the thing model says so

    for number, message in enumerate(live, 1):
        frame = garage.gateway.witness.frame_at(vehicle.device, number)
        assert frame is not None
        verified = verify_frame(frame.data, GATEWAY_KEY)
        assert verify_frame_proof(garage.gateway.prove(frame.hash), frame.data, anchored.batch) == anchored.batch
        assert verified.frame.mark is Mark.WITNESSED
        (row,) = verified.frame.rows
        assert row.time == read_time(message[24:30])
        assert row.values["cmd"] == message[2]
        for column, cell in expected.get(number, {}).items():
            if column not in NOT_READINGS:
                assert float(row.values[column]) == float(cell), (number, column)
        assert number in expected or set(row.values) == {"cmd", "login_number"}
        assert frame.received is not None
        kept, salt = garage.vehicles.message(frame.received)
        assert (kept.data, kept.sequence) == (message, number)
        assert received_digest(salt, message) == frame.received
        assert vin.encode() not in frame.data
    assert len(expected) == 242


def test_the_same_messages_again_are_answered_and_give_no_second_frame(garage: Garage) -> None:
    live = live_messages()[:20]
    garage.register(read_message(live[0]).vin.decode())
    for _ in range(2):
        with garage.terminal() as terminal:
            terminal.send(b"".join(live))
            assert [terminal.answer().answer for _ in live] == [Answer.OK] * 20
    assert garage.gateway.status().frames == 20
