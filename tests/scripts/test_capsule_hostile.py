"""`dataspace capsule open` and its kin on hostile files: exit status 3, one sentence, nothing written."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsule.box import seal_to
from capsule.canonical import Json, encode
from capsule.deal import Deal
from capsule.errors import OpenError
from capsule.layout import read_layout
from capsule.share import SealedShare, ShareSecret, open_share, seal_share
from tests.capsule.samples import box_of
from tests.scripts.capsule_offline import ACCESS, Desk, listing

OPAQUE = f"dataspace: {OpenError()}"
PLAINTEXT = bytes(range(50))


@dataclass
class Kept:
    """Two capsules under one policy, the first dealt 2 of 3 with the provider; a name for changed files."""

    desk: Desk
    folder: Path

    @property
    def capsule(self) -> Path:
        return self.folder / "day.dsc"

    @property
    def key(self) -> Path:
        return self.folder / "day.key"

    @property
    def deal(self) -> Deal:
        return Deal.from_json(json.loads((self.folder / "first" / "deal.json").read_bytes()))

    @property
    def data(self) -> bytes:
        return self.capsule.read_bytes()

    def stays_shut(self, data: bytes, *words: object) -> None:
        """Opening `data` is refused in one and the same sentence, and leaves nothing."""
        changed, out = self.folder / "changed.dsc", self.folder / "opened"
        changed.write_bytes(data)
        before = sorted(self.folder.rglob("*"))
        assert self.desk.refused("open", changed, "--out", out, *words).strip() == OPAQUE
        assert sorted(self.folder.rglob("*")) == before

    def secret(self, index: int) -> ShareSecret:
        sealed = SealedShare.from_json(json.loads((self.folder / "first" / f"share-{index}.json").read_bytes()))
        box = box_of(index) if index else self.desk.keystore.box
        return open_share(sealed, self.deal, box)

    def blamed(self, *words: object) -> str:
        out = self.folder / "opened"
        before = listing(self.folder)
        deal = self.folder / "first" / "deal.json"
        said = self.desk.refused("open", self.capsule, "--out", out, "--deal", deal, *words)
        assert listing(self.folder) == before
        return said


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("capsules")
    desk = Desk.at(tmp_path_factory.mktemp("home"))
    policy = desk.policy(folder / "policy.json", provider_share=True)
    for name in ("day", "other"):
        folder.joinpath(name).write_bytes(PLAINTEXT)
        desk.seal(folder / name, policy, "--chunk-size", 16)
    for name, out in (("day", "first"), ("other", "second")):
        desk.run("deal", folder / f"{name}.dsc", "--out", folder / out, "--policy", policy, "--key",
                 folder / f"{name}.key", "--access", ACCESS, *desk.custodians(1, 2, 3), "--threshold", 2)  # fmt: skip
    return Kept(desk, folder)


def test_every_byte_of_a_capsule_counts(kept: Kept) -> None:
    """With its key file, which names the root; so also the signature, which no key opens."""
    data = kept.data
    for at in range(len(data)):
        kept.stays_shut(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :], "--key", kept.key)


def test_every_length_of_a_capsule_counts(kept: Kept) -> None:
    data = kept.data
    for length in (*range(0, len(data), 7), *range(len(data) - 20, len(data))):
        kept.stays_shut(data[:length], "--key", kept.key)
    kept.stays_shut(data + b"\0", "--key", kept.key)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_swapped_and_spliced_capsules_stay_shut(kept: Kept, data: st.DataObject) -> None:
    with kept.capsule.open("rb") as one, (kept.folder / "other.dsc").open("rb") as other:
        mine, theirs = read_layout(one), read_layout(other)
        own, foreign = ([source.read(layout.sealed_length(index)) for index in range(4)]
                        for layout, source in ((mine, one), (theirs, other)))  # fmt: skip
    pieces = [*mine.pieces, *own]
    others = [*theirs.pieces, *foreign]
    if data.draw(st.booleans()):
        first, second = data.draw(st.lists(st.integers(3, 6), min_size=2, max_size=2, unique=True))
        pieces[first], pieces[second] = pieces[second], pieces[first]
    else:
        for at in data.draw(st.sets(st.integers(0, 6), min_size=1, max_size=6)):
            pieces[at] = others[at]
    words = data.draw(st.sampled_from([("--key", kept.key), ("--key", kept.folder / "other.key")]))
    kept.stays_shut(b"".join(pieces), *words)


def test_the_capsule_has_to_be_the_one_of_deal_policy_and_root(kept: Kept) -> None:
    words = kept.desk.gathered(kept.folder / "first", 0, 1, 2)
    kept.stays_shut((kept.folder / "other.dsc").read_bytes(), *words)
    kept.stays_shut(kept.data, "--key", kept.key, "--root", "0x" + "11" * 32)
    kept.stays_shut(kept.data, "--key", kept.key, "--policy-hash", "0x" + "00" * 32)
    kept.stays_shut(kept.data, "--key", kept.folder / "other.key")


def share_file(kept: Kept, name: str, document: object) -> Path:
    path = kept.folder / name
    path.write_bytes(encode(document))  # type: ignore[arg-type]
    return path


def test_only_who_gave_another_share_than_dealt_is_named(kept: Kept) -> None:
    box, deal = kept.desk.keystore.box.public, kept.deal
    good = {index: seal_share(kept.secret(index), deal, box).to_json() for index in range(4)}
    files = {index: share_file(kept, f"good-{index}", document) for index, document in good.items()}
    second = kept.desk.gathered(kept.folder / "second", 0, 1, 2)
    others = {2: second[7]}
    sealed = str(good[2]["sealed"])
    spoilt = sealed[:-1] + ("0" if sealed[-1] != "0" else "1")
    part = kept.secret(2)
    inside: dict[str, Json] = {"kind": "dataspace/share-opened", "version": 1, "deal": str(deal.hash), "index": 2,
              "share": "0x" + "00" * 16, "blinding": "0x" + part.blinding.hex()}  # fmt: skip
    forged = SealedShare(deal.hash, 2, seal_to(box, encode(inside))).to_json()
    named: list[tuple[list[object], int]] = [
        ([files[0], files[1], share_file(kept, "other-part", forged)], 2),
        ([files[0], files[1], files[1]], 1),
        ([files[0], files[0], files[1], files[2]], 0),
        ([files[1], files[2], files[3]], 0),
    ]  # fmt: skip
    for paths, index in named:
        said = kept.blamed(*(word for path in paths for word in ("--share", path)))
        assert str(deal.holders[index].account) in said, (paths, said)
    assert "1 of 2 came; add the shares of other custodians" in kept.blamed("--share", files[0], "--share", files[1])
    unnamed: list[tuple[object, str]] = [
        (share_file(kept, "bad", {**good[2], "sealed": spoilt}), "share 2 is sealed to another key"),
        (share_file(kept, "cut", {**good[2], "sealed": sealed[:-2]}), "share 2 is sealed to another key"),
        (kept.folder / "first" / "share-2.json", "ask custodian "),
        (share_file(kept, "relabelled", {**good[2], "index": 3}), "share 3 is damaged"),
        (share_file(kept, "zero", {**good[2], "index": 0}), "share 0 is damaged"),
        (share_file(kept, "nine", {**good[2], "index": 9}), "index 9 has no place"),
        (others[2], "share 2 is of the deal"),
        (share_file(kept, "claimed", {**json.loads(Path(str(others[2])).read_bytes()), "deal": str(deal.hash)}),
         "share 2 is damaged"),
    ]  # fmt: skip
    for path, sentence in unnamed:
        said = kept.blamed("--share", files[1], "--share", path)
        assert sentence in said, said
        assert "of holder" not in said
    (kept.folder / "torn").write_bytes(files[2].read_bytes()[:-5])
    assert "torn is no share" in kept.blamed("--share", files[0], "--share", kept.folder / "torn")


def test_edited_or_broken_deals_and_keys_accuse_nobody(kept: Kept, tmp_path: Path) -> None:
    shares = kept.desk.gathered(kept.folder / "first", 0, 1, 2)[2:]
    deal, out = tmp_path / "deal.json", tmp_path / "opened"
    document = kept.deal.to_json()
    edited = {**document, "threshold": 1}
    for content, sentence in ((encode(edited), "unchanged document"), (b"{", "no deal document"), (b"[]", "no deal"),
                              (encode({**document, "threshold": 99}), "damaged")):  # fmt: skip
        deal.write_bytes(content)
        said = kept.desk.refused("open", kept.capsule, "--out", out, "--deal", deal, *shares)
        assert sentence in said
        assert "of holder" not in said
        assert "JSON" not in said
    key = tmp_path / "day.key"
    for content in (b"{", encode({"kind": "dataspace/data-key", "version": 1}), b"x" * 70_000):
        key.write_bytes(content)
        key.chmod(0o600)
        said = kept.desk.refused("open", kept.capsule, "--out", out, "--key", key)
        assert f"{key} is no data key file or is damaged" in said
    key.write_bytes(encode({**json.loads(kept.key.read_bytes()), "capsule_id": "0x" + "00" * 16}))
    assert kept.desk.refused("open", kept.capsule, "--out", out, "--key", key).strip() == OPAQUE
    assert not out.exists()


def test_a_provider_who_dealt_another_key_is_named(kept: Kept, tmp_path: Path) -> None:
    """Every share is the one dealt, and still they make no key."""
    out = tmp_path / "opened"
    folder = tmp_path / "second"
    shutil.copytree(kept.folder / "second", folder)
    document = json.loads((folder / "deal.json").read_bytes())
    forged = Deal.from_json({**document, "key_commitment": kept.deal.to_json()["key_commitment"]})
    words: list[object] = ["--deal", share_file(kept, "forged", forged.to_json())]
    honest = Deal.from_json(document)
    for index in (0, 1, 2):
        sealed = SealedShare.from_json(json.loads((folder / f"share-{index}.json").read_bytes()))
        secret = open_share(sealed, honest, box_of(index) if index else kept.desk.keystore.box)
        sealed_anew = seal_share(secret, forged, kept.desk.keystore.box.public).to_json()
        words += ["--share", share_file(kept, f"forged-{index}", sealed_anew)]
    said = kept.desk.refused("open", kept.capsule, "--out", out, *words)
    assert str(kept.desk.provider) in said
    assert not out.exists()


def test_verify_refuses_what_is_not_whole(kept: Kept) -> None:
    data, changed = kept.data, kept.folder / "changed.dsc"
    root = json.loads(kept.key.read_bytes())["capsule_root"]
    for spoilt in (data[:-1], data + b"\0", data[:20], b"", data[:-1] + b"\xff"):
        changed.write_bytes(spoilt)
        kept.desk.refused("verify", changed, "--root", root)
    for spoilt in (data[:20], b"", b"no capsule"):
        changed.write_bytes(spoilt)
        kept.desk.refused("inspect", changed)
