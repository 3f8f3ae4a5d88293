"""Coverage-guided fuzzing (atheris, libFuzzer) of every target, for some seconds in all.

    python -m tests.fuzz.fuzz_parsers [--seconds 60] [--target NAME] [--jobs N]

Modules are instrumented once; each target then runs in a process of its own. Ends with 1 when a target let through an
error that it does not document, hung, or took too much memory; what did it is kept in `fuzz-findings/`. Put such a file
into `tests/fuzz/corpus/NAME/`, where the tests run it for ever.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["capsule", "rfc8785", "cbor2", "node.runtime.module", "node.runtime.records"]):
    from tests.fuzz.targets import TARGETS, Target

FOUND: Final = Path("fuzz-findings")
KEPT: Final = Path(__file__).parent / "corpus"
MOST_BYTES: Final = 4096
SECONDS_AN_INPUT: Final = 10
WORDS: Final = (
    *(b"null", b"true", b"false", b"[]", b"{}", b"[[[[", b'""', b'"\\ud800"', b'"0x"', b"-1", b"-0", b"0.5", b"1e400"),
    *(b"2147483648", b"4294967296", b"9007199254740991", b"9007199254740992", b"18446744073709551616"),
    *(
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\x9f",
        b"\xbf",
        b"\xf6",
        b"\xfb\x7f\xf0\0\0\0\0\0\0",
        b"\x1b" + b"\xff" * 8,
    ),
)
MEMORY_MB: Final = 2048


def fuzz(target: Target, seconds: int, corpus: Path) -> None:
    """Runs one target and ends this process."""
    for number, seed in enumerate(target.seeds):
        corpus.joinpath(f"seed-{number}").write_bytes(seed)
    names = {name for seed in target.seeds for name in re.findall(rb'"[a-z_]{1,40}":', seed)}
    words = corpus.with_suffix(".dict")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in (*WORDS, *sorted(names))), encoding="ascii")
    kept = KEPT / target.name
    arguments = [
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-dict={words}",
        f"-timeout={SECONDS_AN_INPUT}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={FOUND}/{target.name}-",
        "-verbosity=0",
        "-print_final_stats=1",
        str(corpus),
        *([str(kept)] if kept.is_dir() else []),
    ]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def started(target: Target, seconds: int, corpus: Path, log: Path) -> int:
    """The id of a new process that fuzzes a target and writes what it says to `log`."""
    corpus.mkdir()
    process = os.fork()
    if process:
        return process
    with log.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    fuzz(target, seconds, corpus)
    sys.exit(1)  # libFuzzer ends the process by itself, and writes down what failed while it ends


def told(target: Target, status: int, log: str) -> None:
    runs = next((line.split()[-1] for line in log.splitlines() if "number_of_executed_units" in line), "?")
    sys.stdout.write(f"{target.name:14} {runs:>9} inputs  {'ok' if status == 0 else 'FAILED'}\n")
    if status:
        sys.stdout.write(log + "\n")
    sys.stdout.flush()


def run(targets: Sequence[Target], seconds: int, jobs: int) -> int:
    """Fuzzes all targets, `jobs` at a time; returns how many failed."""
    weights = sum(target.weight for target in targets)
    FOUND.mkdir(exist_ok=True)
    failed = 0
    folder = tempfile.mkdtemp()  # not as a context, which each process would leave, and so remove, at its end
    waiting = list(targets)
    running: dict[int, Target] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            target = waiting.pop(0)
            place = Path(folder, target.name)
            share = max(1, seconds * jobs * target.weight // weights)
            running[started(target, share, place, place.with_suffix(".log"))] = target
        process, ended = os.wait()
        target = running.pop(process)
        log = Path(folder, f"{target.name}.log").read_text(encoding="utf-8", errors="replace")
        told(target, ended, log)
        failed += ended != 0
    shutil.rmtree(folder)
    if not failed and not any(FOUND.iterdir()):
        FOUND.rmdir()
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the parsers of hostile bytes.")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time")
    chosen = parser.parse_args()
    targets = [target for target in TARGETS if chosen.target in (None, target.name)]
    failed = run(targets, chosen.seconds, min(chosen.jobs, len(targets)))
    sys.stdout.write(f"{len(targets) - failed} of {len(targets)} targets ended as documented\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
