"""Files beside a capsule: its side file, documents, folders of them, and how far a verification came.

Nothing takes the place of a file that is there. Whoever writes a verification's state can vouch for chunks, so it is
refused unless it belongs to its owner only (mode 0600). A folder of files that belong together appears whole or not at
all.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from capsule.canonical import Json, decode
from capsule.errors import FormatError, OpenError, ShareError, VerificationError
from capsule.ids import Digest
from capsule.layout import LEADING_LEAVES
from capsule.leaves import LeafHashes, SideFile
from capsule.signature import ED25519, SM2, PublicKey
from capsule.suite import TAG_SIZE
from node.errors import InputRefusedError
from node.home import PART

__all__ = [
    "MAX_CUSTODY_BYTES",
    "SIDE",
    "Resumed",
    "neighbour",
    "new_file",
    "new_files",
    "new_folder",
    "opaque",
    "private",
    "read_document",
    "read_side",
    "resumed",
    "same_leaves",
    "side_leaves",
    "signing_key",
]

SIDE = ".leaves"
HASH = 32
SIDE_HEAD_BYTES = 1024  # more than magic and signature
MAX_DOCUMENT_BYTES = 1 << 20
MAX_CUSTODY_BYTES = 1 << 16  # a key, a share, or a deal of 32 custodians

_ED25519_BYTES = 32
_PROGRESS = "dataspace/verification"


def new_file(path: Path) -> Path:
    """The path, where nothing stands yet; keys, capsules and plaintext never take the place of anything."""
    if os.path.lexists(path):
        raise InputRefusedError(f"{path} exists already; choose another name")
    return path


def new_files(**paths: Path | None) -> None:
    """Refuses names that are taken, or that two of the files to write would have; each is told by its option."""
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        other = seen.setdefault(new_file(path).resolve(), name)
        if other != name:
            said = [each.replace("_", "-") for each in (other, name)]
            raise InputRefusedError(f"{said[0]} and {said[1]} would be the same file {path}; choose another name")


def read_document(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> Json:
    """A JSON document; raises FormatError, also when it is too large, InputRefusedError for a folder."""
    if path.is_dir():
        raise InputRefusedError(f"{path} is a folder; name a file in it")
    with path.open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise FormatError(f"{path} is larger than {limit} bytes")
    return decode(content)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name, durably, only when the block ends without an error.

    Write the files in it durably. What stands under the name already is never replaced.
    """
    new_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent))
    try:
        yield temporary
        new_file(path)  # the rename would take the place of an empty folder
        os.rename(temporary, path)
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def opaque() -> Iterator[None]:
    """Whatever is wrong with a capsule that should open is one error; who is to blame for a share is still said."""
    try:
        yield
    except ShareError:
        raise
    except (FormatError, OpenError, VerificationError):
        raise OpenError from None


def read_side(path: Path, capsule_bytes: int) -> SideFile:
    """A capsule's side file; raises FormatError, before much is read where it holds more than that capsule's leaves."""
    most = SIDE_HEAD_BYTES + HASH * (LEADING_LEAVES + capsule_bytes // TAG_SIZE)
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise FormatError(f"{path} is larger than the side file of this capsule can be")
        return SideFile.from_bytes(stream.read(most))


def neighbour(capsule: Path) -> Path | None:
    """The side file beside a capsule, where there is one."""
    side = capsule.with_name(capsule.name + SIDE)
    return side if side.is_file() else None


def side_leaves(capsule: Path, root: Digest | None) -> LeafHashes | None:
    """The leaf hashes beside a capsule where they have this root; without them the capsule is read through."""
    side = neighbour(capsule)
    if root is None or side is None:
        return None
    try:
        leaves = read_side(side, capsule.stat().st_size).leaves
    except FormatError:
        return None
    return leaves if leaves.root == root else None


def same_leaves(found: LeafHashes, side: LeafHashes, path: Path) -> None:
    """VerificationError with the first piece in which a capsule and its side file differ."""
    if found == side:
        return
    size = min(len(found), len(side))
    at = next((at for at in range(size) if found[at] != side[at]), size)
    piece = ("header", "signature", "key slot")[at] if at < LEADING_LEAVES else f"chunk {at - LEADING_LEAVES}"
    raise VerificationError(
        f"the capsule is not the one of {path}: its {piece} is another; get both anew from where they came from",
        f"computed root {found.root}, side file's {side.root}",
    )


def signing_key(written: str) -> PublicKey:
    """A provider's public key from hex: of 32 bytes Ed25519, else SM2. Raises InputError, InputRefusedError."""
    try:
        key = bytes.fromhex(written.removeprefix("0x"))
    except ValueError as error:
        raise InputRefusedError("a signer key is written in hex") from error
    return PublicKey(ED25519 if len(key) == _ED25519_BYTES else SM2, key)


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

    Raises InputRefusedError where the file is no such state, or the state is of another capsule, or that changed since.
    """
    about = os.fstat(capsule.fileno())
    head = {
        "kind": _PROGRESS,
        "version": 1,
        "bytes": about.st_size,
        "modified_ns": about.st_mtime_ns,
        "changed_ns": about.st_ctime_ns,  # who changes bytes can set the time of modification, but not this one
        "file": about.st_ino,
    }
    first = json.dumps(head).encode() + b"\n"
    descriptor = os.open(state, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as notes:
        begun = notes.read(len(first))
        if not first.startswith(begun):
            if not begun.startswith(first[: first.index(b",")]):
                raise InputRefusedError(f"{state} is not the state of this check; name another file")
            raise InputRefusedError(f"{state} is of another capsule or this one changed since; remove it to begin anew")
        private(state)
        known = notes.read() if begun == first else b""
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


def private(path: Path) -> None:
    """InputRefusedError where others can read or write a file."""
    if path.stat().st_mode & 0o077:
        raise InputRefusedError(f"{path} can be read or written by others; say chmod 600 {path}")
