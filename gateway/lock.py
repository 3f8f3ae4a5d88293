"""One process a file: an advisory lock beside it, which ends with the process. Only its owner may read the file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.errors import StoreError, StoreLockedError

__all__ = ["take_lock"]


def take_lock(path: Path) -> int:
    """Locks `path` for this process and returns the descriptor that holds the lock; makes the folder where needed, and
    the file, so that SQLite gives what it writes beside it the same mode.

    Raises StoreLockedError when another has it, StoreError when the folder can't be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"{path} can't be opened: {exc.strerror}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise StoreLockedError(path) from exc
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        os.close(lock)
        raise StoreError(f"{path} can't be opened: {exc.strerror}") from exc
    return lock
