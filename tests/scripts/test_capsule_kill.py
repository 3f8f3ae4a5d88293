"""`kill -9` while sealing, dealing and rebinding: what was there is intact, what is new is whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from capsule.canonical import decode
from capsule.deal import Deal
from capsule.document import Fields
from capsule.ids import Digest
from capsule.key import DataKey
from capsule.leaves import SideFile
from capsule.opening import CapsuleReader, Level, verify
from capsule.share import SealedShare, open_share, rebuild_key
from capsule.signature import PublicKey
from tests.capsule.samples import DOMAIN, box_of
from tests.scripts.capsule_offline import ACCESS, ASSET, Desk

KILLS = 51
PLAINTEXT = random.Random(5).randbytes(3_000_000)
ROOT = Path(__file__).parents[2]


@dataclass
class Bench:
    """What was there before, in `kept`, and where new things appear, in `new`."""

    desk: Desk
    kept: Path
    new: Path
    forks: subprocess.Popen[str]

    @property
    def operations(self) -> dict[str, list[object]]:
        key, access = ("--key", self.kept / "day.key"), ("--access", ACCESS)
        custody = [*self.desk.custodians(1, 2, 3), "--threshold", 2]
        capsule, policy = self.kept / "day.dsc", self.kept / "policy.json"
        return {
            "seal": ["seal", self.kept / "day", "--policy", policy, "--asset", ASSET, "--chunk-size", 65_536,
                     "--out", self.new / "{n}.dsc", "--key-out", self.new / "{n}.key"],
            "deal": ["deal", capsule, "--policy", policy, *key, *access, *custody, "--out", self.new / "dealt-{n}"],
            "rebind": ["rebind", capsule, "--policy", self.kept / "newer.json", *key, *access, *custody,
                       "--asset-version", 2, "--out", self.new / "rebound-{n}"],
        }  # fmt: skip

    def killed(self, operation: str, moment: float, after_first_part: bool) -> None:
        """Runs an operation over and over, and kills it `moment` seconds on, or so long after its first file began."""
        said = self.forks.stdout
        assert said is not None
        assert self.forks.stdin is not None
        self.forks.stdin.write(json.dumps([str(word) for word in self.operations[operation]]) + "\n")
        self.forks.stdin.flush()
        process = int(said.readline())
        give_up = time.monotonic() + 30
        while after_first_part and not any(self.new.iterdir()) and time.monotonic() < give_up:
            time.sleep(0.0005)
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
        assert int(said.readline()) == signal.SIGKILL


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    desk = Desk.at(tmp_path / "home")
    kept, new = tmp_path / "kept", tmp_path / "new"
    kept.mkdir()
    new.mkdir()
    (kept / "day").write_bytes(PLAINTEXT)
    policy = desk.policy(kept / "policy.json", provider_share=True)
    desk.policy(kept / "newer.json", provider_share=True, uses_total=1)
    desk.seal(kept / "day", policy, "--chunk-size", 65_536)
    environment = {**os.environ, **desk.environment}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.scripts.capsule_forks"],
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as forks:  # fmt: skip
        assert forks.stdout is not None
        assert forks.stdout.readline() == "ready\n"
        yield Bench(desk, kept, new, forks)
        forks.kill()


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*")}


def assert_whole_capsule(desk: Desk, path: Path, key: DataKey, root: Digest) -> None:
    side = SideFile.from_bytes(path.with_name(path.name + ".leaves").read_bytes())
    signer = PublicKey(desk.keystore.signer.suite, desk.keystore.signer.public_key)
    with path.open("rb") as stream:
        verified = verify(stream, signer_key=signer, root_signature=side.root_signature, domain=DOMAIN)
        assert (verified.root, verified.level, verified.leaves) == (root, Level.SIGNATURE, side.leaves)
        stream.seek(0)
        assert CapsuleReader(stream, key).read_all() == PLAINTEXT


def assert_whole_key(path: Path) -> tuple[DataKey, Digest]:
    fields = Fields.of(decode(path.read_bytes()), "dataspace/data-key")
    return DataKey(fields.raw("data_key", 16)), fields.id("capsule_root", Digest)


def assert_whole_deal(desk: Desk, folder: Path, more: set[str]) -> tuple[DataKey, Deal]:
    shares = {f"share-{index}.json" for index in range(4)}
    assert {path.name for path in folder.iterdir()} == {"deal.json", "policy.json", *shares, *more}
    deal = Deal.from_json(decode((folder / "deal.json").read_bytes()))
    secrets = [
        open_share(
            SealedShare.from_json(decode((folder / f"share-{index}.json").read_bytes())),
            deal,
            box_of(index) if index else desk.keystore.box,
        )
        for index in range(4)
    ]
    return rebuild_key(deal, secrets), deal


def assert_whole_or_absent(desk: Desk, new: Path) -> int:
    """Checks everything that has a name; returns how many whole things there are."""
    whole = 0
    for path in sorted(new.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            capsule = path / "day.dsc"
            key, deal = assert_whole_deal(desk, path, {"day.dsc", "day.dsc.leaves"} if capsule.exists() else set())
            if capsule.exists():
                assert_whole_capsule(desk, capsule, key, deal.capsule_root)
        elif path.suffix == ".dsc":
            assert_whole_capsule(desk, path, *assert_whole_key(path.with_suffix(".key")))
        elif path.suffix == ".key":
            assert_whole_key(path)
            continue
        else:
            SideFile.from_bytes(path.read_bytes())
            continue
        whole += 1
    return whole


def test_killed_at_random_moments_nothing_is_lost_or_half(bench: Bench) -> None:
    before = digests(bench.kept)
    chance = random.Random(9)
    whole = torn = 0
    for number in range(KILLS):
        operation = ("seal", "deal", "rebind")[number % 3]
        close = number % 4 != 0  # most kills fall where files are written, not where the passphrase is stretched
        bench.killed(operation, chance.uniform(0, 0.15 if close else 1), close)
        whole += assert_whole_or_absent(bench.desk, bench.new)
        torn += any(path.name.startswith(".") for path in bench.new.iterdir())
        assert digests(bench.kept) == before
        if number % 10:
            shutil.rmtree(bench.new)
            bench.new.mkdir()
    assert torn > KILLS // 10  # kills did fall in the middle
    # what was left behind is in nobody's way
    for name, words in bench.operations.items():
        bench.desk.run(*(str(word).replace("{n}", name) for word in words))
    assert assert_whole_or_absent(bench.desk, bench.new) >= 3
    assert digests(bench.kept) == before
    sys.stdout.write(f"{KILLS} kills, {whole} whole things, {torn} times in the middle of writing\n")
