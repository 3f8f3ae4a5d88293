"""The regulator's commands on a home of its own: rebuild, prove, check, serve and stop."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from typer.testing import CliRunner

from node.keystore import create_keystore
from node.settings import Settings, render_settings
from scripts.main import build_app
from tests.sim.dataspace import DataSpace, Offered

Run = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Offered]:
    """A home whose embedded chain has one finished use, and what was offered."""
    home = tmp_path_factory.mktemp("home")
    space = DataSpace(home / "chain")
    offer = space.offer(space.register())
    (opened,) = space.open(space.grant(offer))
    space.release(opened, 0, 1, 2, 3)
    space.complete(opened)
    for (kind, key), content in space.documents.items():
        path = home / "papers" / kind / f"0x{key.hex()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    pin = space.operator.pin
    space.close()
    settings = Settings(chain_id=pin.chain_id, genesis_hash=pin.genesis_hash, directory=pin.directory)
    home.joinpath("dataspace.toml").write_text(render_settings(settings))
    return home, offer


@pytest.fixture
def run(offered: tuple[Path, Offered]) -> Run:
    def called(*words: object, status: int | None = 0, plain: bool = False) -> dict[str, Any]:
        words = ("audit", *words) if plain else ("audit", *words, "--json")
        environment = {"DATASPACE_HOME": str(offered[0])}
        result = CliRunner().invoke(build_app("audit"), list(map(str, words)), env=environment)
        assert status in (None, result.exit_code), result.output
        if plain:
            return {"text": result.stdout}
        content: dict[str, Any] = json.loads(result.stdout) if result.stdout else {"error": result.stderr}
        return content

    return called


def test_evidence_carries_the_chains_proofs_and_is_told_in_both_languages(
    offered: tuple[Path, Offered], run: Run, tmp_path: Path
) -> None:
    home, offer = offered
    run("rebuild")
    file, trust, bare = tmp_path / "evidence", tmp_path / "trust.json", tmp_path / "bare"
    assert run("trust", "--out", trust)["validators"] == []
    subject = ("--asset", offer.pin.asset, "--documents", home / "papers")
    run("bundle", *subject, "--out", file, "--trust", trust)
    missing = run("bundle", *subject, "--out", bare, "--no-proofs")["missing"]
    told = run("bundle", *subject[:2], "--no-proofs", "--out", tmp_path / "empty", plain=True)["text"]

    assert missing["documents"] == sum(one["documents"] for one in missing["from"]) < 5
    assert re.search(r"Missing from the bundle: \d+ documents.* of 0x\w{40} \(https://\S+\.example\)", told)
    assert "所引用的材料中缺少文书" in told
    assert json.loads(file.read_bytes())["proof"]["blocks"]
    assert json.loads(bare.read_bytes())["proof"]["blocks"] == []
    verdict = run("check", file, status=None)
    assert (verdict["anchor"], verdict["holds"]) == ("unanchored", True)
    assert [step["title"] for step in verdict["steps"]][-2:] == ["the receipts", "the rules"]
    told = run("check", file, plain=True, status=1 if verdict["findings"] else 0)["text"]
    assert "交易收据证明" in told
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    file.write_bytes(changed)
    assert "bundle" in run("check", file, status=3)["error"]


def test_service_follows_the_chain_and_stops_in_order(offered: tuple[Path, Offered], run: Run) -> None:
    home, _ = offered
    whole = run("rebuild")
    (home / "audit.db").unlink()
    command = [sys.executable, "-m", "scripts.main", "audit", "serve", "--port", "0", "--seconds", "0.2"]
    environment = {**os.environ, "DATASPACE_HOME": str(home)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().split()[-1]
            found = {"block": None}
            deadline = time.monotonic() + 60
            while found["block"] is None:
                assert time.monotonic() < deadline
                time.sleep(0.1)
                found = httpx.get(f"{url}/healthz").json()
            report = httpx.get(f"{url}/v1/report").json()
            page = httpx.get(url, headers={"accept-language": "zh"}).text
            long = [_long_search(url, language) for language in ("en", "zh")]
            assert "another process" in run("rebuild", status=2)["error"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()

    assert report["digest"] == whole["digest"]
    assert f"<code>{whole['digest']}</code>" in page
    assert [status for status, _ in long] == [414, 414]
    assert "The address is too long." in long[0][1]
    assert "地址过长。" in long[1][1]
    assert run("rebuild") == whole


def test_auditor_loads_no_engine_of_a_node(offered: tuple[Path, Offered], run: Run) -> None:
    """What runs others' algorithms is not the auditor's, costs it memory, and is noisy at exit."""
    run("rebuild")
    program = (
        "import sys\nfrom scripts.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, 1), end.code\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'duckdb', 'wasmtime', 'sqlglot'}))"
    )
    for words in (
        ("verify", "--documents", offered[0] / "papers"),
        ("rebuild",),
        ("trail", "asset", offered[1].pin.asset),
    ):
        command = [sys.executable, "-c", program, "audit", *map(str, words), "--json"]
        environment = {**os.environ, "DATASPACE_HOME": str(offered[0])}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"
        assert "leaked" not in done.stderr


def test_checkpoint_that_nothing_counts_is_refused_and_a_strangers_signature_told(
    offered: tuple[Path, Offered], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = offered
    run("rebuild")
    monkeypatch.setenv("DATASPACE_PASSPHRASE", "correct horse battery")
    if not (home / "keystore.json").exists():
        create_keystore(home / "keystore.json", "correct horse battery", secrets.token_bytes)
    file = tmp_path / "checkpoint.json"

    signed = run("checkpoint", "--out", file)
    told = CliRunner().invoke(
        build_app("audit"), ["audit", "checkpoint", "--out", str(file)], env={"DATASPACE_HOME": str(home)}
    )

    assert (signed["admitted"], len(signed["signatures"])) == (False, 1)
    assert "never admitted" in told.stderr
    assert "从未在本账本准入" in told.stderr
    for words in (("verify", "--checkpoint", file), ("serve", "--port", "0", "--checkpoint", file)):
        command = ["audit", *map(str, words)]
        refused = CliRunner().invoke(build_app("audit"), command, env={"DATASPACE_HOME": str(home)})
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "--trust" in refused.stderr


@pytest.mark.parametrize("command", ["verify", "bundle", "serve"])
def test_folder_of_documents_that_is_not_there_is_refused(
    offered: tuple[Path, Offered], run: Run, tmp_path: Path, command: str
) -> None:
    home, offer = offered
    run("rebuild")
    out = tmp_path / "evidence"
    more = {"verify": (), "bundle": ("--asset", offer.pin.asset, "--out", out), "serve": ("--port", "0")}[command]
    for folder in (tmp_path / "typo", home / "dataspace.toml"):
        words = ["audit", command, "--documents", str(folder), *map(str, more)]
        refused = CliRunner().invoke(build_app("audit"), words, env={"DATASPACE_HOME": str(home)})
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "--documents" in refused.stderr
    assert not out.exists()


def test_draft_of_a_trust_file_takes_no_files_place(run: Run, tmp_path: Path) -> None:
    run("rebuild")
    curated = tmp_path / "trust.json"
    curated.write_bytes(b"compared with every owner")

    assert "is there already" in run("trust", "--out", curated, status=2)["error"]
    assert "its folder is not" in run("trust", "--out", tmp_path / "typo" / "trust.json", status=2)["error"]

    assert curated.read_bytes() == b"compared with every owner"
    assert list(tmp_path.iterdir()) == [curated]


def test_index_past_the_block_asked_for_is_refused_and_stays(offered: tuple[Path, Offered], run: Run) -> None:
    home, _ = offered
    whole = run("rebuild")
    early = whole["block"] - 5

    refused = run("rebuild", "--block", early, status=2)["error"].replace("\n", " ")

    assert f"at block {whole['block']} already; --afresh builds it up to {early}" in refused
    assert run("rebuild", "--block", whole["block"]) == whole
    assert run("rebuild", "--afresh", "--block", early)["block"] == early
    assert run("rebuild") == whole
    assert not (home / "audit.db.new").exists()


@pytest.mark.parametrize("block", [0, 3])
def test_block_before_the_ledger_was_there_is_told_and_leaves_nothing(
    offered: tuple[Path, Offered], run: Run, tmp_path: Path, block: int
) -> None:
    home, _ = offered
    run("rebuild")
    before, left = (home / "audit.db").read_bytes(), sorted(home.iterdir())
    for words in (
        ("rebuild", "--block", block),
        ("rebuild", "--afresh", "--block", block),
        ("part", tmp_path / "part", "--from-block", 0, "--block", block),
    ):
        assert f"not there yet at block {block}" in run(*words, status=2)["error"].replace("\n", " ")
    assert list(tmp_path.iterdir()) == []
    assert (home / "audit.db").read_bytes() == before
    (home / "audit.db").unlink()
    run("rebuild", "--block", block, status=2)
    assert sorted(home.iterdir()) == [path for path in left if path.name != "audit.db"]


@pytest.mark.parametrize("option", ["--seconds", "--poll-seconds"])
@pytest.mark.parametrize("value", ["inf", "nan", "1e9", "-inf"])
def test_seconds_that_are_no_time_are_refused(option: str, value: str) -> None:
    result = CliRunner().invoke(build_app("audit"), ["audit", "serve", f"{option}={value}", "--port", "0"])

    assert result.exit_code == 2
    assert option in result.stderr


def test_users_of_a_home_that_is_not_there_are_not_told(run: Run, tmp_path: Path) -> None:
    typo = tmp_path / "typo"

    for words in (("list",), ("remove", "li.na")):
        assert "there is no home" in run("user", *words, "--home", typo, status=2)["error"]
    assert not typo.exists()


def test_long_work_says_nothing_off_a_terminal(offered: tuple[Path, Offered], run: Run, tmp_path: Path) -> None:
    block = run("rebuild")["block"]
    for words in (
        ("rebuild", "--afresh"),
        ("part", tmp_path / "part", "--from-block", 0, "--block", block),
        ("join", tmp_path / "part"),
    ):
        environment = {"DATASPACE_HOME": str(offered[0])}
        result = CliRunner().invoke(build_app("audit"), ["audit", *map(str, words)], env=environment)
        assert (result.exit_code, result.stderr) == (0, "")


def test_auditor_without_network_accuses_nobody(offered: tuple[Path, Offered], run: Run, tmp_path: Path) -> None:
    run("rebuild")
    empty = tmp_path / "documents"
    empty.mkdir()

    assert "check this machine's network" in run("verify", status=4)["error"].replace("\n", " ")
    assert run("verify", "--documents", empty, status=1)["findings"]


TYPED = {
    "no terminal": (None, "is needed"),
    "Ctrl-D": (b"\x04", "was typed"),
    "Ctrl-C": (b"\x03", "was typed"),
}


@pytest.mark.parametrize("keys", TYPED)
@pytest.mark.parametrize(
    ("words", "what"),
    [(("user", "add", "bob"), "password"), (("checkpoint", "--out", "checkpoint.json"), "passphrase")],
)
def test_prompt_that_nobody_answers_ends_in_one_sentence(
    offered: tuple[Path, Offered], run: Run, tmp_path: Path, words: tuple[str, ...], what: str, keys: str
) -> None:
    run("rebuild")
    home, (sent, told) = offered[0], TYPED[keys]
    command = [sys.executable, "-m", "scripts.main", "audit", *words]
    environment = {name: value for name, value in os.environ.items() if name != "DATASPACE_PASSPHRASE"}
    environment |= {"DATASPACE_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "dumb"}
    if sent is None:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        status, output = done.returncode, done.stdout + done.stderr
    else:
        status, output = _at_terminal(command, tmp_path, environment, sent)

    lines = [line for line in output.decode().replace("\r", "").splitlines() if line.startswith("dataspace: ")]
    assert (status, len(lines)) == (2, 1), output
    assert f"{what} {told}" in lines[0]
    assert b"Traceback" not in output
    assert list(tmp_path.iterdir()) == []
    assert not (home / "audit-users.json").exists()


def _at_terminal(command: list[str], folder: Path, environment: dict[str, str], keys: bytes) -> tuple[int, bytes]:
    """Types keys once the command prompts; its exit status, and all that the terminal showed."""
    terminal, own = pty.openpty()
    process = subprocess.Popen(command, cwd=folder, env=environment, preexec_fn=lambda: os.login_tty(own))  # noqa: PLW1509
    os.close(own)
    shown = b""
    with suppress(OSError):  # the end of what a terminal shows
        while part := os.read(terminal, 4096):
            shown += part
            if keys and shown.rstrip().endswith(b":"):
                # typed before the prompt has set the terminal up, it would be lost
                time.sleep(0.2)
                os.write(terminal, keys)
                keys = b""
    os.close(terminal)
    return process.wait(60), shown


def test_full_disk_is_told_in_one_sentence_and_the_old_index_stays(offered: tuple[Path, Offered], run: Run) -> None:
    home, _ = offered
    whole = run("rebuild")
    command = [sys.executable, "-m", "scripts.main", "audit", "rebuild", "--afresh"]
    environment = {**os.environ, "DATASPACE_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "300"}

    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, preexec_fn=_little_disk
    )

    told = [line for line in done.stderr.splitlines() if line]
    assert (done.returncode, len(told)) == (2, 1), done.stderr
    assert "the disk is full" in told[0]
    assert "free space" in told[0]
    assert run("rebuild") == whole


def _little_disk() -> None:
    """No file of this process may grow further."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def _long_search(url: str, language: str) -> tuple[int, str]:
    """A search for 20,000 characters: status and page. httpx makes no such address."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
    with closing(connection):
        connection.request("GET", "/search?q=" + quote("电" * 20_000), headers={"accept-language": language})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_parts_are_joined_into_the_index_of_a_rebuild(offered: tuple[Path, Offered], run: Run, tmp_path: Path) -> None:
    home, _ = offered
    whole = run("rebuild", "--afresh")
    first, second, middle = tmp_path / "first", tmp_path / "second", whole["block"] // 2
    run("part", second, "--from-block", middle + 1, "--block", whole["block"])
    assert run("part", first, "--from-block", 0, "--block", middle)["block"] == middle

    assert "block 0" in run("join", second, status=2)["error"]
    assert "no part at" in run("join", first, tmp_path / "third", status=2)["error"]
    assert not (tmp_path / "third").exists()
    (home / "audit.db").unlink()
    joined = run("join", second, first)
    again = run("rebuild")

    assert joined == {"events": whole["events"], "block": whole["block"], "parts": 2}
    assert again == whole


def test_users_come_and_go_and_the_last_one_stays(offered: tuple[Path, Offered], run: Run, tmp_path: Path) -> None:
    home, _ = offered
    password = tmp_path / "password"
    password.write_text("correct horse battery\n")
    given = ("--password-file", password)

    assert run("user", "add", "li.na", *given) == {"user": "li.na", "role": "viewer"}
    assert run("user", "add", "zhang.wei", "--role", "auditor", *given)["role"] == "auditor"
    assert [user["name"] for user in run("user", "list")["users"]] == ["li.na", "zhang.wei"]
    assert (home / "audit-users.json").stat().st_mode & 0o777 == 0o600
    assert b"horse" not in (home / "audit-users.json").read_bytes()
    assert run("user", "remove", "li.na") == {"removed": "li.na"}
    assert "last user" in run("user", "remove", "zhang.wei", status=2)["error"]
    assert "no user li.na" in run("user", "remove", "li.na", status=2)["error"]
    password.write_text("short")
    assert "12" in run("user", "add", "li.na", *given, status=2)["error"]
    (home / "audit-users.json").unlink()


@pytest.mark.parametrize("asked", [("--host", "192.0.2.1"), ("--behind-proxy",)])
def test_pages_without_users_are_for_this_machine_only(offered: tuple[Path, Offered], asked: tuple[str, ...]) -> None:
    command = ["audit", "serve", "--port", "0", *asked]

    result = CliRunner().invoke(build_app("audit"), command, env={"DATASPACE_HOME": str(offered[0])})

    assert result.exit_code == 2
    assert "dataspace audit user add NAME" in result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("urls", "told"),
    [(["http://127.0.0.1:9"], "does not answer"), (["http://127.0.0.1:9"] * 2, "fewer than 2 endpoints")],
)
def test_endpoints_given_by_hand_stand_in_place_of_the_homes(
    offered: tuple[Path, Offered], run: Run, urls: list[str], told: str
) -> None:
    before = run("rebuild")
    options = [part for url in urls for part in ("--chain-url", url)]
    assert told in run("rebuild", "--afresh", *options, status=4)["error"]
    assert run("rebuild", "--workers", "3") == before
