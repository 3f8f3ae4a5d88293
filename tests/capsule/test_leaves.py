"""Leaf hashes beside a capsule: compact, in order, and read back only whole."""

import pytest

from capsule.errors import FormatError, InputError
from capsule.leaves import LeafHashes, SideFile
from capsule.tree import root
from tests.capsule.samples import DOMAIN, SIGNER_KEY, capsule_of, digest

SEALED = capsule_of(bytes(50)).sealed


def test_leaf_hashes_are_a_sequence() -> None:
    leaves = [digest(number) for number in range(5)]
    packed = LeafHashes(leaves)
    assert list(packed) == leaves
    assert (len(packed), packed[4], packed[-5]) == (5, leaves[4], leaves[0])
    assert list(packed[1:4:2]) == leaves[1:4:2]
    assert packed == LeafHashes(packed=packed.packed)
    assert packed != leaves
    assert hash(packed) == hash(LeafHashes(leaves))
    assert packed.root == root(leaves)
    assert repr(packed) == "LeafHashes(5)"
    with pytest.raises(IndexError):
        packed[5]
    with pytest.raises(InputError):
        LeafHashes(packed=bytes(33))


def test_side_file_survives_its_bytes() -> None:
    read = SideFile.from_bytes(SEALED.side_file.to_bytes())
    assert read == SEALED.side_file
    assert read.leaves.root == SEALED.root
    SIGNER_KEY.verify(DOMAIN.statement("capsule-root", read.leaves.root), read.root_signature)


@pytest.mark.parametrize("length", range(100))
def test_cut_side_file_is_refused_or_has_another_root(length: int) -> None:
    data = SEALED.side_file.to_bytes()
    try:
        read = SideFile.from_bytes(data[:length])
    except FormatError:
        return
    assert read.leaves.root != SEALED.root


def test_other_files_are_refused() -> None:
    for data in (b"", b"dsl1", b"x" * 100, SEALED.side_file.to_bytes() + b"\x00"):
        with pytest.raises(FormatError):
            SideFile.from_bytes(data)
