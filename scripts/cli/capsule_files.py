"""Files beside a capsule that people keep: its data key, the documents of its deal, and how far a verification came.

A key file opens the capsule alone, and whoever writes a verification's state can vouch for chunks: both are refused
unless they belong to their owner only (mode 0600). A folder of files that belong together appears whole or not at all.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from capsule.box import BoxKey
from capsule.canonical import Json, decode, encode
from capsule.deal import Deal
from capsule.document import Fields, hexed
from capsule.errors import FormatError, OpenError, ShareError, VerificationError
from capsule.ids import Digest
from capsule.key import KEY_SIZE, DataKey
from capsule.layout import LEADING_LEAVES
from capsule.leaves import LeafHashes, SideFile
from capsule.share import SealedShare, open_share, rebuild_key
from capsule.signature import ED25519, SM2, PublicKey
from capsule.suite import TAG_SIZE
from node.errors import InputRefusedError
from node.home import PART, write_whole

__all__ = [
    "SIDE",
    "KeySource",
    "Resumed",
    "key_source",
    "new_file",
    "new_folder",
    "opaque",
    "read_document",
    "read_side",
    "resumed",
    "side_leaves",
    "signing_key",
    "write_key",
]

SIDE = ".leaves"
HASH = 32
SIDE_HEAD_BYTES = 1024  # more than magic and signature
MAX_DOCUMENT_BYTES = 1 << 20
MAX_CUSTODY_BYTES = 1 << 16  # a key, a share, or a deal of 32 custodians

_ED25519_BYTES = 32
_KEY = "dataspace/data-key"
_PROGRESS = "dataspace/verification"


def new_file(path: Path) -> Path:
    """The path, where nothing stands yet; keys and capsules are never overwritten."""
    if path.exists():
        raise InputRefusedError(f"{path} exists already; choose another name")
    return path


def read_document(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> Json:
    """A JSON document; raises FormatError, also when it is too large."""
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


def write_key(path: Path, key: DataKey, capsule_id: bytes, root: Digest) -> None:
    """Writes the key file of a capsule."""
    document: Json = {
        "kind": _KEY,
        "version": 1,
        "capsule_id": hexed(capsule_id),
        "capsule_root": str(root),
        "data_key": hexed(key.secret),
    }
    write_whole(new_file(path), encode(document), mode=0o600)


@dataclass(frozen=True, slots=True)
class KeySource:
    """A data key, the root of its capsule where the key's file or deal names it, and that deal."""

    data_key: DataKey
    root: Digest | None
    deal: Deal | None


def key_source(key: Path | None, deal: Path | None, shares: Sequence[Path], box: Callable[[], BoxKey]) -> KeySource:
    """The key of a key file, or of share files sealed to the box and their deal.

    Raises ShareError naming the holder of a wrong share, VerificationError for a share file that is none, FormatError
    for another broken document, InputRefusedError where both or neither are given, or others can read the key file.
    """
    if key is not None and deal is None and not shares:
        return _read_key(key)
    if key is not None or not shares or deal is None:
        raise InputRefusedError("give either --key, or --deal and every --share")
    dealt = Deal.from_json(read_document(deal, MAX_CUSTODY_BYTES))
    sealed = [_read_share(path) for path in shares]
    box_key = box()
    data_key = rebuild_key(dealt, [open_share(each, dealt, box_key) for each in sealed])
    return KeySource(data_key, dealt.capsule_root, dealt)


def _read_key(path: Path) -> KeySource:
    _private(path)
    fields = Fields.of(read_document(path, MAX_CUSTODY_BYTES), _KEY)
    # key files of the first release name no root
    root = fields.id("capsule_root", Digest) if fields.has("capsule_root") else None
    return KeySource(DataKey(fields.raw("data_key", KEY_SIZE)), root, None)


def _read_share(path: Path) -> SealedShare:
    """A share comes from others: a broken one is refused, and is no fault of whoever calls."""
    try:
        return SealedShare.from_json(read_document(path, MAX_CUSTODY_BYTES))
    except FormatError as error:
        raise VerificationError(f"{path} is no share: {error}; ask its holder for another") from error


def read_side(path: Path, capsule: Path) -> SideFile:
    """A capsule's side file; raises FormatError, before much is read where it holds more than that capsule's leaves."""
    most = SIDE_HEAD_BYTES + HASH * (LEADING_LEAVES + capsule.stat().st_size // TAG_SIZE)
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise FormatError(f"{path} is larger than a side file of {capsule} can be")
        return SideFile.from_bytes(stream.read(most))


def side_leaves(capsule: Path, root: Digest | None) -> LeafHashes | None:
    """The leaf hashes beside a capsule where they have this root; without them the capsule is read through."""
    side = capsule.with_name(capsule.name + SIDE)
    if root is None or not side.is_file():
        return None
    try:
        leaves = read_side(side, capsule).leaves
    except FormatError:
        return None
    return leaves if leaves.root == root else None


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
