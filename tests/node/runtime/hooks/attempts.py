"""Shuts itself in as the runtime does, then tries all that must fail. Prints {attempt: error, or "done"}."""

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from node.runtime.confine import bind_to_parent, confine

LIBC = ctypes.CDLL(None, use_errno=True)
TARGET = Path(tempfile.gettempdir()) / "runtime-attempt"
VICTIM = Path(tempfile.gettempdir()) / "runtime-victim"
# x86_64; aarch64 has other numbers, the test says so
CALLS = {
    "ptrace": 101,
    "vfork": 58,
    "mount": 165,
    "unshare": 272,
    "setns": 308,
    "bpf": 321,
    "keyctl": 250,
    "io_uring_setup": 425,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "memfd_create": 319,
    "process_vm_readv": 310,
    "pidfd_open": 434,
    "openat2": 437,
    "clone3": 435,
    "personality": 135,
    "statx": 332,
    "name_to_handle_at": 303,
    "chroot": 161,
    "seccomp": 317,
}


def raw(number: int, *arguments: int) -> None:
    if LIBC.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def engine(sql: str) -> Callable[[], object]:
    """The engine with nothing locked: what it could do if every check of the statement had failed."""

    def attempt() -> None:
        # a file that the engine can't even see gives no rows
        if not duckdb.connect(":memory:").execute(sql).fetchall():
            raise FileNotFoundError(errno.ENOENT, "nothing there")

    return attempt


def thread() -> None:
    done: list[int] = []
    worker = threading.Thread(target=done.append, args=(1,))
    worker.start()
    worker.join()
    assert done == [1]


ATTEMPTS: dict[str, Callable[[], object]] = {
    "read a file": lambda: Path("/etc/passwd").read_bytes(),
    "read its own environment": lambda: Path("/proc/self/environ").read_bytes(),
    "write a file": lambda: TARGET.write_bytes(b"x"),
    "list a directory": lambda: os.listdir("/"),
    "look at a file": lambda: os.stat("/etc/passwd"),
    "remove a file": lambda: os.unlink(VICTIM),
    "make a directory": lambda: os.mkdir(TARGET),
    "make a link": lambda: os.symlink("/etc/passwd", TARGET),
    "change a mode": lambda: os.chmod(VICTIM, 0o600),
    "internet socket": lambda: socket.socket(socket.AF_INET),
    "local socket": lambda: socket.socket(socket.AF_UNIX),
    "socket pair": socket.socketpair,
    "pipe": os.pipe,
    "duplicate": lambda: os.dup(1),
    "fork": os.fork,
    "execve": lambda: os.execve("/bin/true", ["true"], {}),  # noqa: S606
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "kill its parent": lambda: os.kill(os.getppid(), 0),
    "kill by group": lambda: os.killpg(0, 0),
    "load a library": lambda: ctypes.CDLL("libthread_db.so.1"),
    "executable memory": lambda: mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | 4),
    "shared memory": lambda: mmap.mmap(-1, 4096, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS),
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    "dump core again": lambda: raw(157, 4, 1, 0, 0, 0),
    "new user namespace": lambda: raw(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0),
    "thread in a new namespace": lambda: raw(56, 0x10000000 | 0x10F00, 0, 0, 0, 0),
    "memory": lambda: bytearray(4 << 30),
    "engine reads a file": engine("SELECT * FROM read_text('/etc/passwd')"),
    "engine writes a file": engine(f"COPY (SELECT 1) TO '{TARGET}.csv'"),
    "engine loads an extension": engine("INSTALL httpfs"),
    "a thread": thread,
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as refused:
        return errno.errorcode.get(refused.errno or 0, "unnamed")
    except (duckdb.Error, MemoryError, ValueError) as refused:
        return type(refused).__name__
    return "done"


if __name__ == "__main__":
    bind_to_parent(os.getppid())
    pa.enable_signal_handlers(False)
    VICTIM.write_text("still here")
    confinement = confine(memory_bytes=2 << 30, cpu_seconds=30, allow_unprotected=False)
    found = {name: outcome(attempt) for name, attempt in ATTEMPTS.items()}
    if os.uname().machine == "x86_64":
        found |= {name: outcome(lambda number=number: raw(number, 0, 0, 0, 0, 0)) for name, number in CALLS.items()}
    found["protected"] = str(confinement.protected)
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)
