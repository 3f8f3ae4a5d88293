"""`dataspace capsule seal|open|verify` on files: what opens, what is refused with which exit status, what is left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsule.canonical import encode
from capsule.ids import Address, AssetId, Digest
from capsule.layout import read_layout
from capsule.leaves import SideFile
from capsule.opening import verify
from capsule.policy.offer import offer
from node.keystore import Keystore, create_keystore
from node.settings import Settings, render_settings
from scripts.main import build_app
from tests.capsule.samples import entropy_of

PASSPHRASE = "a passphrase of tests"
ASSET = AssetId((0xA5).to_bytes(32, "big"))
PLAINTEXT = bytes(range(256)) * 10_000

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Keystore]:
    path = tmp_path_factory.mktemp("home")
    directory = Address((0xD1).to_bytes(20, "big"))
    path.joinpath("dataspace.toml").write_text(render_settings(Settings(chain_id=1337, directory=directory)))
    return path, create_keystore(path / "keystore.json", PASSPHRASE, entropy_of(7))


@pytest.fixture
def run(home: tuple[Path, Keystore]) -> Run:
    def called(*words: object, status: int = 0) -> dict[str, Any]:
        environment = {"DATASPACE_HOME": str(home[0]), "DATASPACE_PASSPHRASE": PASSPHRASE}
        result = CliRunner().invoke(build_app("capsule"), ["capsule", *map(str, words), "--json"], env=environment)
        assert result.exit_code == status, result.output
        if status:
            assert len(result.stderr.strip().splitlines()) == 1, result.stderr
            return {}
        content: dict[str, Any] = json.loads(result.stdout)
        return content

    return called


class Sealed:
    """A capsule on disk, sealed by the command."""

    def __init__(self, folder: Path, run: Run, provider: Address) -> None:
        self.folder, self.run = folder, run
        self.plain, self.policy, self.key = folder / "day.csv", folder / "policy.json", folder / "day.key"
        self.plain.write_bytes(PLAINTEXT)
        self.policy.write_bytes(encode(offer(asset=ASSET, provider=provider, uses_total=3)))
        self.told = self.seal()
        self.path = Path(self.told["capsule"])
        self.out = folder / "opened"

    def seal(self, *more: object, status: int = 0) -> dict[str, Any]:
        return self.run("seal", self.plain, "--policy", self.policy, "--asset", ASSET, "--key-out", self.key,
                        "--chunk-size", 100_000, *more, status=status)  # fmt: skip

    def open(self, *more: object, status: int = 0) -> dict[str, Any]:
        return self.run("open", self.path, "--out", self.out, *more, status=status)


@pytest.fixture
def sealed(tmp_path: Path, run: Run, home: tuple[Path, Keystore]) -> Sealed:
    return Sealed(tmp_path, run, home[1].account.address)


def test_sealed_file_opens_with_its_key_file(sealed: Sealed) -> None:
    assert sealed.path.name == "day.csv.dsc"
    assert sealed.told["bytes"] == sealed.path.stat().st_size
    assert sealed.key.stat().st_mode & 0o777 == 0o600
    assert sealed.open("--key", sealed.key) == {
        "file": str(sealed.out), "bytes": len(PLAINTEXT), "verified": "key file"
    }  # fmt: skip
    assert sealed.out.read_bytes() == PLAINTEXT
    sealed.open("--key", sealed.key, status=2)  # a name that is taken
    sealed.out.unlink()
    told = sealed.open("--key", sealed.key, "--root", sealed.told["root"], "--policy-hash", sealed.told["policy_hash"])
    assert told["verified"] == "chain"


@pytest.mark.parametrize(
    ("wanted", "begin", "end"), [("99999:100001", 99_999, 100_001), (":5", 0, 5), ("2559990:", 2_559_990, 2_560_000)]
)
def test_a_range_opens(sealed: Sealed, wanted: str, begin: int, end: int) -> None:
    sealed.open("--key", sealed.key, "--range", wanted, "--root", sealed.told["root"])
    assert sealed.out.read_bytes() == PLAINTEXT[begin:end]


def test_a_range_reads_its_own_chunks_only(sealed: Sealed) -> None:
    data = bytearray(sealed.path.read_bytes())
    data[-1] ^= 1
    sealed.path.write_bytes(data)
    sealed.open("--key", sealed.key, "--range", "0:300000", "--root", sealed.told["root"])
    sealed.out.unlink()
    sealed.open("--key", sealed.key, "--root", sealed.told["root"], status=3)
    assert not sealed.out.exists()


@pytest.mark.parametrize("wanted", ["5", "7:3", "-1:4", "0:2560001", "a:b", "0:+5", "0: 5", "1_0:20", "0:\u0665"])
def test_impossible_ranges_are_wrong_input(sealed: Sealed, wanted: str) -> None:
    sealed.open("--key", sealed.key, "--range", wanted, status=2)
    assert not sealed.out.exists()


def test_what_does_not_open_leaves_nothing(sealed: Sealed) -> None:
    before = sorted(sealed.folder.iterdir())
    for place in (-1, -200_000, 2_000_000):
        data = bytearray(sealed.path.read_bytes())
        data[place] ^= 1
        changed = sealed.folder / "changed"
        changed.write_bytes(data)
        sealed.run("open", changed, "--out", sealed.out, "--key", sealed.key, status=3)
        changed.unlink()
    assert sorted(sealed.folder.iterdir()) == before
    sealed.open("--key", sealed.key, "--root", Digest(bytes(32)), status=3)
    sealed.open("--key", sealed.key, "--policy-hash", Digest(bytes(32)), status=3)
    assert sorted(sealed.folder.iterdir()) == before


def test_key_files_that_others_can_read_are_refused(sealed: Sealed) -> None:
    sealed.key.chmod(0o644)
    sealed.open("--key", sealed.key, status=2)
    sealed.open(status=2)


def test_nothing_is_overwritten(sealed: Sealed) -> None:
    before = sealed.key.read_bytes(), sealed.path.read_bytes()
    sealed.seal(status=2)
    sealed.seal("--out", sealed.folder / "second", status=2)
    assert (sealed.key.read_bytes(), sealed.path.read_bytes()) == before
    assert not (sealed.folder / "second").exists()


def test_policies_that_can_not_hold_are_refused(sealed: Sealed, home: tuple[Path, Keystore]) -> None:
    sealed.key.unlink()
    sealed.policy.write_bytes(encode(offer(asset=AssetId(bytes(32)), provider=home[1].account.address)))
    sealed.seal("--out", sealed.folder / "second", status=2)
    assert not sealed.key.exists()


def test_a_key_file_without_a_root_opens_still(sealed: Sealed) -> None:
    document = json.loads(sealed.key.read_bytes())
    del document["capsule_root"]
    sealed.key.write_bytes(encode(document))
    assert sealed.open("--key", sealed.key)["verified"] == "key only"
    assert sealed.out.read_bytes() == PLAINTEXT


def test_a_spoilt_side_file_costs_time_only(sealed: Sealed) -> None:
    side = Path(sealed.told["side_file"])
    for content in (side.read_bytes()[:-32], b"no side file", side.read_bytes()[:-1] + b"x"):
        side.write_bytes(content)
        sealed.open("--key", sealed.key)
        assert sealed.out.read_bytes() == PLAINTEXT
        sealed.out.unlink()


def test_verify_goes_on_where_it_was_stopped(sealed: Sealed) -> None:
    state = sealed.folder / "state"
    root = sealed.told["root"]
    leaves = SideFile.from_bytes(Path(sealed.told["side_file"]).read_bytes()).leaves
    about = sealed.path.stat()
    head = {"kind": "dataspace/verification", "version": 1, "bytes": about.st_size,
            "modified_ns": about.st_mtime_ns, "changed_ns": about.st_ctime_ns, "file": about.st_ino}  # fmt: skip
    state.write_bytes(json.dumps(head).encode() + b"\n" + leaves.packed[96 : 96 + 32 * 5 + 9])
    state.chmod(0o600)
    assert sealed.run("verify", sealed.path, "--root", root, "--resume", state)["verified"] == "chain"
    assert not state.exists()
    state.write_bytes(json.dumps(head).encode() + b"\n" + bytes(64))
    state.chmod(0o600)
    sealed.run("verify", sealed.path, "--root", root, "--resume", state, status=3)
    assert not state.exists()
    state.write_bytes(json.dumps({**head, "bytes": 1}).encode() + b"\n")
    state.chmod(0o600)
    sealed.run("verify", sealed.path, "--root", root, "--resume", state, status=2)
    os.chmod(state, 0o644)
    sealed.run("verify", sealed.path, "--root", root, "--resume", state, status=2)


def test_verify_takes_the_provider_s_signature_from_the_side_file(sealed: Sealed, home: tuple[Path, Keystore]) -> None:
    key = home[1].signer.public_key.hex()
    words = ("verify", sealed.path, "--signer-key", key, "--chain-id", 1337, "--directory", f"0x{0xD1:040x}")
    assert sealed.run(*words, "--side", sealed.told["side_file"])["verified"] == "signature"
    with sealed.path.open("rb") as stream:
        assert str(verify(stream).level) == "header only"
        stream.seek(0)
        assert read_layout(stream).header.provider == home[1].account.address
