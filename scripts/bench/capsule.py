"""How fast capsules are sealed and opened: `python -m scripts.bench.capsule [--mib N] [--folder DIR] [--write]`.

Seals one file into another and opens that again, each in a fresh process as the commands do: temporary file, fsync,
rename; opening compares every chunk with the side file under the root. Beside it, in the same run: the same bytes
through `cryptography`'s SM4-GCM in one call, the provider's own SM4-GCM in memory on as many threads, and on a disk
the same bytes through `dd conv=fsync`. Takes the best of some rounds and prints, last, one JSON line. Ratios that
begin with `cpu_` compare processor time instead of the clock, so they hold on a machine that does other work too. With
`--write` it measures in memory and on disk and writes both between the markers of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from capsule.crypto.cipher import KEY_SIZE, NONCE_SIZE, TAG_SIZE
from capsule.crypto.provider import choose, load, provider
from capsule.digest import Domain
from capsule.header import DEFAULT_CHUNK_SIZE
from capsule.ids import Address, AssetId, Digest
from capsule.key import DataKey
from capsule.leaves import SideFile
from capsule.opening import CapsuleReader, verify
from capsule.sealing import SealPlan, seal
from capsule.signature import Ed25519Signer
from node.home import create_whole, write_whole
from scripts.bench.page import MACHINE, write_part

__all__ = ["main"]

_CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_MIB: Final = 1 << 20
_ONE_SHOT_MOST: Final = 1 << 30
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  memory-backed, where the system has it
_DOMAIN: Final = Domain(1, Address.ZERO)
_GMSSL: Final = """
import time
from gmssl.sm4 import SM4_ENCRYPT, CryptSM4
cipher, data = CryptSM4(), bytes(64 * 1024)
cipher.set_key(bytes(16), SM4_ENCRYPT)
start = time.perf_counter()
cipher.crypt_ecb(data)
print(len(data) / 1e6 / (time.perf_counter() - start))
"""


@dataclass(frozen=True, slots=True)
class _Task:
    """What a fresh process shall do with the files of a folder."""

    folder: Path
    provider: str
    workers: int
    data_key: bytes

    @property
    def plain(self) -> Path:
        return self.folder / "plain"

    @property
    def sealed(self) -> Path:
        return self.folder / "sealed"

    @property
    def side(self) -> Path:
        return self.folder / "sealed.leaves"

    @property
    def opened(self) -> Path:
        return self.folder / "opened"


@dataclass(frozen=True, slots=True)
class _Taken:
    """One step in a fresh process: by the clock, in processor time, and the process's highest resident memory."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.capsule", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file")
    parser.add_argument("--folder", type=Path, help="where the files are; memory-backed by default")
    parser.add_argument("--provider", default=os.environ.get("DATASPACE_CIPHER_PROVIDER", ""))
    parser.add_argument("--workers", type=int, default=_CORES)
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    parser.add_argument("--write", action="store_true", help="write the results into docs/benchmarks.md")
    given = parser.parse_args(arguments)
    in_memory = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    chosen = choose(given.provider)
    folders = [Path(tempfile.gettempdir()), in_memory] if given.write else [given.folder or in_memory]
    results = []
    for where in folders:
        with tempfile.TemporaryDirectory(prefix="dataspace-bench-", dir=where) as folder:
            task = _Task(Path(folder), chosen.name, given.workers, secrets.token_bytes(KEY_SIZE))
            results.append(_measure(task, given.mib * _MIB, given.rounds))
    if given.write:
        _write(results)
    sys.stdout.write(json.dumps(results[-1]) + "\n")
    return 0


def _measure(task: _Task, size: int, rounds: int) -> dict[str, object]:
    kind = _file_system(task.folder)
    in_memory = kind in {"tmpfs", "ramfs"}
    _say(f"{size / 1e9:.2f} GB on {kind}, {task.workers} threads, {provider().name} {provider().version}")
    _fill(task.plain, size)
    steps: dict[str, Callable[[_Task], _Taken]] = {"seal": _seal, "open": _open, "verify": _verify}
    references: dict[str, Callable[[_Task], _Taken]] = {"raw": _raw, "one shot": _one_shot}
    if not in_memory:
        references["dd"] = _dd
    everything = {**steps, **references}
    seconds, cpu = dict.fromkeys(everything, float("inf")), dict.fromkeys(everything, float("inf"))
    peak = 0.0
    for _ in range(rounds):
        for name, step in everything.items():
            if not in_memory:
                os.sync()
            taken = _apart(step, task)
            seconds[name] = min(seconds[name], taken.seconds)
            cpu[name] = min(cpu[name], taken.cpu_seconds)
            if name in steps:
                peak = max(peak, taken.peak_mb)
    same = _digest(task.plain) == _digest(task.opened)
    speed = {name: size / 1e6 / taken for name, taken in seconds.items()}
    once = min(size, _ONE_SHOT_MOST) / 1e6
    reference, reference_cpu = once / seconds["one shot"], once / cpu["one shot"]
    result: dict[str, object] = {
        "seal_mb_s": round(speed["seal"], 1),
        "open_mb_s": round(speed["open"], 1),
        "verify_mb_s": round(speed["verify"], 1),
        "provider": f"{provider().name} {provider().version}",
        "cores": task.workers,
        "ratio_vs_cryptography_one_shot": round(speed["seal"] / reference, 2),
        "ratio_vs_raw_provider": round(speed["seal"] / speed["raw"], 3),
        "peak_rss_mb": round(peak, 1),
        "cpu_ratio_vs_raw_provider": round(cpu["raw"] / cpu["seal"], 3),
        "cpu_ratio_vs_cryptography_one_shot": round(size / 1e6 / cpu["seal"] / reference_cpu, 2),
        "open_cpu_ratio_vs_raw_provider": round(cpu["raw"] / cpu["open"], 3),
        "size_mib": size // _MIB,
        "file_system": kind,
        "raw_provider_mb_s": round(speed["raw"], 1),
        "cryptography_one_shot_mb_s": round(reference, 1),
        "gmssl_mb_s": round(_gmssl(), 3),
        "identical": same,
        "load": round(os.getloadavg()[0], 1),
        **_thread_costs(task),
    }
    if not in_memory:
        result["dd_mb_s"] = round(speed["dd"], 1)
        result["ratio_vs_dd"] = round(speed["seal"] / speed["dd"], 3)
        result["open_ratio_vs_dd"] = round(speed["open"] / speed["dd"], 3)
    return result


def _apart(step: Callable[[_Task], _Taken], task: _Task) -> _Taken:
    """Runs a step in a process of its own, so that its memory and warm-up are its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        taken = process.submit(step, task).result()
    name = step.__name__.strip("_")
    _say(f"{name:10} {taken.seconds:8.2f} s, processor {taken.cpu_seconds:6.2f} s {taken.peak_mb:7.1f} MB")
    return taken


def _timed(work: Callable[[], object]) -> _Taken:
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return _Taken(time.perf_counter() - start, time.process_time() - cpu, _peak_mb())


def _seal(task: _Task) -> _Taken:
    choose(task.provider)
    plan = SealPlan(
        asset=AssetId(bytes(32)),
        policy_hash=Digest(bytes(32)),
        media_type="application/octet-stream",
        schema={},
        provider=Address.ZERO,
        sealed_at=0,
    )
    signer, key = Ed25519Signer(bytes(range(32))), DataKey(task.data_key)

    def work() -> None:
        with task.plain.open("rb") as source, create_whole(task.sealed) as sink:
            sealed = seal(source, sink, plan, signer, key, _DOMAIN, secrets.token_bytes, workers=task.workers)
        write_whole(task.side, sealed.side_file.to_bytes())

    return _timed(work)


def _open(task: _Task) -> _Taken:
    choose(task.provider)

    def work() -> None:
        leaves = SideFile.from_bytes(task.side.read_bytes()).leaves
        with task.sealed.open("rb") as stream, create_whole(task.opened) as sink:
            key = DataKey(task.data_key)
            CapsuleReader(stream, key, root=leaves.root, leaves=leaves, workers=task.workers).copy_to(sink)

    return _timed(work)


def _verify(task: _Task) -> _Taken:
    root = SideFile.from_bytes(task.side.read_bytes()).leaves.root

    def work() -> None:
        with task.sealed.open("rb") as stream:
            verify(stream, root=root, workers=task.workers)

    return _timed(work)


def _raw(task: _Task) -> _Taken:
    """The provider's SM4-GCM alone: chunk by chunk in place, in memory, as many bytes on as many threads."""
    cipher = choose(task.provider)
    chunks = max(1, task.plain.stat().st_size // DEFAULT_CHUNK_SIZE // task.workers)
    buffers = [memoryview(bytearray(DEFAULT_CHUNK_SIZE + TAG_SIZE)) for _ in range(task.workers)]

    def thread(buffer: memoryview) -> None:
        for index in range(chunks):
            nonce = index.to_bytes(NONCE_SIZE, "big")
            cipher.sm4_gcm_seal_into(task.data_key, nonce, b"", buffer[:-TAG_SIZE], buffer)

    with ThreadPoolExecutor(task.workers) as pool:
        return _timed(lambda: list(pool.map(thread, buffers)))


def _one_shot(task: _Task) -> _Taken:
    cipher = load("cryptography")
    with task.plain.open("rb") as source:
        data = source.read(_ONE_SHOT_MOST)
    sealed = memoryview(bytearray(len(data) + TAG_SIZE))
    return _timed(lambda: cipher.sm4_gcm_seal_into(task.data_key, bytes(NONCE_SIZE), b"", data, sealed))


def _dd(task: _Task) -> _Taken:
    program = shutil.which("dd") or "dd"
    command = [program, f"if={task.plain}", f"of={task.folder / 'copy'}", "bs=1M", "conv=fsync", "status=none"]
    (task.folder / "copy").unlink(missing_ok=True)
    return _timed(lambda: subprocess.run(command, check=True))


def _thread_costs(task: _Task) -> dict[str, object]:
    """What each step of sealing costs one thread in processor time, as MB/s: where the time goes."""
    count = 128
    buffer = memoryview(bytearray(DEFAULT_CHUNK_SIZE + TAG_SIZE))
    cipher = provider()

    def cost(step: Callable[[], object]) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            step()
            best = min(best, time.thread_time() - start)
        return round(count * DEFAULT_CHUNK_SIZE / 1e6 / best, 0)

    def read() -> None:
        with task.plain.open("rb", buffering=0) as source:
            for _ in range(count):
                if source.readinto(buffer[:-TAG_SIZE]) != DEFAULT_CHUNK_SIZE:
                    source.seek(0)

    def write() -> None:
        with (task.folder / "written").open("wb", buffering=0) as sink:
            for _ in range(count):
                sink.write(buffer)
        (task.folder / "written").unlink()

    def encrypt() -> None:
        for _ in range(count):
            cipher.sm4_gcm_seal_into(task.data_key, bytes(NONCE_SIZE), b"", buffer[:-TAG_SIZE], buffer)

    steps: Mapping[str, Callable[[], object]] = {
        "sm4_gcm": encrypt,
        "sha256": lambda: [hashlib.sha256(buffer) for _ in range(count)],
        "read": read,
        "write": write,
    }
    return {"thread_mb_s": {name: cost(step) for name, step in steps.items()}}


def _gmssl() -> float:
    """SM4 in pure Python, block by block without GCM, in a process of its own. MB/s, 0 where it is not installed."""
    ended = subprocess.run([sys.executable, "-c", _GMSSL], capture_output=True, text=True, check=False)
    return float(ended.stdout) if ended.returncode == 0 else 0.0


def _fill(path: Path, size: int) -> None:
    block = secrets.token_bytes(_MIB)
    with path.open("wb") as sink:
        for at in range(0, size, _MIB):
            sink.write(block[: min(_MIB, size - at)])


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _peak_mb() -> float:
    """The highest resident memory of this process so far."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder is on; "unknown" where the system does not say."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return "unknown"
    holding = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] if holding else "unknown"


def _write(results: Sequence[Mapping[str, object]]) -> None:
    lines = [
        "Written by `python -m scripts.bench.capsule --write`, which says what is measured; each step in a process of",
        f"its own, best of the rounds. {MACHINE}.",
        "",
        "| | " + " | ".join(str(result["file_system"]) for result in results) + " |",
        "| --- |" + " ---: |" * len(results),
    ]
    names = {name: None for result in results for name in result if name not in {"file_system", "thread_mb_s"}}
    for name in names:
        lines.append(f"| {name} | " + " | ".join(str(result.get(name, "")) for result in results) + " |")
    write_part("capsule", [*lines, "", *_limits(results[-1])])


def _limits(result: Mapping[str, object]) -> list[str]:
    """What bounds the speed, from what each step costs a thread."""
    speeds = result["thread_mb_s"]
    if not isinstance(speeds, dict):
        return []
    cost = {name: 1e3 / speed for name, speed in speeds.items()}
    share = cost["sm4_gcm"] / sum(cost.values())
    whole = ", ".join(f"{name} {each:.2f}" for name, each in cost.items())
    return [
        f"What limits it: milliseconds of one thread's processor time for a megabyte: {whole}. The raw provider",
        f"does the first of these only, so at most {share:.2f} of it can be reached here: SHA-256 of the leaves",
        "belongs to the format, and the kernel copies every byte in and out. The clock's ratios also hold what the",
        "machine did beside (`load`); `cpu_` ratios don't. They are per core, and `cryptography` in one call uses one",
        "core only: on free cores the clock's ratio to it is the `cpu_` ratio times the cores. `gmssl` is pure",
        "Python, timed on SM4 alone, without GCM.",
    ]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
