"""RFC 9162 trees against published vectors and the definition as the RFC's text gives it."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.errors import InputError, VerificationError
from capsule.tree import (
    EMPTY_ROOT,
    Tree,
    TreeHasher,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "merkle" / "inclusion"
CASES = sorted(VECTORS.rglob("*.json")) if VECTORS.is_dir() else []


def reference_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + reference_root(leaves[:split]) + reference_root(leaves[split:])).digest()


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(index.to_bytes(4, "big")) for index in range(size)]


@pytest.mark.skipif(not CASES, reason="published RFC 9162 vectors are not beside the repository")
def test_all_published_vectors_are_there() -> None:
    assert len(CASES) == 98


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_published_vectors_hold_or_are_refused(path: Path) -> None:
    case = json.loads(path.read_bytes())

    def decoded(text: str | None) -> bytes:
        return base64.b64decode(text or "")

    arguments = (
        decoded(case["leafHash"]),
        case["leafIdx"],
        case["treeSize"],
        [decoded(step) for step in case["proof"] or []],
        decoded(case["root"]),
    )
    if case["wantErr"]:
        with pytest.raises(VerificationError):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("size", range(34))
def test_root_is_that_of_the_rfc(size: int) -> None:
    leaves = leaves_of(size)
    expected = reference_root(leaves)
    assert root(leaves) == expected
    assert Tree(leaves).root == expected


def test_hasher_grows_leaf_by_leaf() -> None:
    hasher = TreeHasher()
    assert (hasher.size, hasher.root()) == (0, EMPTY_ROOT)
    for size, leaf in enumerate(leaves_of(20), start=1):
        hasher.append(leaf)
        assert (hasher.size, hasher.root()) == (size, reference_root(leaves_of(size)))


@given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_every_leaf_is_proven_at_its_place_only(size_and_index: tuple[int, int]) -> None:
    size, index = size_and_index
    leaves = leaves_of(size)
    proof = inclusion_proof(leaves, index)
    verify_inclusion(leaves[index], index, size, proof, root(leaves))
    for other in {0, size - 1, (index + 1) % size} - {index}:
        with pytest.raises(VerificationError):
            verify_inclusion(leaves[index], other, size, proof, root(leaves))
    with pytest.raises(VerificationError):
        verify_inclusion(leaf_hash(b"other"), index, size, proof, root(leaves))
    with pytest.raises(VerificationError):
        verify_inclusion(leaves[index], index, size, (*proof, leaf_hash(b"more")), root(leaves))


def test_caller_gets_input_errors() -> None:
    with pytest.raises(InputError):
        inclusion_proof(leaves_of(3), 3)
    with pytest.raises(InputError):
        TreeHasher([b"short"])
    with pytest.raises(InputError):
        Tree([b"short"])


def reference_consistency(first: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162, section 2.1.4.1, word for word."""
    if first == len(leaves):
        return [] if whole else [reference_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if first <= split:
        return [*reference_consistency(first, leaves[:split], whole), reference_root(leaves[split:])]
    return [*reference_consistency(first - split, leaves[split:], False), reference_root(leaves[:split])]


SIZES = [(first, second) for second in range(1, 34) for first in range(1, second + 1)]


def test_consistency_proofs_are_those_of_the_rfc_and_hold() -> None:
    leaves = leaves_of(33)
    for first, second in SIZES:
        proof = consistency_proof(leaves[:second], first)
        assert list(proof) == reference_consistency(first, leaves[:second])
        verify_consistency(first, root(leaves[:first]), second, root(leaves[:second]), proof)


def test_consistency_proof_of_anything_else_is_refused() -> None:
    leaves = leaves_of(33)
    for first, second in SIZES:
        proof = consistency_proof(leaves[:second], first)
        roots = root(leaves[:first]), root(leaves[:second])
        other = leaf_hash(b"other")
        crooked = [
            (first, other, second, roots[1], proof),
            (first, roots[0], second, other, proof),
            (first, roots[0], second, roots[1], (*proof, other)),
            (first, roots[0], second, roots[1], proof[:-1] if proof else (other,)),
            (second + 1, roots[0], second, roots[1], proof),
        ]
        crooked += [
            (first, roots[0], second, roots[1], (*proof[:at], other, *proof[at + 1 :])) for at in range(len(proof))
        ]
        for arguments in crooked:
            with pytest.raises(VerificationError):
                verify_consistency(*arguments)
    with pytest.raises(VerificationError):
        verify_consistency(1, b"short", 2, root(leaves[:2]), ())


def test_no_leaves_begin_every_tree() -> None:
    leaves = leaves_of(3)
    verify_consistency(0, EMPTY_ROOT, 3, root(leaves), ())
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    with pytest.raises(VerificationError):
        verify_consistency(0, root(leaves), 3, root(leaves), ())
    with pytest.raises(InputError):
        consistency_proof(leaves, 0)
    with pytest.raises(InputError):
        consistency_proof(leaves, 4)


def test_hasher_goes_on_from_its_peaks() -> None:
    leaves = leaves_of(33)
    for size in range(33):
        resumed = TreeHasher.resumed(size, TreeHasher(leaves[:size]).peaks)
        for leaf in leaves[size:]:
            resumed.append(leaf)
        assert resumed.root() == root(leaves)
    with pytest.raises(InputError):
        TreeHasher.resumed(3, (leaves[0],))
    with pytest.raises(InputError):
        TreeHasher.resumed(1, (b"short",))
