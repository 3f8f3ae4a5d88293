"""Frames through a real MQTT broker: every row once and in order, whatever is killed on the way."""

from __future__ import annotations

import csv
import io
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from capsule.batch import BatchDocument, IndexEntry, check_continuity, check_receipts
from capsule.frame import Mark, frame_hash, read_frame
from capsule.frame_receipt import verify_frame_receipt
from capsule.ids import Address, Digest
from capsule.rows import Row
from capsule.source import SourceTable, verify_source
from gateway.agent import Agent
from gateway.broker import Broker, Link, frames_topic, receipts_topic
from gateway.delivery import Delivery
from gateway.door import Answer, MqttDoor
from gateway.errors import PeerAnswerError, PeerUnreachableError, StoreError
from gateway.gateway import Gateway
from gateway.ingest import Outcome
from gateway.metrics import metrics_of
from gateway.mqtt import FrameTaker, Subscriber
from gateway.readings import open_readings
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import GATEWAY_KEY, Space
from tests.gateway.test_kill import ROOT, device_of, folder, reopened
from tests.sim.mosquitto import Mosquitto, mosquitto

DATA = ROOT.parent / "shared" / "data"
STATION = DATA / "m5bat-20230407" / "bess_battery_together_sample.parquet"
TRIPS = [DATA / "bmw-i3-trips" / f"Trip{name}.csv" for name in ("A01", "A04", "B13")]
TRIP_START = 1_560_000_000
QUICK = Delivery(patience_seconds=2, give_up_seconds=30)
IMPATIENT = Delivery(patience_seconds=0.2, give_up_seconds=1.5)

__all__ = ["folder"]


@pytest.fixture(scope="module")
def mosquitto_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def broker(mosquitto_broker: Mosquitto) -> Broker:
    return Broker.parse(mosquitto_broker.url)


@contextmanager
def subscribed(gateway: FrameTaker, broker: Broker, *, shared: bool = True) -> Iterator[Subscriber]:
    with Subscriber(gateway, broker, max_frame_bytes=1 << 20, shared=shared) as subscriber:
        assert subscriber.wait_connected(10)
        yield subscriber


def stream(agent: Agent, broker: Broker, delivery: Delivery = QUICK) -> int:
    with MqttDoor(broker, agent.device) as door:
        return agent.stream(door, delivery)


def table_of(gateway: Gateway, device: Device) -> SourceTable:
    """What the gateway exports of a device, verified against the anchors: signatures, sequence, inclusion."""
    gateway.anchor_all()
    container = io.BytesIO()
    export = gateway.export(device.id, container)
    container.seek(0)
    return verify_source(container, {device.id: device.key}, export.anchors)


# ------------------------------------------------------------------------------------------------- the real data


def trip_rows(path: Path) -> Iterable[Row]:
    """A trip as its file has it, for columns whose names differ in nothing but a blank at the end."""
    with path.open(encoding="latin-1", newline="") as text:
        lines = csv.reader(text, delimiter=";")
        header = next(lines)
        names = [f"{name.strip()} {place}" for place, name in enumerate(header)]
        for line in lines:
            values = {name: float(cell) for name, cell in zip(names[1:], line[1:], strict=True) if cell}
            yield Row(TRIP_START + float(line[0]), values)


def test_a_day_of_seconds_arrives_once_and_in_order(
    space: Space, gateway: Gateway, device: Device, broker: Broker, tmp_path: Path, later: None
) -> None:
    if not STATION.is_file():
        pytest.skip("the real data is not here")
    with subscribed(gateway, broker), space.open_agent(tmp_path / "q.db", device, gateway, rows_per_frame=600) as agent:
        start = time.monotonic()
        submitted = agent.submit_parquet(STATION)
        packed = time.monotonic()
        frames = stream(agent, broker)
        print(f"queued {86_400 / (packed - start):,.0f} rows/s, delivered {86_400 / (time.monotonic() - packed):,.0f}")
        assert (submitted.rows, submitted.readings) == (86_400, 86_400 * 35)
        assert frames == gateway.status().frames == agent.sequence
        assert not agent.submit_parquet(STATION).new
        receipts = agent.receipts()
    table = table_of(gateway, device)
    source = pyarrow.parquet.read_table(STATION)
    assert (table.verified, table.total, gateway.status().incidents) == (86_400, 86_400, 0)
    assert list(table.time) == list(range(1_680_825_600, 1_680_825_600 + 86_400))
    assert list(table.columns) == source.column_names[:35]
    for name, column in table.columns.items():
        assert column == source.column(name).to_pylist()
    entries = BatchDocument.from_bytes(gateway.batch_document(1)).entries
    verified = [verify_frame_receipt(receipt, GATEWAY_KEY, space.operator.domain) for receipt in receipts]
    assert check_receipts(verified, entries) == ()
    assert [receipt.sequence for receipt in verified] == list(range(1, frames + 1))


def test_three_trips_arrive_once_and_in_order(
    space: Space, gateway: Gateway, broker: Broker, tmp_path: Path, later: None
) -> None:
    if not TRIPS[0].is_file():
        pytest.skip("the real data is not here")
    with subscribed(gateway, broker):
        for path in TRIPS:
            device = space.enrol()
            with space.open_agent(tmp_path / f"{path.stem}.db", device, gateway, rows_per_frame=600) as agent:
                if path.stem == "TripB13":  # two of its columns have the same name
                    wanted = list(trip_rows(path))
                    agent.submit(wanted, mark=Mark.IMPORTED)
                else:
                    how = {"origin": TRIP_START, "delimiter": ";", "encoding": "latin-1"}
                    wanted = list(open_readings(path, **how).rows())  # type: ignore[arg-type]
                    agent.submit_csv(path, **how)  # type: ignore[arg-type]
                assert stream(agent, broker) == agent.sequence
            assert list(table_of(gateway, device).rows) == wanted
    assert gateway.status().incidents == 0


# ------------------------------------------------------------------------------------------------ what is killed


class Counting:
    """A door that sets events after so many answers."""

    def __init__(self, door: MqttDoor, due: Mapping[int, threading.Event]) -> None:
        self._door, self._due, self._answers = door, due, 0

    def send(self, frame: bytes, name: Digest, gateway: Address | None, seconds: float) -> None:
        self._door.send(frame, name, gateway, seconds)

    def answers(self, seconds: float) -> Sequence[Answer]:
        came = self._door.answers(seconds)
        self._answers += len(came)
        for answers, event in self._due.items():
            if self._answers >= answers:
                event.set()
        return came

    def close(self) -> None:
        self._door.close()


@contextmanager
def delivering(agent: Agent, broker: Broker, *answers: int) -> Iterator[list[threading.Event]]:
    """Delivers in a thread, up to the end of the context; an event is set after so many answers."""
    due, failed = {count: threading.Event() for count in answers}, list[Exception]()
    door = Counting(MqttDoor(broker, agent.device, connect_seconds=2), due)

    def run() -> None:
        try:
            agent.stream(door, QUICK)
        except (PeerAnswerError, PeerUnreachableError) as exc:
            failed.append(exc)
        finally:
            door.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield list(due.values())
    thread.join(60)
    assert (thread.is_alive(), failed) == (False, [])


def test_a_killed_broker_loses_nothing_and_doubles_nothing(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path, later: None
) -> None:
    rows = some_rows(0, 3000)
    with mosquitto(tmp_path / "broker") as running:
        broker = Broker.parse(running.url)
        with (
            subscribed(gateway, broker),
            space.open_agent(tmp_path / "q.db", device, gateway, rows_per_frame=5) as agent,
        ):
            agent.submit(rows, mark=Mark.IMPORTED)
            with delivering(agent, broker, 50, 300) as events:
                for due in events:
                    assert due.wait(20)
                    running.kill()
                    running.start()
            assert (agent.queued, agent.sequence, len(agent.receipts())) == (0, 600, 600)
    assert (gateway.status().frames, gateway.status().incidents) == (600, 0)
    assert list(table_of(gateway, device).rows) == rows


def test_a_gateway_says_that_its_broker_is_away_until_it_is_back(
    gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    def sees(trouble: bool) -> bool:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            gateway.watch._probed = None  # not what was seen a second ago
            if (set(gateway.watch.troubles()) == {"broker"}) is trouble:
                return f'ready{{part="broker"}} {float(not trouble)}' in metrics_of(gateway).decode()
            time.sleep(0.02)
        return False

    with mosquitto(tmp_path / "broker") as running, subscribed(gateway, Broker.parse(running.url)) as subscriber:
        with gateway.watch.beside("broker", subscriber.trouble):
            assert sees(trouble=False)
            running.kill()
            assert sees(trouble=True)
            assert gateway.take(device.frame(some_rows(0, 1)))[1]  # other ways in stay open
            running.start()
            assert sees(trouble=False)
        assert "broker" not in gateway.watch.parts


def test_a_killed_gateway_loses_nothing_and_doubles_nothing(
    folder: Path, broker: Broker, mosquitto_broker: Mosquitto
) -> None:
    device, rows = device_of(folder), some_rows(0, 2000)
    with reopened(folder) as gateway:
        agent = Agent(
            folder / "q.db",
            device.id,
            device.signer,
            gateways={gateway.account: gateway.public_key},
            domain=gateway.domain,
            rows_per_frame=5,
        )

    def child() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.gateway.child", "mqtt", str(folder), mosquitto_broker.url]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        return process

    with agent:
        agent.submit(rows, mark=Mark.IMPORTED)
        process = child()
        with delivering(agent, broker, 60) as (due,):
            assert due.wait(20)
            process.kill()
            process.communicate()
            process = child()
        process.kill()
        process.communicate()
        assert (agent.queued, agent.sequence) == (0, 400)
        receipts = agent.receipts()
    with reopened(folder) as gateway:
        assert gateway.status().frames == 400
        for receipt in receipts:
            assert gateway.take(gateway.evidence(receipt.receipt.frame)) == (receipt, False)
        table = table_of(gateway, device)
        assert list(table.rows) == rows
        entries = BatchDocument.from_bytes(gateway.batch_document(1)).entries
        assert [(entry.first, entry.last) for entry in entries] == [(1, 400)]


class Full:
    """A gateway whose store has no room for the first calls, with some frames, and that says so."""

    def __init__(self, inner: Gateway, failures: int) -> None:
        self._inner, self._failures = inner, failures
        self.account, self.tally = inner.account, inner.tally

    def submit_many(self, frames: Sequence[bytes]) -> Future[tuple[Outcome, ...]]:
        if not self._failures:
            return self._inner.submit_many(frames)
        self._failures -= 1
        full: Future[tuple[Outcome, ...]] = Future()
        full.set_result(tuple(StoreError("no room") for _ in frames))
        return full


def test_nothing_is_acknowledged_while_the_store_is_full(
    space: Space, gateway: Gateway, device: Device, broker: Broker, tmp_path: Path, later: None
) -> None:
    with space.open_agent(tmp_path / "q.db", device, gateway, rows_per_frame=1) as agent:
        agent.submit(some_rows(0, 100), mark=Mark.IMPORTED)
        with subscribed(Full(gateway, 1_000_000), broker), pytest.raises(PeerUnreachableError, match="no gateway"):
            stream(agent, broker, IMPATIENT)
        assert (agent.queued, gateway.status().frames) == (100, 0)
        with subscribed(Full(gateway, 3), broker):
            until = time.monotonic() + 10  # the first frame was never acknowledged, so the broker gives it again
            while gateway.status().frames == 0 and time.monotonic() < until:
                time.sleep(0.02)
            assert gateway.status().frames == 1
            assert stream(agent, broker) == 100
    assert (gateway.status().frames, gateway.status().incidents) == (100, 0)


def test_after_an_unforeseen_error_frames_come_over_a_new_connection(
    space: Space, gateway: Gateway, device: Device, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, faults = Link.drive, [ZeroDivisionError("unforeseen")]

    def drive(link: Link, seconds: float) -> None:
        real(link, seconds)
        if faults and threading.current_thread().name == "mqtt":
            raise faults.pop()

    monkeypatch.setattr(Link, "drive", drive)
    with (
        space.open_agent(tmp_path / "q.db", device, gateway) as agent,
        Subscriber(gateway, broker, max_frame_bytes=1 << 20),
    ):
        agent.submit(some_rows(0, 3))
        assert stream(agent, broker) == 1
    assert not faults


# ------------------------------------------------------------------------------------------------- two gateways


def test_two_gateways_share_devices_and_take_over_from_each_other(
    space: Space, gateway: Gateway, broker: Broker, tmp_path: Path, later: None
) -> None:
    devices = [space.enrol() for _ in range(6)]
    with space.open_gateway(tmp_path / "second") as second, subscribed(gateway, broker):
        agents = [space.open_agent(tmp_path / f"{at}.db", one, gateway, second) for at, one in enumerate(devices)]
        try:
            with subscribed(second, broker):
                for agent in agents:
                    agent.submit(some_rows(0, 1200), mark=Mark.IMPORTED)
                    assert stream(agent, broker) == 20
            homes = [{receipt.receipt.gateway for receipt in agent.receipts()} for agent in agents]
            assert all(len(home) == 1 for home in homes)
            assert set.union(*homes) == {gateway.account, second.account}
            assert (gateway.status().incidents, second.status().incidents) == (0, 0)
            moving = [agent for agent in agents if agent.receipts()[0].receipt.gateway == second.account]
            quick = Delivery(patience_seconds=0.3, hand_over_seconds=1, give_up_seconds=20)
            agent = moving[0]
            agent.submit(some_rows(1200, 600), mark=Mark.IMPORTED)
            assert stream(agent, broker, quick) == 10
            assert [receipt.receipt.gateway for receipt in agent.receipts()] == 20 * [second.account] + 10 * [
                gateway.account
            ]
        finally:
            for agent in agents:
                agent.close()
        entries: list[IndexEntry] = []
        for one in (gateway, second):
            one.anchor_all()
            entries += BatchDocument.from_bytes(one.batch_document(1)).entries
        assert check_continuity(entries) == ()
        assert len(entries) == 7


# ------------------------------------------------------------------------------------- what should not be taken


def test_a_refused_frame_stays_with_its_device_and_holds_nobody_up(
    space: Space, gateway: Gateway, device: Device, broker: Broker, tmp_path: Path, later: None
) -> None:
    stranger = Device(9)
    with (
        subscribed(gateway, broker),
        space.open_agent(tmp_path / "stranger.db", stranger, gateway) as refused,
        space.open_agent(tmp_path / "q.db", device, gateway) as agent,
    ):
        refused.submit(some_rows(0, 120))
        with pytest.raises(PeerAnswerError, match=r"refused frame 1: device .* is not enrolled on the final chain"):
            stream(refused, broker)
        agent.submit(some_rows(0, 120), mark=Mark.IMPORTED)
        assert stream(agent, broker) == 2
        assert refused.queued == 2
    assert gateway.status().frames == 2


class Foreigner:
    """A client of the broker that sends what it likes, and hears all answers."""

    def __init__(self, port: int) -> None:
        self.heard: list[MQTTMessage] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self.heard.append(message)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("dataspace/v1/receipts/#", 1), ("elsewhere/#", 1)])
        self._client.loop_start()
        assert self._ready.wait(5)

    def send(self, topic: str, payload: bytes, *, qos: int = 1, answer: str = "", name: bytes = b"") -> None:
        options = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if answer:
            options.ResponseTopic = answer
        if name:
            options.CorrelationData = name
        self._client.publish(topic, payload, qos=qos, properties=options).wait_for_publish(5)

    def wait_heard(self, count: int) -> list[dict[str, object]]:
        until = time.monotonic() + 10
        while len(self.heard) < count and time.monotonic() < until:
            time.sleep(0.01)
        return [json.loads(message.payload) for message in self.heard]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_hostile_messages_are_refused_and_answered_nowhere_else(
    gateway: Gateway, space: Space, device: Device, broker: Broker, later: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dataspace.gateway")
    victim, frame = space.enrol(), device.frame(some_rows(0, 2))
    own = frames_topic(device.id, gateway.account)
    foreigner = Foreigner(broker.port)
    try:
        with subscribed(gateway, broker):
            foreigner.send(frames_topic("no-device", gateway.account), frame)
            foreigner.send(frames_topic("F" * 64, gateway.account), frame)
            foreigner.send(own, frame, qos=0)
            foreigner.send(own, bytes((1 << 20) + 8192))
            refused = [
                (own, b"", {}),
                (own, b"\xd2\x84" + bytes(range(256)) * 40, {}),
                (own, frame[:-1] + bytes([frame[-1] ^ 1]), {}),
                (own, frame, {"answer": "elsewhere/please"}),
                (own, frame, {"answer": receipts_topic(victim.id)}),
                (own, frame, {"name": bytes(65)}),
                (frames_topic(victim.id, gateway.account), frame, {}),
                (frames_topic(victim.id, None), frame, {}),
            ]
            for topic, payload, options in refused:
                foreigner.send(topic, payload, **options)  # type: ignore[arg-type]
            problems = foreigner.wait_heard(len(refused))
            assert sorted(str(problem["status"]) for problem in problems) == 7 * ["400"] + ["403"]
            assert gateway.status().frames == 0
            told = [line for line in caplog.messages if line.startswith("refused a frame on the topic of device")]
            assert len(told) == 2  # one for each device, however much it sends
            before = 'dataspace_gateway_frames_total{outcome="malformed"} '
            assert f"{before}{len(refused) - 1 + 3}.0" in metrics_of(gateway).decode()
            foreigner.send(own, frame, name=bytes(frame_hash(frame)), answer=receipts_topic(device.id))
            receipt = foreigner.wait_heard(len(refused) + 1)[-1]
            assert receipt["kind"] == "dataspace/signed-frame-receipt"
    finally:
        foreigner.close()
    topics = [message.topic for message in foreigner.heard]
    assert sorted(topics) == sorted(7 * [receipts_topic(device.id)] + 2 * [receipts_topic(victim.id)])
    answer = foreigner.heard[-1]
    assert answer.properties.CorrelationData == read_frame(frame).hash  # type: ignore[union-attr]
    assert gateway.status().frames == 1


def test_a_false_receipt_settles_nothing(
    space: Space, gateway: Gateway, device: Device, broker: Broker, tmp_path: Path, later: None
) -> None:
    with subscribed(gateway, broker), space.open_agent(tmp_path / "q.db", device, gateway) as agent:
        agent.submit(some_rows(0, 60), mark=Mark.IMPORTED)
        stream(agent, broker)
    other = space.enrol()
    foreigner = Foreigner(broker.port)
    try:
        with space.open_agent(tmp_path / "other.db", other, gateway) as agent:
            agent.submit(some_rows(0, 60), mark=Mark.IMPORTED)
            with pytest.raises(PeerUnreachableError):  # nobody listens; but now its frame is signed
                stream(agent, broker, IMPATIENT)
            (sent,) = agent._outbox.frames(0, 1, agent._signed)
            with delivering_refused(agent, broker) as failed:
                time.sleep(0.3)
                for _ in range(3):
                    foreigner.send(receipts_topic(other.id), b"{}", name=bytes(sent.hash))
                    foreigner.send(receipts_topic(other.id), bytes(100), name=b"short")
            assert agent.queued == 1
            assert "no receipt" in str(failed[0])
    finally:
        foreigner.close()


@contextmanager
def delivering_refused(agent: Agent, broker: Broker) -> Iterator[list[PeerAnswerError]]:
    failed: list[PeerAnswerError] = []

    def run() -> None:
        try:
            stream(agent, broker, Delivery(patience_seconds=5, give_up_seconds=5))
        except PeerAnswerError as exc:
            failed.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    yield failed
    thread.join(20)
    assert failed
