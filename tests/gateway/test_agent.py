"""The device's agent: everything once and in order, nothing half, nobody's receipt but its gateway's."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow
import pyarrow.parquet
import pytest

from capsule.frame import MAX_FRAME_BYTES, Mark, read_frame
from capsule.frame_receipt import SignedFrameReceipt, sign_frame_receipt
from capsule.ids import Address, DeviceId
from capsule.rows import Row
from capsule.signature import Ed25519Signer
from gateway.agent import Agent, Submitted
from gateway.delivery import Delivery
from gateway.door import HttpDoor
from gateway.errors import (
    CallerError,
    PeerAnswerError,
    PeerUnreachableError,
    ReadingsError,
    StoreLockedError,
)
from gateway.gateway import Gateway
from tests.capsule.frames import START, Device, some_rows
from tests.gateway.space import Space
from tests.gateway.test_service import serving


@pytest.fixture
def agent(space: Space, gateway: Gateway, device: Device, tmp_path: Path) -> Iterator[Agent]:
    with space.open_agent(tmp_path / "queue.db", device, gateway) as opened:
        yield opened


class Flaky:
    """A door that loses answers: every frame arrives, but only each third answer comes back."""

    def __init__(self, inner: Gateway) -> None:
        self._inner = inner
        self._calls = 0

    def ingest(self, frame: bytes) -> SignedFrameReceipt:
        self._calls += 1
        receipt = self._inner.ingest(frame)
        if self._calls % 3:
            raise PeerUnreachableError("answer lost")
        return receipt


def test_a_door_that_loses_answers_gets_every_frame_once(gateway: Gateway, agent: Agent) -> None:
    agent.submit(some_rows(0, 300))
    door = Flaky(gateway)
    failures = 0
    while agent.queued:
        try:
            agent.deliver(door)
        except PeerUnreachableError:
            failures += 1
    assert failures == 10
    assert (agent.sequence, gateway.status().frames, gateway.status().incidents) == (5, 5, 0)


def test_the_newest_receipt_of_each_gateway_is_told_also_of_one_left_long_ago(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    with (
        space.open_gateway(tmp_path / "second") as second,
        space.open_agent(tmp_path / "two.db", device, gateway, second, rows_per_frame=1) as agent,
    ):
        assert agent.newest_receipts() == ()
        agent.submit(some_rows(0, 5))
        assert (agent.deliver(gateway, most=2), agent.deliver(second)) == (2, 3)
        receipts = agent.receipts()
        assert agent.newest_receipts() == (receipts[1], receipts[4])
        assert [one.receipt.gateway for one in agent.newest_receipts()] == [gateway.account, second.account]


def test_a_gateway_that_is_behind_is_waited_for_as_long_as_it_says(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    pauses: list[float] = []
    answers = [
        (429, "7"),
        (503, "5"),
        (429, "0"),
        (201, ""),
        (429, "7"),
        (503, "99999999999"),
        (429, "soon"),
        (500, ""),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        status, after = answers.pop(0)
        content = gateway.ingest(request.content).to_bytes() if status == 201 else b"{}"
        return httpx.Response(status, content=content, headers={"retry-after": after} if after else {})

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as client,
        space.open_agent(tmp_path / "behind.db", device, gateway, rows_per_frame=1) as agent,
    ):
        agent.submit(some_rows(0, 2))
        door = HttpDoor("http://gateway", client, patience_seconds=13, sleep=pauses.append)
        assert (agent.deliver(door, most=1), pauses) == (1, [7, 5, 1])
        for _ in ("a time too far off, after another", "no time at all"):
            with pytest.raises(PeerUnreachableError, match="takes nothing now"):
                agent.deliver(door)
        with pytest.raises(PeerUnreachableError, match="takes nothing now"):
            agent.deliver(HttpDoor("http://gateway", client))
        assert (answers, pauses, agent.queued) == ([], [7, 5, 1, 7], 1)


def test_frames_hold_60_rows_or_as_many_as_fit(gateway: Gateway, agent: Agent) -> None:
    agent.submit([*some_rows(0, 61), *some_rows(100, 3, columns=900)])
    agent.deliver(gateway)
    frames = [read_frame(gateway.evidence(receipt.receipt.frame)) for receipt in agent.receipts()]
    assert [len(frame.content_unverified().rows) for frame in frames] == [60, 4]


def test_rows_with_long_names_share_frames_that_fit(gateway: Gateway, agent: Agent) -> None:
    wide = {f"{'x' * 480}{column}": 1 for column in range(100)}
    agent.submit([Row(START + at, wide) for at in range(50)])
    assert agent.queued == 4
    agent.deliver(gateway)
    assert gateway.status().frames == 4
    enormous = {f"{'x' * 500}{column}": column for column in range(1024)}
    assert MAX_FRAME_BYTES > 512 * 1024
    agent.submit([Row(START + 60, enormous)])
    with pytest.raises(CallerError, match="columns"):
        agent.submit([Row(START + 61, {**enormous, "one more": 1})])


def test_a_bad_row_queues_nothing(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("time,P\n" + "".join(f"2024-01-01 00:00:{at:02d},{at}\n" for at in range(59)) + "2024-01-01,x\n")
    with pytest.raises(ReadingsError, match=r"bad\.csv, line 61, column P: 'x' is no number"):
        agent.submit_csv(file)
    assert agent.queued == 0


def test_a_file_is_queued_once(gateway: Gateway, agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "good.csv"
    file.write_text("time,P,Q\n2024-01-01 00:00:00,1,\n2024-01-01 00:00:10,,2.5\n")
    first, again = agent.submit_csv(file), agent.submit_csv(file)
    assert (first.rows, first.readings, first.new) == (2, 2, True)
    assert again == replace(first, new=False)
    agent.deliver(gateway)
    assert not agent.submit_csv(file).new
    assert agent.submit_csv(file, mark=Mark.SIGNED).new


def test_the_queue_outlives_the_process(space: Space, gateway: Gateway, device: Device, tmp_path: Path) -> None:
    with space.open_agent(tmp_path / "queue.db", device, gateway) as agent:
        agent.submit(some_rows(0, 130))
        agent.deliver(gateway, most=1)
        with pytest.raises(PeerUnreachableError):
            agent.deliver(Flaky(gateway))
    with space.open_agent(tmp_path / "queue.db", device, gateway) as agent:
        assert (agent.sequence, agent.queued, len(agent.receipts())) == (2, 2, 1)
        assert agent.deliver(gateway) == 2
        assert len(agent.receipts()) == 3
    assert gateway.status().incidents == 0


def test_one_process_and_one_device_a_queue(space: Space, gateway: Gateway, agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(StoreLockedError):
        space.open_agent(tmp_path / "queue.db", Device(), gateway)
    agent.close()
    other = Device(7)
    other.id = DeviceId(b"\x07" * 32)
    with pytest.raises(CallerError, match="belongs to device"):
        space.open_agent(tmp_path / "queue.db", other, gateway)


class Lying:
    """A door whose receipts are not what they should be."""

    def __init__(self, space: Space, gateway: Gateway, lie: str) -> None:
        self._space, self._gateway, self._lie = space, gateway, lie
        self._first: SignedFrameReceipt | None = None

    def ingest(self, frame: bytes) -> SignedFrameReceipt:
        receipt = self._gateway.ingest(frame)
        self._first = self._first or receipt
        if self._lie == "signature":
            return replace(receipt, signature=bytes(64))
        if self._lie == "earlier":
            return self._first
        changed = replace(receipt.receipt, gateway=Address(b"\x01" * 20))
        return sign_frame_receipt(changed, Ed25519Signer(b"\x01" * 32), self._space.operator.domain)


_LIES = [("signature", "not signed by"), ("earlier", "another frame"), ("gateway", "none of")]


@pytest.mark.parametrize(("lie", "match"), _LIES)
def test_a_receipt_that_does_not_hold_leaves_the_frame_queued(
    space: Space, gateway: Gateway, agent: Agent, lie: str, match: str
) -> None:
    agent.submit(some_rows(0, 180))
    door = Lying(space, gateway, lie)
    with pytest.raises(PeerAnswerError, match=match):
        agent.deliver(door)
    left = agent.queued
    assert left == (2 if lie == "earlier" else 3)
    assert agent.deliver(gateway) == left
    assert gateway.status().frames == 3


def test_an_empty_submission_sends_nothing(gateway: Gateway, agent: Agent) -> None:
    assert agent.submit([]).rows == 0
    assert agent.deliver(gateway) == 0


def test_a_callable_is_asked_on_while_no_gateway_answers(gateway: Gateway, agent: Agent) -> None:
    stop, calls, rows = threading.Event(), iter(range(1_000_000)), some_rows(0, 60)

    def source() -> list[Row]:
        at = next(calls)
        return [rows[at]] if at < len(rows) else []

    def deliver() -> None:
        if agent.queued < 20 and gateway.status().frames == 0:
            raise PeerUnreachableError("no gateway")
        agent.deliver(gateway)
        if gateway.status().frames == 60:
            stop.set()

    agent.follow(source, deliver, stop=stop, every_seconds=0.002)
    assert (agent.queued, gateway.status().frames, gateway.status().incidents) == (0, 60, 0)


def test_what_a_source_raises_ends_the_following(gateway: Gateway, agent: Agent) -> None:
    def source() -> list[Row]:
        raise ReadingsError("sensor", 1, None, "is gone")

    with pytest.raises(ReadingsError, match="sensor, line 1: is gone"):
        agent.follow(source, lambda: agent.deliver(gateway), stop=threading.Event(), every_seconds=0.01)


def test_a_file_with_other_separators_and_letters(gateway: Gateway, agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "trip.csv"
    file.write_bytes("Time [s];Temperature [\u00b0C] ;SoC [%]\r\n0;21.5;87\r\n0.1;;86.9\r\n".encode("latin-1"))
    with pytest.raises(ReadingsError, match="is not UTF-8; convert the file first, or name its encoding"):
        agent.submit_csv(file, delimiter=";")
    for wrong in ({"delimiter": ";;"}, {"encoding": "no-such"}, {"encoding": "rot13"}):
        with pytest.raises(CallerError):
            agent.submit_csv(file, **wrong)  # type: ignore[arg-type]
    assert agent.queued == 0
    agent.submit_csv(file, delimiter=";", encoding="latin-1", origin=START)
    agent.deliver(gateway)
    frame = read_frame(gateway.evidence(agent.receipts()[0].receipt.frame)).content_unverified()
    assert frame.rows == (
        Row(START, {"Temperature [\u00b0C]": 21.5, "SoC [%]": 87}),
        Row(START + 0.1, {"SoC [%]": 86.9}),
    )


def test_a_parquet_file_is_queued_once_and_whole(gateway: Gateway, agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "day.parquet"
    moments = pyarrow.array([START * 1000, START * 1000 + 500], pyarrow.timestamp("ms", tz="Asia/Shanghai"))
    columns = {"P": pyarrow.array([1, None], pyarrow.int32()), "at": moments, "Q": pyarrow.array([float("nan"), 2.5])}
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert agent.submit_parquet(file) == Submitted(2, 2, new=True)
    assert agent.submit_parquet(file) == Submitted(2, 2, new=False)
    agent.deliver(gateway)
    frame = read_frame(gateway.evidence(agent.receipts()[0].receipt.frame)).content_unverified()
    assert frame.rows == (Row(START, {"P": 1}), Row(START + 0.5, {"Q": 2.5}))


_TIMES = pyarrow.array([START, START], pyarrow.timestamp("s"))
_BAD_TABLES = [
    ({"P": [1, 2]}, "has 0 columns of timestamps"),
    ({"at": _TIMES, "too": _TIMES, "P": [1, 2]}, "has 2 columns of timestamps"),
    ({"at": _TIMES, "P": ["1", "2"]}, "column P: has values of type string"),
    ({"at": _TIMES}, "no column of readings"),
    ({"at": _TIMES, "P": [1.0, float("inf")]}, "line 2, column P: is infinite"),
    ({"at": _TIMES, "P": pyarrow.array([1, 2**64 - 1], pyarrow.uint64())}, "does not fit 64 bits"),
    ({"at": pyarrow.array([START, 1], pyarrow.timestamp("s")), "P": [1, 2]}, "line 2, column at: is no time from 1978"),
    ({"at": pyarrow.array([START * 10**9 + 1, 0], pyarrow.timestamp("ns")), "P": [1, 2]}, "times too fine"),
    ({"at": _TIMES, "P": [1, 2], "p": [1, 2]}, "column P: is there twice"),
]


@pytest.mark.parametrize(("columns", "match"), _BAD_TABLES)
def test_a_bad_parquet_file_queues_nothing(agent: Agent, tmp_path: Path, columns: dict[str, Any], match: str) -> None:
    file = tmp_path / "bad.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    with pytest.raises(ReadingsError, match=match):
        agent.submit_parquet(file)
    file.write_bytes(b"no parquet")
    with pytest.raises(ReadingsError, match="is no Parquet file"):
        agent.submit_parquet(file)
    assert agent.queued == 0


def test_only_their_owner_may_read_the_databases(space: Space, device: Device, tmp_path: Path) -> None:
    queue = tmp_path / "device" / "device.db"
    usual = os.umask(0)
    try:
        with (
            space.open_gateway(tmp_path / "other") as other,
            space.open_agent(queue, device, other) as agent,
        ):
            other.ingest(device.frame(some_rows(0, 1)))
            agent.submit(some_rows(1, 1))
            files = [*(tmp_path / "other").iterdir(), *queue.parent.iterdir()]
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    finally:
        os.umask(usual)
    assert {"gateway.db", "gateway.db-wal", "gateway.db-shm", "device.db", "device.db-wal"} <= set(modes)
    assert set(modes.values()) == {0o600}


# ------------------------------------------------------------------------------------- several frames in one request


class Line(httpx.BaseTransport):
    """HTTP to a gateway's service; `lost`: of these requests (from 0) the answer is lost on the way back."""

    def __init__(self, service: httpx.Client, lost: Sequence[int] = ()) -> None:
        self._service = service
        self._lost = lost
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self.bodies.append(body)
        kind = {"content-type": request.headers["content-type"]}
        answer = self._service.post(request.url.path, content=body, headers=kind)
        if len(self.bodies) - 1 in self._lost:
            raise httpx.ReadError("lost", request=request)
        return httpx.Response(answer.status_code, content=answer.content)


def test_many_frames_share_a_request_and_each_gets_its_receipt(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    with (
        serving(gateway) as service,
        httpx.Client(transport=(line := Line(service, lost=[2]))) as client,
        space.open_agent(tmp_path / "many.db", device, gateway, rows_per_frame=1) as agent,
    ):
        agent.submit(some_rows(0, 40))
        delivery = Delivery(window=16, give_up_seconds=0)
        with pytest.raises(PeerUnreachableError):
            agent.stream(HttpDoor("http://gateway", client), delivery)
        assert (agent.queued, gateway.status().frames) == (37, 7)  # one, two, and four whose answer was lost
        assert agent.stream(HttpDoor("http://gateway", client), delivery) == 37
        assert (gateway.status().frames, gateway.status().incidents) == (40, 0)
        assert [one.receipt.sequence for one in agent.receipts()] == list(range(1, 41))
        assert len(line.bodies) < 12


def test_a_refused_frame_in_a_request_is_named_and_stays_queued(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    with space.open_agent(tmp_path / "one.db", device, gateway, rows_per_frame=1) as agent:
        agent.submit(some_rows(0, 2))
        agent.deliver(gateway)
    with (
        serving(gateway) as service,
        httpx.Client(transport=Line(service)) as client,
        space.open_agent(tmp_path / "other.db", device, gateway, rows_per_frame=1) as agent,
    ):
        agent.submit(some_rows(7, 2))
        with pytest.raises(PeerAnswerError, match="refused frame 1: "):
            agent.stream(HttpDoor("http://gateway", client), Delivery(window=16, give_up_seconds=0))
        assert (agent.queued, gateway.status().frames) == (2, 2)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"[1,2]", b'[{"detail":"no"},{"detail":"no"}]', b"[null]", b"["]
)
def test_an_answer_that_is_none_settles_nothing(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path, content: bytes
) -> None:
    with (
        httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=content))) as client,
        space.open_agent(tmp_path / "none.db", device, gateway, rows_per_frame=1) as agent,
    ):
        agent.submit(some_rows(0, 2))
        with pytest.raises(PeerAnswerError):
            agent.stream(HttpDoor("http://gateway", client), Delivery(window=16, give_up_seconds=0))
        assert agent.queued == 2
