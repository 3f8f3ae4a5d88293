"""Shares, keys, capsules and frames that are not what they should be: who or what is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from capsule.algorithm import Column, ColumnType
from capsule.deal import DealHolder
from capsule.ids import Address, Digest, UseId
from capsule.share import ShareSecret
from node.errors import RuntimeFailedError, RuntimeRefusedError
from node.runtime.intake import take_in
from node.runtime.launch import run
from node.runtime.protocol import CapsuleInput, Job, Limits, Refused
from tests.node.runtime.world import FRAMES_TYPE, Buyer, DeviceData, SealedFile, entropy, job, seal_file

COUNT = "SELECT count(*) AS n FROM readings"
N = [Column("n", ColumnType.INTEGER)]


def work(buyer: Buyer, capsule: CapsuleInput, **more: object) -> Job:
    return job(buyer, [capsule], COUNT, N, **more)  # type: ignore[arg-type]


def refusal(job: Job, data: bytes) -> RuntimeRefusedError:
    with pytest.raises(RuntimeRefusedError) as refused:
        take_in(job, [BytesIO(data)])
    assert refused.value.capsule == 0
    return refused.value


class TestInTheProcess:
    """Once through a real runtime; the variants follow without one."""

    def test_a_wrong_share_names_its_holder(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        forged = ShareSecret(3, entropy(16), small.secrets[3].blinding)
        outcome = run(work(buyer, small.input(instead={3: forged})), [small.path], limits)
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.reason) == ("share", "wrong")
        assert (outcome.holder, outcome.index, outcome.capsule) == (small.deal.holders[3].account, 3, 0)

    def test_a_tampered_capsule(self, buyer: Buyer, small: SealedFile, tmp_path: Path, limits: Limits) -> None:
        data = bytearray(small.path.read_bytes())
        data[-40] ^= 1
        tampered = tmp_path / "tampered.dsc"
        tampered.write_bytes(data)
        outcome = run(work(buyer, small.input()), [tampered], limits)
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.reason, outcome.capsule) == ("capsule", "root", 0)

    def test_a_capsule_that_is_not_there(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        with pytest.raises(RuntimeFailedError, match="can't be read"):
            run(work(buyer, small.input()), [small.path.with_name("missing.dsc")], limits)


class TestShares:
    def test_a_share_released_for_another_use(self, buyer: Buyer, small: SealedFile) -> None:
        capsule = small.input(released_for=UseId(entropy(32)))
        refused = refusal(work(buyer, capsule), small.path.read_bytes())
        assert (refused.kind, refused.reason, refused.holder) == ("share", "wrong", small.deal.provider)

    def test_bytes_that_do_not_open(self, buyer: Buyer, small: SealedFile) -> None:
        capsule = small.input()
        releases = {**capsule.releases, 1: bytes(100)}
        refused = refusal(work(buyer, replace(capsule, releases=releases)), small.path.read_bytes())
        assert (refused.reason, refused.holder, refused.index) == ("wrong", small.deal.holders[1].account, 1)

    @pytest.mark.parametrize("positions", [(0, 1), (1, 2), ()], ids=["too few", "no provider", "none"])
    def test_too_few(self, buyer: Buyer, small: SealedFile, positions: tuple[int, ...]) -> None:
        refused = refusal(work(buyer, small.input(positions=positions)), small.path.read_bytes())
        assert (refused.kind, refused.reason, refused.holder) == ("share", "missing", None)

    def test_a_release_without_its_one_time_key(self, buyer: Buyer, small: SealedFile) -> None:
        refused = refusal(work(buyer, replace(small.input(), one_time_keys={})), small.path.read_bytes())
        assert (refused.kind, refused.reason) == ("share", "missing")

    def test_shares_that_do_not_make_the_key_accuse_the_provider(self, buyer: Buyer, small: SealedFile) -> None:
        other = ShareSecret(2, entropy(16), entropy(32))
        holders = list(small.deal.holders)
        holders[2] = DealHolder(holders[2].account, 2, other.commitment)
        dealt = replace(
            small,
            deal=replace(small.deal, holders=tuple(holders)),
            secrets=(*small.secrets[:2], other, small.secrets[3]),
        )
        refused = refusal(work(buyer, dealt.input(positions=(0, 1, 2))), small.path.read_bytes())
        assert (refused.kind, refused.reason, refused.holder) == ("share", "key", small.deal.provider)


class TestCapsules:
    @pytest.mark.parametrize(
        "change",
        [
            lambda capsule: replace(capsule, capsule_root=Digest(bytes(32))),
            lambda capsule: replace(capsule, policy_hash=Digest(bytes(32))),
            lambda capsule: replace(capsule, chain_id=1),
            lambda capsule: replace(capsule, access=Address.ZERO),
        ],
        ids=["root", "policy", "chain", "contract"],
    )
    def test_a_deal_that_is_not_for_what_the_chain_pins(
        self, buyer: Buyer, small: SealedFile, change: Callable[[CapsuleInput], CapsuleInput]
    ) -> None:
        refused = refusal(work(buyer, change(small.input())), small.path.read_bytes())
        assert (refused.kind, refused.reason) == ("capsule", "deal")

    def test_a_borrowed_deal(self, buyer: Buyer, small: SealedFile) -> None:
        borrowed = replace(small, deal=replace(small.deal, capsule_id=bytes(16)))
        refused = refusal(work(buyer, borrowed.input()), small.path.read_bytes())
        assert (refused.kind, refused.reason) == ("capsule", "deal")

    @pytest.mark.parametrize(
        "change",
        [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"", lambda data: b"no capsule" * 50],
        ids=["cut", "longer", "empty", "other"],
    )
    def test_bytes_that_are_not_under_the_root(
        self, buyer: Buyer, small: SealedFile, change: Callable[[bytes], bytes]
    ) -> None:
        refused = refusal(work(buyer, small.input()), change(small.path.read_bytes()))
        assert (refused.kind, refused.reason) == ("capsule", "root")

    @pytest.mark.parametrize(
        ("media_type", "reason"),
        [("application/pdf", "media-type"), (FRAMES_TYPE, "source"), ("application/vnd.apache.parquet", "table")],
    )
    def test_plaintext_that_is_not_what_its_header_says(
        self, buyer: Buyer, tmp_path: Path, media_type: str, reason: str
    ) -> None:
        sealed = seal_file(tmp_path / "odd.dsc", b"a,b\n1,2\n", media_type, {})
        refused = refusal(work(buyer, sealed.input()), sealed.path.read_bytes())
        assert (refused.kind, refused.reason) == ("capsule", reason)

    def test_fewer_files_than_capsules(self, buyer: Buyer, small: SealedFile) -> None:
        with pytest.raises(RuntimeRefusedError):
            take_in(work(buyer, small.input()), [])


class TestSources:
    def test_a_key_or_an_anchor_that_the_chain_does_not_know(
        self, buyer: Buyer, device: DeviceData, tmp_path: Path
    ) -> None:
        sealed = seal_file(tmp_path / "frames.dsc", device.plaintext, FRAMES_TYPE, {})
        data = sealed.path.read_bytes()
        for keys, anchors in (({}, device.anchors), (device.keys, device.anchors[1:])):
            refused = refusal(work(buyer, sealed.input(), device_keys=keys, anchors=anchors), data)
            assert (refused.kind, refused.reason) == ("capsule", "source")

    def test_a_frame_that_was_changed(self, buyer: Buyer, device: DeviceData, tmp_path: Path) -> None:
        plaintext = bytearray(device.plaintext)
        plaintext[len(plaintext) // 2] ^= 1
        sealed = seal_file(tmp_path / "frames.dsc", bytes(plaintext), FRAMES_TYPE, {})
        refused = refusal(
            work(buyer, sealed.input(), device_keys=device.keys, anchors=device.anchors), sealed.path.read_bytes()
        )
        assert (refused.kind, refused.reason) == ("capsule", "source")
