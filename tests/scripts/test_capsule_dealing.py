"""`dataspace capsule deal|rebind`: new shares open, those dealt before do not any more; all or nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from capsule.deal import Deal
from capsule.ids import Digest
from capsule.layout import read_layout
from tests.capsule.samples import account
from tests.scripts.capsule_offline import ACCESS, CHAIN_ID, DIRECTORY, Desk, listing

PLAINTEXT = bytes(range(256)) * 40


@dataclass
class Kept:
    """A capsule that was sealed and dealt 2 of 3 under a policy that requires the provider."""

    desk: Desk
    folder: Path

    @property
    def capsule(self) -> Path:
        return self.folder / "day.csv.dsc"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.json"

    def opens(self, *words: object, capsule: Path | None = None) -> bool:
        out = self.folder / "opened"
        self.desk.run("open", capsule or self.capsule, "--out", out, *words)
        content = out.read_bytes()
        out.unlink()
        return content == PLAINTEXT

    def stays_shut(self, *words: object, capsule: Path | None = None) -> str:
        said = self.desk.refused("open", capsule or self.capsule, "--out", self.folder / "opened", *words)
        assert not (self.folder / "opened").exists()
        return said

    def deal_anew(self, out: str = "second") -> Path:
        self.desk.run("deal", self.capsule, "--out", self.folder / out, "--policy", self.policy,
                      *self.desk.custodians(2, 4, 5, 6), "--threshold", 3,
                      *self.desk.gathered(self.folder / "first", 0, 1, 3))  # fmt: skip
        return self.folder / out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("capsules")
    desk = Desk.at(tmp_path_factory.mktemp("home"))
    source = folder / "day.csv"
    source.write_bytes(PLAINTEXT)
    policy = desk.policy(folder / "policy.json", provider_share=True, least_threshold=2)
    desk.seal(source, policy, "--chunk-size", 1000)
    desk.run("deal", folder / "day.csv.dsc", "--out", folder / "first", "--policy", policy, "--key", folder / "day.key",
             "--access", ACCESS, *desk.custodians(1, 2, 3), "--threshold", 2)  # fmt: skip
    return Kept(desk, folder)


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Kept:
    folder = tmp_path / "work"
    shutil.copytree(made.folder, folder)
    return Kept(made.desk, folder)


def read_deal(folder: Path) -> Deal:
    return Deal.from_json(json.loads((folder / "deal.json").read_bytes()))


def test_a_first_deal_opens_with_its_threshold_and_the_provider(kept: Kept) -> None:
    first = read_deal(kept.folder / "first")
    assert (first.number, first.version, first.threshold, first.provider_required) == (1, 1, 2, True)
    assert (first.chain_id, first.access, first.provider) == (CHAIN_ID, ACCESS, kept.desk.provider)
    assert sorted(path.name for path in (kept.folder / "first").iterdir()) == [
        "deal.json", "policy.json", "share-0.json", "share-1.json", "share-2.json", "share-3.json",
    ]  # fmt: skip
    gathered = kept.desk.gathered(kept.folder / "first", 0, 1, 3)
    assert kept.opens(*gathered)
    said = kept.stays_shut(*kept.desk.gathered(kept.folder / "first", 1, 2, 3))
    assert str(kept.desk.provider) in said


def test_after_a_new_deal_old_and_new_parts_open_nothing_together(kept: Kept) -> None:
    before = listing(kept.folder)
    second = kept.deal_anew()
    old, new = read_deal(kept.folder / "first"), read_deal(second)
    assert (new.number, new.threshold, len(new.holders)) == (2, 3, 5)
    assert (new.capsule_root, new.terms_hash, new.waiting_seconds) == (
        old.capsule_root, old.terms_hash, old.waiting_seconds
    )  # fmt: skip
    assert new.holders[0].commitment != old.holders[0].commitment
    assert kept.opens(*kept.desk.gathered(second, 0, 1, 3, 4))
    for deal, provider, others in (("first", second, (1, 2)), ("second", kept.folder / "first", (1, 2, 3))):
        words = kept.desk.gathered(kept.folder / deal, *others)
        said = kept.stays_shut(*words, "--share", provider / "share-0.json")
        assert "share 0 is of the deal" in said
    assert {name: content for name, content in listing(kept.folder).items() if name in before} == before


def test_rebinding_gives_a_capsule_that_neither_old_key_nor_old_header_opens(kept: Kept) -> None:
    before = listing(kept.folder)
    newer = kept.desk.policy(kept.folder / "newer.json", provider_share=True, uses_total=1)
    out = kept.folder / "rebound"
    told = kept.desk.run("rebind", kept.capsule, "--out", out, "--policy", newer, *kept.desk.custodians(4, 5),
                         "--threshold", 1, *kept.desk.gathered(kept.folder / "first", 0, 2, 3))  # fmt: skip
    capsule = out / "day.csv.dsc"
    deal = read_deal(out)
    assert (deal.number, deal.version, str(deal.capsule_root)) == (1, 2, told["root"])
    assert str(deal.policy_hash) == told["policy_hash"] != str(read_deal(kept.folder / "first").policy_hash)
    gathered = kept.desk.gathered(out, 0, 2)
    assert kept.opens(*gathered, "--root", told["root"], capsule=capsule)
    kept.desk.run("verify", capsule, "--signer-key", kept.desk.keystore.signer.public_key.hex(), "--side",
                  out / "day.csv.dsc.leaves", "--chain-id", CHAIN_ID, "--directory", DIRECTORY)  # fmt: skip
    # neither way across, not even with the right root for the bytes at hand
    old_words = kept.desk.gathered(kept.folder / "first", 0, 1, 2)
    kept.stays_shut(*old_words, "--root", told["root"], capsule=capsule)
    kept.stays_shut(*gathered, "--root", str(read_deal(kept.folder / "first").capsule_root))
    # the old header does not open the new slot
    with kept.capsule.open("rb") as one, capsule.open("rb") as other:
        old, new = read_layout(one), read_layout(other)
        chunks = other.read()
    spliced = kept.folder / "spliced.dsc"
    spliced.write_bytes(b"".join((*old.pieces[:2], new.slot, chunks)))
    for words in (["--key", kept.folder / "day.key"], old_words, gathered):
        kept.stays_shut(*words, capsule=spliced)
    # the old capsule is as it was, and it does not reach back
    assert kept.opens("--key", kept.folder / "day.key")
    assert {name: content for name, content in listing(kept.folder).items() if name in before} == before


def test_a_policy_without_the_provider_s_part_is_dealt_without_it(kept: Kept) -> None:
    open_policy = kept.desk.policy(kept.folder / "open.json", provider_share=False)
    out = kept.folder / "rebound"
    kept.desk.run("rebind", kept.capsule, "--out", out, "--policy", open_policy, "--key", kept.folder / "day.key",
                  "--access", ACCESS, "--asset-version", 2, *kept.desk.custodians(1, 2), "--threshold", 2)  # fmt: skip
    assert not (out / "share-0.json").exists()
    assert not read_deal(out).provider_required
    assert kept.opens(*kept.desk.gathered(out, 1, 2), capsule=out / "day.csv.dsc")


def test_what_can_not_be_dealt_leaves_nothing(kept: Kept, tmp_path: Path) -> None:
    desk, first, key = kept.desk, kept.folder / "first", kept.folder / "day.key"
    two, out = desk.custodians(1, 2), kept.folder / "out"
    other = desk.policy(kept.folder / "other.json", provider_share=True)
    limited = desk.policy(kept.folder / "limited.json", least_threshold=2, custodians=[account(1)])
    gathered = desk.gathered(first, 0, 1, 2)
    changed = kept.folder / "changed.dsc"
    changed.write_bytes(kept.capsule.read_bytes()[:-1] + b"\0")
    stranger = Desk.at(tmp_path / "stranger", 8)
    before = listing(kept.folder)
    access = ("--access", ACCESS)
    cases: list[tuple[int, list[object]]] = [
        (2, ["deal", kept.capsule, "--policy", other, *two, "--threshold", 2, *gathered]),
        (2, ["deal", kept.capsule, "--policy", kept.policy, *two, "--threshold", 1, *gathered]),
        (2, ["deal", kept.capsule, "--policy", kept.policy, *two, "--threshold", 3, *gathered]),
        (2, ["deal", kept.capsule, "--policy", kept.policy, *two, *two, "--threshold", 2, *gathered]),
        (2, ["deal", kept.capsule, "--policy", kept.policy, "--custodian", "x=y", "--threshold", 2, *gathered]),
        (2, ["deal", kept.capsule, "--policy", kept.policy, *two, "--threshold", 2, "--key", key]),
        (2, ["deal", kept.capsule, "--policy", kept.policy, *two, "--threshold", 2, "--key", key, *gathered]),
        (3, ["deal", kept.capsule, "--policy", kept.policy, *two, "--threshold", 2, *gathered[:-2]]),
        (3, ["deal", changed, "--policy", kept.policy, *two, "--threshold", 2, *gathered]),
        (3, ["deal", changed, "--policy", kept.policy, *two, "--threshold", 2, "--key", key, *access]),
        (3, ["rebind", changed, "--policy", other, *two, "--threshold", 2, *gathered]),
        (3, ["rebind", kept.capsule, "--policy", other, *two, "--threshold", 2, *gathered,
             "--root", Digest(bytes(32))]),
        (2, ["rebind", kept.capsule, "--policy", limited, *two, "--threshold", 2, *gathered]),
        (2, ["rebind", kept.capsule, "--policy", other, *two, "--threshold", 2, "--key", key, "--asset-version", 2]),
        (2, ["rebind", kept.capsule, "--policy", other, *two, "--threshold", 2, "--key", key, *access]),
    ]  # fmt: skip
    for status, words in cases:
        desk.refused(*words, "--out", out, status=status)
        assert listing(kept.folder) == before, words
    theirs = stranger.policy(kept.folder / "theirs.json")
    before = listing(kept.folder)
    said = desk.refused("rebind", kept.capsule, "--policy", theirs, *two, "--threshold", 2, *gathered, "--out", out)
    assert "assigner" in said
    for word, policy in (("deal", kept.policy), ("rebind", other)):
        stranger.refused(word, kept.capsule, "--policy", policy, *two, "--threshold", 2, "--key", key, *access,
                         "--asset-version", 2, "--out", out)  # fmt: skip
        desk.refused(word, kept.capsule, "--policy", policy, *two, "--threshold", 2, *gathered, "--out", first,
                     status=2)  # fmt: skip
        assert listing(kept.folder) == before


def test_custodians_with_homes_of_their_own_let_another_home_open(kept: Kept, tmp_path: Path) -> None:
    """The offline drill: two of three give their shares to a home that holds none; nobody else can give them."""
    custodians = [Desk.at(tmp_path / f"custodian-{number}", 20 + number) for number in (1, 2, 3)]
    opener = Desk.at(tmp_path / "opener", 30)
    words = [word for each in custodians for word in
             ("--custodian", f"{each.provider}={each.keystore.box.public.hex()}")]  # fmt: skip
    policy = kept.desk.policy(kept.folder / "free.json", provider_share=False, least_threshold=2)
    out = kept.folder / "rebound"
    kept.desk.run("rebind", kept.capsule, "--out", out, "--policy", policy, *words, "--threshold", 2,
                  *kept.desk.gathered(kept.folder / "first", 0, 1, 2))  # fmt: skip
    capsule, deal, to = out / "day.csv.dsc", out / "deal.json", opener.keystore.box.public.hex()
    given = [tmp_path / f"given-{index}" for index in (1, 2, 3)]
    opened = tmp_path / "opened"
    said = opener.refused("open", capsule, "--out", opened, "--deal", deal, "--share", out / "share-1.json")
    assert f"ask custodian {custodians[0].provider} to seal it for you with 'dataspace capsule share'" in said
    for index, path in ((1, given[0]), (3, given[2])):
        told = custodians[index - 1].run(
            "share", out / f"share-{index}.json", "--to", to, "--deal", deal, "--out", path
        )
        assert (told["index"], told["to"]) == (index, f"0x{to}")
    gathered = ["--deal", deal, "--share", given[0], "--share", given[2]]
    assert "1 of 2 came" in opener.refused("open", capsule, "--out", opened, *gathered[:4])
    assert not opened.exists()
    opener.run("open", capsule, "--out", opened, *gathered)
    assert opened.read_bytes() == PLAINTEXT
    refusals: list[tuple[int, Desk, list[object]]] = [
        (3, custodians[0], [out / "share-2.json", "--to", to, "--deal", deal]),
        (3, opener, [given[0], "--to", to, "--deal", deal]),
        (3, custodians[1], [out / "share-2.json", "--to", to, "--deal", kept.folder / "first" / "deal.json"]),
        (2, custodians[1], [out / "share-2.json", "--to", to[:-2], "--deal", deal]),
        (2, custodians[1], [out / "share-2.json", "--to", "00" * 32, "--deal", deal]),
    ]
    for status, desk, more in refusals:
        desk.refused("share", *more, "--out", given[1], status=status)
        assert not given[1].exists()
    custodians[0].refused("share", out / "share-1.json", "--to", to, "--deal", deal, "--out", given[0], status=2)


def test_names_and_numbers_that_a_deal_can_not_hold_are_refused_before_anything_is_read(kept: Kept) -> None:
    newer = kept.desk.policy(kept.folder / "newer.json", provider_share=True, uses_total=2)
    words = ["--policy", newer, *kept.desk.custodians(4), "--threshold", 1, "--out", kept.folder / "out"]
    gathered = kept.desk.gathered(kept.folder / "first", 0, 1, 2)
    for name in ("deal.json", "Policy.json", "share-0.json"):
        path = kept.folder / name
        path.write_bytes(kept.capsule.read_bytes())
        assert "rename the capsule" in kept.desk.refused("rebind", path, *words, *gathered, status=2)
        path.unlink()
    before = listing(kept.folder)
    kept.desk.refused("rebind", kept.folder, *words, *gathered, status=2)
    kept.desk.refused("rebind", kept.capsule, *words, "--deal", kept.folder, *gathered[2:], status=2)
    for option in ("--waiting-seconds", "--asset-version"):
        with pytest.raises(typer.BadParameter):
            kept.desk.called("rebind", kept.capsule, *words, *gathered, option, 2**32)
    said = kept.desk.refused("rebind", kept.capsule, *words, "--key", kept.folder / "day.key", "--access", ACCESS,
                             status=2)  # fmt: skip
    assert "--asset-version" in said
    assert listing(kept.folder) == before
