"""The HTTP face: who may call what, how it refuses, and that it serves only what it means to."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from capsule import canonical
from capsule.errors import FormatError, InputError, OpenError, PolicyError, VerificationError
from capsule.ids import Digest
from contracts.errors import (
    ChainDisagreementError,
    ChainIntegrityError,
    ChainUnreachableError,
    PinMismatchError,
    RevertedError,
    TransactionPendingError,
)
from node.errors import (
    HomeError,
    InputRefusedError,
    PassphraseError,
    PeerAnswerError,
    PeerUnreachableError,
    RefusedError,
    RuntimeFailedError,
    RuntimeRefusedError,
    UnknownError,
)
from node.problems import problem_of
from node.service import DOCUMENT_KINDS, build_app
from scripts.inprocess import InProcess
from tests.node.space import ALGORITHM, CSV, PURPOSE, SQL, TOKEN, Space

OPEN = {
    ("GET", "/healthz"),
    ("POST", "/v1/custody/shares"),
    ("POST", "/v1/compute/orders"),
    ("GET", "/v1/results/{order}"),
    ("GET", "/v1/capsules/{root}"),
    ("GET", "/v1/documents/capsule/{root}"),
    ("GET", "/v1/documents/{kind}/{digest}"),
    ("GET", "/v1/documents/log-segment/{root}"),
    ("GET", "/v1/log/entries"),
    ("GET", "/v1/log/head"),
    ("GET", "/v1/log/proof/consistency"),
    ("GET", "/v1/log/proof/inclusion"),
}
ID = str(Digest(bytes(range(32))))


class Client:
    """One organisation's service, without and with its token."""

    def __init__(self, space: Space, name: str, token: str = TOKEN) -> None:
        self.client = httpx.Client(
            transport=InProcess(build_app(space[name].node, TOKEN)), base_url=f"http://{name}.demo"
        )
        self.headers = {"authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)


def problem(answer: httpx.Response, status: int, match: str = "") -> dict[str, Any]:
    """The answer is a problem of RFC 9457 with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert content["type"] == "about:blank"
    assert content["status"] == status
    assert content["title"]
    assert match in content["detail"]
    assert content["exit_status"] in (2, 3, 4)
    return content


@pytest.fixture
def buyer(space: Space) -> Client:
    return Client(space, "buyer")


@pytest.fixture
def provider(space: Space) -> Client:
    return Client(space, "provider")


def routes(space: Space) -> list[tuple[str, str]]:
    app = build_app(space["buyer"].node, TOKEN)
    return [(method, one.path) for one in app.routes if isinstance(one, APIRoute) for method in one.methods]


def test_every_route_is_open_on_purpose_or_needs_the_token(space: Space) -> None:
    found = routes(space)
    assert set(found) >= OPEN
    head = space.world.chain.head().number
    for method, path in found:
        if (method, path) in OPEN:
            continue
        filled = path.replace("{", "").replace("}", "")
        for token in ("", "wrong", TOKEN[:-1], f"{TOKEN} "):
            answer = Client(space, "buyer", token).ask(method, filled, _body(path))
            assert problem(answer, 403)["title"] == "refused", (method, path)
    assert space.world.chain.head().number == head


def _body(path: str) -> Any:
    """A body that the route would take, so that only the token is missing."""
    return {
        "/v1/offerings": {"path": "x", "asset": ID, "policy": {}, "custody": {"custodians": ["x"], "threshold": 1}},
        "/v1/access/requests": {"asset": ID, "purpose": "", "algorithm": {}, "code": "", "compute_node": ID},
        "/v1/access/requests/{request_id}/grant": {},
        "/v1/access/requests/{request_id}/deny": {"reason": 1},
        "/v1/access/grants/{grant_id}/revoke": {"reason": 1},
        "/v1/orders": {"grants": [ID]},
        "/v1/assets": {"metadata": {}},
        "/v1/assets/{asset}/retire": {"reason": ""},
        "/v1/devices/{device}/enroll": {"public_key": "00", "suite": 1, "model_hash": ID},
        "/v1/devices/{device}/statement": {},
    }.get(path)


def test_a_service_without_a_token_takes_no_call(space: Space) -> None:
    client = httpx.Client(transport=InProcess(build_app(space["buyer"].node, "")), base_url="http://buyer.demo")
    for header in ("Bearer ", "Bearer", ""):
        problem(client.post("/v1/work", headers={"authorization": header}), 403)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/results/0x12",
        "/v1/results/..%2f..%2fkeystore.json",
        "/v1/capsules/nonsense",
        "/v1/capsules/..%2Fnode.db",
        "/v1/documents/capsule/x",
        "/v1/documents/deal/x",
        "/v1/documents/policy/0xzz",
    ],
)
def test_bad_ids_are_400(buyer: Client, path: str) -> None:
    answer = buyer.ask("GET", path)
    assert answer.status_code in (400, 404)
    content = problem(answer, answer.status_code)
    assert "keystore" not in answer.text.replace(content["detail"], "")


@pytest.mark.parametrize(
    "path",
    ["/v1/capsules/../../keystore.json", "/v1/results/%2e%2e/%2e%2e/node.db", "/v1/documents/../../../etc/passwd"],
)
def test_no_path_leads_out_of_the_folders(buyer: Client, path: str) -> None:
    problem(buyer.ask("GET", path), 404)


def test_bad_ids_of_operator_routes_are_400(buyer: Client) -> None:
    problem(buyer.ask("POST", "/v1/offerings/x/finish"), 400)
    problem(buyer.ask("POST", "/v1/access/requests/x/grant", {}), 400)
    problem(buyer.ask("POST", "/v1/access/grants/x/revoke", {"reason": 1}), 400)
    problem(buyer.ask("GET", "/v1/orders/x/result"), 400)
    problem(buyer.ask("POST", "/v1/orders", {"grants": ["x"]}), 400)
    problem(buyer.ask("POST", "/v1/assets/x/retire", {"reason": ""}), 400)


def test_what_is_not_there_is_404(buyer: Client) -> None:
    for path in (f"/v1/results/{ID}", f"/v1/capsules/{ID}", f"/v1/documents/deal/{ID}", f"/v1/orders/{ID}/result"):
        problem(buyer.ask("GET", path), 404)
    problem(buyer.ask("POST", f"/v1/offerings/{ID}/finish"), 404, "offering")
    problem(buyer.ask("GET", "/v1/nothing"), 404)
    problem(buyer.ask("GET", "/openapi.json"), 404)
    problem(buyer.ask("DELETE", "/v1/orders"), 405)


def test_only_known_kinds_of_documents_are_served(space: Space, buyer: Client) -> None:
    store = space["buyer"].node.context.store
    digest = Digest(bytes(range(1, 33)))
    for kind in (*DOCUMENT_KINDS, "parameters", "secret", "order"):
        store.put_document(kind, digest, {"kind": kind})
        answer = Client(space, "buyer", "").ask("GET", f"/v1/documents/{kind}/{digest}")
        if kind in DOCUMENT_KINDS:
            assert canonical.decode(answer.content) == {"kind": kind}
        else:
            problem(answer, 404)


@pytest.mark.parametrize("path", ["/v1/compute/orders", "/v1/custody/shares", "/v1/orders"])
def test_bodies_over_the_limit_are_413(space: Space, path: str) -> None:
    limit = space["buyer"].node.context.settings.max_document_bytes
    client = Client(space, "buyer")
    body = b'{"a": "' + b"x" * limit + b'"}'
    problem(client.ask("POST", path, content=body, headers={"content-type": "application/json"}), 413)

    def drip() -> Any:
        yield from (body[at : at + 2**20] for at in range(0, len(body), 2**20))

    problem(client.ask("POST", path, content=drip(), headers={"content-type": "application/json"}), 413)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"deal": {}, "deal": {}, "policy": {}, "share": {}}',
        b'{"deal": NaN}',
        b'{"deal": "\\ud800"}',
        b"\xff",
        b"nonsense",
        b"",
        b"[]",
        b'{"deal": {}, "policy": {}, "share": {}, "more": 1}',
        b'{"deal": 1, "policy": {}, "share": {}}',
    ],
    ids=["depth", "nested", "repeated", "nan", "surrogate", "utf8", "text", "empty", "list", "unknown", "type"],
)
def test_bodies_that_can_not_be_read_are_400(space: Space, body: bytes) -> None:
    client = Client(space, "custodian-1", "")
    answer = client.ask("POST", "/v1/custody/shares", content=body, headers={"content-type": "application/json"})
    problem(answer, 400)


def test_hostile_documents_are_refused(space: Space) -> None:
    client = Client(space, "custodian-1", "")
    problem(client.ask("POST", "/v1/custody/shares", {"deal": {}, "policy": {}, "share": {}}), 403, "the share")
    order = {"order": {}, "signature": "00", "algorithm": {}, "code": "", "parameters": {}}
    problem(Client(space, "compute", "").ask("POST", "/v1/compute/orders", order), 400)
    problem(Client(space, "compute", "").ask("POST", "/v1/compute/orders", {**order, "signature": "xyz"}), 400)


def test_health_says_where_the_chain_is(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(space, "buyer", "")
    assert client.ask("GET", "/healthz").json()["account"] == str(space["buyer"].account)

    def silent() -> None:
        raise ChainUnreachableError("the chain does not answer")

    monkeypatch.setattr(space["buyer"].ledger.chain, "head", silent)
    assert problem(client.ask("GET", "/healthz"), 503)["exit_status"] == 4


def test_a_fault_of_the_program_tells_nothing(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a secret")

    node = space["buyer"].node
    monkeypatch.setattr(node, "work", broken)
    transport = httpx.ASGITransport(build_app(node, TOKEN), raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post("/v1/work", headers={"authorization": f"Bearer {TOKEN}"})

    assert "a secret" not in str(problem(asyncio.run(ask()), 500))


def test_an_offer_that_is_refused_leaves_nothing_on_chain(space: Space, provider: Client, tmp_path: Any) -> None:
    path = tmp_path / "readings.csv"
    path.write_bytes(CSV)
    custody = {"custodians": [str(one) for one in space.custodians], "threshold": 2}
    asset = space.register()
    head = space.world.chain.head().number
    good = {"path": str(path), "asset": str(asset), "policy": space.policy(asset), "custody": custody}
    problem(provider.ask("POST", "/v1/offerings", {**good, "policy": {"@type": "Offer"}}), 403)
    problem(provider.ask("POST", "/v1/offerings", {**good, "path": "/nowhere.csv"}), 400, "can't be read")
    problem(provider.ask("POST", "/v1/offerings", {**good, "asset": "0x12"}), 400)
    few = {**custody, "threshold": 1}
    problem(provider.ask("POST", "/v1/offerings", {**good, "custody": few}), 400, "threshold")
    assert space.world.chain.head().number == head
    problem(provider.ask("POST", "/v1/assets", {}), 400)
    registered = provider.ask("POST", "/v1/assets", {"metadata": {"title": "x"}})
    assert registered.status_code == 201


def test_a_whole_trip_over_http(space: Space, provider: Client, buyer: Client, tmp_path: Any) -> None:
    path = tmp_path / "readings.csv"
    path.write_bytes(CSV)
    asset = space.register()
    offer = {
        "path": str(path),
        "asset": str(asset),
        "policy": space.policy(asset),
        "custody": {"custodians": [str(one) for one in space.custodians], "threshold": 2, "waiting_seconds": 0},
    }
    offered = provider.ask("POST", "/v1/offerings", offer)
    assert offered.status_code == 201, offered.text
    assert offered.json()["stage"] == "delivered"
    listed = buyer.ask("GET", "/v1/assets").json()["assets"]
    assert str(asset) in {one["asset"] for one in listed}
    request = {
        "asset": str(asset),
        "purpose": PURPOSE,
        "algorithm": ALGORITHM.to_json(),
        "code": SQL,
        "compute_node": str(space["compute"].account),
    }
    requested = buyer.ask("POST", "/v1/access/requests", request).json()
    assert requested["grant"] is None
    pending = provider.ask("GET", "/v1/access/requests").json()["requests"]
    assert requested["request"] in {one["request"] for one in pending}
    granted = provider.ask("POST", f"/v1/access/requests/{requested['request']}/grant", {"uses": 1}).json()
    placed = buyer.ask("POST", "/v1/orders", {"grants": [granted["grant"]]}).json()
    compute = Client(space, "compute")
    compute.ask("POST", "/v1/work")
    for name in ("provider", "custodian-1", "custodian-2"):
        decided = Client(space, name).ask("POST", "/v1/work").json()["decided"]
        assert [one["released"] for one in decided] == [True]
    progress = compute.ask("POST", "/v1/work").json()["progress"]
    assert progress == [{"order": placed["order"], "state": "ended", "note": ""}]
    result = buyer.ask("GET", f"/v1/orders/{placed['order']}/result").json()
    assert '"rows":[[780,40]]' in result["result"]
    revoked = provider.ask("POST", f"/v1/access/grants/{granted['grant']}/revoke", {"reason": 1})
    assert revoked.status_code == 200
    problem(provider.ask("POST", f"/v1/access/grants/{granted['grant']}/revoke", {"reason": 1}), 403, "Revoked")


@pytest.mark.parametrize(
    ("error", "status", "exit_status"),
    [
        (UnknownError("x", "y"), 404, 2),
        (InputRefusedError("x"), 400, 2),
        (HomeError("x"), 500, 2),
        (PassphraseError(), 403, 3),
        (RefusedError("x", "y"), 403, 3),
        (RuntimeRefusedError("guard", "rows"), 403, 3),
        (RuntimeFailedError("x"), 500, 2),
        (PeerUnreachableError("x"), 502, 4),
        (PeerAnswerError("x", "y"), 409, 3),
        (RevertedError("X", ()), 403, 3),
        (ChainUnreachableError("x"), 503, 4),
        (TransactionPendingError(Digest(bytes(32)), "x"), 503, 4),
        (ChainDisagreementError("x", ()), 409, 3),
        (ChainIntegrityError("x"), 409, 3),
        (PinMismatchError("x"), 409, 3),
        (PolicyError("x", "y"), 403, 3),
        (VerificationError("x", "y"), 403, 3),
        (OpenError(), 403, 3),
        (FormatError("x"), 400, 2),
        (InputError("x"), 400, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_status(error: Exception, status: int, exit_status: int) -> None:
    problem = problem_of(error)
    assert problem is not None
    assert (problem.status, problem.exit_status) == (status, exit_status)


def test_a_stranger_error_is_no_problem_of_this_table() -> None:
    assert problem_of(ZeroDivisionError()) is None
