"""A fleet's tree and the papers of its devices."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.enrolment import Enrolment, FleetTree
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import DeviceId, Digest, FleetId
from capsule.signature import Ed25519Signer, PublicKey

FLEET = FleetId(b"\x0f" * 32)


def key(number: int) -> PublicKey:
    return PublicKey(1, Ed25519Signer(number.to_bytes(32, "big")).public_key)


def fleet(size: int) -> dict[DeviceId, PublicKey]:
    return {DeviceId(number.to_bytes(32, "little")): key(number) for number in range(1, size + 1)}


@given(st.integers(1, 40))
def test_every_device_of_a_fleet_is_proven_by_its_paper(size: int) -> None:
    tree = FleetTree(fleet(size))
    papers = [Enrolment.from_json(paper.to_json()) for paper in tree.enrolments(FLEET)]
    assert {paper.device: paper.verify(tree.root, tree.size) for paper in papers} == fleet(size)


def test_a_paper_proves_no_other_device_key_place_or_fleet() -> None:
    tree = FleetTree(fleet(5))
    first, second, *_ = tree.enrolments(FLEET)
    for wrong in (
        replace(first, device=second.device),
        replace(first, key=second.key),
        replace(first, index=1),
        replace(first, proof=first.proof[:-1]),
        replace(first, proof=(*first.proof, Digest(bytes(32)))),
    ):
        with pytest.raises(VerificationError, match="not in fleet"):
            wrong.verify(tree.root, tree.size)
    with pytest.raises(VerificationError, match="not in fleet"):
        first.verify(FleetTree(fleet(6)).root, 6)


def test_a_fleet_without_devices_or_with_one_twice_is_refused() -> None:
    device = DeviceId(bytes(32))
    for devices in ([], [(device, key(1)), (device, key(2))]):
        with pytest.raises(InputError, match="each once"):
            FleetTree(devices)


@pytest.mark.parametrize(
    "change", [{"suite": 9}, {"public_key": "0x00"}, {"index": -1}, {"proof": ["0x00"]}, {"kind": "x"}]
)
def test_papers_that_are_none_are_refused(change: dict[str, object]) -> None:
    (paper,) = FleetTree(fleet(1)).enrolments(FLEET)
    with pytest.raises(FormatError):
        Enrolment.from_json({**paper.to_json(), **change})  # type: ignore[dict-item]
