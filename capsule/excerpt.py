"""The header of a capsule with the proof that it stands in the capsule's tree, for those who do not have the file.

Header and signature are the first two leaves, so one inclusion proof shows both. What the chunks hold is not shown.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from capsule.canonical import Json
from capsule.document import Fields, hexed, read_as
from capsule.header import MAX_HEADER_SIZE, Header
from capsule.ids import Digest
from capsule.layout import LEADING_LEAVES, MAX_SIGNATURE_SIZE, Layout, read_layout
from capsule.leaves import LeafHashes
from capsule.suite import SLOT_SIZE
from capsule.tree import Tree, verify_inclusion

__all__ = ["KIND", "Excerpt", "excerpt_of", "verify_excerpt"]

KIND: Final = "dataspace/capsule-header"
_MAX_PROOF: Final = 64


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Header and signature as stored, and the proof above them: the hashes of an inclusion proof but for the first."""

    layout: Layout
    proof: tuple[Digest, ...]

    @property
    def header(self) -> Header:
        return self.layout.header

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": KIND,
            "version": 1,
            "header": hexed(self.layout.stored_header),
            "suite": self.layout.suite,
            "signature": hexed(self.layout.signature),
            "proof": [str(step) for step in self.proof],
        }

    @classmethod
    def from_json(cls, document: Json) -> Excerpt:
        fields = Fields.of(document, KIND)
        header = fields.raw("header", limit=MAX_HEADER_SIZE)
        suite, signature = fields.integer("suite", 0, 255), fields.raw("signature", limit=MAX_SIGNATURE_SIZE)
        with read_as(KIND):
            # the slot is not part of an excerpt; its size is fixed
            layout = Layout(Header.from_bytes(header), header, suite, signature, bytes(SLOT_SIZE))
        return cls(layout, fields.ids("proof", Digest, _MAX_PROOF))


def excerpt_of(capsule: bytes, leaves: LeafHashes) -> Excerpt:
    """The excerpt of a capsule's file, whose leaf hashes these are."""
    return Excerpt(read_layout(io.BytesIO(capsule)), Tree(leaves).proof(0)[1:])


def verify_excerpt(excerpt: Excerpt, root: Digest) -> Excerpt:
    """Returns the excerpt when it is of the capsule with this root; VerificationError otherwise."""
    header, signature, _ = excerpt.layout.leaves
    size = LEADING_LEAVES + excerpt.header.chunk_count
    verify_inclusion(header, 0, size, (signature, *excerpt.proof), root)
    return excerpt
