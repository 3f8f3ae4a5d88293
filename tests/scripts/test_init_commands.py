"""`org init` and `device init` with wrong words: one sentence, exit status 2, no home in the way of the next try."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scripts.main import build_app


def invoke(home: Path, *words: str) -> Result:
    return CliRunner().invoke(
        build_app(words[0]), [*words, "--home", str(home)], env={"DATASPACE_PASSPHRASE": "a good passphrase"}
    )


@pytest.mark.parametrize("group", ["org", "device"])
@pytest.mark.parametrize("url", ["ftp://x", "localhost:8545", "http://[::1", "http://h:99999"])
def test_a_chain_url_that_is_none_makes_no_home(tmp_path: Path, group: str, url: str) -> None:
    home = tmp_path / "home"
    refused = invoke(home, group, "init", "--chain-url", url)
    assert refused.exit_code == 2, refused.output
    assert refused.stderr.startswith("dataspace: the setting 'chain_urls' has a URL")
    assert not home.exists()
    assert invoke(home, group, "init", "--chain-url", "http://127.0.0.1:8545").exit_code == 0


@pytest.mark.parametrize(("option", "value"), [("--endpoint", "node.example"), ("--port", "99999")])
def test_an_endpoint_or_port_that_is_none_makes_no_home(tmp_path: Path, option: str, value: str) -> None:
    refused = invoke(tmp_path / "home", "org", "init", option, value)
    assert refused.exit_code == 2, refused.output
    assert not (tmp_path / "home").exists()


def test_a_pin_that_is_none_makes_no_home_and_a_good_one_binds_it(tmp_path: Path) -> None:
    home, pin = tmp_path / "home", tmp_path / "pin.json"
    assert "is no pin" in invoke(home, "org", "init", "--pin", str(pin)).stderr
    assert not home.exists()
    pin.write_text(json.dumps({"chain_id": 7, "genesis_hash": "0x" + "01" * 32, "directory": "0x" + "02" * 20}))
    assert invoke(home, "org", "init", "--pin", str(pin)).exit_code == 0
    assert "chain_id = 7" in (home / "dataspace.toml").read_text()
