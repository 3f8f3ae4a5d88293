"""Every fuzz target takes its seeds, what was once found, and each seed cut, spoilt and doubled."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_target_ends_as_documented(target: Target) -> None:
    found = sorted((CORPUS / target.name).glob("*"))
    for seed in (*target.seeds, *(path.read_bytes() for path in found), b"", b"\x00" * 64, b"\xff" * 64, b"{}", b"[]"):
        for data in (seed, seed[: len(seed) // 2], seed[:-1], seed + seed, seed.replace(b"0", b"1"), seed[::-1]):
            target(data)


def test_what_was_found_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.glob("*")} <= {target.name for target in TARGETS}
