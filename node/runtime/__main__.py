"""The runtime process: `python -m node.runtime PARENT DESCRIPTOR...`, started by `node.runtime.launch`.

Reads a job from standard input, loads everything, shuts itself in, says so, works, and writes one outcome. Where it
can't, it says what is missing, or at which place of its own code it broke down: never the text of an error, which may
quote data.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Final

import pyarrow as pa

from capsule.crypto import provider, sm2
from capsule.ids import Digest
from node.errors import RuntimeRefusedError, UnprotectedError
from node.runtime.confine import Loader, bind_to_parent, confine
from node.runtime.execution import execute
from node.runtime.measurement import measure
from node.runtime.noise import Noise
from node.runtime.protocol import CIPHER_PROVIDER, PROBE, SM2_LIBRARY, Broken, Limits, Message, Outcome, Ready, Refused
from node.runtime.wire import read_job, write_message

__all__ = ["main"]

_ROOT: Final = Path(__file__).parents[2]


def main(arguments: Sequence[str], loader: Loader = importlib.import_module) -> int:
    """Serves one job and returns the exit status, 0 unless it broke down. `loader` finds the libraries that confine."""
    sys.excepthook = _report
    parent, capsules = int(arguments[0]), arguments[1:]
    try:
        bind_to_parent(parent)
        # loaded and tested before the process is shut in; the measurement names them
        provider.choose(os.environ.get(CIPHER_PROVIDER, ""))
        sm2.choose(os.environ.get(SM2_LIBRARY, ""))
        if list(capsules) == [PROBE]:
            _shut_in(measure(allow_unprotected=False).digest, Limits(), allow_unprotected=True, loader=loader)
            return 0
        job, limits, allowed = read_job(sys.stdin.buffer)
        if job.algorithm.kind == "wasm":
            importlib.import_module("node.runtime.wasm")
        noise = None if job.algorithm.privacy is None else Noise()
        # wrapped before the process is shut in, which then has no descriptors to give out
        streams = [os.fdopen(int(descriptor), "rb") for descriptor in capsules]
        digest = measure(allow_unprotected=allowed).digest
        ready = _shut_in(digest, limits, allow_unprotected=allowed, loader=loader)
    except UnprotectedError as exc:
        _send(Broken(missing=exc.missing))
        return 1
    outcome: Outcome
    try:
        outcome = execute(job, streams, limits, ready.measurement, protected=ready.protected, noise=noise)
    except MemoryError:
        outcome = _refused(RuntimeRefusedError("limits", "memory"), ready)
    except RuntimeRefusedError as exc:
        outcome = _refused(exc, ready)
    _send(outcome)
    return 0


def _shut_in(measurement: Digest, limits: Limits, *, allow_unprotected: bool, loader: Loader) -> Ready:
    """Loads what loads late, leaves the working directory, and closes the door."""
    pa.enable_signal_handlers(False)  # its handlers would make a pipe for every file that is read
    sys.stdin.close()
    os.chdir("/")
    confinement = confine(
        memory_bytes=limits.memory_bytes,
        cpu_seconds=limits.cpu_seconds,
        allow_unprotected=allow_unprotected,
        loader=loader,
    )
    ready = Ready(measurement, confinement.missing)
    _send(ready)
    return ready


def _refused(exc: RuntimeRefusedError, ready: Ready) -> Refused:
    return Refused(
        kind=exc.kind,
        reason=exc.reason,
        holder=exc.holder,
        index=exc.index,
        capsule=exc.capsule,
        measurement=ready.measurement,
        protected=ready.protected,
    )


def _send(message: Message) -> None:
    sys.stdout.buffer.write(write_message(message))
    sys.stdout.buffer.flush()


def _report(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """Instead of a traceback: where in this program, and the error's type."""
    where = "unknown"
    for frame, line in walk_tb(trace):
        path = Path(frame.f_code.co_filename)
        if any(path.is_relative_to(_ROOT / package) for package in ("capsule", "node")):
            where = f"{path.relative_to(_ROOT).as_posix()}:{line}"
    _send(Broken(where=f"{where} {kind.__name__}"[:200]))


if __name__ == "__main__":
    # at once: what the engine does when it is taken apart no longer matters, and could only fail
    os._exit(main(sys.argv[1:]))
