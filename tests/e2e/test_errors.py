"""Bad input, bad disks, bad peers: one sentence, the documented exit status, nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from node.home import Home
from tests.e2e.organisations import Organisation

PIN = {"chain_id": 31337, "genesis_hash": "0x" + "11" * 32, "directory": "0x" + "22" * 20}


@pytest.fixture
def home(tmp_path: Path) -> Organisation:
    """A home of its own that is bound to a ledger which nobody serves."""
    organisation = Organisation("somebody", tmp_path / "home")
    pin = tmp_path / "pin.json"
    pin.write_text(json.dumps(PIN))
    organisation.init("http://127.0.0.1:1", "--pin", str(pin))
    return organisation


def test_wrong_passphrase_is_refused(home: Organisation, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    before = (home.home / "keystore.json").read_bytes()
    told = home.run("org", "announce", "--passphrase-file", str(wrong), status=3)
    assert "passphrase" in told["error"]
    assert (home.home / "keystore.json").read_bytes() == before


def test_unreachable_chain_is_said(home: Organisation) -> None:
    assert "127.0.0.1:1" in home.run("asset", "list", status=4)["error"]


def test_second_process_on_the_same_home_is_refused(home: Organisation) -> None:
    with Home(home.home):
        assert "another process" in home.run("org", "announce", status=2)["error"]


def test_existing_keys_are_never_overwritten(home: Organisation) -> None:
    before = (home.home / "keystore.json").read_bytes()
    assert "exists already" in home.run("org", "init", status=2)["error"]
    assert (home.home / "keystore.json").read_bytes() == before


def test_pin_that_is_none_changes_nothing(home: Organisation, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"chain_id": 1}')
    before = (home.home / "dataspace.toml").read_bytes()
    assert "no pin" in home.run("org", "join", str(bad), status=2)["error"]
    assert (home.home / "dataspace.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time,power\n2026-01-01 00:00:00,1\n2026-01-01 00:00:10,many\n", "line 3"),
        ("time,power\nyesterday,1\ntoday,2\n", "line 2"),
        ("time\n1\n", "line 1"),
        ("", "line 1"),
        ("time,power\n", "line 2"),
    ],
)
def test_csv_with_a_bad_row_is_named_and_nothing_is_sent(text: str, told: str, tmp_path: Path) -> None:
    csv = tmp_path / "bad.csv"
    csv.write_text(text)
    organisation = Organisation("demo", tmp_path / "home")
    assert told in organisation.run("demo", "--readings", str(csv), status=2)["error"]
    assert list(tmp_path.rglob("*.dsc")) == []


def test_unknown_attack_is_wrong_usage(tmp_path: Path) -> None:
    told = Organisation("demo", tmp_path / "home").run("demo", "--attack", "magic", status=2)
    assert "forged-share" in told["error"]


def test_full_disk_while_sealing_is_one_sentence_and_leaves_no_capsule(tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: the capsule is the first file that is larger."""
    csv = tmp_path / "large.csv"
    csv.write_text("time,power\n" + "".join(f"{second},{second % 97}.5\n" for second in range(300_000)))
    script = Path(__file__).with_name("sealing_on_a_full_disk.py")

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "home"), str(csv)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=full,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "can't be written" in ended.stderr
    provider = tmp_path / "home/world/provider"
    assert [path.name for path in (provider / "capsules").iterdir()] == []
