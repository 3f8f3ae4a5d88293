"""Shuts this process in: after `confine` it reads what it has already opened, computes, and writes to standard output.

Invariants: seccomp works by an allow-list, so a system call that nobody thought of is refused; whatever names a path, a
socket, another process or new executable memory is not on the list. Landlock refuses the whole file system once more.
Resource limits bound what is left: memory, processor time, descriptors. Nothing here can be undone. A process that
can't be shut in stops with UnprotectedError, unless its operator allowed that; then `Confinement.protected` is False.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from node.errors import UnprotectedError

__all__ = ["CONFIGURATION", "Confinement", "Loader", "bind_to_parent", "confine"]

Loader = Callable[[str], ModuleType]

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_VMA: Final = 0x53564D41
_PROT_EXEC: Final = 4
_MAP_SHARED: Final = 1
_CLONE_THREAD: Final = 0x00010000
# a thread shares memory, files and signal handlers with its process; a new namespace or a traced child is no thread
_CLONE_SHARED: Final = 0x00000100 | 0x00000200 | 0x00000400 | 0x00000800 | _CLONE_THREAD
_CLONE_FOREIGN: Final = 0x7E020000 | 0x00000080 | 0x00002000 | 0x00004000

# What Python, DuckDB, Arrow and the ciphers call once all is loaded; names that an architecture lacks are skipped.
_ALLOWED: Final = (
    # descriptors that are open already
    "close", "lseek", "poll", "ppoll", "pread64", "preadv", "read", "readv", "write", "writev", "fstat",
    # memory
    "brk", "madvise", "mremap", "munmap",
    # threads of this process
    "exit", "exit_group", "futex", "futex_waitv", "get_robust_list", "getcpu", "getpid", "gettid", "membarrier",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity",
    "sched_getparam", "sched_getscheduler", "sched_yield", "set_robust_list", "set_tid_address", "sigaltstack",
    # time, randomness, and what the process knows of itself
    "clock_getres", "clock_gettime", "clock_nanosleep", "getcwd", "getegid", "geteuid", "getgid", "getppid",
    "getrandom", "getrusage", "gettimeofday", "getuid", "nanosleep", "sysinfo", "time", "times", "uname",
)  # fmt: skip

# Callers of these fall back to an older call when the kernel does not know them.
_UNKNOWN: Final = ("clone3", "faccessat2", "openat2", "pidfd_open", "statx")

# The part of confinement that the measurement covers; limits are the job's, and the receipt's reader sees their effect.
CONFIGURATION: Final[dict[str, list[str] | str | int]] = {
    "seccomp": sorted(_ALLOWED),
    "seccomp_conditional": ["clone", "fcntl", "mmap", "mprotect", "prctl", "prlimit64", "tgkill"],
    "seccomp_default": "EPERM",
    "landlock": "everything",
    "core": 0,
    "fsize": 0,
    "nofile": 0,
}


@dataclass(frozen=True, slots=True)
class Confinement:
    """How the process is shut in. `missing` names what could not be done, empty when protected."""

    missing: tuple[str, ...]

    @property
    def protected(self) -> bool:
        return not self.missing


def bind_to_parent(parent: int) -> None:
    """Has the kernel kill this process when its parent dies, and keeps its memory out of core dumps and debuggers."""
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_DUMPABLE, 0)
    if os.getppid() != parent:
        raise UnprotectedError(("parent",))


def confine(
    *,
    memory_bytes: int,
    cpu_seconds: int,
    allow_unprotected: bool,
    loader: Loader = importlib.import_module,
) -> Confinement:
    """Shuts the calling process in for good. Call it from the only thread, with everything imported and opened.

    `memory_bytes` is what the process may map beyond what it has mapped now; `cpu_seconds` is processor time from its
    start. `loader` finds the libraries by name. Raises UnprotectedError naming what is missing, unless allowed.
    """
    missing = []
    _limit(memory_bytes, cpu_seconds)
    if sys.platform != "linux":
        missing = ["linux"]
    else:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        if len(os.listdir("/proc/self/task")) != 1:
            missing.append("single thread")
        # both are found before either is used, since the first already shuts the files of the second away
        landlock, seccomp = _find(loader, "landlock"), _find(loader, "pyseccomp")
        if seccomp is None:
            # the engine survives files that it can't see, but not files that it sees and can't open: all or nothing
            missing.append("pyseccomp")
        if landlock is None or (seccomp is not None and not _done(_restrict_files, landlock)):
            missing.append("landlock")
        if seccomp is not None and not _done(_restrict_calls, seccomp):
            missing.append("pyseccomp")
        if not missing:
            missing += _holes()
    if missing and not allow_unprotected:
        raise UnprotectedError(tuple(missing))
    return Confinement(tuple(missing))


def _find(loader: Loader, name: str) -> ModuleType | None:
    try:
        return loader(name)
    except (ImportError, RuntimeError, OSError):  # each says in its own way that the system's library is absent
        return None


def _done(step: Callable[[ModuleType], None], library: ModuleType) -> bool:
    try:
        step(library)
    except (OSError, AttributeError):  # a kernel without it, or a libc without prctl
        return False
    return True


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Bounds memory, time and descriptors; a lower limit that stands already is kept."""
    mapped = 0
    if sys.platform == "linux":
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    wanted = {
        resource.RLIMIT_AS: mapped + memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds + 1,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
    # the soft limit's signal tells the parent why; the hard one a second later can't be caught
    bound, _ = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (max(bound - 1, 1), bound))


def _restrict_files(landlock: ModuleType) -> None:
    """A ruleset that handles every kind of access and allows none."""
    ctypes.set_errno(0)  # the library takes an old error number for its own
    landlock.Ruleset().apply()


def _restrict_calls(seccomp: ModuleType) -> None:
    allow, deny = seccomp.ALLOW, seccomp.ERRNO(errno.EPERM)
    calls = seccomp.SyscallFilter(deny)
    calls.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    for name in _ALLOWED:
        _add(seccomp, calls, allow, name)
    for name in _UNKNOWN:
        _add(seccomp, calls, seccomp.ERRNO(errno.ENOSYS), name)

    def masked(place: int, mask: int, value: int) -> Any:
        return seccomp.Arg(place, seccomp.MASKED_EQ, mask, value)

    def equal(place: int, value: int) -> Any:
        return seccomp.Arg(place, seccomp.EQ, value)

    _add(seccomp, calls, allow, "clone", masked(0, _CLONE_SHARED | _CLONE_FOREIGN, _CLONE_SHARED))
    _add(seccomp, calls, allow, "mmap", masked(2, _PROT_EXEC, 0), masked(3, _MAP_SHARED, 0))
    _add(seccomp, calls, allow, "mprotect", masked(2, _PROT_EXEC, 0))
    for option in (_PR_SET_NAME, _PR_SET_VMA):
        _add(seccomp, calls, allow, "prctl", equal(0, option))
    for command in (1, 3):  # F_GETFD, F_GETFL
        _add(seccomp, calls, allow, "fcntl", equal(1, command))
    # reading one's own limits, and ending oneself by abort()
    _add(seccomp, calls, allow, "prlimit64", equal(0, 0), equal(2, 0))
    _add(seccomp, calls, allow, "tgkill", equal(0, os.getpid()))
    # with no descriptor left to give out, not even an allowed call makes one; the filter itself comes last
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    calls.load()


def _add(seccomp: ModuleType, calls: Any, action: int, name: str, *arguments: Any) -> None:
    if seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) >= 0:
        calls.add_rule(action, name, *arguments)


def _holes() -> list[str]:
    """Tries what must fail now. A library that claims to have confined the process is not believed."""
    attempts: dict[str, Callable[[], object]] = {
        "open": lambda: os.open("/", os.O_RDONLY),
        "socket": lambda: socket.socket(socket.AF_UNIX),
        "execve": lambda: os.execve("/", ["/"], {}),  # noqa: S606
        "fork": _fork,
    }
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
            found.append(name)
        except OSError as refused:
            # only the filter answers EPERM here; anything else came from deeper in the kernel
            if refused.errno != errno.EPERM:
                found.append(name)
    return found


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise UnprotectedError(("prctl",))
