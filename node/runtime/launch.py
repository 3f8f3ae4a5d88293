"""The compute node's side of a run: starts the runtime, hands it a job, takes its outcome, and ends it.

Invariants: the runtime gets the job, read-only descriptors of the capsules, and nothing else (no environment of this
process, no other descriptor, no error stream); it is a session of its own and is killed when its time or its output is
used up, when this process dies, and before `run` returns. What it sends is hostile until checked: ids that this side
did not give it, and texts outside the fixed lists, end the run as failed.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from capsule.crypto.provider import provider
from capsule.crypto.sm2 import library
from capsule.errors import FormatError, InputError
from capsule.ids import Digest
from node.errors import RuntimeFailedError, UnprotectedError
from node.runtime.protocol import (
    CIPHER_PROVIDER,
    MAX_MEMBER_BYTES,
    PROBE,
    SM2_LIBRARY,
    Broken,
    Completed,
    Job,
    Limits,
    Outcome,
    Ready,
    Refused,
)
from node.runtime.wire import read_message, write_job

__all__ = ["ENTRY", "probe", "run"]

ENTRY: Final = (sys.executable, "-E", "-s", "-B", "-m", "node.runtime")
"""The process to start; tests put another in its place."""

_ROOT: Final = Path(__file__).parents[2]
_PROBE_SECONDS: Final = 60.0
_HEADER_BYTES: Final = 64 << 10
_PIPE_BYTES: Final = 64 << 10
# Arrow's allocator would start a thread before the process is confined; the rest keeps results equal everywhere.
_ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "TZ": "UTC",
}


@dataclass(frozen=True, slots=True)
class _Ended:
    """A process that is gone: what it wrote, how it ended, and which limit of this side ended it."""

    output: bytes
    status: int
    overrun: str | None


def run(
    job: Job,
    capsules: Sequence[int | Path],
    limits: Limits,
    *,
    allow_unprotected: bool = False,
    entry: Sequence[str] = ENTRY,
) -> Outcome:
    """Runs a job in a process of its own. `capsules`: the sealed files in the job's order, by path or open descriptor.

    A refusal is an outcome. Raises UnprotectedError when the process can't be confined (and that was not allowed), and
    RuntimeFailedError when it did not start or broke down; neither says anything about the algorithm.
    """
    if len(capsules) != len(job.capsules):
        raise InputError(f"a job of {len(job.capsules)} capsules was given {len(capsules)} files")
    message = write_job(job, limits, allow_unprotected=allow_unprotected)
    with ExitStack() as stack:
        descriptors = [stack.enter_context(_readable(capsule)) for capsule in capsules]
        ended = _process(
            [*entry, str(os.getpid()), *map(str, descriptors)],
            descriptors,
            message,
            seconds=limits.wall_seconds,
            most=_most(limits),
        )
    return _outcome(ended, job, limits)


def probe(*, entry: Sequence[str] = ENTRY) -> Ready:
    """Starts a runtime that only shuts itself in, and returns its measurement and what it lacks to be protected.

    Raises RuntimeFailedError when it does not start.
    """
    ended = _process([*entry, str(os.getpid()), PROBE], (), b"", seconds=_PROBE_SECONDS, most=_HEADER_BYTES)
    return _ready(BytesIO(ended.output), ended)


def _outcome(ended: _Ended, job: Job, limits: Limits) -> Outcome:
    stream = BytesIO(ended.output)
    ready = _ready(stream, ended)

    def refused(kind: str, reason: str) -> Refused:
        return Refused(kind=kind, reason=reason, measurement=ready.measurement, protected=ready.protected)

    if ended.overrun is not None:
        return refused("limits", ended.overrun)
    if ended.status == -signal.SIGXCPU:
        return refused("limits", "cpu")
    # nobody here sent this signal: the kernel had no memory left
    if ended.status == -signal.SIGKILL:
        return refused("limits", "memory")
    if ended.status < 0:
        return refused("algorithm", "crashed")
    try:
        message = read_message(stream, _most(limits))
    except FormatError as exc:
        raise RuntimeFailedError(f"the runtime ended with status {ended.status} and no outcome") from exc
    match message:
        case Completed() | Refused() if stream.read(1) == b"" and _consistent(message, job, ready):
            return message
        case Broken(_, where):
            raise RuntimeFailedError(f"the runtime broke down at {where}")
    raise RuntimeFailedError("the runtime sent an outcome that contradicts its job")


def _ready(stream: BytesIO, ended: _Ended) -> Ready:
    try:
        message = read_message(stream, _HEADER_BYTES)
    except FormatError as exc:
        after = "did not start in time" if ended.overrun else f"ended with status {ended.status} before it started"
        raise RuntimeFailedError(f"the runtime {after}") from exc
    match message:
        case Ready():
            return message
        case Broken(missing, _) if missing:
            raise UnprotectedError(missing)
        case Broken(_, where):
            raise RuntimeFailedError(f"the runtime broke down at {where}")
    raise RuntimeFailedError("the runtime sent an outcome before it was ready")


def _most(limits: Limits) -> int:
    """The most bytes of an outcome: a result, what it stood for, and what is said about both."""
    return limits.output_bytes + MAX_MEMBER_BYTES + _HEADER_BYTES


def _consistent(message: Completed | Refused, job: Job, ready: Ready) -> bool:
    """Whether an outcome names only what this side gave in."""
    if (message.measurement, message.protected) != (ready.measurement, ready.protected):
        return False
    if isinstance(message, Completed):
        right = Digest(hashlib.sha256(message.sealed_result).digest()) == message.sealed_result_hash
        spent = [one.epsilon for one in message.answered]
        return right and spent == [job.algorithm.epsilon] * len(job.capsules)
    if message.holder is None:
        return message.index is None and (message.capsule is None or message.capsule < len(job.capsules))
    if message.capsule is None or message.index is None or message.capsule >= len(job.capsules):
        return False
    holders = job.capsules[message.capsule].deal.holders
    return message.index < len(holders) and holders[message.index].account == message.holder


@contextmanager
def _readable(capsule: int | Path) -> Iterator[int]:
    """A descriptor of a sealed file; one that was opened here is closed again."""
    if isinstance(capsule, int):
        yield capsule
        return
    try:
        descriptor = os.open(capsule, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise RuntimeFailedError(f"the capsule {capsule} can't be read; check the file") from exc
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _process(command: Sequence[str], passed: Sequence[int], message: bytes, *, seconds: float, most: int) -> _Ended:
    deadline = time.monotonic() + seconds
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**_ENVIRONMENT, CIPHER_PROVIDER: provider().name, SM2_LIBRARY: library().name},
            cwd=_ROOT,
            pass_fds=tuple(passed),
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        raise RuntimeFailedError("the runtime can't be started; check the installation and free memory") from exc
    with process:
        try:
            output, overrun = _exchange(process, message, deadline, most)
        finally:
            # the session's id is the process's own; a process that is already gone is only reaped
            with suppress(ProcessLookupError):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return _Ended(output, process.wait(), overrun)


def _exchange(process: subprocess.Popen[bytes], message: bytes, deadline: float, most: int) -> tuple[bytes, str | None]:
    """Writes the job and reads until the end of output, the deadline, or more output than allowed."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeFailedError("the runtime has no pipes")
    output = bytearray()
    waiting = memoryview(message)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return bytes(output), "time"
            for key, _ in selector.select(left):
                if key.fileobj is process.stdin:
                    waiting = waiting[_written(process.stdin.fileno(), waiting) :]
                    if not waiting:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                elif chunk := os.read(key.fd, _PIPE_BYTES):
                    output += chunk
                    if len(output) > most:
                        return bytes(output), "output"
                else:
                    selector.unregister(process.stdout)
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
    return bytes(output), None if process.poll() is not None else "time"


def _written(descriptor: int, waiting: memoryview) -> int:
    try:
        return os.write(descriptor, waiting[:_PIPE_BYTES]) if waiting else 0
    except BrokenPipeError:  # it ended without reading; its output says why
        return len(waiting)
