"""Vehicles on the port: who is taken, what is answered; hostile or slow connections cost the others nothing."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from capsule.thing import ELECTRIC_VEHICLE
from gateway.errors import CallerError, NotFoundError
from gateway.gateway import Gateway
from gateway.gbt32960.errors import Answer
from gateway.gbt32960.frame import MAX_MESSAGE_BYTES, Command, Edition
from gateway.gbt32960.message import encode_time
from gateway.gbt32960.server import VehicleLimits, VehicleServer, serving
from gateway.gbt32960.vehicles import Vehicles
from tests.gateway.gbt32960.vehicles import VIN, Garage, Terminal, command, login, open_garage, report
from tests.gateway.space import Space

ENGINE = bytes.fromhex("04 01 07d0 02bc")
BRIEF = VehicleLimits(max_connections=4, login_seconds=0.6, message_seconds=0.4, idle_seconds=1.2, answer_seconds=0.5)


def send_on(terminal: Terminal, data: bytes) -> None:
    """Sends without ever reading."""
    for _ in range(200):
        terminal.send(data)
        time.sleep(0.05)


def test_a_vehicle_s_day_is_answered_message_by_message(garage: Garage) -> None:
    vehicle = garage.register()
    at = garage.space.clock()
    with garage.terminal() as terminal:
        terminal.send(command(Command.TIME))
        synced = terminal.answer()
        assert (synced.answer, synced.data) == (Answer.OK, encode_time(at))
        assert terminal.ask(login(at)) is Answer.OK
        assert terminal.ask(command(Command.HEARTBEAT)) is Answer.OK
        assert terminal.ask(report(at, ENGINE)) is Answer.OK
        assert terminal.ask(report(at - 8 * 86_400, ENGINE, kind=Command.RESENT)) is Answer.OK
        assert terminal.ask(command(Command.LOGOUT, encode_time(at) + b"\0\1")) is Answer.OK
        terminal.send(command(Command.HEARTBEAT, b"")[:3] + b"\x01" + command(Command.HEARTBEAT)[4:-1] + b"\x00")
    assert garage.gateway.status().frames == 4
    frames = [garage.gateway.witness.frame_at(vehicle.device, number) for number in range(1, 5)]
    rows = [frame.content_unverified().rows[0] for frame in frames if frame is not None]
    assert [row.values["cmd"] for row in rows] == [1, 2, 3, 4]
    assert garage.gateway.status().incidents == 1  # late, as the thing model says: eight days are more than seven
    assert ELECTRIC_VEHICLE.late_after == 7 * 86_400


def test_strangers_and_those_who_did_not_log_in_are_refused_and_nothing_is_kept(
    garage: Garage, caplog: pytest.LogCaptureFixture
) -> None:
    at = garage.space.clock()
    garage.register("LTEST0000000NEVER", enrolled=False)
    garage.register()
    with caplog.at_level(logging.INFO, "dataspace.gateway"):
        for vin, edition, flag in (
            ("LTEST000000UNKNOWN"[:17], Edition.E2016, Answer.ERROR),
            ("LTEST000000UNKNOWN"[:17], Edition.E2025, Answer.VIN_UNKNOWN),
            ("LTEST0000000NEVER", Edition.E2025, Answer.VIN_UNKNOWN),
        ):
            with garage.terminal() as terminal:
                assert terminal.ask(login(at, vin=vin, edition=edition)) is flag
                assert terminal.is_closed()
        with garage.terminal() as terminal:
            assert terminal.ask(report(at, ENGINE)) is Answer.ERROR
            assert terminal.ask(command(Command.HEARTBEAT)) is Answer.ERROR
            assert terminal.ask(command(Command.PLATFORM_LOGIN, encode_time(at) + bytes(35))) is Answer.ERROR
            assert terminal.ask(login(at)) is Answer.OK
            assert terminal.ask(login(at, vin="LTEST0000000NEVER")) is Answer.ERROR
    assert garage.gateway.status().frames == 1
    assert garage.gateway.tally.outcomes == {"new": 1, "unenrolled": 4, "refused": 3}
    assert "LTEST" not in caplog.text
    assert "not enrolled on the final chain with this gateway's key" in caplog.text


def test_malformed_messages_are_answered_with_an_error_and_the_next_good_one_is_taken(garage: Garage) -> None:
    garage.register()
    at = garage.space.clock()
    with garage.terminal() as terminal:
        terminal.ask(login(at, edition=Edition.E2025))
        bad_check = report(at, b"\x04\x07\xd0", edition=Edition.E2025)[:-1] + b"\x55"
        assert terminal.ask(bad_check) is Answer.ERROR
        assert terminal.ask(report(at, b"\x07\xff", edition=Edition.E2025)) is Answer.OK  # an invalid count
        assert terminal.ask(report(at, b"\x07\x32\x01", edition=Edition.E2025)) is Answer.STRUCTURE
        assert terminal.ask(command(Command.REALTIME, b"", edition=Edition.E2025, encryption=4)) is Answer.DECRYPTION
        assert terminal.ask(report(at + 1, b"\x04\x07\xd0", edition=Edition.E2025)) is Answer.OK
    assert garage.gateway.status().frames == 3
    assert garage.gateway.tally.outcomes == {"new": 3, "malformed": 2, "refused": 1}


def test_a_connection_that_only_sends_faults_is_closed(garage: Garage) -> None:
    garage.register()
    with garage.terminal() as terminal:
        terminal.ask(login(garage.space.clock()))
        terminal.send(command(Command.ACTIVATION) * 12)
        answers = [terminal.answer().answer for _ in range(10)]
        assert answers == [Answer.ERROR] * 10
        assert terminal.is_closed()


def test_a_new_login_ends_the_vehicle_s_older_connection(garage: Garage) -> None:
    garage.register()
    at = garage.space.clock()
    with garage.terminal() as older, garage.terminal() as newer:
        assert older.ask(login(at)) is Answer.OK
        assert newer.ask(login(at, number=2)) is Answer.OK
        assert older.is_closed()
        assert newer.ask(report(at, ENGINE)) is Answer.OK


def test_hostile_and_slow_connections_end_while_a_good_one_is_served(
    space: Space, gateway: Gateway, tmp_path: Path
) -> None:
    chance, started = random.Random(1), time.monotonic()
    with open_garage(space, tmp_path, gateway, BRIEF) as garage:
        garage.register()
        at = space.clock()
        with garage.terminal() as good:
            assert good.ask(login(at)) is Answer.OK
            for hostile in (
                b"GET / HTTP/1.1\r\n\r\n",
                chance.randbytes(50_000),
                b"##" + bytes(20) + b"\xff\xff",
                b"$" * 5_000,
            ):
                with garage.terminal() as terminal:
                    terminal.send(hostile)
                    assert terminal.is_closed()
            with garage.terminal() as slow, garage.terminal() as silent, garage.terminal() as drip:
                full = b"##\x01\xfe" + b"L" * 17 + b"\x01\xff\xfb"  # promises the longest message, and stops
                slow.send(full)
                for byte in login(at)[:6]:  # a byte now and then never makes a message in time
                    with suppress(ConnectionError):
                        drip.send(bytes((byte,)))
                    time.sleep(0.1)
                    assert good.ask(report(at + byte, ENGINE)) is Answer.OK
                with garage.terminal() as fifth:
                    assert fifth.is_closed()  # past the limit of connections
                assert slow.is_closed()
                assert silent.is_closed()
                assert drip.is_closed()
                assert good.ask(command(Command.HEARTBEAT)) is Answer.OK
            assert good.is_closed()  # nothing came for idle_seconds
    assert time.monotonic() - started < 10


def test_a_client_that_takes_no_answers_is_cut_off(space: Space, gateway: Gateway, tmp_path: Path) -> None:
    with open_garage(space, tmp_path, gateway, BRIEF) as garage:
        garage.register()
        with Terminal(garage.port, buffer=4_096) as deaf:
            deaf.ask(login(space.clock()))
            with pytest.raises(ConnectionError):
                send_on(deaf, command(Command.HEARTBEAT) * 20_000)
        with garage.terminal() as good:
            assert good.ask(login(space.clock(), number=2)) is Answer.OK


def test_what_cannot_be_stored_is_not_answered(garage: Garage, tmp_path: Path) -> None:
    garage.register()
    at = garage.space.clock()
    with garage.terminal() as terminal:
        terminal.ask(login(at))
        with sqlite3.connect(tmp_path / "gateway" / "gateway.db") as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON gateway_frames BEGIN SELECT RAISE(ABORT, 'full'); END")
        terminal.send(report(at, ENGINE))
        assert terminal.is_closed()
    with sqlite3.connect(tmp_path / "gateway" / "gateway.db") as other:
        other.execute("DROP TRIGGER full")
    with garage.terminal() as terminal:
        assert terminal.ask(login(at, number=2)) is Answer.OK
        assert terminal.ask(report(at, ENGINE)) is Answer.OK  # sent again: one frame, and no gap
    assert (garage.gateway.status().frames, garage.gateway.status().incidents) == (3, 0)


def test_stopping_answers_what_is_being_stored(space: Space, gateway: Gateway, tmp_path: Path) -> None:
    with open_garage(space, tmp_path, gateway) as garage:
        garage.register()
        blocker = sqlite3.connect(tmp_path / "gateway" / "gateway.db", check_same_thread=False)
        blocker.execute("BEGIN IMMEDIATE")
        terminal = garage.terminal()
        terminal.send(login(space.clock()))
        until = time.monotonic() + 5
        while not gateway._queue.frames and time.monotonic() < until:
            time.sleep(0.01)
        threading.Timer(0.3, blocker.close).start()
    with terminal:
        assert terminal.answer().answer == Answer.OK
        assert terminal.is_closed()
    assert gateway.status().frames == 1


def test_reports_of_several_vehicles_share_commits_and_keep_their_order(space: Space, tmp_path: Path) -> None:
    at = space.clock()
    vins = [f"LTEST00000000CAR{number}" for number in range(6)]

    def drive(port: int, vin: str) -> None:
        with Terminal(port, 20) as terminal:
            assert terminal.ask(login(at, vin=vin)) is Answer.OK
            for second in range(5):
                assert terminal.ask(report(at + second, ENGINE, vin=vin)) is Answer.OK

    with (
        space.open_gateway(tmp_path / "gateway", commit_seconds=0.05) as gateway,
        open_garage(space, tmp_path, gateway, VehicleLimits.of(gateway.settings)) as garage,
    ):
        vehicles = [garage.register(vin) for vin in vins]
        with ThreadPoolExecutor(len(vins)) as pool:
            list(pool.map(lambda vin: drive(garage.port, vin), vins))
        assert (gateway.status().frames, gateway.status().incidents) == (36, 0)
        assert gateway.tally.groups <= 18
        for vehicle in vehicles:
            commands = [
                frame.content_unverified().rows[0].values["cmd"]
                for number in range(1, 7)
                if (frame := gateway.witness.frame_at(vehicle.device, number)) is not None
            ]
            assert commands == [1, 2, 2, 2, 2, 2]


def test_a_taken_port_is_said_at_once(garage: Garage) -> None:
    with pytest.raises(OSError, match="in use"), serving(VehicleServer(garage.witness), "127.0.0.1", garage.port):
        pass


def test_vehicles_are_known_by_random_ids_and_one_file_alone_knows_vins(tmp_path: Path) -> None:
    ids = iter((b"\1" * 32, b"\2" * 32, b"\3" * 32))
    path = tmp_path / "home" / "vehicles.db"
    with Vehicles(path) as vehicles:
        first = vehicles.add(VIN, lambda _: next(ids))
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(CallerError, match="is known already"):
            vehicles.add(VIN, lambda _: next(ids))
        for none in ("", "L" * 18, "L TEST", "车"):
            with pytest.raises(CallerError, match="at most 17"):
                vehicles.add(none, lambda _: next(ids))
        assert vehicles.find(VIN.encode()) == first
        assert vehicles.find(b"OTHER") is None
        assert vehicles.all() == (first,)
        assert VIN not in repr(first)
        with pytest.raises(NotFoundError):
            vehicles.message(first.device)  # type: ignore[arg-type]
        with Vehicles(path) as again:  # as a command does beside the service
            assert again.all() == (first,)


def test_the_longest_message_fits_and_is_bounded() -> None:
    assert MAX_MESSAGE_BYTES == 65_556
