"""`dataspace gateway vehicle`: a VIN goes in, a random device id comes out, and the file alone knows both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsule.frame import received_digest
from capsule.ids import DeviceId, Digest
from capsule.signature import Sm2Signer
from gateway.gbt32960.vehicles import Vehicles
from scripts.main import build_app
from tests.capsule.samples import entropy_of

VIN = "LTEST00000000000A"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


def run(home: Path, *words: object, status: int = 0) -> dict[str, Any]:
    words = ("gateway", "vehicle", *map(str, words), "--home", str(home), "--json")
    result = CliRunner().invoke(build_app("gateway"), list(words))
    assert result.exit_code == status, result.output
    if status:
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        return {}
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_an_operator_registers_vehicles_and_shows_a_message(home: Path, tmp_path: Path) -> None:
    first = run(home, "add", VIN)
    key = Sm2Signer.generate(entropy_of(3)).public_key
    second = run(home, "add", "LTEST00000000000B", "--key", key.hex())
    assert (first["signs"], second["signs"], first["model"]) == ("no", "SM2", "electric-vehicle")
    listed = run(home, "list")["vehicles"]
    assert [one["vin"] for one in listed] == [VIN, "LTEST00000000000B"]
    assert [one["device"] for one in listed] == [first["device"], second["device"]]

    with Vehicles(home / "vehicles.db") as vehicles:
        kept = vehicles.keep(DeviceId.parse(first["device"]), 1, b"message", 5, entropy_of(4))
    out = tmp_path / "message"
    shown = run(home, "message", kept.digest, "--out", out)
    assert (out.read_bytes(), shown["device"], shown["sequence"]) == (b"message", first["device"], 1)
    assert received_digest(bytes.fromhex(shown["salt"]), out.read_bytes()) == kept.digest


def test_a_mistyped_vehicle_is_pointed_out_and_taken_back_its_messages_stay(home: Path, tmp_path: Path) -> None:
    words = ["gateway", "vehicle", "add", VIN[:16], "--home", str(home), "--json"]
    added = CliRunner().invoke(build_app("gateway"), words)
    assert (added.exit_code, "has 16 characters, a VIN has 17" in added.stderr) == (0, True), added.output
    device = DeviceId.parse(json.loads(added.stdout)["device"])
    with Vehicles(home / "vehicles.db") as vehicles:
        kept = vehicles.keep(device, 1, b"message", 5, entropy_of(4))
    assert run(home, "remove", VIN[:16])["device"] == str(device)
    assert run(home, "list")["vehicles"] == []
    with Vehicles(home / "vehicles.db") as vehicles:
        assert vehicles.find(VIN[:16].encode() + b"\0") is None
    assert run(home, "message", kept.digest, "--out", tmp_path / "message")["device"] == str(device)
    run(home, "remove", VIN[:16], status=2)
    run(home, "remove", "辆", status=2)
    assert run(home, "add", VIN[:16])["device"] != str(device)


def test_wrong_usage_is_one_sentence_and_registers_nothing(home: Path, tmp_path: Path) -> None:
    run(home, "add", VIN)
    run(home, "add", VIN, status=2)
    run(home, "add", "L" * 18, status=2)
    run(home, "add", "LTEST00000000000B", "--key", "04zz", status=2)
    run(home, "add", "LTEST00000000000B", "--key", "04" + "00" * 64, "--algorithm", "p256", status=2)
    run(home, "add", "LTEST00000000000B", "--key", "04", "--algorithm", "rsa", status=2)
    run(home, "message", Digest(bytes(32)), "--out", tmp_path / "none", status=2)
    run(tmp_path / "nowhere", "list", status=2)
    assert not (tmp_path / "none").exists()
    assert len(run(home, "list")["vehicles"]) == 1
