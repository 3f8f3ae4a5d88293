"""What this compute node remembers of its completed answers, by buyer and asset and across grants.

Each answer is one row of the store, sealed, under its order: written in the transaction that records the run's outcome,
so that it counts exactly once. An answer that the chain then did not let out stays counted. A running digest over the
rows of a buyer and asset goes into the operation log. Other compute nodes' answers are not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capsule import canonical
from capsule.digest import tagged
from capsule.document import Fields, hexed
from capsule.ids import Address, AssetId, Digest
from capsule.privacy import NO_EPSILON, Epsilon
from node.runtime.protocol import Answered, CapsuleInput
from node.store import AnsweredRow, Store

__all__ = ["NO_ANSWERS", "History", "added", "earlier", "history_of"]

KIND = "dataspace/answered"
NO_ANSWERS = Digest(bytes(32))
"""The head of an empty history, and the log's word for an order that added to none."""


@dataclass(frozen=True, slots=True)
class History:
    """What one buyer was told of one asset: groups and epsilon in all, and by capsule id the members of each answer.

    `head` is the running digest over its `size` answers.
    """

    size: int
    head: Digest
    groups: int
    epsilon: Epsilon
    members: tuple[tuple[bytes, bytes], ...]


def history_of(store: Store, buyer: Address, asset: AssetId) -> History:
    """Reads a history; FormatError where the store holds something else."""
    rows = store.answered(buyer, asset)
    told = [(row, *_decode(store.opened(row.sealed))) for row in rows]
    return History(
        size=len(told),
        head=Digest.parse(rows[-1].head) if rows else NO_ANSWERS,
        groups=sum(one.groups for _, _, one in told),
        epsilon=sum((one.epsilon for _, _, one in told), NO_EPSILON),
        members=tuple((capsule, one.members) for _, capsule, one in told if one.members),
    )


def earlier(history: History, capsule_id: bytes) -> tuple[bytes, ...]:
    """The members of earlier answers over the rows of one capsule, which a rebound capsule keeps."""
    return tuple(each for capsule, each in history.members if capsule == capsule_id)


def added(
    store: Store, order: Digest, buyer: Address, capsules: Sequence[CapsuleInput], answered: Sequence[Answered]
) -> tuple[Sequence[AnsweredRow], Digest]:
    """The rows by which an order's answer adds to the histories of its capsules' assets, and the log's digest of it:
    over the heads that these have after it, in the order's order."""
    heads: dict[AssetId, tuple[int, Digest]] = {}
    rows: list[AnsweredRow] = []
    for position, (capsule, one) in enumerate(zip(capsules, answered, strict=True)):
        asset = capsule.deal.asset
        if asset not in heads:
            history = history_of(store, buyer, asset)
            heads[asset] = (history.size, history.head)
        size, head = heads[asset]
        entry = _encode(order, capsule.deal.capsule_id, one)
        heads[asset] = (size + 1, tagged("answered", bytes(head) + entry))
        rows.append(
            AnsweredRow(
                order_hash=str(order),
                position=position,
                buyer=str(buyer),
                asset=str(asset),
                number=size + 1,
                head=str(heads[asset][1]),
                sealed=store.sealed(entry),
            )
        )
    return rows, tagged("answers", b"".join(bytes(heads[one.deal.asset][1]) for one in capsules))


def _encode(order: Digest, capsule_id: bytes, one: Answered) -> bytes:
    header = canonical.encode(
        {
            "kind": KIND,
            "version": 1,
            "order": str(order),
            "capsule_id": hexed(capsule_id),
            "groups": one.groups,
            "epsilon": str(one.epsilon),
        }
    )
    return len(header).to_bytes(4, "big") + header + one.members


def _decode(entry: bytes) -> tuple[bytes, Answered]:
    size = int.from_bytes(entry[:4], "big")
    fields = Fields.of(canonical.decode(entry[4 : 4 + size]), KIND)
    answered = Answered(
        groups=fields.integer("groups"), epsilon=fields.id("epsilon", Epsilon), members=entry[4 + size :]
    )
    return fields.raw("capsule_id", 16), answered
