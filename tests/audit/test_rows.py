"""Rows written straight from a log are those written through its event; what is irregular takes the strict way."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from audit.record import body
from audit.rows import RowReader
from capsule.ids import Address
from contracts.chain import RawLog
from contracts.decode import EventDecoder
from contracts.errors import ChainIntegrityError
from contracts.events import AssetEvent, DeviceEvent, SequencedEvent
from contracts.generate import CONTRACTS
from contracts.records import RECORDS
from tests.contracts.abi_values import abi_of, log_of, random_value

HERE = Address(b"\x11" * 20)
EVENTS = [(contract, event) for contract in CONTRACTS for event in abi_of(contract, "event")]
KNOWN = [(contract, event) for contract, event in EVENTS if event["name"] in {n for n, _ in RECORDS[contract].values()}]


def named(pairs: list[tuple[str, dict[str, object]]]) -> list[str]:
    return [f"{contract}-{event['name']}" for contract, event in pairs]


def logs(event: dict[str, object], count: int) -> list[RawLog]:
    made = []
    for seed in range(count):
        rng = random.Random(seed)
        values = {entry["name"]: random_value(entry, rng) for entry in event["inputs"]}  # type: ignore[attr-defined]
        if seed % 2:  # numbers that are regular
            for name, value in values.items():
                values[name] = value % 2**53 if isinstance(value, int) and not isinstance(value, bool) else value
        made.append(log_of(event, values, HERE))
    return made


@pytest.mark.parametrize(("contract", "event"), EVENTS, ids=named(EVENTS))
def test_row_is_what_the_event_says(contract: str, event: dict[str, object]) -> None:
    reader, decoder = RowReader({HERE: contract}), EventDecoder({HERE: contract})
    for log in logs(event, 40):
        read, row = decoder.decode(log), reader.row(log, 9)
        if not isinstance(read, SequencedEvent):
            assert row is None
            continue
        assert row is not None
        assert (row.event, row.contract, row.seq, row.body) == (
            event["name"],
            contract,
            read.seq,
            body(read).decode(),
        )
        match read:
            case AssetEvent(asset=subject, asset_seq=number) | DeviceEvent(device=subject, device_seq=number):
                assert (row.subject, row.subject_seq) == (str(subject), number)
            case _:
                assert (row.subject, row.subject_seq) == ("", 0)
        assert (row.topics, row.data, row.time) == (b"".join(log.topics), log.data, 9)


@pytest.mark.parametrize(("contract", "event"), KNOWN, ids=named(KNOWN))
def test_quick_writer_takes_nothing_that_the_strict_reader_refuses(contract: str, event: dict[str, object]) -> None:
    decoder = EventDecoder({HERE: contract})
    rng = random.Random(1)
    for log in logs(event, 12):
        _, write = RECORDS[contract][log.topics[0]]
        for _ in range(25):
            bent = _bent(log, rng)
            try:
                seq, _, _, text = write(bent.topics, bent.data)
            except ChainIntegrityError:
                continue
            read = decoder.decode(bent)
            assert isinstance(read, SequencedEvent)
            assert (seq, text) == (read.seq, body(read).decode())


def _bent(log: RawLog, rng: random.Random) -> RawLog:
    if rng.random() < 0.2:
        return replace(log, data=log.data[: rng.randrange(len(log.data) + 1)])
    if rng.random() < 0.2:
        return replace(log, data=log.data + rng.randbytes(32))
    if rng.random() < 0.3 and len(log.topics) > 1:
        place = rng.randrange(1, len(log.topics))
        topic = bytearray(log.topics[place])
        topic[rng.randrange(32)] ^= 1 << rng.randrange(8)
        return replace(log, topics=(*log.topics[:place], bytes(topic), *log.topics[place + 1 :]))
    data = bytearray(log.data)
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return replace(log, data=bytes(data))


def test_common_events_have_a_quick_writer() -> None:
    quick = {name for records in RECORDS.values() for name, _ in records.values()}
    assert {
        "BatchAnchored",
        "LogHeadAnchored",
        "AccessRequested",
        "ShareReleased",
        "UseClosed",
        "DeviceEnrolled",
    } <= quick
