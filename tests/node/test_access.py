"""Access and orders: what each side checks of the other, and that nothing of a refused thing is kept."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from capsule import canonical
from capsule.agreement import Agreement, Signatures
from capsule.algorithm import Parameters
from capsule.box import BoxKey, seal_to
from capsule.errors import InputError
from capsule.ids import Address, Bytes32, Digest, GrantId, RequestId
from capsule.order import Order, order_hash
from capsule.receipt import SignedReceipt, output_digest, sign_receipt
from contracts.errors import RevertedError
from contracts.events import AccessRequested
from contracts.structs import Pin
from node.access import Narrowing
from node.errors import InputRefusedError, PeerAnswerError, PeerUnreachableError, RefusedError, UnknownError
from node.ordering import Placed
from scripts.algorithm import sql_algorithm
from tests.node.space import ALGORITHM, ALGORITHM_TWO, PURPOSE, SQL, SQL_TWO, Offered, Space

STRANGER = Address(bytes(range(20)))


@pytest.fixture(scope="module")
def offered(space: Space) -> Offered:
    return space.offered(uses_per_grant=100, uses_per_buyer=100)


@pytest.fixture(scope="module")
def grant(space: Space, offered: Offered) -> GrantId:
    return space.granted(offered)


# Requests and grants


def requested(space: Space, offered: Offered, altered: Callable[[Agreement], Agreement]) -> AccessRequested:
    """A buyer asks on chain for one thing and proposes an agreement on another."""
    buyer = space["buyer"]
    view = buyer.node.context.view
    view.refresh()
    version, dealt = view.version(offered.asset, 1), view.latest_deal(offered.asset, 1)
    agreement = altered(
        Agreement(
            asset=offered.asset,
            version=1,
            policy_hash=version.policy_hash,
            terms_hash=version.terms_hash,
            purpose=PURPOSE,
            algorithm=ALGORITHM.hash,
            buyer=buyer.account,
            provider=space["provider"].account,
            compute_node=space["compute"].account,
            salt=secrets.token_bytes(32),
        )
    )
    store = buyer.node.context.store
    store.put_document("agreement", agreement.hash, agreement.to_json())
    signature = buyer.keystore.account.sign_typed(
        agreement.typed_data(buyer.ledger.domain.chain_id, buyer.ledger.access.address)
    )
    store.put_document("agreement-signatures", agreement.hash, Signatures(agreement.hash, signature).to_json())
    pin = Pin(
        asset=offered.asset,
        version=1,
        capsule_root=version.capsule_root,
        policy_hash=version.policy_hash,
        terms_hash=version.terms_hash,
        deal=dealt.deal,
        deal_hash=dealt.deal_hash,
    )
    transaction = buyer.ledger.access.request(
        pin, PURPOSE, ALGORITHM.hash, space["compute"].account, agreement.hash, version.terms
    )
    return transaction.event(AccessRequested)


@pytest.mark.parametrize(
    "altered",
    [
        lambda one: replace(one, purpose="anything"),
        lambda one: replace(one, version=2),
        lambda one: replace(one, policy_hash=Digest(bytes(32))),
        lambda one: replace(one, terms_hash=Digest(bytes(32))),
        lambda one: replace(one, algorithm=ALGORITHM_TWO.hash),
        lambda one: replace(one, buyer=STRANGER),
        lambda one: replace(one, provider=STRANGER),
        lambda one: replace(one, compute_node=STRANGER),
    ],
)
def test_an_agreement_that_differs_from_its_request_is_refused(
    space: Space, offered: Offered, altered: Callable[[Agreement], Agreement]
) -> None:
    event = requested(space, offered, altered)
    provider = space["provider"].node
    with pytest.raises(PeerAnswerError, match="not what it requested on chain"):
        provider.access.grant(event.request, Narrowing())
    assert provider.context.store.document("agreement", event.agreement_hash) is None
    assert event.request in {one.request for one in provider.access.pending()}
    provider.access.deny(event.request, 3)
    assert event.request not in {one.request for one in provider.access.pending()}


@pytest.mark.parametrize("content", [b"[" * 100_000, b"not json", b'{"kind": "dataspace/agreement"}', b"{}"])
def test_an_agreement_that_can_not_be_read_is_refused(
    space: Space, offered: Offered, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = requested(space, offered, lambda one: one)
    provider = space["provider"].node
    with monkeypatch.context() as patch:
        patch.setattr(space["buyer"].node.context.store, "document", lambda *_: content)
        with pytest.raises(PeerAnswerError, match=r"an? agreement"):
            provider.access.grant(event.request, Narrowing())
    with space.away("buyer"), pytest.raises(PeerUnreachableError):
        provider.access.grant(event.request, Narrowing())
    assert provider.access.grant(event.request, Narrowing()).grant


def test_a_grant_is_as_narrow_as_the_provider_wants(space: Space, offered: Offered) -> None:
    event = requested(space, offered, lambda one: one)
    granted = space["provider"].node.access.grant(event.request, Narrowing(uses=1, seconds=60, rows=5))
    on_chain = space["provider"].ledger.access.grant_of(granted.grant)
    assert (on_chain.uses_per_grant, on_chain.rows_per_buyer) == (1, 5)
    assert granted.not_after == space.clock() + 60
    event = requested(space, offered, lambda one: one)
    wide = space["provider"].node.access.grant(event.request, Narrowing(uses=10**6, rows=10**12)).grant
    assert space["provider"].ledger.access.grant_of(wide).uses_per_grant == 100


def test_code_that_is_not_the_algorithms_is_not_requested(space: Space, offered: Offered) -> None:
    head = space.world.chain.head().number
    buyer = space["buyer"].node
    for code in (SQL_TWO.encode(), b"\xff"):
        with pytest.raises(InputRefusedError, match="the code is not that of the algorithm"):
            buyer.access.request(offered.asset, PURPOSE, ALGORITHM, code, space["compute"].account)
    assert space.world.chain.head().number == head


def test_what_is_not_known_is_said(space: Space) -> None:
    with pytest.raises(UnknownError):
        space["provider"].node.access.grant(RequestId(bytes(32)), Narrowing())
    with pytest.raises(RevertedError, match="AccessRequestNotPending"):
        space["provider"].node.access.deny(RequestId(bytes(32)), 1)


# Orders


def test_an_order_takes_grants_that_go_together(space: Space, grant: GrantId) -> None:
    place = space["buyer"].node.ordering.place
    other = space.granted(space.offered(), ALGORITHM_TWO, SQL_TWO)
    for grants in ((), (grant, grant), (grant, other)):
        with pytest.raises(InputRefusedError, match="an order takes"):
            place(grants, {}, 600)
    with pytest.raises(InputError):
        place((grant,), {"unknown": 1}, 600)
    with pytest.raises(InputRefusedError, match="signed by the buyer"):
        space["provider"].node.ordering.place((grant,), {}, 600)


def signed(space: Space, grant: GrantId, **changes: Any) -> tuple[Order, bytes, Parameters]:
    parameters = Parameters({}, secrets.token_bytes(32))
    order = Order(
        **{
            "grants": (grant,),
            "number": secrets.randbits(64),
            "algorithm": ALGORITHM.hash,
            "parameters": parameters.hash,
            "compute_node": space["compute"].account,
            "result_key": Bytes32(secrets.token_bytes(32)),
            "deadline": space.clock() + 600,
            **changes,
        }
    )
    ledger = space["buyer"].ledger
    signature = space["buyer"].keystore.account.sign_order(order, ledger.domain.chain_id, ledger.access.address)
    return order, signature, parameters


def test_an_order_is_taken_once(space: Space, grant: GrantId) -> None:
    order, signature, parameters = signed(space, grant)
    compute = space["compute"].node.compute
    digest = compute.accept(order, signature, ALGORITHM, SQL, parameters)
    space["compute"].node.work()
    state = space["compute"].node.context.store.run(digest)
    assert state is not None
    assert state.state == "opened"
    assert compute.accept(order, signature, ALGORITHM, SQL, parameters) == digest
    state = space["compute"].node.context.store.run(digest)
    assert state is not None
    assert state.state == "opened"


def test_an_order_that_does_not_hold_is_refused_and_not_kept(space: Space, grant: GrantId) -> None:
    ledger = space["buyer"].ledger
    sql = "SELECT sum(power) AS total, count(*) AS n FROM readings_1"
    good = signed(space, grant)
    elsewhere = signed(space, grant, compute_node=STRANGER)
    other_algorithm = signed(space, grant, algorithm=ALGORITHM_TWO.hash)
    other_parameters = signed(space, grant, parameters=Digest(bytes(32)))
    no_table = sql_algorithm(sql, ["total:integer", "n:integer"], (), "n")
    missing_table = signed(space, grant, algorithm=no_table.hash)
    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("names the compute node", (elsewhere[0], elsewhere[1], ALGORITHM, SQL, elsewhere[2])),
        ("the algorithm that came", (other_algorithm[0], other_algorithm[1], ALGORITHM, SQL, other_algorithm[2])),
        ("the parameters that came", (other_parameters[0], other_parameters[1], ALGORITHM, SQL, other_parameters[2])),
        ("code is not", (good[0], good[1], ALGORITHM, SQL + " ", good[2])),
        ("not signed by the buyer", (good[0], elsewhere[1], ALGORITHM, SQL, good[2])),
        ("65 bytes", (good[0], b"short", ALGORITHM, SQL, good[2])),
        ("algorithm check: table", (missing_table[0], missing_table[1], no_table, sql, missing_table[2])),
    ]
    store = space["compute"].node.context.store
    before = {row.order_hash for row in store.unfinished_runs()}
    for match, arguments in cases:
        with pytest.raises(RefusedError, match=match):
            space["compute"].node.compute.accept(*arguments)
        digest = order_hash(arguments[0], ledger.domain.chain_id, ledger.access.address)
        assert store.run(digest) is None
    unknown = signed(space, GrantId(bytes(32)))
    with pytest.raises(UnknownError, match="grant"):
        space["compute"].node.compute.accept(unknown[0], unknown[1], ALGORITHM, SQL, unknown[2])
    assert {row.order_hash for row in store.unfinished_runs()} == before


def test_an_order_to_the_wrong_node_is_refused(space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compute node's endpoint leads to another organisation."""
    context = space["buyer"].node.context
    with monkeypatch.context() as patch:
        patch.setattr(type(context), "endpoint_of", lambda *_: "http://provider.demo")
        with pytest.raises(PeerAnswerError, match="names the compute node"):
            space.ordered(grant)
    assert space["provider"].node.context.store.unfinished_runs() == []


# Results


class Served:
    """A finished order, and what its compute node serves, to be tampered with."""

    def __init__(self, space: Space, placed: Placed) -> None:
        self.space, self.placed = space, placed
        compute = space["compute"].node
        self.path = compute.compute.result(placed.order_hash)
        self.sealed = self.path.read_bytes()
        self.store = compute.context.store
        self.buyer = space["buyer"].node
        self.closed = next(
            end for use, end in compute.context.view.ended.items() if use == space.uses(placed.order_hash)[0].use
        )

    def receipt(self) -> SignedReceipt:
        return SignedReceipt.from_json(
            canonical.decode(self.store.document("receipt", self.closed.receipt_hash) or b"")
        )

    def refused(self, match: str) -> None:
        with pytest.raises(PeerAnswerError, match=match):
            self.buyer.ordering.collect(self.placed.order_hash)
        assert self.buyer.context.store.document("receipt", self.closed.receipt_hash) is None


@pytest.fixture(scope="module")
def served(space: Space, offered: Offered, grant: GrantId) -> Served:
    placed = space.ordered(grant)
    space["compute"].node.work()
    space.release()
    space["compute"].node.work()
    return Served(space, placed)


def test_a_tampered_result_is_refused(served: Served) -> None:
    served.path.write_bytes(served.sealed[:-1] + bytes([served.sealed[-1] ^ 1]))
    served.refused("a result that is not the one named on chain")
    served.path.write_bytes(served.sealed + bytes(64 << 20))
    served.refused("more than the")
    served.path.unlink()
    served.refused("result of order")
    served.path.write_bytes(served.sealed)


@pytest.mark.parametrize(
    ("altered", "match"),
    [
        (lambda one: replace(one, rows_in=1), "another hash"),
        (lambda one: replace(one, order_hash=Digest(bytes(32))), "another hash"),
    ],
)
def test_a_tampered_receipt_is_refused(served: Served, altered: Callable[[Any], Any], match: str) -> None:
    true = served.receipt()
    compute = served.space["compute"]
    forged = sign_receipt(altered(true.receipt), compute.keystore.signer, compute.ledger.domain)
    unsigned = replace(forged, signature=true.signature)
    for paper, reason in ((forged, match), (unsigned, "signature"), (None, "receipt|readable|another|kind|object")):
        served.store.put_document("receipt", served.closed.receipt_hash, paper.to_json() if paper else [1])
        served.refused(reason)
    served.store.put_document("receipt", served.closed.receipt_hash, true.to_json())


def test_a_receipt_that_the_chain_names_but_that_says_something_else_is_refused(
    space: Space, grant: GrantId, served: Served
) -> None:
    """A dishonest compute node closes with the hash of a receipt of another order, or of another result."""
    compute = space["compute"]
    nothing = Digest(bytes(32))
    other = served.closed
    cases = (
        ("order", {"order_hash": other.receipt_hash}),
        ("rows", {"rows_out": 7}),
        ("output", {"output": nothing}),
        ("measurement", {"measurement": nothing}),
        ("capsule roots", {"capsule_roots": (nothing,)}),
    )
    template = served.receipt().receipt
    for name, change in cases:
        placed = space.ordered(grant)
        compute.node.work()
        space.release()
        (opened,) = space.uses(placed.order_hash)
        salt = secrets.token_bytes(32)
        result = canonical.encode({"kind": "dataspace/result", "version": 1, "salt": "0x" + salt.hex()})
        sealed = seal_to(bytes(opened.order.result_key), result)
        honest = replace(
            template,
            order_hash=placed.order_hash,
            uses=(opened.use,),
            grants=(grant,),
            parameters=opened.order.parameters,
            output=output_digest(result, salt),
            rows_out=1,
            measurement=opened.measurement,
        )
        lie = sign_receipt(replace(honest, **change), compute.keystore.signer, compute.ledger.domain)
        store = compute.node.context.store
        store.put_document("receipt", lie.receipt.hash, lie.to_json())
        result_hash = Digest(hashlib.sha256(sealed).digest())
        compute.ledger.access.close_use(placed.order_hash, True, 0, lie.receipt.hash, result_hash, 1)
        (compute.node.context.home.folder("results") / f"{placed.order_hash}.sealed").write_bytes(sealed)
        with pytest.raises(PeerAnswerError, match=f"another {name} than"):
            space["buyer"].node.ordering.collect(placed.order_hash)
        assert space["buyer"].node.context.store.document("receipt", lie.receipt.hash) is None


def test_the_result_that_is_right_is_collected(served: Served) -> None:
    collected = served.buyer.ordering.collect(served.placed.order_hash)
    document = canonical.decode(collected.result)
    assert isinstance(document, dict)
    assert document["rows"] == [[780, 40]]
    assert served.buyer.context.store.document("receipt", served.closed.receipt_hash) is not None
    assert collected.receipt.hash == served.closed.receipt_hash


def test_an_order_without_a_result_says_so(space: Space, grant: GrantId) -> None:
    buyer = space["buyer"].node.ordering
    with pytest.raises(UnknownError, match="order"):
        buyer.collect(Digest(bytes(32)))
    placed = space.ordered(grant)
    with pytest.raises(UnknownError, match="order"):
        buyer.collect(placed.order_hash)
    space["compute"].node.work()
    with pytest.raises(UnknownError, match="result of order"):
        buyer.collect(placed.order_hash)
    nothing = Digest(bytes(32))
    space["compute"].ledger.access.close_use(placed.order_hash, False, 1, nothing, nothing, 0)
    with pytest.raises(RefusedError, match="ended without one"):
        buyer.collect(placed.order_hash)


def test_the_result_key_is_kept_before_the_order_leaves(space: Space, grant: GrantId) -> None:
    buyer = space["buyer"].node
    kept = []
    post = type(buyer.context).post

    def watching(context: Any, account: Any, path: str, document: Any) -> Any:
        digest = order_hash(
            Order.from_json(document["order"]), context.ledger.domain.chain_id, context.ledger.access.address
        )
        secret = context.store.secret(f"result-key/{digest}")
        kept.append(BoxKey(secret).public == Order.from_json(document["order"]).result_key)
        return post(context, account, path, document)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(buyer.context), "post", watching)
        space.ordered(grant)
    assert kept == [True]
