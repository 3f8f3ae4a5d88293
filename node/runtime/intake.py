"""From released shares and sealed capsules to tables in memory.

Invariants: a share is used only when it is the one dealt, a key only when it is the one committed to, a chunk only when
it is the one under the chain's root; device frames become a table only when every one verifies. Plaintext and keys stay
in this process's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import pyarrow as pa

from capsule.errors import FormatError, InputError, OpenError, ShareError, VerificationError
from capsule.key import DataKey
from capsule.opening import CapsuleReader
from capsule.receipt import SourceVerdict
from capsule.share import ReleaseContext, ShareSecret, open_release, rebuild_key
from capsule.source import verify_source
from node.errors import RuntimeRefusedError
from node.runtime.protocol import CapsuleInput, Job
from node.runtime.table import CSV, FRAMES, PARQUET, from_csv, from_parquet, from_source, time_column

__all__ = ["Intake", "take_in"]

_DECLARED = SourceVerdict("declared")


@dataclass(frozen=True, slots=True)
class Intake:
    """One opened capsule."""

    table: pa.Table
    source: SourceVerdict


def take_in(job: Job, streams: Sequence[BinaryIO]) -> tuple[Intake, ...]:
    """Opens every capsule of a job. Raises RuntimeRefusedError ("share" or "capsule") with the capsule's place."""
    if len(streams) != len(job.capsules):
        raise RuntimeRefusedError("capsule", "unopened")
    taken = []
    for place, (one, stream) in enumerate(zip(job.capsules, streams, strict=True)):
        try:
            taken.append(_within(one.columns, _table(job, _open(one, stream))))
        except RuntimeRefusedError as exc:
            raise RuntimeRefusedError(exc.kind, exc.reason, holder=exc.holder, index=exc.index, capsule=place) from None
    return tuple(taken)


def _within(columns: Sequence[str], taken: Intake) -> Intake:
    """What of a table its policy lets algorithms see: the rest is not there for them."""
    if not columns:
        return taken
    seen = [name for name in taken.table.column_names if name in columns]
    if not seen:
        raise RuntimeRefusedError("capsule", "columns")
    return replace(taken, table=taken.table.select(seen))


def _open(one: CapsuleInput, stream: BinaryIO) -> CapsuleReader:
    deal = one.deal
    pinned = (one.chain_id, one.access, one.capsule_root, one.policy_hash)
    if (deal.chain_id, deal.access, deal.capsule_root, deal.policy_hash) != pinned:
        raise RuntimeRefusedError("capsule", "deal")
    data_key = _key(one)
    stream.seek(0)
    try:
        reader = CapsuleReader(stream, data_key, root=one.capsule_root)
    except (FormatError, VerificationError, InputError):
        raise RuntimeRefusedError("capsule", "root") from None
    except OpenError:
        raise RuntimeRefusedError("capsule", "unopened") from None
    header = reader.header
    dealt = (deal.capsule_id, deal.asset, deal.policy_hash, deal.key_commitment, deal.provider)
    if (header.capsule_id, header.asset, header.policy_hash, header.key_commitment, header.provider) != dealt:
        raise RuntimeRefusedError("capsule", "deal")
    return reader


def _key(one: CapsuleInput) -> DataKey:
    secrets: list[ShareSecret] = []
    try:
        for index, sealed in sorted(one.releases.items()):
            if index not in one.one_time_keys:
                raise RuntimeRefusedError("share", "missing")
            context = ReleaseContext(chain_id=one.chain_id, access=one.access, use=one.use, index=index)
            secrets.append(open_release(sealed, one.one_time_keys[index], context, one.deal))
    except ShareError as exc:
        raise RuntimeRefusedError("share", "wrong", holder=exc.holder, index=exc.index) from None
    except InputError:  # the deal has no such position
        raise RuntimeRefusedError("share", "missing") from None
    try:
        return rebuild_key(one.deal, secrets)
    except ShareError:  # too few, or not the provider's: nobody released anything wrong, so nobody is named
        raise RuntimeRefusedError("share", "missing") from None
    except VerificationError:
        # every share is the one dealt, so the dealer is at fault
        raise RuntimeRefusedError("share", "key", holder=one.deal.provider, index=0) from None


def _table(job: Job, reader: CapsuleReader) -> Intake:
    header = reader.header
    time = time_column(header.schema)
    try:
        if header.media_type == FRAMES:
            source = verify_source(reader.stream(), job.device_keys, job.anchors)
            return Intake(from_source(source, time or "time"), SourceVerdict("verified", source.verified, source.total))
        if header.media_type == CSV:
            return Intake(from_csv(reader.read_all(), time), _DECLARED)
        if header.media_type == PARQUET:
            return Intake(from_parquet(reader.read_all(), time), _DECLARED)
    except (VerificationError, FormatError):
        raise RuntimeRefusedError("capsule", "source") from None
    except OpenError:
        raise RuntimeRefusedError("capsule", "unopened") from None
    raise RuntimeRefusedError("capsule", "media-type")
