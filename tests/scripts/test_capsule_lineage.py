"""`capsule seal --parent`, `verify --with-parents`: what a capsule was made from is there, or is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsule.layout import read_layout
from tests.scripts.capsule_offline import ASSET, CHAIN_ID, DIRECTORY, Desk

LEDGER = ("--chain-id", CHAIN_ID, "--directory", DIRECTORY)


class Family:
    """Two capsules, a third made from both, and one made from the third, each in a folder of its own."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk, self.folder = desk, folder
        self.policy = desk.policy(folder / "policy.json")
        self.roots: dict[str, str] = {}
        made_from = {"mother": (), "father": (), "child": ("mother", "father"), "grandchild": ("child",)}
        for name, parents in made_from.items():
            source = folder / name
            source.write_text(name)
            words = [word for parent in parents for word in ("--parent", self.path(parent))]
            self.roots[name] = desk.seal(source, self.policy, *words)["root"]

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.dsc"

    @property
    def key(self) -> str:
        return self.desk.keystore.signer.public_key.hex()


@pytest.fixture
def family(tmp_path: Path) -> Family:
    folder = tmp_path / "capsules"
    folder.mkdir()
    return Family(Desk.at(tmp_path / "home"), folder)


def test_a_whole_lineage_is_found_and_checked(family: Family) -> None:
    with family.path("child").open("rb") as stream:
        lineage = [str(root) for root in read_layout(stream).header.lineage]
    assert lineage == [family.roots["mother"], family.roots["father"]]
    told = family.desk.run("verify", family.path("grandchild"), "--root", family.roots["grandchild"],
                           "--signer-key", family.key, *LEDGER, "--with-parents", family.folder)  # fmt: skip
    assert told["verified"] == "chain"
    assert [(each["root"], each["depth"], each["state"], each["verified"]) for each in told["lineage"]] == [
        (family.roots["child"], 1, "found", "signature"),
        (family.roots["mother"], 2, "found", "signature"),
        (family.roots["father"], 2, "found", "signature"),
    ]
    assert told["lineage"][0]["parents"] == lineage
    assert told["lineage"][1]["file"] == str(family.path("mother"))
    shown = family.desk.called("verify", family.path("grandchild"), "--with-parents", family.folder)
    assert shown.exit_code == 0
    assert f"    {family.roots['father']} found, verified: header only" in shown.stdout.splitlines()
    # files by name, in any order, without side files and without keys
    for name in ("mother", "child"):
        family.path(name).with_name(f"{name}.dsc.leaves").unlink()
    words = [word for name in ("father", "child", "mother") for word in ("--with-parents", family.path(name))]
    told = family.desk.run("verify", family.path("grandchild"), *words)
    assert [each["verified"] for each in told["lineage"]] == ["header only"] * 3


def test_a_missing_ancestor_is_a_finding_and_a_broken_one_is_refused(family: Family) -> None:
    family.path("father").rename(family.folder / "elsewhere")
    words = ("verify", family.path("grandchild"), "--with-parents", family.folder)
    told = family.desk.run(*words, status=1)
    assert {each["root"]: each["state"] for each in told["lineage"]} == {
        family.roots["child"]: "found", family.roots["mother"]: "found", family.roots["father"]: "missing"
    }  # fmt: skip
    data = bytearray(family.path("mother").read_bytes())
    data[-1] ^= 1
    family.path("mother").write_bytes(data)
    told = family.desk.run(*words, status=3)
    broken = next(each for each in told["lineage"] if each["root"] == family.roots["mother"])
    assert broken["state"] == "broken"
    assert "its root is" in broken["reason"]
    family.path("child").write_bytes(family.path("child").read_bytes()[:-1])
    told = family.desk.run(*words, status=3)
    assert [each["state"] for each in told["lineage"]] == ["broken"]
    assert "bytes that its header says" in told["lineage"][0]["reason"]


def test_an_ancestor_that_its_provider_did_not_sign_is_broken(family: Family, tmp_path: Path) -> None:
    stranger = Desk.at(tmp_path / "stranger", 8)
    words = ("verify", family.path("child"), "--with-parents", family.folder, *LEDGER)
    other = stranger.keystore.signer.public_key.hex()
    assert family.desk.run(*words)["lineage"][0]["verified"] == "header only"
    told = family.desk.run(*words, "--parent-key", f"{family.desk.provider}={other}", status=3)
    assert {each["state"] for each in told["lineage"]} == {"broken"}
    family.desk.refused(*words, "--parent-key", other, status=2)
    family.desk.refused("verify", family.path("child"), "--with-parents", family.folder / "nowhere", status=2)


def test_a_spoilt_capsule_is_nobody_s_parent(family: Family) -> None:
    source = family.folder / "late"
    source.write_text("late")
    path = family.path("mother")
    for data in (path.read_bytes()[:-1], path.read_bytes()[:-1] + b"x", b"no capsule"):
        path.write_bytes(data)
        family.desk.refused("seal", source, "--policy", family.policy, "--asset", ASSET,
                            "--key-out", family.folder / "late.key", "--parent", path)  # fmt: skip
        assert not family.path("late").exists()
        assert not (family.folder / "late.key").exists()
