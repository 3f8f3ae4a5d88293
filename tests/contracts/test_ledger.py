"""The whole trip through the same door on an embedded chain and on anvil."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from capsule.digest import Domain
from capsule.errors import InputError
from capsule.ids import Address, Bytes32, Digest, GrantId, RequestId, Uscc
from capsule.order import Order, order_hash
from contracts.account import Account
from contracts.deploy import deploy
from contracts.embedded import EmbeddedChain
from contracts.errors import PinMismatchError, RevertedError, TransactionPendingError
from contracts.events import AccessGranted, AssetEvent, EntrySet, SequencedEvent, UseExpired
from contracts.heads import HEAD_SLOT, SEQ_SLOT, Head, rehash, subject_slots
from contracts.ledger import Ledger
from contracts.proofs import encode_receipt, receipt_proof, verify_receipt, verify_storage
from contracts.roles import Role
from contracts.rpc import RpcChain
from contracts.structs import Decision, ParticipantStatus, RequestStatus, UseStatus
from tests.sim.anvil import anvil, anvil_faucet, ask_anvil
from tests.sim.trip import PURPOSE, Space, account_of, found_space, random_digest


def test_the_whole_trip(space: Space) -> None:
    chain, algorithm = space.operator.chain, random_digest()
    deadline = chain.head().timestamp + 3000
    pin = space.publish()
    assert space.operator.assets.is_ready(pin.asset, 1, 1)
    assert space.operator.assets.hash_terms(space.terms()) == space.terms().hash == pin.terms_hash

    grant = space.grant(pin, algorithm)
    granted = space.operator.access.grant_of(grant)
    assert (granted.pin, granted.buyer, granted.provider) == (
        pin,
        account_of(space.buyer),
        account_of(space.provider),
    )
    asked = space.operator.access.request_of(granted.request)
    assert (asked.status, asked.algorithm) == (RequestStatus.GRANTED, algorithm)

    opened = space.open_use(grant, algorithm, deadline=deadline, number=secrets.randbits(256))
    assert opened.order.grants == (grant,)
    assert opened.pin == pin
    assert space.operator.access.use_of(opened.use).status is UseStatus.OPEN
    space.release(opened.use)
    assert space.operator.access.decision_of(opened.use, account_of(space.provider)) is Decision.RELEASED
    closed = space.close(opened, rows=10)
    assert (closed.completed, closed.late, closed.rows_out) == (True, False, 10)
    use = space.operator.access.use_of(opened.use)
    assert (use.status, use.released, use.provider_released) == (UseStatus.COMPLETED, 2, True)
    assert space.operator.access.counts_of(pin.asset, account_of(space.buyer)) == (1, 10, 1)
    assert space.operator.access.uses_of(opened.order_hash) == (opened.use,)


def test_events_rehash_to_the_heads_on_chain(space: Space) -> None:
    ledger, chain = space.operator, space.operator.chain
    space.publish()
    head = chain.head()
    events = ledger.events(0, head.number)
    heads = rehash(events)
    for name, address in ledger.addresses.items():
        binding = getattr(ledger, {"OperationLog": "operation_log"}.get(name, name.lower()))
        found, seq = binding.head(at=head.number)
        assert heads.contracts.get(address, Head(Digest(bytes(32)), 0)) == Head(found, seq), name
    assets = {event.asset for event in events if isinstance(event, AssetEvent)}
    for asset in assets:
        found, seq = ledger.assets.head_of(asset, at=head.number)
        assert heads.subjects[ledger.assets.address, Bytes32(asset)] == Head(found, seq)
    asset = next(iter(assets))
    slots = (HEAD_SLOT, SEQ_SLOT, *subject_slots(asset))
    proof = chain.storage_proof(ledger.assets.address, slots, head.number)
    proven, number, _, _ = verify_storage(proof, head.state_root)
    assert heads.contracts[ledger.assets.address] == Head(Digest(proven), int.from_bytes(number, "big"))


def test_receipts_prove_themselves(space: Space) -> None:
    chain = space.operator.chain
    made = space.provider.assets.register(random_digest())
    receipts, block = chain.block_receipts(made.block_number), chain.block(made.block_number)
    own = chain.receipt(made.hash)
    assert own is not None
    assert receipts[own.index] == own
    nodes = receipt_proof(receipts, own.index, block.receipts_root)
    proven = verify_receipt(nodes, own.index, encode_receipt(own), block.receipts_root)
    assert proven == tuple((log.address, log.topics, log.data) for log in own.logs)


def test_refusals_have_names_and_values(space: Space) -> None:
    taken = space.operator.participants.organisation(account_of(space.buyer)).uscc
    assert taken is not None
    with pytest.raises(RevertedError) as refused:
        space.operator.participants.admit(Address(b"\x09" * 20), taken, random_digest(), Role.BUYER)
    assert refused.value.name == "ParticipantsCodeTaken"
    assert refused.value.arguments == (taken, account_of(space.buyer))
    with pytest.raises(RevertedError) as refused:
        space.buyer.assets.register(random_digest())
    assert refused.value.name == "AssetsParticipantNotActive"
    with pytest.raises(RevertedError) as refused:
        space.operator.participants.keys_at(account_of(space.buyer), 1)
    assert refused.value.name == "ParticipantsKeysMissing"


def test_nobody_reads_as_nobody(space: Space) -> None:
    nobody = space.operator.participants.organisation(Address(b"\x09" * 20))
    assert (nobody.uscc, nobody.status, nobody.roles) == (None, ParticipantStatus.NONE, Role(0))
    assert space.operator.participants.account_of(Uscc.make("91350100000009999")) == Address.ZERO


def test_order_hash_is_the_contracts(space: Space) -> None:
    order = Order(
        grants=(GrantId(secrets.token_bytes(32)), GrantId(secrets.token_bytes(32))),
        number=2**256 - 1,
        algorithm=random_digest(),
        parameters=random_digest(),
        compute_node=Address(secrets.token_bytes(20)),
        result_key=random_digest(),
        deadline=2**64 - 1,
    )
    access = space.operator.access
    assert access.hash_order(order) == order_hash(order, space.operator.chain.chain_id(), access.address)


def test_an_automatic_grant_and_its_revocation(space: Space) -> None:
    algorithm = random_digest()
    pin = space.publish(automatic=True)
    request = space.buyer.access.request(
        pin, PURPOSE, algorithm, account_of(space.compute), random_digest(), space.terms(automatic=True)
    )
    granted = request.event(AccessGranted)
    assert granted.automatic
    assert granted.terms == space.terms(automatic=True)
    assert space.provider.access.revoke(granted.grant, 3).events
    assert space.operator.access.grant_of(granted.grant).revoked


def test_connect_checks_the_pin(space: Space) -> None:
    ledger = space.operator
    chain, pin = ledger.chain, ledger.pin
    assert Ledger.connect(chain, pin.directory, None, pin).domain == Domain(chain.chain_id(), pin.directory)
    nowhere = Address(b"\x08" * 20)
    for wrong in (
        replace(pin, chain_id=pin.chain_id + 1),
        replace(pin, genesis_hash=random_digest()),
        replace(pin, directory=nowhere),
    ):
        with pytest.raises(PinMismatchError):
            Ledger.connect(chain, pin.directory, None, wrong)
    with pytest.raises(PinMismatchError, match="no contract"):
        Ledger.connect(chain, nowhere)
    with pytest.raises(PinMismatchError, match="not a Directory"):
        Ledger.connect(chain, ledger.assets.address)


def test_reading_needs_no_account(space: Space) -> None:
    ledger = Ledger.connect(space.operator.chain, space.operator.pin.directory)
    assert ledger.participants.is_operator(account_of(space.operator))
    with pytest.raises(InputError, match="needs an account"):
        ledger.assets.register(random_digest())
    with pytest.raises(InputError, match="does not fit its type"):
        space.provider.access.deny(RequestId(bytes(32)), 2**16)


def test_events_of_a_range_are_those_blocks(space: Space) -> None:
    made = space.provider.assets.register(random_digest())
    space.operator.wait_final(made)
    events = space.operator.events(made.block_number, made.block_number)
    assert made.events[0] in events
    assert all(event.log.block_number == made.block_number for event in events)
    first = [event for event in space.operator.events(0, made.block_number) if isinstance(event, EntrySet)]
    assert {event.name: event.entry for event in first} == {
        name: address for name, address in space.operator.addresses.items() if name != "Directory"
    }
    assert all(isinstance(event, SequencedEvent) or event.log for event in space.operator.events(0, 1))


def test_waiting_for_finality(space: Space) -> None:
    made = space.provider.assets.register(random_digest())
    assert space.operator.wait_final(made, 30) == made
    assert space.operator.final_block().number >= made.block_number


# Time


def test_an_idle_embedded_chain_still_lets_time_pass(tmp_path: Path) -> None:
    """No block is made while nobody sends, and yet the next call sees the clock's time."""
    now = [2_000_000]
    with EmbeddedChain.open(tmp_path, clock=lambda: now[0]) as chain:
        space = found_space(chain, chain.faucet)
        algorithm = random_digest()
        pin = space.publish()
        opened = space.open_use(space.grant(pin, algorithm), algorithm, deadline=now[0] + 60)
        with pytest.raises(RevertedError, match="AccessUseBeforeDeadline"):
            space.buyer.access.expire_use(opened.use)
        now[0] += 60
        expired = space.buyer.access.expire_use(opened.use).event(UseExpired)
        assert expired.given_back
        assert chain.head().timestamp == now[0]


# Finality and reorganisations, on anvil alone


@pytest.fixture
def manual_anvil() -> Iterator[str]:
    with anvil(block_time=None, extra=["--slots-in-an-epoch", "1"]) as url:
        yield url


def test_confirmations_and_the_finalized_tag(manual_anvil: str) -> None:
    chain, operator = RpcChain(manual_anvil), anvil_faucet()
    counted = Ledger.connect(chain, deploy(chain, operator, confirmations=3, finalized_tag=False), operator)
    tagged = Ledger.connect(chain, deploy(chain, operator, confirmations=0, finalized_tag=True), operator)
    head = chain.head().number
    assert counted.final_block().number == head - 3
    assert tagged.final_block() == chain.finalized()
    assert tagged.final_block().number < head
    someone = Account.generate(secrets.token_bytes).address
    made = counted.participants.admit(someone, Uscc.make("91350100000000001"), random_digest(), Role.BUYER)
    with pytest.raises(TransactionPendingError, match="not final"):
        counted.wait_final(made, 0.2)
    ask_anvil(manual_anvil, "anvil_mine", "0x3")
    assert counted.wait_final(made, 5) == made


def test_a_reorganised_transaction_is_never_called_final(manual_anvil: str) -> None:
    chain, operator = RpcChain(manual_anvil), anvil_faucet()
    ledger = Ledger.connect(chain, deploy(chain, operator, confirmations=2, finalized_tag=False), operator)
    someone = Account.generate(secrets.token_bytes).address
    made = ledger.participants.admit(someone, Uscc.make("91350100000000001"), random_digest(), Role.BUYER)
    ask_anvil(manual_anvil, "anvil_reorg", 1, [])
    ask_anvil(manual_anvil, "anvil_mine", "0x5")
    with pytest.raises(TransactionPendingError):
        ledger.wait_final(made, 0.5)
    assert ledger.participants.organisation(someone).uscc is None
