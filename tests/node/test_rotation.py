"""Keys of a custodian are replaced while shares rest sealed to them; the process may be killed at any moment."""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import time
from dataclasses import replace
from pathlib import Path

import pytest

from capsule import canonical
from capsule.box import BoxKey
from capsule.canonical import Json
from capsule.decision import SignedDecision, verify_decision
from capsule.errors import OpenError, VerificationError
from capsule.ids import Digest
from capsule.receipt import SignedReceipt, sign_receipt
from capsule.share import SealedShare
from capsule.signature import SM2, PublicKey, Signer
from contracts.errors import ChainUnreachableError, TransactionPendingError
from contracts.events import KeysSet
from contracts.ledger import Ledger
from contracts.transaction import Patience
from node.errors import HomeError, InputRefusedError, KeystoreError, PeerAnswerError
from node.keystore import KeyPair, Keystore, NextKeys, open_keystore
from node.organisation import Node
from node.view import LedgerView
from tests.node.rotating import Copy, copied, rotate
from tests.node.space import Space, decided_on
from tests.sim.flaky_chain import FlakyChain

KILLS = 12


def keys_set(node: Node) -> list[KeysSet]:
    ledger = node.context.ledger
    events = ledger.events(0, ledger.chain.head().number)
    return [event for event in events if isinstance(event, KeysSet) and event.account == node.context.account]


def held_shares(node: Node) -> list[SealedShare]:
    store = node.context.store
    rows = [store.held_share(deal) for deal in store.held_deals()]
    return [SealedShare.from_json(canonical.decode(row.sealed)) for row in rows if row is not None]


def opens(key: BoxKey, share: SealedShare) -> bool:
    try:
        return bool(key.open(share.sealed))
    except OpenError:
        return False


def on_chain(node: Node) -> tuple[PublicKey, bytes]:
    keys = node.context.ledger.participants.keys_at(node.context.account, node.context.ledger.chain.head().number)
    return PublicKey(keys.suite, keys.signing_key), bytes(keys.box_key)


def opened_by(key: BoxKey, node: Node) -> int:
    """How many shares open; other tests leave damaged ones in the homes that all share."""
    return sum(opens(key, share) for share in held_shares(node))


def counted(node: Node) -> tuple[int, int, int]:
    keystore = node.context.keystore
    return len(keys_set(node)), opened_by(keystore.box, node), len(keystore.former)


def assert_rotated_once(node: Node, before: tuple[int, int, int]) -> None:
    keystore = node.context.keystore
    announced, shares, former = before
    assert counted(node) == (announced + 1, shares, former + 1)
    assert on_chain(node) == (PublicKey(keystore.signer.suite, keystore.signer.public_key), keystore.box.public)
    assert opened_by(BoxKey(keystore.box.secret), node) == shares
    assert (keystore.next, keystore.unsettled) == (None, False)


# A rotation and what goes on around it


def test_a_custodian_goes_on_releasing_what_was_sealed_to_its_former_key(space: Space) -> None:
    custodian = space["custodian-1"]
    early, undelivered = space.offered(), space.offered(finish=False)
    _, first = space.opened(early)
    decided = decided_on(custodian.node.work(), first.use)
    old_signer, old_box = custodian.keystore.signer, BoxKey(custodian.keystore.box.secret)
    before = counted(custodian.node)

    rotated = custodian.node.rotate_keys()

    assert rotated.new
    assert custodian.node.rotate_keys() == replace(rotated, new=False)
    assert_rotated_once(custodian.node, before)
    assert not any(opens(old_box, share) for share in held_shares(custodian.node))
    # a deal that was made before the rotation arrives after it, and a new one is sealed to the new key
    space["provider"].node.catalogue.finish(undelivered.offering.capsule_root)
    assert opens(old_box, undelivered.shares[1])
    late = space.offered()
    assert not opens(old_box, late.shares[1])
    for offered in (early, undelivered, late):
        _, opened = space.opened(offered)
        assert decided_on(custodian.node.work(), opened.use).released
    # what the former key signed holds by its block, and what it signs now does not
    participants, store = custodian.ledger.participants, custodian.node.context.store
    decisions = [store.decision(use) for use in (first.use, opened.use)]
    block = custodian.ledger.chain.receipt(decided.transaction)
    assert block is not None
    periods = [block.block_number, custodian.ledger.chain.head().number]
    signed = [SignedDecision.from_json(canonical.decode(store.document("decision", Digest.parse(row.digest))))
              for row in decisions]  # fmt: skip
    keys = [PublicKey(k.suite, k.signing_key) for k in (participants.keys_at(custodian.account, at) for at in periods)]
    for paper, key in zip(signed, keys, strict=True):
        verify_decision(paper, key, custodian.ledger.domain)
    assert keys[0].key == old_signer.public_key
    for paper, key in zip(signed, reversed(keys), strict=True):
        with pytest.raises(VerificationError):
            verify_decision(paper, key, custodian.ledger.domain)
    # the former key is dropped once nothing rests sealed to it
    assert custodian.node.forget_former_keys(3600).kept == before[2] + 1
    assert custodian.node.forget_former_keys(0).dropped == before[2] + 1
    assert custodian.keystore.box.others == ()
    assert all(opens(custodian.keystore.box, share) for share in held_shares(custodian.node))


def test_a_compute_node_s_result_is_taken_under_the_key_of_its_block(space: Space) -> None:
    offered = space.offered(uses_per_grant=4, uses_per_buyer=4)
    grant = space.granted(offered)
    orders = [space.ordered(grant).order_hash for _ in range(2)]
    compute = space["compute"]
    compute.node.work()
    space.release()
    compute.node.work()
    old = compute.keystore.signer
    compute.node.rotate_keys(suite=SM2)
    assert compute.keystore.signer.suite == SM2
    for order in orders:
        assert space["buyer"].node.ordering.collect(order).closed.completed
    # after the rotation, a receipt under the replaced key is refused
    late = space.ordered(grant).order_hash
    compute.node.work()
    space.release()
    compute.node.work()
    assert space["buyer"].node.ordering.collect(late).closed.completed
    store = compute.node.context.store
    closed = space["buyer"].node.context.view.ended[space.uses(late)[0].use]
    document = canonical.decode(store.document("receipt", closed.receipt_hash) or b"")
    forged = sign_with(document, old, compute.ledger)
    store.put_document("receipt", closed.receipt_hash, forged)
    with pytest.raises(PeerAnswerError):
        space["buyer"].node.ordering.collect(late)
    compute.node.rotate_keys(again=True, suite=1)


def sign_with(document: Json, signer: Signer, ledger: Ledger) -> Json:
    return sign_receipt(SignedReceipt.from_json(document).receipt, signer, ledger.domain).to_json()


def test_a_decision_that_waits_to_be_sent_is_signed_anew(space: Space) -> None:
    custodian = space["custodian-2"]
    offered = space.offered()
    _, opened = space.opened(offered)
    line = FlakyChain(custodian.ledger.chain)
    ledger = Ledger.connect(line, space.world.directory, custodian.keystore.account)
    node = Node(replace(custodian.node.context, ledger=ledger, view=LedgerView(ledger)))
    line.lose_before = 3
    with pytest.raises(TransactionPendingError):
        node.custody.decide_open_uses()
    row = node.context.store.decision(opened.use)
    assert row is not None
    digest = Digest.parse(row.digest)

    custodian.node.rotate_keys()

    decided = decided_on(custodian.node.work(), opened.use)
    assert decided.released
    paper = SignedDecision.from_json(canonical.decode(node.context.store.document("decision", digest) or b""))
    assert verify_decision(paper, on_chain(custodian.node)[0], custodian.ledger.domain).hash == digest


# What stands in the way


def test_rotations_that_can_not_be_are_refused_and_change_nothing(space: Space, tmp_path: Path) -> None:
    member = space["gateway"]
    stranger = copied_keys(space, tmp_path)
    before = (len(keys_set(member.node)), (member.home / "keystore.json").read_bytes())
    with pytest.raises(InputRefusedError, match="past"):
        member.node.rotate_keys(distrusted_from=space.clock.now + 60)
    with pytest.raises(KeystoreError, match="not this home's"):
        Node(replace(member.node.context, keystore=stranger)).rotate_keys()
    assert before == (len(keys_set(member.node)), (member.home / "keystore.json").read_bytes())


def test_only_the_same_rotation_within_the_hour_is_the_one_that_ended(space: Space) -> None:
    member = space["gateway"]
    now = space.clock.now
    first = member.node.rotate_keys(again=True)
    announced = len(keys_set(member.node))
    assert member.node.rotate_keys() == member.node.rotate_keys(suite=first.suite) == replace(first, new=False)
    assert len(keys_set(member.node)) == announced
    # stolen: a time, another suite, another time, and no time after one, are other rotations
    stolen = member.node.rotate_keys(distrusted_from=now - 100)
    assert (stolen.new, stolen.distrusted_from, stolen.out_of_reach) == (True, now - 100, first.replaced_at)
    assert member.node.rotate_keys(distrusted_from=now - 100) == replace(stolen, new=False)
    other = member.node.rotate_keys(distrusted_from=now - 100, suite=SM2)
    assert (other.new, other.suite) == (True, SM2)
    assert member.node.rotate_keys(distrusted_from=now - 200, suite=SM2).new
    assert member.node.rotate_keys(suite=1).new
    told = [(event.suite, event.distrusted_from) for event in keys_set(member.node)[announced:]]
    assert told == [(first.suite, now - 100), (SM2, now - 100), (SM2, now - 200), (1, 0)]
    # what the file remembers of it survives a restart
    member.keystore.change_passphrase("of the gateway")
    kept = open_keystore(member.home / "keystore.json", "of the gateway", secrets.token_bytes)
    assert kept.former[-3:] == member.keystore.former[-3:]
    assert [key.distrusted_from for key in kept.former[-3:]] == [now - 100, now - 200, 0]


def test_a_time_given_while_a_rotation_is_under_way_is_not_lost(space: Space) -> None:
    custodian = space["custodian-2"]
    line = FlakyChain(custodian.ledger.chain)
    ledger = Ledger.connect(line, space.world.directory, custodian.keystore.account, patience=Patience(block=0.2))
    node = Node(replace(custodian.node.context, ledger=ledger, view=LedgerView(ledger)))
    announced = len(keys_set(node))
    line.lose_before = 9
    with pytest.raises(ChainUnreachableError):
        node.rotate_keys(again=True)
    line.lose_before = 0
    stolen = space.clock.now - 50
    rotated = node.rotate_keys(distrusted_from=stolen)
    assert rotated.distrusted_from == stolen
    # the key that was under way took the place of the stolen one without a time, which is said
    assert rotated.out_of_reach == custodian.keystore.former[-2].replaced_at > stolen
    assert node.rotate_keys(distrusted_from=stolen, again=True).out_of_reach == 0
    assert [event.distrusted_from for event in keys_set(node)[announced:]] == [0, stolen, stolen]


def copied_keys(space: Space, folder: Path) -> Keystore:
    """The custodian's account with other keys: a backup from before a rotation."""
    member = space["gateway"]
    member.keystore.change_passphrase("of a stranger")
    path = folder / "keystore.json"
    path.write_bytes((member.home / "keystore.json").read_bytes())
    stranger = open_keystore(path, "of a stranger", secrets.token_bytes)
    stranger.prepare(NextKeys(KeyPair.draw(1, secrets.token_bytes), b"", 0))
    stranger.promote(0)
    stranger.settle()
    return stranger


def test_lost_keys_are_replaced_with_the_account_alone(space: Space, tmp_path: Path) -> None:
    member = space["gateway"]
    stranger = copied_keys(space, tmp_path)
    node = Node(replace(member.node.context, keystore=stranger))
    rotated = node.rotate_keys(keys_lost=True)
    assert on_chain(node)[1] == rotated.box_key == stranger.box.public
    with pytest.raises(KeystoreError, match="not this home's"):
        member.node.announce("")
    member.node.rotate_keys(keys_lost=True)
    member.node.announce("")


@pytest.mark.parametrize("fault", ["lose_before", "lose_after", "keep_away", "refuse_next"])
def test_a_bad_line_never_makes_two_rotations(space: Space, fault: str) -> None:
    custodian = space["custodian-2"]
    line = FlakyChain(custodian.ledger.chain)
    patience = Patience(block=0.2, send_again=0.05)
    ledger = Ledger.connect(line, space.world.directory, custodian.keystore.account, patience=patience)
    node = Node(replace(custodian.node.context, ledger=ledger, view=LedgerView(ledger)))
    before = counted(node)
    setattr(line, fault, {"lose_before": 9, "lose_after": 9}.get(fault, True))
    with pytest.raises(Exception, match=r"in no block yet|not now"):
        node.rotate_keys(again=True)
    prepared = custodian.keystore.next
    assert prepared is not None
    line.lose_before = line.lose_after = 0
    line.keep_away = line.refuse_next = False
    node.work()  # any round of work goes on with it
    assert set(line.sent) == {prepared.transaction}
    assert_rotated_once(node, before)


def test_a_place_that_another_transaction_took_is_given_up(space: Space) -> None:
    custodian = space["custodian-2"]
    line = FlakyChain(custodian.ledger.chain)
    ledger = Ledger.connect(line, space.world.directory, custodian.keystore.account, patience=Patience(block=0.2))
    node = Node(replace(custodian.node.context, ledger=ledger, view=LedgerView(ledger)))
    before = len(keys_set(node))
    line.lose_before = 9
    with pytest.raises(ChainUnreachableError):
        node.rotate_keys(again=True)
    prepared = custodian.keystore.next
    assert prepared is not None
    custodian.ledger.participants.set_endpoint(f"http://custodian-2.demo/{secrets.token_hex(2)}")
    custodian.ledger.participants.set_endpoint("http://custodian-2.demo")
    line.lose_before = 0
    rotated = node.rotate_keys(again=True)
    assert len(keys_set(node)) == before + 1
    assert rotated.box_key == BoxKey(prepared.keys.box).public


def test_a_full_disk_stops_a_rotation_before_the_chain_hears_of_it(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    custodian = space["custodian-2"]
    before = (len(keys_set(custodian.node)), custodian.keystore.box.public)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(HomeError, match="No space left"):
            custodian.node.rotate_keys(again=True)
    assert before == (len(keys_set(custodian.node)), custodian.keystore.box.public)
    assert custodian.keystore.next is None


# kill -9


@pytest.fixture(scope="module")
def template(space: Space, tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, tuple[int, int, int]]:
    """A home with shares, and its counts."""
    for _ in range(3):
        space.offered()
    copy = copied(space, tmp_path_factory.mktemp("template") / "copy")
    with copy.opened() as node:
        return copy, counted(node)


def test_a_rotation_killed_at_any_moment_ends_after_the_same_command(
    template: tuple[Copy, tuple[int, int, int]], tmp_path: Path
) -> None:
    original, before = template
    with original.again(tmp_path / "measured").opened() as node:
        start = time.monotonic()
        node.rotate_keys(distrusted_from=original.time - 1000)
        assert_rotated_once(node, before)
    lasts = time.monotonic() - start
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.node.rotating"])
    done = 0
    for number in range(KILLS):
        copy = original.again(tmp_path / str(number))
        ours, theirs = context.Pipe()
        process = context.Process(target=rotate, args=(copy, theirs))
        process.start()
        assert ours.recv() == "go"
        time.sleep(random.uniform(0, 1.3 * lasts * number / KILLS))
        process.kill()
        process.join()
        done += ours.poll() and ours.recv() == "done"
        with copy.opened() as node:
            rotated = node.rotate_keys(distrusted_from=copy.time - 1000)
            assert_rotated_once(node, before)
            assert keys_set(node)[-1].distrusted_from == copy.time - 1000
            assert rotated.box_key == node.context.keystore.box.public
    assert done < KILLS


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_rotation_stopped_between_any_two_writes_goes_on(
    template: tuple[Copy, tuple[int, int, int]], tmp_path: Path, stop: int
) -> None:
    """The same at every boundary, where chance rarely hits: the process ends before or after its n-th durable write."""
    original, before = template
    copy = original.again(tmp_path / "copy")
    child = os.fork()
    if child == 0:
        try:
            _end_at_write(stop)
            with copy.opened() as node:
                node.rotate_keys()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == (9 if stop <= 6 else 0)
    with copy.opened() as node:
        node.work()
        node.rotate_keys()
        assert_rotated_once(node, before)


def _end_at_write(stop: int) -> None:
    """Ends this process at the key file's n-th change: odd ones before it counts, even ones after."""
    written = 0
    replaced = os.replace

    def replace_or_end(source: str, target: str) -> None:
        nonlocal written
        written += 1
        if 2 * written - 1 == stop:
            os._exit(9)
        replaced(source, target)
        if 2 * written == stop:
            os._exit(9)

    os.replace = replace_or_end  # type: ignore[assignment]
