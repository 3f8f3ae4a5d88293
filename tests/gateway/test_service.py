"""The HTTP service on a real socket: frames in, receipts, proofs, documents and exports out, problems as documents."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from capsule.batch import BatchDocument, FrameProof, verify_batch, verify_frame_proof
from capsule.frame import Frame, Mark, frame_hash, sign_frame
from capsule.frame_receipt import SignedFrameReceipt, verify_frame_receipt
from capsule.ids import Digest
from capsule.source import Anchor, verify_source
from gateway.agent import Agent
from gateway.door import HttpDoor
from gateway.errors import PeerAnswerError, PeerUnreachableError
from gateway.gateway import Gateway
from gateway.service import build_app
from tests.capsule.frames import START, Device, some_rows
from tests.gateway.space import GATEWAY_KEY, Space

TOKEN = "operator's token"
OPERATOR = {"authorization": f"Bearer {TOKEN}"}
COSE = {"content-type": "application/cose"}


@pytest.fixture
def served(space: Space, tmp_path: Path) -> Iterator[Gateway]:
    with space.open_gateway(
        tmp_path / "gateway", batch_seconds=3600, anchor_poll_seconds=0.05, body_seconds=0.5
    ) as gateway:
        yield gateway


@pytest.fixture
def client(served: Gateway) -> Iterator[httpx.Client]:
    with serving(served) as opened:
        yield opened


@contextmanager
def serving(gateway: Gateway) -> Iterator[httpx.Client]:
    """The service on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(gateway, TOKEN), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as opened:
        for _ in range(200):
            if server.started:
                break
            time.sleep(0.02)
        yield opened
    server.should_exit = True
    thread.join()
    listener.close()


def post(client: httpx.Client, frame: bytes, **headers: str) -> httpx.Response:
    return client.post("/v1/frames", content=frame, headers={**COSE, **headers})


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and kind of a problem document; its shape is checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert set(content) == {"type", "title", "status", "detail"}
    assert content["status"] == answer.status_code
    assert content["detail"]
    return answer.status_code, content["type"].rpartition(":")[2]


def test_a_trip_over_http(space: Space, served: Gateway, client: httpx.Client, device: Device, tmp_path: Path) -> None:
    keys = {served.account: served.public_key}
    door = HttpDoor(str(client.base_url), client)
    with Agent(tmp_path / "queue.db", device.id, device.signer, gateways=keys, domain=space.operator.domain) as agent:
        agent.submit(some_rows(0, 200))
        assert agent.deliver(door) == 4
        receipts = agent.receipts()
    answer = client.post("/v1/batches", headers=OPERATOR)
    assert answer.status_code == 200
    (anchored,) = answer.json()["anchored"]
    assert (anchored["number"], anchored["size"], answer.json()["unanchored_batches"]) == (1, 4, 0)

    document = BatchDocument.from_bytes(client.get(f"/v1/documents/batch/{anchored['frames_root']}").content)
    assert client.get("/v1/batches/1").content == document.to_bytes()
    assert verify_batch(document, document.batch).entries[0].last == 4
    for receipt in receipts:
        name = receipt.receipt.frame
        frame = client.get(f"/v1/evidence/{name}", headers=OPERATOR).content
        assert frame_hash(frame) == name
        proof = FrameProof.from_bytes(client.get(f"/v1/frames/{name}/proof").content)
        verify_frame_proof(proof, frame, document.batch)

    export = client.get("/v1/export", params={"device": str(device.id)}, headers=OPERATOR)
    assert export.headers["content-type"] == "application/vnd.dataspace.frames+cbor"
    assert (export.headers["dataspace-frames"], export.headers["dataspace-rows"]) == ("4", "200")
    batch = document.batch
    anchor = Anchor(batch.gateway, 1, batch.frames_root, batch.size, anchored["anchored_at"])
    table = verify_source(io.BytesIO(export.content), {device.id: device.key}, [anchor])
    assert list(table.rows) == some_rows(0, 200)
    part = client.get(
        "/v1/export",
        params={"device": str(device.id), "from": "2023-04-07 00:00:00", "to": str(START + 1)},
        headers=OPERATOR,
    )
    assert part.headers["dataspace-frames"] == "1"


def test_new_frames_are_201_and_known_ones_200(
    space: Space, served: Gateway, client: httpx.Client, device: Device
) -> None:
    frame = device.frame(some_rows(0, 1))
    first, again = post(client, frame), post(client, frame)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.content == again.content
    receipt = verify_frame_receipt(SignedFrameReceipt.from_bytes(first.content), GATEWAY_KEY, space.operator.domain)
    assert receipt.frame == frame_hash(frame)
    typed = post(client, frame, **{"content-type": 'Application/COSE; cose-type="cose-sign1"'})
    assert typed.status_code == 200


def test_batches_that_are_due_are_anchored_by_themselves(space: Space, device: Device, tmp_path: Path) -> None:
    with space.open_gateway(tmp_path / "g", batch_frames=2, anchor_poll_seconds=0.02) as gateway:
        config = uvicorn.Config(build_app(gateway, TOKEN), log_level="warning")
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        for frame in device.frames(2):
            gateway.ingest(frame)
        for _ in range(300):
            if gateway.status().batches and not gateway.status().unanchored_batches:
                break
            time.sleep(0.02)
        server.should_exit = True
        thread.join()
        listener.close()
        assert (gateway.status().batches, gateway.status().unanchored_batches) == (1, 0)


def test_each_refusal_is_a_problem_document(
    space: Space, served: Gateway, client: httpx.Client, device: Device
) -> None:
    first = device.frame(some_rows(0, 1))
    post(client, first)
    stranger = Device(5)
    forger = Device(6)
    forger.id = device.id
    fork = sign_frame(Frame(device.id, 1, Digest(bytes(32)), None, Mark.SIGNED, tuple(some_rows(9, 1))), device.signer)
    marked = sign_frame(
        Frame(device.id, 2, frame_hash(first), None, Mark.WITNESSED, tuple(some_rows(9, 1))), device.signer
    )
    before = served.status()
    assert problem(post(client, b"\xd2\x84")) == (400, "malformed")
    assert problem(post(client, b"")) == (400, "malformed")
    assert problem(post(client, bytes(1 << 21))) == (413, "http")
    assert problem(post(client, first, **{"content-type": "application/json"})) == (415, "http")
    assert problem(post(client, stranger.frame(some_rows(0, 1)))) == (403, "unenrolled")
    assert problem(post(client, forger.frame(some_rows(0, 1)))) == (403, "verification")
    assert problem(post(client, marked)) == (422, "mark")
    assert served.status() == before
    assert problem(post(client, fork)) == (409, "fork")
    assert served.status().incidents == before.incidents + 1
    name = frame_hash(first)
    answer = client.get(f"/v1/frames/{name}/proof")
    assert problem(answer) == (409, "not-anchored")
    assert answer.headers["retry-after"] == "5"
    assert problem(client.get(f"/v1/frames/0x{'00' * 32}/proof")) == (404, "not-found")
    assert problem(client.get("/v1/frames/zz/proof")) == (400, "input")
    assert problem(client.get(f"/v1/documents/batch/0x{'00' * 32}")) == (404, "not-found")
    assert problem(client.get(f"/v1/documents/policy/0x{'00' * 32}")) == (404, "not-found")
    assert problem(client.get("/v1/batches/7")) == (404, "not-found")
    assert problem(client.get("/v1/batches/x")) == (400, "input")
    assert problem(client.get("/nowhere")) == (404, "http")
    assert problem(client.put("/v1/frames")) == (405, "http")


def test_readings_leave_only_for_the_operator(served: Gateway, client: httpx.Client, device: Device) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer"}):
        assert problem(client.post("/v1/batches", headers=headers)) == (403, "forbidden")
        assert problem(client.get("/v1/export", params={"device": str(device.id)}, headers=headers)) == (
            403,
            "forbidden",
        )
        assert problem(client.get(f"/v1/evidence/{device.id}", headers=headers)) == (403, "forbidden")
    assert problem(client.get("/v1/export", headers=OPERATOR)) == (400, "input")
    backwards = {"device": str(device.id), "from": "2026-01-02", "to": "2026-01-01"}
    for bad in ({"device": "x"}, {"device": str(device.id), "from": "yesterday"}, backwards):
        assert problem(client.get("/v1/export", params=bad, headers=OPERATOR)) == (400, "input")
    assert problem(client.get("/v1/export", params={"device": str(device.id)}, headers=OPERATOR)) == (404, "not-found")


def test_a_client_that_sends_a_byte_at_a_time_does_not_hold_the_others(client: httpx.Client, device: Device) -> None:
    def dribble() -> Iterator[bytes]:
        for byte in device.frame(some_rows(0, 1))[:20]:
            yield bytes([byte])
            time.sleep(0.1)

    slow: list[httpx.Response | Exception] = []

    def send() -> None:
        try:
            slow.append(httpx.post(f"{client.base_url}/v1/frames", content=dribble(), headers=COSE))
        except httpx.HTTPError as exc:  # the service may hang up first
            slow.append(exc)

    thread = threading.Thread(target=send)
    thread.start()
    assert client.get("/healthz").json()["status"] == "ok"
    assert not slow, "the others were answered only after the slow one"
    thread.join()
    assert isinstance(slow[0], Exception) or problem(slow[0]) == (408, "http")


def test_many_slow_clients_that_announce_much_take_no_room_from_the_others(
    space: Space, device: Device, tmp_path: Path
) -> None:
    head = (
        b"POST /v1/frames HTTP/1.1\r\nhost: g\r\ncontent-type: application/cose-seq\r\ncontent-length: 16777216\r\n\r\n"
    )
    frames = device.frames(6)
    with (
        space.open_gateway(tmp_path / "g", body_seconds=20) as gateway,
        serving(gateway) as client,
        ExitStack() as stack,
    ):
        address = ("127.0.0.1", client.base_url.port or 0)
        slow = [stack.enter_context(socket.create_connection(address)) for _ in range(50)]
        for connection in slow:
            connection.sendall(head)
        for frame in frames:  # a byte each from every slow one between two frames
            for connection in slow:
                connection.sendall(b"\xd2")
            assert post(client, frame).status_code == 201
    assert len(slow) == 50


def test_health_counts(served: Gateway, client: httpx.Client, device: Device) -> None:
    post(client, device.frame(some_rows(0, 1)))
    assert client.get("/healthz").json() == {"status": "ok", "account": str(served.account)}
    health = client.get("/v1/status").json()
    assert (health["devices"], health["frames"], health["waiting"], health["batches"]) == (1, 1, 1, 0)
    assert health["account"] == str(served.account)
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_the_door_tells_a_retry_from_a_refusal(client: httpx.Client, device: Device) -> None:
    with pytest.raises(PeerAnswerError, match=r"refused the frame: .*COSE"):
        HttpDoor(str(client.base_url), client).ingest(b"\x00")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    with pytest.raises(PeerUnreachableError, match="no answer"):
        HttpDoor(url, client).ingest(b"\x00")
    with pytest.raises(PeerAnswerError, match="status 404"):
        HttpDoor(str(client.base_url) + "/elsewhere", client).ingest(b"\x00")


def test_a_gateway_in_trouble_is_asked_again() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(500))
    with httpx.Client(transport=transport) as broken, pytest.raises(PeerUnreachableError, match="status 500"):
        HttpDoor("http://gateway", broken).ingest(b"")


def test_without_a_token_the_operator_s_calls_are_closed(served: Gateway) -> None:
    app = build_app(served, "", anchoring=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            return await client.post("/v1/batches", headers={"authorization": "Bearer "})

    assert problem(asyncio.run(ask())) == (403, "forbidden")
