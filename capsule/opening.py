"""Reading capsules: inspect what anyone may see, verify without a key, open with one.

Invariants: no plaintext leaves before its chunk's tag, and where a root is given its leaf hash, was checked. What
fails for reasons of key or ciphertext raises OpenError and nothing else; what anyone could check without a key says
what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import SEEK_CUR, SEEK_END, BufferedReader, RawIOBase
from typing import TYPE_CHECKING, BinaryIO, cast

from capsule.chunks import Run, hashed, no_progress, opened, write
from capsule.digest import Domain
from capsule.errors import FormatError, InputError, OpenError, VerificationError
from capsule.header import Header, header_digest
from capsule.ids import Digest
from capsule.key import DataKey
from capsule.layout import Layout, read_layout
from capsule.leaves import LeafHashes
from capsule.signature import PublicKey
from capsule.suite import TAG_SIZE, open_slot

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["CapsuleReader", "Level", "Verified", "inspect", "verify"]


class Level(StrEnum):
    """What vouches for a capsule: its root on chain, the provider's signature over that root, or nothing."""

    CHAIN = "chain"
    SIGNATURE = "signature"
    HEADER_ONLY = "header only"


@dataclass(frozen=True, slots=True)
class Verified:
    """A capsule that was read through: its root, and what vouches for that root."""

    header: Header
    root: Digest
    level: Level
    leaves: LeafHashes


def inspect(stream: BinaryIO) -> Header:
    """The header, unverified. FormatError when it is no capsule."""
    return read_layout(stream).header


def _forget(_: bytes) -> None:
    pass


def verify(
    stream: BinaryIO,
    *,
    root: Digest | None = None,
    signer_key: PublicKey | None = None,
    root_signature: bytes | None = None,
    domain: Domain | None = None,
    workers: int = 1,
    known: bytes = b"",
    found: Callable[[bytes], None] = _forget,
) -> Verified:
    """Reads a capsule through without a key and checks all that is given.

    `found` hears the leaf hashes of the chunks as they are read, some at a time, 32 bytes each; given back as `known`,
    they spare a later call to read those chunks of the same seekable file again. Whoever can write what is kept of them
    can vouch for chunks, so it belongs to the caller alone.

    `root` is the one on chain; `signer_key` the provider's, which checks the header's signature and, where given,
    `root_signature`. Without root and root signature the level says `header only`, since a signed header vouches for
    no chunk. Raises FormatError, VerificationError, and InputError for a signature to check without key and domain.
    """
    if (signer_key is not None and domain is None) or (root_signature is not None and signer_key is None):
        raise InputError("a signature is checked with the provider's key and the ledger's domain")
    # 1. The file is whole: exactly the bytes that its header says. Where that can be told at once, nothing is read.
    base = stream.seek(0, SEEK_CUR) if stream.seekable() else 0
    layout = read_layout(stream)
    _check_size(stream, layout, base)
    leaves = _hash_all(stream, layout, workers, known, found)
    if stream.read(1):
        raise FormatError("capsule has bytes after its last chunk")
    computed = leaves.root
    # 2. The header is signed by the provider.
    if signer_key is not None and domain is not None:
        statement = domain.statement("capsule", header_digest(layout.stored_header))
        signer_key.verify_suite(layout.suite).verify(statement, layout.signature)
    # 3. The root is the one on chain.
    if root is not None:
        _same_root(computed, root)
        return Verified(layout.header, computed, Level.CHAIN, leaves)
    # 4. Or the provider signed it.
    if root_signature is not None and signer_key is not None and domain is not None:
        signer_key.verify(domain.statement("capsule-root", computed), root_signature)
        return Verified(layout.header, computed, Level.SIGNATURE, leaves)
    return Verified(layout.header, computed, Level.HEADER_ONLY, leaves)


class CapsuleReader:
    """An opened capsule.

    With `root`, the capsule is checked against it before anything is decrypted: by `leaves` from its side file where
    given, else by reading it through once. With `policy_hash`, the header must name that policy. A stream that can't
    seek is read once, from front to back, and takes a `root` only with `leaves`, or with `root_last`: then whoever
    reads all chunks hears only after the last whether the root holds, by VerificationError, and must keep the plaintext
    back until then. Chunks are hashed and opened by `workers` threads.

    Raises FormatError when it is no capsule or has the wrong length, VerificationError for root and policy, OpenError
    for the key.
    """

    def __init__(
        self,
        stream: BinaryIO,
        data_key: DataKey,
        *,
        root: Digest | None = None,
        policy_hash: Digest | None = None,
        leaves: LeafHashes | None = None,
        workers: int = 1,
        root_last: bool = False,
    ) -> None:
        self._stream = stream
        self._workers = workers
        self._seekable = stream.seekable()
        self._base = stream.seek(0, SEEK_CUR) if self._seekable else 0
        self._next = 0
        # 1. The bytes before the chunks say what they should.
        self._layout = layout = read_layout(stream)
        self.header = header = layout.header
        if policy_hash is not None and header.policy_hash != policy_hash:
            raise VerificationError(
                "capsule is under another policy", f"header names {header.policy_hash}, expected {policy_hash}"
            )
        # 2. The file is neither cut nor longer.
        _check_size(stream, layout, self._base)
        # 3. Its tree has the root that was asked for.
        self._last_root = root if root_last else None
        self._leaves = self._rooted(None if root_last else root, leaves)
        # 4. The key is the committed one and belongs under this header.
        self._content_key = open_slot(
            data_key, layout.slot, header.capsule_id, layout.stored_header, header.key_commitment
        )

    def __repr__(self) -> str:
        return f"CapsuleReader(0x{self.header.capsule_id.hex()})"

    def chunks(self) -> Iterator[bytes]:
        """The plaintext, chunk by chunk; OpenError at the first that does not open."""
        for run in self._runs(range(self.header.chunk_count)):
            yield from map(bytes, run.plaintexts)

    def read_all(self) -> bytes:
        """The whole plaintext."""
        return b"".join(self.chunks())

    def read_range(self, begin: int, end: int) -> bytes:
        """Plaintext from `begin` until before `end`; opens only the chunks that hold it."""
        return b"".join([bytes(part) for part in self._parts(begin, end)])

    def copy_to(
        self,
        sink: BinaryIO,
        begin: int = 0,
        end: int | None = None,
        *,
        progress: Callable[[int], None] = no_progress,
    ) -> int:
        """Writes plaintext from `begin` until before `end`, and returns how many bytes, in constant memory.

        What was written is good only when the call returned: OpenError comes at the first chunk that does not open.
        """
        done = 0
        for part in self._parts(begin, self.header.plaintext_size if end is None else end):
            write(sink, part)
            done += len(part)
            progress(done)
        return done

    def stream(self) -> BinaryIO:
        """The plaintext as a file to read and seek in; holds one chunk at a time."""
        return cast(BinaryIO, BufferedReader(_PlaintextStream(self)))

    def _parts(self, begin: int, end: int) -> Iterator[memoryview]:
        """The range, a part of a chunk at a time, each valid until the next."""
        if not 0 <= begin <= end <= self.header.plaintext_size:
            raise InputError(f"no bytes {begin} to {end} in a plaintext of {self.header.plaintext_size}")
        size = self.header.chunk_size
        whole = (begin, end) == (0, self.header.plaintext_size)
        # an empty plaintext has one chunk, whose tag counts; an empty range of another needs none
        chunks = range(self.header.chunk_count) if whole else range(begin // size, -(-end // size))
        if begin == end and not whole:
            return
        for run in self._runs(chunks):
            for index, plaintext in enumerate(run.plaintexts, run.first):
                at = index * size
                yield plaintext[max(begin - at, 0) : max(end - at, 0)]

    def _runs(self, chunks: range) -> Iterator[Run]:
        layout = self._layout
        if self._seekable:
            self._stream.seek(self._base + layout.offset(chunks.start))
        elif chunks.start != self._next:
            raise InputError("a stream that can't seek is read once, from front to back")
        if self._last_root is not None and chunks != range(self.header.chunk_count):
            raise InputError("a root is checked at last only where all chunks are read")
        self._next = chunks.stop
        leaves = None
        if self._leaves is not None:
            packed, before = self._leaves.packed, len(layout.leaves)
            leaves = packed[32 * (before + chunks.start) : 32 * (before + chunks.stop)]
        hashing = self._last_root is not None
        packed_here = bytearray(b"".join(layout.leaves))
        try:
            for run in opened(
                self._stream, self.header, self._content_key, chunks, leaves, self._workers, hashing=hashing
            ):
                last = run.first + len(run.views) == self.header.chunk_count
                if last and not self._seekable and self._stream.read(1):
                    raise OpenError
                packed_here += run.leaves if hashing else b""
                yield run
        except FormatError:
            raise OpenError from None
        if self._last_root is not None:
            _same_root(LeafHashes(packed=bytes(packed_here)).root, self._last_root)

    def _rooted(self, root: Digest | None, leaves: LeafHashes | None) -> LeafHashes | None:
        if root is None:
            if leaves is not None:
                raise InputError("leaf hashes are worth nothing without the root to check them against")
            return None
        layout = self._layout
        if leaves is None:
            if not self._seekable:
                raise InputError("a stream that can't seek needs leaf hashes to be checked against a root")
            self._stream.seek(self._base + layout.body)
            leaves = _hash_all(self._stream, layout, self._workers)
        _same_root(leaves.root, root)
        if len(leaves) != len(layout.leaves) + layout.header.chunk_count or tuple(leaves[:3]) != layout.leaves:
            raise VerificationError("capsule is not the one with this root", f"root {root}")
        return leaves


class _PlaintextStream(RawIOBase):
    """Seekable reading over a CapsuleReader, which must not be read from elsewhere meanwhile."""

    def __init__(self, reader: CapsuleReader) -> None:
        super().__init__()
        self._reader = reader
        self._position = 0
        self._opened: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, self._reader.header.plaintext_size)[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        header = self._reader.header
        if self._position >= header.plaintext_size or not len(view):
            return 0
        index, at = divmod(self._position, header.chunk_size)
        if self._opened[0] != index:
            begin = index * header.chunk_size
            self._opened = (index, self._reader.read_range(begin, begin + header.chunk_length(index)))
        part = self._opened[1][at : at + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)


def _hash_all(
    stream: BinaryIO, layout: Layout, workers: int, known: bytes = b"", found: Callable[[bytes], None] = _forget
) -> LeafHashes:
    """Leaf hashes of a capsule whose chunks the stream stands before; reads once those that are not known."""
    header = layout.header
    first, rest = divmod(len(known), 32)
    if rest or first > header.chunk_count:
        raise InputError("what is known of this capsule's chunks is not of this capsule")
    if first and not stream.seekable():
        raise InputError("a stream that can't seek is read through")
    if first:
        stream.seek(min(first * header.chunk_size, header.plaintext_size) + first * TAG_SIZE, SEEK_CUR)
    packed = bytearray(b"".join(layout.leaves) + known)
    for run in hashed(stream, header, workers, first):
        packed += run.leaves
        found(run.leaves)
    return LeafHashes(packed=bytes(packed))


def _check_size(stream: BinaryIO, layout: Layout, base: int) -> None:
    """FormatError where a file that can seek is cut or longer; it stands before the first chunk after that."""
    if stream.seekable():
        if stream.seek(0, SEEK_END) - base != layout.size:
            raise FormatError(f"capsule has not the {layout.size} bytes that its header says")
        stream.seek(base + layout.body)


def _same_root(computed: Digest, root: Digest) -> None:
    if computed != root:
        raise VerificationError("capsule has another root", f"computed {computed}, expected {root}")
