"""A compute node's accusation: the one one-time key that opens a share it says is wrong, for anyone to try.

Its digest stands as the receipt hash of the failed close. What the key opens shows who is wrong: the holder whose share
does not match its commitment, or the compute node that accused a good share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from capsule.box import BoxKey
from capsule.canonical import Json
from capsule.digest import document_digest
from capsule.document import Fields, hexed, read_as
from capsule.ids import Address, Digest, UseId
from capsule.key import MAX_CUSTODIANS

__all__ = ["KIND", "Accusation"]

KIND: Final = "dataspace/accusation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """`one_time_key` is the X25519 secret (32 bytes) that this holder's release of this use was sealed to."""

    use: UseId
    deal: Digest
    index: int
    holder: Address
    one_time_key: bytes = field(repr=False)

    @property
    def hash(self) -> Digest:
        return document_digest("accusation", self.to_json())

    @property
    def box_key(self) -> BoxKey:
        return BoxKey(self.one_time_key)

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": KIND,
            "version": 1,
            "use": str(self.use),
            "deal": str(self.deal),
            "index": self.index,
            "holder": str(self.holder),
            "one_time_key": hexed(self.one_time_key),
        }

    @classmethod
    def from_json(cls, document: Json) -> Accusation:
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            return cls(
                use=fields.id("use", UseId),
                deal=fields.id("deal", Digest),
                index=fields.integer("index", 0, MAX_CUSTODIANS),
                holder=fields.id("holder", Address),
                one_time_key=fields.raw("one_time_key", 32),
            )
