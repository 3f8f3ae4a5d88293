"""Bundles from whoever wishes a court or its machine ill: each ends in a verdict or in one sentence, soon and small."""

from __future__ import annotations

import copy
import json
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from audit.bundle import MAX_BYTES, bundle
from audit.checkpoints import build_checkpoint
from audit.errors import BundleError
from audit.trail import subject
from audit.trust import Trust
from audit.verdict import check, consistent
from capsule import canonical
from capsule.digest import tagged
from capsule.errors import InputError
from contracts import events as ev
from scripts.cli.exits import EXIT_REFUSED, exit_status
from tests.audit.auditing import caught_up, read_only
from tests.audit.signing import sign, trust_of
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History

Document = dict[str, Any]
Place = tuple[Any, ...]

ROOT = Path(__file__).parents[2]
FLIPS, CUTS, MUTATIONS = 2_000, 300, 250
MEMORY = 1_500 * 1024 * 1024
SECONDS = 60
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**53 - 1,
    "",
    "0x",
    "use",
    "1" * 78,
    "\x00\x1b[31m\u202e",
    "0x" + "ff" * 32,
    [],
    {},
    [[]],
)


@pytest.fixture(scope="module")
def trust(space: DataSpace) -> Trust:
    return trust_of(space)


@pytest.fixture(scope="module")
def evidence(space: DataSpace, honest: History) -> bytes:
    """Of a device, with the chain's proofs."""
    index = caught_up(space)
    about = subject("device", str(honest.first(ev.DeviceEnrolled).device))
    from_owners = {"checkpoint": sign(space, build_checkpoint(index)), "ledger": read_only(space)}
    return bundle(index, about, _Served(space), **from_owners).content  # type: ignore[arg-type]


class _Served:
    """What the data space's participants serve."""

    def __init__(self, space: DataSpace) -> None:
        self._documents = space.documents

    def fetch(self, reference: Any) -> bytes | None:
        return self._documents.get((reference.kind, bytes(reference.key)))


def written(document: Document) -> bytes:
    """The bundle with its digest made to fit."""
    content = {name: value for name, value in document.items() if name != "digest"}
    return canonical.encode({**content, "digest": str(tagged("bundle", canonical.encode(content)))})


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    if place:
        yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*place, key))


def around(document: Document, place: Place) -> Any:
    inside: Any = document
    for key in place[:-1]:
        inside = inside[key]
    return inside


def test_bundle_holds_as_it_was_made(evidence: bytes, trust: Trust) -> None:
    verdict = check(evidence, trust)

    assert (verdict.holds, verdict.anchor, verdict.findings) == (True, "checkpoint", ())
    assert written(canonical.decode(evidence)) == evidence  # type: ignore[arg-type]


def test_any_of_thousands_of_changed_bytes_is_found(evidence: bytes, trust: Trust) -> None:
    picks = random.Random(1)
    for _ in range(FLIPS):
        changed = bytearray(evidence)
        changed[picks.randrange(len(evidence))] ^= picks.randrange(1, 256)
        with pytest.raises(BundleError):
            check(bytes(changed), trust)


def test_any_cut_insertion_or_moved_piece_is_found(evidence: bytes, trust: Trust) -> None:
    picks = random.Random(2)
    for _ in range(CUTS):
        first, last = sorted(picks.sample(range(len(evidence)), 2))
        piece = picks.randbytes(picks.randrange(1, 9))
        for changed in (
            evidence[:first],
            evidence[:first] + evidence[last:],
            evidence[:first] + piece + evidence[first:],
            evidence[first:] + evidence[:first],
        ):
            if changed != evidence:
                with pytest.raises(BundleError):
                    check(changed, trust)


def test_member_that_nobody_reads_is_found_wherever_it_stands(evidence: bytes, trust: Trust) -> None:
    """Only a checkpoint may have more than is read of it: its signatures cover that."""
    document: Any = canonical.decode(evidence)
    objects = {()} | {place for place in places(document) if isinstance(around(document, (*place, 0)), dict)}
    kinds: dict[Any, Place] = {}
    for place in sorted(objects, key=str):
        kinds.setdefault(tuple(part for part in place if isinstance(part, str)), place)
    assert len(kinds) > 10
    for place in kinds.values():
        changed = copy.deepcopy(document)
        around(changed, (*place, "x"))["unread"] = "evidence"
        if place[:2] == ("checkpoint", "checkpoint"):
            with suppress(BundleError):
                assert not check(written(changed), trust).holds
            continue
        with pytest.raises(BundleError):
            check(written(changed))


@pytest.mark.parametrize("name", ["documents", "logs", "signatures"])
def test_members_that_are_swapped_or_there_twice_are_refused(evidence: bytes, trust: Trust, name: str) -> None:
    document: Any = canonical.decode(evidence)
    lists: dict[str, Callable[[Any], list[Any]]] = {
        "documents": lambda told: told["documents"],
        "logs": lambda told: told["logs"]["Participants"],
        "signatures": lambda told: told["checkpoint"]["signatures"],
    }
    swapped, twice = copy.deepcopy(document), copy.deepcopy(document)
    members = lists[name](swapped)
    members[0], members[1] = members[1], members[0]
    lists[name](twice).insert(1, lists[name](twice)[0])
    for changed in (twice,) if name == "signatures" else (twice, swapped):
        try:
            verdict = check(written(changed), trust)
        except BundleError:
            continue
        assert not verdict.holds


def mutated(document: Document, picks: random.Random, every: list[Place]) -> Document:
    """One change somewhere, of any kind."""
    changed = copy.deepcopy(document)
    place = picks.choice(every)
    inside, key = around(changed, place), place[-1]
    value = inside[key]
    match picks.randrange(5):
        case 0:
            del inside[key]
        case 1 if isinstance(value, str) and value.startswith("0x") and len(value) > 4:
            at = picks.randrange(2, len(value))
            inside[key] = f"{value[:at]}{picks.choice('0123456789abcdef')}{value[at + 1 :]}"
        case 2 if isinstance(value, str) and value.startswith("0x"):
            inside[key] = value[: 2 + 2 * picks.randrange(len(value) // 2)] + "ff" * picks.randrange(70)
        case 3 if isinstance(value, int):
            inside[key] = value + picks.choice((-1, 1, 2**40))
        case _:
            inside[key] = picks.choice(STRANGE)
    return changed


@pytest.mark.parametrize("trusting", [True, False])
def test_whatever_a_forger_retells_is_told_or_refused(evidence: bytes, trust: Trust, trusting: bool) -> None:
    """The file's own digest fits: nothing but a verdict or a refusal may come of it, and under T no false one."""
    document: Any = canonical.decode(evidence)
    every, picks = [place for place in places(document) if place[0] != "digest"], random.Random(3)
    told = 0
    for _ in range(MUTATIONS):
        changed = mutated(document, picks, every)
        try:
            data = written(changed)
            verdict = check(data, trust if trusting else None)
        except (BundleError, InputError):
            continue
        assert verdict.lines()
        assert canonical.encode(verdict.to_json())
        # who leaves out the chain's proofs or a whole document shows less, and nothing false
        less = changed["proof"] is None or len(changed["documents"]) < len(document["documents"])
        assert changed == document or less or not trusting or not verdict.holds
        told += 1
    assert told > 20


def test_statement_of_a_gateway_that_set_no_keys_accuses_nobody(evidence: bytes) -> None:
    """The events that set keys are gone, the device's statement with its receipts is still there."""
    document: Any = canonical.decode(evidence)
    logs = document["logs"]["Participants"]
    keys_set = max(logs, key=lambda log: sum(other["topics"][0] == log["topics"][0] for other in logs))["topics"][0]
    document["logs"]["Participants"] = [log for log in logs if log["topics"][0] != keys_set]

    verdict = check(written(document))

    assert not verdict.holds


@pytest.mark.parametrize("unforeseen", [KeyError("Access"), ValueError("x"), TypeError("x"), AttributeError("x")])
def test_error_that_nobody_foresaw_in_a_bundle_is_the_bundles(unforeseen: Exception) -> None:
    with pytest.raises(BundleError, match="contradicts itself") as refused, consistent():
        raise unforeseen

    assert exit_status(refused.value) == EXIT_REFUSED


def nested(size: int) -> str:
    """RLP lists around each other, in hex."""
    inner = b"\x80"
    while len(inner) < size:
        length = len(inner)
        size_bytes = length.to_bytes((length.bit_length() + 7) // 8, "big")
        inner = (bytes([0xC0 + length]) if length < 56 else bytes([0xF7 + len(size_bytes)]) + size_bytes) + inner
    return "0x" + inner.hex()


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda evidence: b"",
    "deep lists": lambda evidence: b"[" * 50_000_000,
    "deep objects": lambda evidence: b'{"a":' * 10_000_000,
    "many empty lists": lambda evidence: b"[" + b"[]," * 20_000_000 + b"[]]",
    "one long number": lambda evidence: b"9" * 50_000_000,
    "a name twice": lambda evidence: b'{"kind":"dataspace/bundle",' + evidence[1:],
    "no text": lambda evidence: b"\xff" * 1_000_000,
    "too large": lambda evidence: b" " * (MAX_BYTES + 1),
    "nested header": lambda evidence: _with(evidence, lambda told: told["proof"].update(header=nested(120_000))),
    "nested nodes": lambda evidence: _with(
        evidence,
        lambda told: told["proof"]["contracts"]["Devices"].update(account_proof=[nested(120_000)] * 64),
    ),
    "control characters": lambda evidence: _with(evidence, lambda told: told["subject"].update(id="\x1b[2J\u202e\n0x")),
}


def _with(evidence: bytes, edit: Callable[[Document], None]) -> bytes:
    document: Any = canonical.decode(evidence)
    edit(document)
    return written(document)


def _small() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_ends_in_one_sentence_soon_and_small(evidence: bytes, tmp_path: Path, name: str) -> None:
    """As a court's expert runs it, in a process that gets no more memory than a laptop has to spare."""
    file = tmp_path / "bundle"
    file.write_bytes(BOMBS[name](evidence))
    command = [sys.executable, "-m", "scripts.main", "audit", "check", str(file)]

    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False, preexec_fn=_small
    )

    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    if not done.stdout:  # nothing that reads
        assert len(done.stderr.strip().splitlines()) == 1
    else:
        assert done.stdout.splitlines()[-1].startswith("verdict on ")
        assert "does not hold" in done.stdout


def test_expert_needs_neither_network_nor_home(evidence: bytes, trust: Trust, tmp_path: Path) -> None:
    """In a namespace without network, where the machine lets one be made."""
    prefix = ["unshare", "--net", "--map-root-user", "--user"]
    try:
        able = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip("this machine makes no network namespaces")
    file, keys = tmp_path / "bundle", tmp_path / "trust.json"
    file.write_bytes(evidence)
    keys.write_bytes(trust.to_bytes())
    command = [*prefix, sys.executable, "-m", "scripts.main", "audit", "check", str(file), "--trust", str(keys)]

    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)

    told = json.loads(done.stdout)
    assert (done.returncode, told["holds"], told["anchor"]) == (0, True, "checkpoint")
    assert all(step["detail_zh"] for step in told["steps"])
