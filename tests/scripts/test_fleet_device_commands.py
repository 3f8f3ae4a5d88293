"""`dataspace device run` of a device that was enrolled with its fleet; `dataspace gateway export` of its readings."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from audit.device_statement import DeviceStatement
from capsule.box import BoxKey
from capsule.box_statement import box_key_statement
from capsule.enrolment import FleetTree
from capsule.ids import Address, Bytes32, DeviceId
from capsule.signature import PublicKey
from capsule.thing import STORAGE_STATION
from contracts.fleet import enroll_fleet
from contracts.roles import Role
from contracts.rpc import RpcChain
from gateway.gateway import Gateway
from gateway.table_export import verify_table
from scripts.composition import Api
from scripts.main import build_app
from tests.gateway.space import GATEWAY_SIGNER, Space, account_of, found
from tests.gateway.test_service import TOKEN, serving
from tests.sim.anvil import anvil, anvil_faucet

ROWS = 130


@dataclass
class Served:
    """A gateway that serves, on a chain that others reach too."""

    space: Space
    gateway: Gateway
    chain_url: str
    url: str
    folder: Path

    def invoke(self, home: str, *words: str) -> Result:
        return CliRunner().invoke(
            build_app(words[0]),
            [*words, "--home", str(self.folder / home), "--json"],
            env={"DATASPACE_PASSPHRASE": "a device's passphrase"},
        )

    def run(self, home: str, *words: str, status: int = 0) -> dict[str, Any]:
        """A command's JSON, or its error."""
        done = self.invoke(home, *words)
        assert done.exit_code == status, done.output
        return dict(json.loads(done.stdout)) if not status else {"error": done.stderr}

    def new_device(self, name: str) -> tuple[DeviceId, PublicKey]:
        made = self.run(name, "device", "init", "--chain-url", self.chain_url)
        self.run(name, "org", "join", str(self.folder / "pin.json"))
        return DeviceId.parse(made["device"]), PublicKey(made["suite"], bytes.fromhex(made["public_key"]))

    @property
    def way(self) -> tuple[str, ...]:
        return ("--gateway", self.url, "--gateway-account", str(self.gateway.account))

    def deliver(self, name: str, *words: str, status: int = 0) -> dict[str, Any]:
        return self.run(name, "device", "run", "--csv", str(self.folder / "day.csv"), *self.way, *words, status=status)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fleet")
    lines = [f"2023-04-07 00:{at // 60:02}:{at % 60:02},{at},{50 + at / 8}" for at in range(ROWS)]
    (folder / "day.csv").write_text("time,P,SOC\n" + "\n".join(lines) + "\n")
    with anvil(block_time=None) as chain_url:
        space = found(RpcChain(chain_url), anvil_faucet())
        ledger, box = space.gateway_ledger(), BoxKey.generate(secrets.token_bytes)
        with space.open_gateway(folder / "gateway", ledger) as gateway, serving(gateway) as client:
            statement = box_key_statement(ledger.domain, gateway.account, box.public)
            key = GATEWAY_SIGNER.public_key
            ledger.participants.set_keys(GATEWAY_SIGNER.suite, key, Bytes32(box.public), GATEWAY_SIGNER.sign(statement))
            pin = {"chain_id": ledger.pin.chain_id, "genesis_hash": str(ledger.pin.genesis_hash)}
            (folder / "pin.json").write_text(json.dumps({**pin, "directory": str(ledger.pin.directory)}))
            url = str(client.base_url).rstrip("/")
            Api(url, TOKEN).write(folder / "gateway" / "api.json")
            yield Served(space, gateway, chain_url, url, folder)


def test_a_fleet_s_device_presents_its_paper_and_its_readings_leave_as_a_table(served: Served, tmp_path: Path) -> None:
    keys = dict(served.new_device(name) for name in ("one", "two"))
    one, two = keys
    tree = FleetTree(keys)
    fleet = enroll_fleet(served.space.provider, tree.root, tree.size, STORAGE_STATION.hash)
    papers = [json.dumps(paper.to_json()) + "\n" for paper in tree.enrolments(fleet)]
    (served.folder / "papers").write_text("".join(papers))

    assert "is not enrolled on the final chain" in served.deliver("one", status=3)["error"]
    strange = served.folder / "strange"
    strange.write_text(papers[1])
    assert f"no paper of device {one}" in served.deliver("one", "--paper", str(strange), status=2)["error"]
    told = served.deliver("one", "--paper", str(served.folder / "papers"))
    assert (told["frames"], told["rows"]) == (3, ROWS)
    (served.folder / "two" / "paper.json").write_text(papers[1])
    assert served.deliver("two")["frames"] == 3
    again = served.invoke("two", "device", "run", "--csv", str(served.folder / "day.csv"), *served.way)
    assert json.loads(again.stdout)["frames"] == 0
    assert f"all {ROWS} rows of {served.folder / 'day.csv'} were queued before; nothing was added" in again.stderr
    statement = DeviceStatement.from_json(json.loads((served.folder / "two" / "statement.json").read_text()))
    assert [one.receipt.sequence for one in statement.receipts] == [3]
    assert served.gateway.status().incidents == 0

    served.gateway.anchor_all()
    table = tmp_path / "day.parquet"
    words = ("export", str(two), "--out", str(table), "--format", "parquet")
    told = served.run("gateway", "gateway", *words)
    assert (told["file"], told["rows"]) == (str(table), ROWS)
    read = pyarrow.parquet.read_table(table)
    assert read.column("P").to_pylist() == list(range(ROWS))
    proof = Path(told["proof"])
    again = io.BytesIO()
    export = served.gateway.export(two, again)
    assert proof.read_bytes() == again.getvalue()
    assert verify_table(table, proof, {two: keys[two]}, export.anchors) == two


def test_a_paper_is_not_presented_over_mqtt(served: Served) -> None:
    served.new_device("three")
    way = ("--mqtt", "127.0.0.1:1", "--gateway-account", str(served.gateway.account))
    told = served.run("three", "device", "run", *way, "--paper", str(served.folder / "day.csv"), status=2)
    assert "a paper is presented over HTTP" in told["error"]


def test_nothing_leaves_the_queue_for_an_account_that_is_no_gateway(served: Served) -> None:
    served.new_device("four")
    buyer, without_keys = (account_of(served.space.admit(role)) for role in (Role.BUYER, Role.GATEWAY))
    for account, why in (
        (Address(b"\x05" * 20), "is no gateway on chain"),
        (buyer, "is no gateway on chain"),
        (without_keys, "has no keys on chain"),
    ):
        way = ("--csv", str(served.folder / "day.csv"), "--gateway", served.url, "--gateway-account", str(account))
        told = served.run("four", "device", "run", *way, status=3)["error"]
        assert f"account {account} {why}: check --gateway-account" in told
    assert not (served.folder / "four" / "device.db").exists()


def test_a_url_that_is_no_gateway_s_is_wrong_usage_and_a_file_without_rows_says_so(served: Served) -> None:
    served.new_device("five")
    for url in ("ftp://127.0.0.1:1", "127.0.0.1:1", "http://", "http://[::1", "http://h:x"):
        way = ("--gateway", url, "--gateway-account", str(served.gateway.account))
        assert "is no URL of a gateway" in served.run("five", "device", "run", *way, status=2)["error"]
    assert not (served.folder / "five" / "device.db").exists()
    way = ("--gateway", served.url + "/elsewhere", "--gateway-account", str(served.gateway.account))
    served.new_device("six")
    told = served.run("six", "device", "run", "--csv", str(served.folder / "day.csv"), *way, status=3)["error"]
    assert f"no gateway answers at {served.url}/elsewhere (status 404)" in told
    header = served.folder / "header.csv"
    header.write_text("time,P,SOC\n")
    way = ("--gateway", served.url, "--gateway-account", str(served.gateway.account))
    done = served.invoke("five", "device", "run", "--csv", str(header), *way)
    assert (done.exit_code, json.loads(done.stdout)["rows"]) == (0, 0)
    assert "has no rows; nothing of it is queued" in done.stderr


def test_a_device_takes_its_next_key_as_soon_as_its_owner_has_it_on_chain(served: Served) -> None:
    device, key = served.new_device("rotating")
    devices = served.space.provider.devices
    devices.enroll(device, key.suite, key.key, STORAGE_STATION.hash)
    assert served.deliver("rotating")["frames"] == 3

    following = served.run("rotating", "device", "next-key", "--suite", "2")
    assert following == served.run("rotating", "device", "next-key")  # the owner may have it on chain already
    assert (following["device"], following["suite"]) == (str(device), 2)
    assert "waits already" in served.run("rotating", "device", "next-key", "--suite", "1", status=2)["error"]
    more = served.folder / "more.csv"
    more.write_text("time,P,SOC\n2023-04-08 00:00:00,1,50\n")
    assert served.deliver("rotating", "--csv", str(more))["frames"] == 1  # under the key that the chain has

    devices.rotate(device, following["suite"], bytes.fromhex(following["public_key"]), 0, 0)
    more.write_text("time,P,SOC\n2023-04-08 00:00:10,2,50\n")
    done = served.invoke("rotating", "device", "run", "--csv", str(more), *served.way)
    assert (done.exit_code, json.loads(done.stdout)["frames"]) == (0, 1), done.output
    assert f"device {device} signs with its new key from now on" in done.stderr
    assert served.run("rotating", "device", "next-key")["public_key"] != following["public_key"]

    more.write_text("time,P,SOC\n2023-04-08 00:00:20,3,50\n")
    assert served.deliver("rotating", "--csv", str(more))["frames"] == 1


def test_only_a_device_s_home_has_a_next_key(served: Served) -> None:
    served.run("organisation", "org", "init")
    assert "is no device's home" in served.run("organisation", "device", "next-key", status=2)["error"]
