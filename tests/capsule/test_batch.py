"""Batches: what their roots fix, and what joined indexes and receipts show."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.batch import (
    NO_PREDECESSOR,
    Batch,
    BatchDocument,
    FrameProof,
    Incident,
    IncidentKind,
    IndexEntry,
    build_batch,
    check_continuity,
    check_receipts,
    verify_batch,
    verify_frame_proof,
)
from capsule.document import Fields
from capsule.errors import CapsuleError, FormatError, InputError, VerificationError
from capsule.frame import read_frame
from capsule.frame_receipt import FrameReceipt
from capsule.ids import Digest
from capsule.tree import EMPTY_ROOT, Tree, leaf_hash
from tests.capsule.frames import GATEWAY, START, Device, batch_of, in_batch, some_rows

EVIDENCE = Digest(b"\xee" * 32)
INCIDENT = Incident(IncidentKind.GAP, Device().id, 3, EVIDENCE, 4)


def entries_of(*batches: list[bytes]) -> list[IndexEntry]:
    return [entry for frames in batches for entry in batch_of(frames).entries]


def kinds(incidents: tuple[Incident, ...]) -> list[tuple[str, int, int]]:
    return [(str(incident.kind), incident.sequence, incident.last) for incident in incidents]


def test_batch_has_a_run_for_each_device_whatever_the_order_of_arrival() -> None:
    one, two = Device(1), Device(2)
    frames = one.frames(5) + two.frames(3)
    expected = (
        IndexEntry(one.id, 1, 5, NO_PREDECESSOR, one.last),
        IndexEntry(two.id, 1, 3, NO_PREDECESSOR, two.last),
    )
    for seed in range(5):
        shuffled = random.Random(seed).sample(frames, len(frames))
        document = batch_of(shuffled)
        assert document.entries == expected
        assert document.batch.size == 8
        assert document.batch.incidents_root == EMPTY_ROOT
        assert document.batch.frames_root == Tree(leaf_hash(data) for data in shuffled).root


def test_a_run_ends_at_a_gap_and_where_hashes_do_not_join() -> None:
    device = Device()
    frames = device.frames(6)
    twin = Device()
    others = twin.frames(3, rows=2)
    assert [(entry.first, entry.last) for entry in batch_of(frames[:2] + frames[3:]).entries] == [(1, 2), (4, 6)]
    assert [(entry.first, entry.last) for entry in batch_of([*others, *frames[3:]]).entries] == [(1, 3), (4, 6)]


def test_document_survives_its_bytes_and_verifies() -> None:
    document = batch_of(Device().frames(3), incidents=[INCIDENT])
    assert verify_batch(BatchDocument.from_bytes(document.to_bytes()), document.batch) == document


@pytest.mark.parametrize("number", range(4))
def test_no_changed_document_verifies(number: int) -> None:
    document = batch_of(Device().frames(3), incidents=[INCIDENT])
    changed = [
        replace(document, entries=(replace(document.entries[0], last=4),)),
        replace(document, entries=document.entries * 2),
        replace(document, incidents=()),
        replace(document, batch=replace(document.batch, size=4)),
    ][number]
    with pytest.raises(VerificationError):
        verify_batch(changed, document.batch)


def test_a_size_that_the_index_does_not_count_is_refused() -> None:
    document = batch_of(Device().frames(3))
    anchored = replace(document.batch, size=4)
    with pytest.raises(VerificationError, match="index counts 3 frames, anchored are 4"):
        verify_batch(replace(document, batch=anchored), anchored)


def test_an_empty_batch_is_not_made() -> None:
    with pytest.raises(InputError):
        build_batch(GATEWAY, 1, NO_PREDECESSOR, [])


@given(st.integers(1, 40), st.data())
def test_every_frame_has_a_proof_that_holds_for_it_alone(size: int, data: st.DataObject) -> None:
    frames = Device().frames(size, rows=1)
    document = batch_of(frames)
    tree = Tree(leaf_hash(frame) for frame in frames)
    at = data.draw(st.integers(0, size - 1))
    proof = FrameProof.from_bytes(FrameProof(document.batch, at, tree.proof(at)).to_bytes())
    assert verify_frame_proof(proof, frames[at], document.batch) == document.batch
    other = data.draw(st.integers(0, size - 1))
    if other != at:
        with pytest.raises(VerificationError):
            verify_frame_proof(proof, frames[other], document.batch)
        with pytest.raises(VerificationError):
            verify_frame_proof(replace(proof, position=other), frames[at], document.batch)
    with pytest.raises(VerificationError, match="another batch"):
        verify_frame_proof(proof, frames[at], replace(document.batch, number=2))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version":1', b'"version":2'),
        (b'"kind":"dataspace/batch"', b'"kind":"dataspace/other"'),
        (b'"number":1', b'"number":0'),
        (b'"number":1', b'"number":true'),
        (b'"first":1', b'"first":9'),
        (b'"first":1', b'"first":-1'),
        (b'"kind":"gap"', b'"kind":"oops"'),
        (b'"index":[', b'"indices":['),
        (b'"device":"0x01', b'"device":"0x'),
        (b'"gateway":"0x', b'"gateway":"'),
    ],
)
def test_odd_documents_are_format_errors(old: bytes, new: bytes) -> None:
    data = batch_of(Device().frames(3), incidents=[INCIDENT]).to_bytes()
    assert old in data
    with pytest.raises(FormatError):
        BatchDocument.from_bytes(data.replace(old, new))


@given(st.binary(max_size=300))
def test_fuzz_random_documents_raise_nothing_but_our_errors(data: bytes) -> None:
    with pytest.raises(CapsuleError):
        BatchDocument.from_bytes(data)
    with pytest.raises(CapsuleError):
        FrameProof.from_bytes(data)


def test_members_of_a_later_version_stay_under_the_roots() -> None:
    document = batch_of(Device().frames(3))
    entry = IndexEntry.from_fields(Fields({**document.entries[0].to_json(), "mark": "signed"}, "index entry"))
    later = replace(document, entries=(entry,))
    with pytest.raises(VerificationError, match="index"):
        verify_batch(later, document.batch)
    assert BatchDocument.from_bytes(later.to_bytes()).entries[0].to_json()["mark"] == "signed"


# ------------------------------------------------------------------------------------------------------ continuity


def test_unbroken_histories_have_no_incident() -> None:
    one, two = Device(1), Device(2)
    frames = one.frames(9)
    assert check_continuity(entries_of(frames[:4], two.frames(2), frames[4:8], frames[8:])) == ()
    assert check_continuity([]) == ()


def test_a_history_over_two_gateways_has_no_incident() -> None:
    frames = Device().frames(9)
    assert check_continuity(entries_of(frames[3:6], frames[:3], frames[6:])) == ()


def test_missing_frames_are_a_gap() -> None:
    frames = Device().frames(9)
    entries = entries_of(frames[:3], frames[5:])
    (gap,) = check_continuity(entries)
    assert kinds((gap,)) == [("gap", 4, 5)]
    assert gap.evidence == entries[1].hash
    assert kinds(check_continuity(entries_of(frames[2:]))) == [("gap", 1, 2)]


def test_a_gap_inside_one_batch_shows() -> None:
    frames = Device().frames(5)
    assert kinds(check_continuity(entries_of(frames[:2] + frames[3:]))) == [("gap", 3, 3)]


def test_two_histories_to_two_gateways_are_a_fork() -> None:
    honest, twin = Device(), Device()
    common = honest.frames(3)
    assert twin.frames(3) == common
    mine, other = honest.frames(3), [twin.frame(some_rows(90, 1)) for _ in range(3)]
    assert kinds(check_continuity(entries_of(common, mine, other))) == [("fork", 6, 6)]
    assert kinds(check_continuity(entries_of(common + mine[:1], mine[1:], other))) == [("fork", 6, 6), ("replay", 4, 4)]


def test_a_history_that_goes_on_from_another_frame_is_a_fork() -> None:
    honest, twin = Device(), Device()
    first, tail = honest.frames(3), [twin.frame(some_rows(at, 1)) for at in range(5)][3:]
    assert kinds(check_continuity(entries_of(first, tail))) == [("fork", 3, 3)]


def test_frames_anchored_twice_are_a_replay() -> None:
    frames = Device().frames(6)
    assert kinds(check_continuity(entries_of(frames[:4], frames[2:6]))) == [("replay", 3, 4)]
    assert kinds(check_continuity(entries_of(frames, frames))) == [("replay", 1, 6)]


def _receipts(frames: list[bytes]) -> list[FrameReceipt]:
    read = [read_frame(data) for data in frames]
    return [FrameReceipt(GATEWAY, frame.device, frame.sequence, frame.hash, START) for frame in read]


def test_receipted_frames_that_no_batch_holds_accuse_the_gateway() -> None:
    frames = Device().frames(6)
    receipts = _receipts(frames)
    assert check_receipts(receipts, entries_of(frames[:3], frames[3:])) == ()
    dropped = check_receipts(receipts, entries_of(frames[:4]))
    assert kinds(dropped) == [("unanchored", 5, 5), ("unanchored", 6, 6)]
    assert [incident.evidence for incident in dropped] == [receipt.hash for receipt in receipts[4:]]


def test_a_receipt_for_another_frame_than_the_anchored_is_a_fork() -> None:
    frames, twin = Device().frames(6), [Device().frame(some_rows(7, 1))]
    receipts = _receipts(twin)
    assert kinds(check_receipts(receipts, entries_of(frames[:1], frames[1:]))) == [("fork", 1, 1)]
    assert kinds(check_receipts(receipts, entries_of(frames))) == []  # the index names no hash inside a run


def test_batch_frames_of_one_device_need_not_be_its_first() -> None:
    frames = Device().frames(4)
    entry = batch_of(frames[2:]).entries[0]
    assert entry.previous == in_batch(frames[1]).hash
    assert isinstance(batch_of(frames[2:]).batch, Batch)


def test_an_implausible_reading_s_rule_is_anchored_with_it() -> None:
    incident = Incident(IncidentKind.IMPLAUSIBLE, Device().id, 3, EVIDENCE, 4, rule="soc-power")
    document = batch_of(Device().frames(4), incidents=[incident])
    assert verify_batch(BatchDocument.from_bytes(document.to_bytes()), document.batch).incidents == (incident,)
    other = batch_of(Device().frames(4), incidents=[replace(incident, rule="range")])
    assert other.batch.incidents_root != document.batch.incidents_root
    with pytest.raises(FormatError):
        BatchDocument.from_bytes(document.to_bytes().replace(b',"rule":"soc-power"', b""))
