"""Homes of either signature suite, made and used by commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsule.crypto.sm2 import USER_ID
from capsule.signature import ED25519, SM2, PublicKey
from node.keystore import create_keystore, open_keystore
from scripts.main import build_app
from tests.capsule.samples import entropy_of
from tests.scripts.capsule_offline import CHAIN_ID, DIRECTORY, PASSPHRASE, Desk

ENVIRONMENT = {"DATASPACE_PASSPHRASE": PASSPHRASE}


def run(*words: object, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(build_app(str(words[0])), [*map(str, words), "--json"], env=ENVIRONMENT)
    assert result.exit_code == status, result.output
    content: dict[str, Any] = json.loads(result.stdout) if result.stdout else {}
    return content


@pytest.mark.parametrize(("group", "key"), [("org", "signing_key"), ("device", "public_key")])
@pytest.mark.parametrize("suite", [ED25519, SM2])
def test_a_home_keeps_the_suite_that_it_was_made_with(tmp_path: Path, group: str, key: str, suite: int) -> None:
    told = run(group, "init", "--home", tmp_path / "home", "--suite", suite)
    assert told["suite"] == suite
    opened = open_keystore(tmp_path / "home" / "keystore.json", PASSPHRASE, entropy_of(1))
    assert (opened.signer.suite, opened.signer.public_key.hex()) == (suite, told[key])
    assert opened.signer.public_key.endswith(USER_ID) == (suite == SM2)
    PublicKey.of(bytes.fromhex(told[key])).verify(b"message", opened.signer.sign(b"message"))


@pytest.mark.parametrize("group", ["org", "device"])
@pytest.mark.parametrize("suite", [0, 3])
def test_no_home_is_made_for_another_suite(tmp_path: Path, group: str, suite: int) -> None:
    run(group, "init", "--home", tmp_path / "home", "--suite", suite, status=2)
    assert not (tmp_path / "home").exists()


def test_a_capsule_of_an_sm2_provider_verifies_under_its_key_alone(tmp_path: Path) -> None:
    desk = Desk.at(tmp_path / "other")
    desk.keystore = create_keystore(tmp_path / "sm2.json", PASSPHRASE, entropy_of(8), SM2)
    (desk.home / "keystore.json").write_bytes((tmp_path / "sm2.json").read_bytes())
    source = tmp_path / "readings.csv"
    source.write_bytes(b"time,power\n1,2\n")
    told = desk.seal(source, desk.policy(tmp_path / "policy.json"))
    words = ("verify", told["capsule"], "--side", told["side_file"], "--chain-id", CHAIN_ID, "--directory", DIRECTORY)
    key = desk.keystore.signer.public_key
    assert desk.run(*words, "--signer-key", key.hex())["verified"] == "signature"
    assert "signature" in desk.refused(*words, "--signer-key", (key[:65] + b"another id").hex())


def test_doctor_names_the_sm2_library(tmp_path: Path) -> None:
    told = run("doctor", "--home", tmp_path)
    name, version = told["sm2_library"].split()
    assert told["sm2_libraries"][name] == version
    assert set(told["sm2_libraries"]) == {"tongsuopy", "gmssl"}
