"""`dataspace capsule` between files and pipes: what takes whose place, what leaves before it was checked."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from capsule.canonical import encode
from capsule.policy.offer import offer
from scripts.main import build_app
from tests.scripts.capsule_offline import ASSET, CHAIN_ID, DIRECTORY, Desk, listing

PLAINTEXT = bytes(range(256)) * 100
CHUNK = 1000
RUNNER = CliRunner()


@dataclass
class Work:
    """A home, a plaintext and its policy, and the capsule that was sealed of it."""

    desk: Desk
    folder: Path

    @property
    def plain(self) -> Path:
        return self.folder / "day.csv"

    @property
    def capsule(self) -> Path:
        return self.folder / "day.csv.dsc"

    @property
    def side(self) -> Path:
        return self.folder / "day.csv.dsc.leaves"

    @property
    def key(self) -> Path:
        return self.folder / "day.key"

    @property
    def root(self) -> str:
        return str(json.loads(self.key.read_bytes())["capsule_root"])

    def piped(self, data: bytes, *words: object, status: int = 0) -> Result:
        """A command with standard input and output in bytes."""
        result = RUNNER.invoke(
            build_app("capsule"), ["capsule", *map(str, words)], input=data, env=self.desk.environment
        )
        assert result.exit_code == status, (result.stdout_bytes[:80], result.stderr)
        return result

    def sealing(self, source: object, *more: object) -> list[object]:
        return ["seal", source, "--policy", self.folder / "policy.json", "--asset", ASSET, "--chunk-size", CHUNK, *more]

    def spoilt(self, at: int) -> bytes:
        data = bytearray(self.capsule.read_bytes())
        data[at] ^= 1
        return bytes(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("work")
    work = Work(Desk.at(tmp_path_factory.mktemp("home")), folder)
    work.plain.write_bytes(PLAINTEXT)
    work.desk.policy(folder / "policy.json")
    work.desk.run(*work.sealing(work.plain, "--key-out", work.key))
    return work


@pytest.fixture
def work(made: Work) -> Iterator[Work]:
    before = listing(made.folder)
    yield made
    for path in made.folder.iterdir():
        if path.name not in before:
            path.unlink()
    assert listing(made.folder) == before, "nothing that was there may change"


def test_key_capsule_and_side_file_never_share_a_name(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work.folder)
    work.folder.joinpath("dangling").symlink_to("nothing")
    work.folder.joinpath("link").symlink_to(work.folder)
    before = sorted(os.listdir(work.folder))
    for out, key_out in (("x2", "x2"), ("x1.dsc", "x1.dsc.leaves"), ("x2", "./x2"), ("x2", work.folder / "x2"),
                         ("x2", "link/x2"), ("x2", "dangling"), ("dangling", "x2"), ("x2", work.plain),
                         (work.plain, "x2"), ("x2", work.side)):  # fmt: skip
        work.desk.refused(*work.sealing(work.plain, "--out", out, "--key-out", key_out), status=2)
        assert sorted(os.listdir(work.folder)) == before
    work.folder.joinpath("late").write_bytes(b"late")
    said = work.desk.refused(*work.sealing("late", "--key-out", "late.dsc"), status=2)
    assert "out and key-out would be the same file" in said
    said = work.desk.refused(*work.sealing("late", "--key-out", "late.dsc.leaves"), status=2)
    assert "key-out and side-file" in said
    assert sorted(os.listdir(work.folder)) == sorted([*before, "late"])


def test_opening_takes_the_place_of_nothing(work: Work) -> None:
    fifo = work.folder / "fifo"
    os.mkfifo(fifo)
    for out in (work.plain, "/dev/null", "/dev/stdout", fifo, work.folder):
        work.desk.refused("open", work.capsule, "--key", work.key, "--out", out, status=2)
    assert fifo.is_fifo()
    draft = work.folder / ".opened.abcd_123.part"
    draft.write_bytes(b"plaintext of a process that was killed")
    work.desk.run("open", work.capsule, "--key", work.key, "--out", work.folder / "opened")
    assert not draft.exists()
    assert (work.folder / "opened").read_bytes() == PLAINTEXT


def test_a_stream_is_sealed_into_a_stream_and_opened_from_it(work: Work) -> None:
    key, side = work.folder / "new.key", work.folder / "new.leaves"
    words = work.sealing("-", "--size", len(PLAINTEXT), "--out", "-", "--key-out", key, "--side-out", side, "--json")
    result = work.piped(PLAINTEXT, *words)
    capsule = result.stdout_bytes
    told = json.loads(result.stderr)
    assert (told["capsule"], told["bytes"]) == ("-", len(capsule))
    assert json.loads(key.read_bytes())["capsule_root"] == told["root"]
    verified = work.piped(capsule, "verify", "-", "--root", told["root"], "--json")
    assert json.loads(verified.stdout)["verified"] == "chain"
    provider = ("--signer-key", work.desk.keystore.signer.public_key.hex(), "--chain-id", CHAIN_ID,
                "--directory", DIRECTORY)  # fmt: skip
    verified = work.piped(capsule, "verify", "-", *provider, "--side", side, "--json")
    assert json.loads(verified.stdout)["verified"] == "signature"
    assert work.piped(capsule, "open", "-", "--key", key, "--side", side, "--out", "-").stdout_bytes == PLAINTEXT
    out = work.folder / "opened"
    work.piped(capsule, "open", "-", "--key", key, "--out", out)
    assert out.read_bytes() == PLAINTEXT
    file = work.folder / "new.dsc"
    file.write_bytes(capsule)
    assert work.piped(b"", "open", file, "--key", key, "--out", "-").stdout_bytes == PLAINTEXT
    assert work.piped(b"", "open", file, "--key", key, "--range", "5:7", "--out", "-").stdout_bytes == PLAINTEXT[5:7]
    assert json.loads(work.piped(capsule, "inspect", "-", "--json").stdout)["plaintext_size"] == len(PLAINTEXT)


def test_streams_that_can_not_be_checked_or_sized_are_refused(work: Work) -> None:
    key = work.folder / "new.key"
    for words, sentence in (
        (work.sealing("-", "--out", "-", "--key-out", key), "--size"),
        (work.sealing("-", "--size", 5, "--key-out", key), "--out"),
        (work.sealing("-", "--size", 5, "--out", "-", "--key-out", "-"), "only --out can be -"),
        (work.sealing("-", "--size", len(PLAINTEXT) + 1, "--out", "-", "--key-out", key), "fewer than"),
        (work.sealing("-", "--size", len(PLAINTEXT) - 1, "--out", "-", "--key-out", key), "more than"),
        (work.sealing(work.folder, "--key-out", key), "is a folder"),
    ):
        assert sentence in work.piped(PLAINTEXT, *words, status=2).stderr
        assert not key.exists()
    data = work.capsule.read_bytes()
    for more, sentence in (
        (["--out", "-"], "--side"),
        (["--out", work.folder / "opened", "--range", "0:5"], "range"),
    ):
        result = work.piped(data, "open", "-", "--key", work.key, *more, status=2)
        assert sentence in result.stderr
        assert result.stdout_bytes == b""
    assert "--resume" in work.piped(data, "verify", "-", "--resume", work.folder / "state", status=2).stderr


def test_a_capsule_that_ends_early_on_a_pipe_lacks_its_last_piece(work: Work) -> None:
    """When the key can't be written, no whole capsule may have left."""
    words = work.sealing("-", "--size", len(PLAINTEXT), "--out", "-", "--key-out", "/proc/nowhere/key")
    result = work.piped(PLAINTEXT, *words, status=2)
    assert 0 < len(result.stdout_bytes) < work.capsule.stat().st_size


def test_no_plaintext_of_a_changed_chunk_leaves(work: Work) -> None:
    at = work.capsule.stat().st_size - 5 * (CHUNK + 16)
    out = work.folder / "opened"
    for data in (work.spoilt(at), work.spoilt(-1), work.capsule.read_bytes()[:-1], work.capsule.read_bytes() + b"x"):
        streamed = work.piped(data, "open", "-", "--key", work.key, "--side", work.side, "--out", "-", status=3)
        assert PLAINTEXT.startswith(streamed.stdout_bytes)
        assert len(streamed.stdout_bytes) < len(PLAINTEXT)
        work.piped(data, "open", "-", "--key", work.key, "--out", out, status=3)
        assert not out.exists()


def test_a_stream_with_another_root_leaves_no_file(work: Work) -> None:
    """The signature inside is bound by the root alone: every chunk opens, and still nothing is placed."""
    header_end = work.capsule.stat().st_size - len(PLAINTEXT) - 16 * -(-len(PLAINTEXT) // CHUNK)
    data = work.spoilt(header_end - 60 - 20)  # inside the signature, before the slot of 60 bytes
    out = work.folder / "opened"
    result = work.piped(data, "open", "-", "--key", work.key, "--out", out, status=3)
    assert "does not open" in result.stderr
    assert not out.exists()


def test_verifying_without_root_and_key_compares_with_the_side_file_and_says_what_that_is_worth(work: Work) -> None:
    told = work.desk.run("verify", work.capsule)
    assert told["verified"] == "header only"
    assert told["note"].endswith("this says nothing of who made it")
    copy, side = work.folder / "copy.dsc", work.folder / "copy.dsc.leaves"
    copy.write_bytes(work.spoilt(-1))
    assert "side_file" not in work.desk.run("verify", copy)
    side.write_bytes(work.side.read_bytes())
    assert "its chunk 25 is another" in work.desk.refused("verify", copy)
    copy.write_bytes(work.capsule.read_bytes())
    side.write_bytes(b"nothing of the kind")
    assert "is no side file of this capsule" in work.desk.refused("verify", copy)
    assert work.desk.run("verify", copy, "--side", work.side)["side_file"].endswith(str(work.side))
    assert work.desk.run("verify", copy, "--root", work.root)["verified"] == "chain"


def test_a_state_is_neither_another_file_nor_outlives_a_change(work: Work) -> None:
    notes = work.folder / "notes.txt"
    notes.write_text("mine")
    said = work.desk.refused("verify", work.capsule, "--resume", notes, status=2)
    assert "is not the state of this check; name another file" in said
    assert "remove" not in said
    assert notes.read_text() == "mine"
    copy, state = work.folder / "copy.dsc", work.folder / "state"
    copy.write_bytes(work.capsule.read_bytes())
    about = copy.stat()
    head = {"kind": "dataspace/verification", "version": 1, "bytes": about.st_size, "modified_ns": about.st_mtime_ns,
            "changed_ns": about.st_ctime_ns, "file": about.st_ino}  # fmt: skip
    state.write_text(json.dumps(head) + "\n")
    state.chmod(0o600)
    time.sleep(0.05)  # the clock of a file system ticks a hundred times a second
    with copy.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")
    os.utime(copy, ns=(about.st_atime_ns, about.st_mtime_ns))
    said = work.desk.refused("verify", copy, "--resume", state, status=2)
    assert "this one changed since" in said


def test_policies_of_others_and_open_key_stores_are_refused(work: Work, tmp_path: Path) -> None:
    other = Desk.at(tmp_path / "other", 8)
    policy = work.folder / "theirs.json"
    policy.write_bytes(encode(offer(asset=ASSET, provider=other.provider)))
    words = ["seal", work.plain, "--policy", policy, "--asset", ASSET, "--out", work.folder / "new.dsc",
             "--key-out", work.folder / "new.key"]  # fmt: skip
    assert "its assigner is" in work.desk.refused(*words)
    other.run(*words)
    (other.home / "keystore.json").chmod(0o640)
    words[words.index("--out") + 1] = work.folder / "another.dsc"
    words[words.index("--key-out") + 1] = work.folder / "another.key"
    assert "chmod 600" in other.refused(*words, status=2)
    assert not (work.folder / "another.key").exists()
