"""`dataspace device enroll-many` and `prove` at the owner: a file of keys in, papers out, keys on chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsule.ids import Uscc
from capsule.signature import Sm2Signer
from scripts.main import build_app
from tests.capsule.frames import Device
from tests.capsule.samples import entropy_of


class Owner:
    """A home that is operator and provider at once, on its own chain."""

    def __init__(self, home: Path) -> None:
        self.home = home
        account = self.run("org", "init")["account"]
        self.run("org", "deploy", "--pin", str(home / "pin.json"))
        self.run(
            "org", "admit", account, "--uscc", str(Uscc.make("91350100000001000")), "--role", "provider", "--funds", "0"
        )

    def run(self, *words: str, status: int = 0) -> dict[str, Any]:
        done = CliRunner().invoke(
            build_app(words[0]),
            [*words, "--home", str(self.home), "--json"],
            env={"DATASPACE_PASSPHRASE": "an owner's passphrase"},
        )
        assert done.exit_code == status, done.output
        return {"error": done.stderr} if status else dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return Owner(tmp_path_factory.mktemp("owner"))


def test_columns_may_stand_in_any_order_and_papers_are_never_written_over(owner: Owner, tmp_path: Path) -> None:
    keys, papers = tmp_path / "keys.csv", tmp_path / "papers"
    devices = [Device(11), Device(12)]
    sm2 = Sm2Signer.generate(entropy_of(5)).public_key
    lines = [f"{devices[0].key.key.hex()},{devices[0].id},1", f"0x{sm2.hex()},{devices[1].id},2"]
    keys.write_text("\n".join(["public_key,device,suite", *lines]) + "\n")
    assert owner.run("device", "enroll-many", str(keys), "--out", str(papers))["devices"] == 2
    written = papers.read_bytes()
    assert [json.loads(line)["device"] for line in written.splitlines()] == [str(one.id) for one in devices]

    refused = owner.run("device", "enroll-many", str(keys), "--out", str(papers), status=2)
    assert "may hold another fleet's papers" in refused["error"]
    assert papers.read_bytes() == written
    missing = tmp_path / "mistyped" / "papers"
    assert (
        "there is no folder" in owner.run("device", "enroll-many", str(keys), "--out", str(missing), status=2)["error"]
    )

    proven = owner.run("device", "prove", str(papers))
    assert proven["devices"] == [str(one.id) for one in devices]


@pytest.mark.parametrize("header", ["device,public_key", "device,suite,public_key,model", "device,device,suite"])
def test_other_columns_are_refused(owner: Owner, tmp_path: Path, header: str) -> None:
    keys = tmp_path / "keys.csv"
    keys.write_text(header + "\n")
    told = owner.run("device", "enroll-many", str(keys), "--out", str(tmp_path / "papers"), status=2)["error"]
    assert "must name the columns device, suite, public_key, and no others" in told
