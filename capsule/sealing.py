"""Sealing: plaintext in, capsule out, chunk by chunk in constant memory.

What is written is a capsule only when `seal` returned; until then throw the sink away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import BinaryIO

from capsule.canonical import Json
from capsule.chunks import Run, hashed, no_progress, sealed, write
from capsule.digest import Domain
from capsule.errors import FormatError, InputError, VerificationError
from capsule.header import CAPSULE_ID_SIZE, DEFAULT_CHUNK_SIZE, BatchRef, Header, header_digest
from capsule.ids import Address, AssetId, DeviceId, Digest
from capsule.key import DataKey, key_commitment
from capsule.layout import Layout, read_layout
from capsule.leaves import LeafHashes, SideFile
from capsule.signature import Signer
from capsule.suite import CONTENT_KEY_SIZE, open_slot, seal_slot

__all__ = ["RebindPlan", "SealPlan", "Sealed", "rebind", "seal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPlan:
    """What goes into the header. `plaintext_size` may be left out where the source can seek."""

    asset: AssetId
    policy_hash: Digest
    media_type: str
    schema: Json = field(hash=False)
    provider: Address
    sealed_at: int
    plaintext_size: int | None = None
    chunk_size: int = DEFAULT_CHUNK_SIZE
    lineage: tuple[Digest, ...] = ()
    source: tuple[BatchRef, ...] = ()
    devices: tuple[DeviceId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RebindPlan:
    """What a new policy changes in the header."""

    policy_hash: Digest
    sealed_at: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A capsule that was written. `size` in bytes; root and size go on chain.

    `root_signature` is the provider's over the root, for checks without a chain.
    """

    header: Header
    root: Digest
    size: int
    leaves: LeafHashes
    suite: int
    root_signature: bytes

    @property
    def side_file(self) -> SideFile:
        return SideFile(self.leaves, self.suite, self.root_signature)


def seal(
    source: BinaryIO,
    sink: BinaryIO,
    plan: SealPlan,
    signer: Signer,
    data_key: DataKey,
    domain: Domain,
    entropy: Callable[[int], bytes],
    *,
    workers: int = 1,
    progress: Callable[[int], None] = no_progress,
) -> Sealed:
    """Writes a capsule of what `source` holds from its position on.

    `signer` holds the provider's signing key; capsule id and content key come from `entropy`. Chunks are sealed by
    `workers` threads; `progress` hears how many bytes of plaintext are done. Raises InputError when the source has more
    or fewer bytes than the plan says.
    """
    header = Header(
        capsule_id=_drawn(entropy, CAPSULE_ID_SIZE),
        asset=plan.asset,
        policy_hash=plan.policy_hash,
        media_type=plan.media_type,
        schema=plan.schema,
        plaintext_size=_remaining(source) if plan.plaintext_size is None else plan.plaintext_size,
        chunk_size=plan.chunk_size,
        key_commitment=key_commitment(data_key),
        lineage=plan.lineage,
        source=plan.source,
        devices=plan.devices,
        provider=plan.provider,
        sealed_at=plan.sealed_at,
    )
    content_key = _drawn(entropy, CONTENT_KEY_SIZE)
    layout = _lay_out(header, signer, data_key, content_key, domain)

    runs = sealed(source, header, content_key, workers)
    try:
        written = _write(layout, runs, sink, signer, domain, progress)
    except FormatError as exc:
        raise InputError(f"source holds fewer than {header.plaintext_size} bytes") from exc
    if source.read(1):
        raise InputError(f"source holds more than {header.plaintext_size} bytes")
    return written


def rebind(
    source: BinaryIO,
    sink: BinaryIO,
    plan: RebindPlan,
    signer: Signer,
    old_key: DataKey,
    new_key: DataKey,
    domain: Domain,
    *,
    root: Digest | None = None,
    workers: int = 1,
    progress: Callable[[int], None] = no_progress,
) -> Sealed:
    """Puts a capsule under another policy and data key: new header, signature and slot; chunks are copied as they are.

    It does not reach back: who has the old key still opens the old capsule. Raises OpenError when `old_key` is not the
    capsule's, and VerificationError when the old capsule has not the `root` given.
    """
    if new_key == old_key:
        raise InputError("a rebound capsule needs a data key of its own")
    old = read_layout(source)
    content_key = open_slot(old_key, old.slot, old.header.capsule_id, old.stored_header, old.header.key_commitment)
    header = replace(
        old.header,
        policy_hash=plan.policy_hash,
        sealed_at=plan.sealed_at,
        key_commitment=key_commitment(new_key),
    )
    layout = _lay_out(header, signer, new_key, content_key, domain)
    rebound = _write(layout, hashed(source, header, workers), sink, signer, domain, progress)
    if source.read(1):
        raise FormatError("capsule has bytes after its last chunk")
    before = LeafHashes((*old.leaves, *rebound.leaves[len(old.leaves) :])).root
    if root is not None and before != root:
        raise VerificationError("capsule to rebind has another root", f"computed {before}, expected {root}")
    return rebound


def _lay_out(header: Header, signer: Signer, data_key: DataKey, content_key: bytes, domain: Domain) -> Layout:
    stored = header.to_bytes()
    return Layout(
        header,
        stored,
        signer.suite,
        signer.sign(domain.statement("capsule", header_digest(stored))),
        seal_slot(data_key, content_key, header.capsule_id, stored),
    )


def _write(
    layout: Layout,
    runs: Iterator[Run],
    sink: BinaryIO,
    signer: Signer,
    domain: Domain,
    progress: Callable[[int], None],
) -> Sealed:
    for piece in layout.pieces:
        sink.write(piece)
    leaves = bytearray(b"".join(layout.leaves))
    done = 0
    for run in runs:
        write(sink, run.sealed)
        leaves += run.leaves
        done += run.size
        progress(done)
    hashes = LeafHashes(packed=bytes(leaves))
    root = hashes.root
    signature = signer.sign(domain.statement("capsule-root", root))
    return Sealed(layout.header, root, layout.size, hashes, signer.suite, signature)


def _drawn(entropy: Callable[[int], bytes], length: int) -> bytes:
    drawn = entropy(length)
    if len(drawn) != length:
        raise InputError(f"entropy gave {len(drawn)} bytes instead of {length}")
    return drawn


def _remaining(source: BinaryIO) -> int:
    if not source.seekable():
        raise InputError("a source that can't seek needs its plaintext size in the plan")
    here = source.seek(0, SEEK_CUR)
    end = source.seek(0, SEEK_END)
    source.seek(here, SEEK_SET)
    return end - here
