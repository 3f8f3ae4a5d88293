"""RFC 9162 trees against published vectors and the definition as the RFC's text gives it."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.errors import InputError, VerificationError
from capsule.tree import EMPTY_ROOT, Tree, TreeHasher, inclusion_proof, leaf_hash, root, verify_inclusion

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
