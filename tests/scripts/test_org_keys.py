"""An organisation's keys through its commands: a service whose memory is guarded, rotation while it serves, backup."""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsule.errors import CapsuleError
from capsule.ids import Uscc
from capsule.signature import SM2
from capsule.vault import seal_vault
from node.errors import KeystoreError, PassphraseError
from node.keystore import KeyPair, NextKeys, create_keystore, open_keystore
from scripts.main import build_app
from tests.e2e.organisations import PASSPHRASE, Organisation

PROBE = """
import ctypes, json, os, resource, sys
from scripts.hardening import harden
if len(sys.argv) > 1 and os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
outcome = harden()
assert harden() == outcome
libc = ctypes.CDLL(None)
print(json.dumps({
    "core": resource.getrlimit(resource.RLIMIT_CORE), "dumpable": libc.prctl(3, 0, 0, 0, 0),
    "memory": outcome.memory, "said": [outcome.core_dumps, outcome.debuggers],
    "locked": [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmLck")][0],
}))
sys.stdout.flush()
os.abort()
"""

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")


@needs_linux
@pytest.mark.parametrize("limit", ["unlimited", "0"])
def test_a_process_that_opens_keys_is_dumped_nowhere_and_says_what_it_could_not_do(limit: str) -> None:
    """Unprivileged where limited, so that the limit is what decides."""
    words = "unprivileged" if limit == "0" else ""
    command = f"ulimit -c unlimited; ulimit -l {limit} 2>/dev/null; exec {sys.executable} -c '{PROBE}' {words}"
    root = Path(__file__).parents[2]
    ended = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGABRT, ended.stderr
    told = json.loads(ended.stdout)
    assert told["core"] == [0, 0]
    assert told["dumpable"] == 0
    assert told["said"] == ["off", "off"]
    if limit == "0":
        assert told["memory"].startswith("not locked: RLIMIT_MEMLOCK is 0 KiB")
        assert told["locked"] == "0"
    else:
        assert (told["memory"] == "locked") is (told["locked"] != "0")


def run(home: Path, *words: str, status: int = 0) -> dict[str, Any]:
    """A command of `dataspace org` in this process; its object, or its error sentence where `status` is not 0."""
    ended = CliRunner().invoke(
        build_app("org"), ["org", *words, "--home", str(home), "--json"], env={"DATASPACE_PASSPHRASE": PASSPHRASE}
    )
    assert ended.exit_code == status, ended.output
    return {"error": ended.stderr} if status else json.loads(ended.stdout)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    """One organisation that is operator, custodian and gateway on its own embedded chain."""
    folder = tmp_path_factory.mktemp("company")
    member = Organisation("company", folder / "home")
    member.account = run(member.home, "init", "--port", str(member.port))["account"]
    run(member.home, "deploy", "--pin", str(folder / "pin.json"))
    code = Uscc.make("9" + "".join(str(secrets.randbelow(10)) for _ in range(16)))
    run(member.home, "admit", member.account, "--uscc", str(code), "--role", "custodian", "--role", "gateway",
        "--funds", "0")  # fmt: skip
    run(member.home, "announce")
    try:
        yield member
    finally:
        member.stop()


def proc(pid: int, file: str, name: str) -> str:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(line.removeprefix(name).strip() for line in lines if line.startswith(name))


@needs_linux
def test_keys_rotate_and_are_backed_up_while_the_service_runs(company: Organisation, tmp_path: Path) -> None:
    home = company.home
    company.serve()
    assert company.service is not None
    pid = company.service.pid
    assert proc(pid, "limits", "Max core file size").split()[:2] == ["0", "0"]
    before = (home / "keystore.json").read_bytes()

    rotated = run(home, "rotate-keys", "--suite", str(SM2))
    assert (rotated["new"], rotated["suite"]) == (True, SM2)
    assert run(home, "rotate-keys") == {**rotated, "new": False}
    # keys that were stolen are replaced within the hour too
    now = str(int(time.time()))
    first, rotated = rotated, run(home, "rotate-keys", "--distrusted-from", now)
    assert (rotated["new"], rotated["distrusted_from"]) == (True, int(now))
    assert (rotated["suite"], rotated["box_key"] != first["box_key"]) == (SM2, True)
    assert (home / "keystore.json").read_bytes() != before
    backup = tmp_path / "company.backup"
    assert run(home, "backup", "--out", str(backup))["bytes"] == backup.stat().st_size
    assert "exists already" in run(home, "backup", "--out", str(backup), status=2)["error"]
    assert run(home, "forget-former-keys", "--keep-former-days", "0") == {"dropped": 2, "kept": 0}
    assert "another process uses" in run(home, "change-passphrase", status=2)["error"]
    company.service.send_signal(signal.SIGABRT)
    _, ended = os.waitpid(pid, 0)
    company.service.returncode = os.waitstatus_to_exitcode(ended)
    company.service = None
    assert os.WTERMSIG(ended) == signal.SIGABRT
    assert not os.WCOREDUMP(ended)

    # the same keys after the end, and the restored copy has them too
    run(home, "announce")
    copy = tmp_path / "copy"
    assert run(copy, "restore", str(backup))["account"] == company.account
    keys = [open_keystore(each / "keystore.json", PASSPHRASE, secrets.token_bytes) for each in (home, copy)]
    assert [each.box.public.hex() for each in keys] == [rotated["box_key"]] * 2
    assert "not empty" in run(copy, "restore", str(backup), status=2)["error"]
    new = tmp_path / "new-passphrase"
    new.write_text("quite another\n")
    run(copy, "change-passphrase", "--new-passphrase-file", str(new))
    assert open_keystore(copy / "keystore.json", "quite another", secrets.token_bytes).box.public == keys[0].box.public
    assert "no time" in run(home, "rotate-keys", "--distrusted-from", "soon", status=2)["error"]


def test_a_gateway_that_serves_is_stopped_before_its_keys_rotate(company: Organisation) -> None:
    before = (company.home / "keystore.json").read_bytes()
    company.serve("gateway")
    try:
        assert "no node's; stop it" in run(company.home, "rotate-keys", "--again", status=2)["error"]
    finally:
        company.stop()
    assert (company.home / "keystore.json").read_bytes() == before
    assert run(company.home, "rotate-keys", "--again")["new"]


def shown(secret: bytes) -> list[bytes]:
    """The ways in which a secret could stand in text or in a file."""
    plain = [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret).rstrip(b"=")]
    return [*plain, base64.urlsafe_b64encode(secret).rstrip(b"="), repr(secret).encode(), str(list(secret)).encode()]


def test_no_secret_shows_in_text_of_any_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "keystore.json"
    keystore = create_keystore(path, PASSPHRASE, secrets.token_bytes, SM2)
    following = NextKeys(KeyPair.draw(1, secrets.token_bytes), secrets.token_bytes(100), 0)
    keystore.prepare(following)
    keystore.promote(1)
    keystore.prepare(following)
    serving = keystore._serving.contents
    hidden = [serving.account, serving.vault, serving.current.signing, serving.current.box, serving.former[0].box]
    hidden += [following.transaction, keystore.lock.key.secret, keystore.account.private_key, keystore.box.secret]
    text = [f"{one!r} {one!s} {one}" for one in (
        keystore, serving, following, keystore.lock, keystore.vault, keystore.signer, keystore.box, keystore.account,
        keystore._serving, serving.current, serving.former, keystore.box.others,
    )]  # fmt: skip
    plaintext = json.dumps({"account": serving.account.hex(), "box": serving.current.box.hex(), "vault": "zz"}).encode()
    damaged = [b"{" + plaintext, plaintext, plaintext.replace(b'"zz"', b'"' + serving.vault.hex().encode() + b'"')]
    for number, content in enumerate(damaged):
        file = tmp_path / f"damaged-{number}.json"
        file.write_bytes(seal_vault(PASSPHRASE, content, secrets.token_bytes))
        text.append(trace(lambda file=file: open_keystore(file, PASSPHRASE, secrets.token_bytes), KeystoreError))
    text.append(trace(lambda: open_keystore(path, "wrong", secrets.token_bytes), PassphraseError))
    text.append(trace(lambda: keystore.box.open(bytes(99)), CapsuleError))
    text.append(trace(lambda: keystore.vault.open(bytes(99)), CapsuleError))
    text.append(trace(keystore.__reduce__, TypeError))
    text.append(trace(keystore.account.__reduce__, TypeError))
    text += [record.getMessage() for record in caplog.records]
    everything = "\n".join(text).encode() + path.read_bytes()
    for secret in hidden:
        assert not [form for form in shown(secret) if form in everything]


def trace(call: object, kind: type[Exception]) -> str:
    """The traceback of a call that fails, with its whole chain and everything that the errors hold."""
    try:
        call()  # type: ignore[operator]
    except kind as error:
        chain: list[BaseException] = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        held = [f"{one!r} {one.args} {vars(one)}" for one in chain]
        return "".join(traceback.format_exception(error)) + "\n".join(held)
    raise AssertionError(f"{kind.__name__} was not raised")


def test_commands_that_fail_say_no_secret(company: Organisation) -> None:
    keystore = open_keystore(company.home / "keystore.json", PASSPHRASE, secrets.token_bytes)
    hidden = (keystore.account.private_key, keystore.box.secret, keystore.vault.secret, PASSPHRASE.encode())
    said = [
        run(company.home, *words, status=status)["error"]
        for status, words in (
            (2, ("show", "0x00")),
            (2, ("admit", company.account, "--uscc", "1", "--role", "buyer")),
            (3, ("reinstate", company.account, "--reason", "it was never away")),
            (2, ("rotate-keys", "--suite", "9", "--again")),
            (2, ("rotate-keys", "--distrusted-from", "99999999999")),
        )
    ]
    environment = {**os.environ, "DATASPACE_PASSPHRASE": PASSPHRASE, "DATASPACE_HOST": "203.0.113.1"}
    serving = [sys.executable, "-X", "dev", "-m", "scripts.main", "node", "serve", "--home", str(company.home)]
    ended = subprocess.run(serving, capture_output=True, env=environment, check=False)
    assert ended.returncode != 0
    log = (company.home / "node.log").read_bytes()
    everything = "\n".join(said).encode() + ended.stdout + ended.stderr + log
    for secret in hidden:
        assert not [form for form in shown(secret) if form in everything]
