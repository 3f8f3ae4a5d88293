"""What keeps a process's keys out of core dumps, debuggers and swap, as far as the platform allows.

A core limit of 0 stops dumps to files; a process that is not dumpable also stops those piped to a collector, and
debuggers of the same user. Memory is locked only where no limit can make a later allocation fail: with CAP_IPC_LOCK, or
RLIMIT_MEMLOCK unlimited. Pages are locked as they are first touched, so that nothing grows by it. A program that this
process starts inherits the core limit alone. docs/threat-model.md says what is left.
"""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Hardening", "harden"]

PR_SET_DUMPABLE = 4
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
CAP_IPC_LOCK = 14
OFF = "off"
LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Hardening:
    """The outcome, each in words for `dataspace doctor`: what holds, or why it does not."""

    core_dumps: str
    debuggers: str
    memory: str


def harden() -> Hardening:
    """Does for this process what can be done, and says what could not. Calling it again changes nothing."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        why = f"not kept off on {sys.platform}"
        return Hardening(OFF, why, f"not locked on {sys.platform}: encrypt swap, or turn it off")
    libc = ctypes.CDLL(None, use_errno=True)
    refused = libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
    return Hardening(OFF, f"not kept off: {_reason()}" if refused else OFF, _lock(libc))


def _lock(libc: ctypes.CDLL) -> str:
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != resource.RLIM_INFINITY and not _may_lock():
        return (
            f"not locked: RLIMIT_MEMLOCK is {limit // 1024} KiB; set it to unlimited (LimitMEMLOCK=infinity), "
            "or encrypt swap or turn it off"
        )
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return f"not locked: {_reason()}; encrypt swap or turn it off"
    return LOCKED


def _may_lock() -> bool:
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith(b"CapEff:")), b"0")
    return bool(int(effective, 16) >> CAP_IPC_LOCK & 1)


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
