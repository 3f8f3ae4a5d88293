"""Files beside a capsule that people keep: its data key, the documents of its deal, and how far a verification came.

A key file opens the capsule alone, and whoever writes a verification's state can vouch for chunks: both are refused
unless they belong to their owner only (mode 0600).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from capsule.canonical import Json, decode, encode
from capsule.document import Fields, hexed
from capsule.errors import VerificationError
from capsule.key import KEY_SIZE, DataKey
from node.errors import InputRefusedError
from node.home import write_whole

__all__ = ["SIDE", "Resumed", "new_file", "read_document", "read_key", "resumed", "write_key"]

SIDE = ".leaves"
HASH = 32
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

_KEY = "dataspace/data-key"
_PROGRESS = "dataspace/verification"


def new_file(path: Path) -> Path:
    """The path, where nothing stands yet; keys and capsules are never overwritten."""
    if path.exists():
        raise InputRefusedError(f"{path} exists already; choose another name")
    return path


def read_document(path: Path) -> Json:
    """A JSON document; raises FormatError, InputRefusedError when it is too large."""
    with path.open("rb") as stream:
        content = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise InputRefusedError(f"{path} is larger than {MAX_DOCUMENT_BYTES} bytes")
    return decode(content)


def write_key(path: Path, key: DataKey, capsule_id: bytes) -> None:
    """Writes the key file of a capsule."""
    document: Json = {
        "kind": _KEY,
        "version": 1,
        "capsule_id": hexed(capsule_id),
        "data_key": hexed(key.secret),
    }
    write_whole(new_file(path), encode(document), mode=0o600)


def read_key(path: Path) -> DataKey:
    """The key of a key file; raises FormatError, InputRefusedError where others can read the file."""
    _private(path)
    return DataKey(Fields.of(read_document(path), _KEY).raw("data_key", KEY_SIZE))


@dataclass(frozen=True, slots=True)
class Resumed:
    """Leaf hashes that an earlier verification found, and the file where more are noted."""

    known: bytes
    notes: BinaryIO

    def note(self, leaves: bytes) -> None:
        """Keeps what was found, also if this process is killed."""
        self.notes.write(leaves)
        self.notes.flush()


@contextmanager
def resumed(state: Path, capsule: BinaryIO) -> Iterator[Resumed]:
    """The state of a verification that may be stopped and go on; removed when it comes to an end, good or bad.

    Raises InputRefusedError where the state is of another file, or the file changed since.
    """
    about = os.fstat(capsule.fileno())
    head = {
        "kind": _PROGRESS,
        "version": 1,
        "bytes": about.st_size,
        "modified_ns": about.st_mtime_ns,
        "file": about.st_ino,
    }
    first = json.dumps(head).encode() + b"\n"
    descriptor = os.open(state, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as notes:
        _private(state)
        content = notes.read()
        if not first.startswith(content[: len(first)]):
            raise InputRefusedError(f"{state} is of another capsule or this one changed since; remove it to begin anew")
        known = content[len(first) :]
        known = known[: len(known) - len(known) % HASH]
        notes.seek(0)
        notes.write(first)
        notes.seek(len(first) + len(known))
        notes.truncate()
        try:
            yield Resumed(known, notes)
        except VerificationError:
            state.unlink(missing_ok=True)
            raise
        state.unlink(missing_ok=True)


def _private(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise InputRefusedError(f"{path} can be read or written by others; say chmod 600 {path}")
