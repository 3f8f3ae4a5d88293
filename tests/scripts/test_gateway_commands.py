"""`dataspace gateway serve` says in one sentence why it can't start."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capsule.ids import Uscc
from scripts.main import build_app
from tests.e2e.organisations import PASSPHRASE, Organisation
from tests.scripts.test_org_keys import run


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    """The operator of its own embedded chain, admitted nowhere yet."""
    folder = tmp_path_factory.mktemp("company")
    member = Organisation("company", folder / "home")
    member.account = run(member.home, "init", "--port", str(member.port))["account"]
    run(member.home, "deploy", "--pin", str(folder / "pin.json"))
    yield member
    member.stop()


def refused(home: Path, *options: str, status: int) -> str:
    """All that `gateway serve` says before it ends with `status`."""
    ended = CliRunner().invoke(
        build_app("gateway"),
        ["gateway", "serve", "--home", str(home), *options],
        env={"DATASPACE_PASSPHRASE": PASSPHRASE, "COLUMNS": "400"},
    )
    assert ended.exit_code == status, ended.output
    assert not (home / "api.json").exists()
    assert "Traceback" not in ended.output
    assert ended.stdout == ""
    return ended.stderr.strip()


def test_a_gateway_that_can_not_start_says_why_in_one_sentence(company: Organisation) -> None:
    told = refused(company.home, "--mqtt-user", "me", status=2)
    assert told == "dataspace: the --mqtt-... options say how to reach a broker: name it with --mqtt"
    told = refused(company.home, status=3)
    assert told == (
        f"dataspace: account {company.account} has not the role gateway on chain: "
        "ask the operator to admit it with --role gateway"
    )
    code = Uscc.make("9" + "".join(str(secrets.randbelow(10)) for _ in range(16)))
    run(company.home, "admit", company.account, "--uscc", str(code), "--role", "gateway", "--funds", "0")
    with socket.create_server(("127.0.0.1", company.port)):
        told = refused(company.home, status=2)
    assert told == f"dataspace: port {company.port} is in use: choose another with the setting port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(company.home, "--gbt32960-port", str(port), status=2)
    assert told == f"dataspace: port {port} is in use: choose another with --gbt32960-port"
