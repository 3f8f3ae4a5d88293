"""The header of a capsule: what anyone may read of it, bound to its key by the slot and to its chunks by the root.

Written as RFC 8785 JSON of at most 1 MiB, and read only in exactly that form, so that one header is one string of
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from capsule.batch import BatchRef
from capsule.canonical import Json, decode, encode
from capsule.deal import CAPSULE_ID_SIZE
from capsule.digest import tagged
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import FormatError, InputError
from capsule.ids import Address, AssetId, DeviceId, Digest

__all__ = [
    "CAPSULE_ID_SIZE",
    "DEFAULT_CHUNK_SIZE",
    "KIND",
    "MAX_CHUNK_SIZE",
    "MAX_HEADER_SIZE",
    "SUITE",
    "VERSION",
    "BatchRef",
    "Header",
    "header_digest",
]

KIND: Final = "dataspace/capsule"
VERSION: Final = "dsc1"
SUITE: Final = "SM4-GCM-SM3"
DEFAULT_CHUNK_SIZE: Final = 1 << 20
MAX_CHUNK_SIZE: Final = 1 << 26
MAX_HEADER_SIZE: Final = 1 << 20
MAX_PLAINTEXT_SIZE: Final = 2**53 - 1

_MAX_LIST: Final = 8192
_MAX_MEDIA_TYPE: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A capsule's header. Sizes in bytes, `sealed_at` in unix seconds.

    `schema` says what the plaintext holds ({"time_column", "columns": [{"name", "unit"}]} for tables, else {});
    `lineage` names the roots of the capsules it was derived from, `source` and `devices` where its readings come
    from, as declared.
    """

    capsule_id: bytes
    asset: AssetId
    policy_hash: Digest
    media_type: str
    schema: Json = field(hash=False)
    plaintext_size: int
    chunk_size: int
    key_commitment: bytes
    lineage: tuple[Digest, ...]
    source: tuple[BatchRef, ...]
    devices: tuple[DeviceId, ...]
    provider: Address
    sealed_at: int
    suite: str = SUITE
    version: str = VERSION
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        if self.version != VERSION or self.suite != SUITE:
            raise InputError(f"capsule format {self.version!r:.40} suite {self.suite!r:.40} is not supported")
        if len(self.capsule_id) != CAPSULE_ID_SIZE or len(self.key_commitment) != 32:
            raise InputError(f"a header has a capsule id of {CAPSULE_ID_SIZE} and a key commitment of 32 bytes")
        if not 0 <= self.plaintext_size <= MAX_PLAINTEXT_SIZE:
            raise InputError(f"plaintext size {self.plaintext_size} is not from 0 to {MAX_PLAINTEXT_SIZE}")
        if not 1 <= self.chunk_size <= MAX_CHUNK_SIZE:
            raise InputError(f"chunk size {self.chunk_size} is not from 1 to {MAX_CHUNK_SIZE}")
        if not isinstance(self.schema, Mapping) or len(self.media_type) > _MAX_MEDIA_TYPE or self.sealed_at < 0:
            raise InputError("a header has a media type, an object as schema, and an unsigned time")
        if max(len(self.lineage), len(self.source), len(self.devices)) > _MAX_LIST:
            raise InputError(f"a header lists more than {_MAX_LIST} capsules, batches or devices")

    @property
    def chunk_count(self) -> int:
        """An empty plaintext has one empty chunk; an exact multiple of the chunk size has no empty one."""
        return max(1, -(-self.plaintext_size // self.chunk_size))

    def chunk_length(self, index: int) -> int:
        """Bytes of plaintext in a chunk."""
        return min(self.chunk_size, self.plaintext_size - index * self.chunk_size)

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": self.version,
            "suite": self.suite,
            "capsule_id": hexed(self.capsule_id),
            "asset": str(self.asset),
            "policy_hash": str(self.policy_hash),
            "media_type": self.media_type,
            "schema": self.schema,
            "plaintext_size": self.plaintext_size,
            "chunk_size": self.chunk_size,
            "key_commitment": hexed(self.key_commitment),
            "lineage": [str(root) for root in self.lineage],
            "source": [
                {"gateway": str(batch.gateway), "number": batch.number, "frames_root": str(batch.frames_root)}
                for batch in self.source
            ],
            "devices": [str(device) for device in self.devices],
            "provider": str(self.provider),
            "sealed_at": self.sealed_at,
        }

    @classmethod
    def from_json(cls, document: Json) -> Header:
        fields = Fields.of(document, KIND, VERSION)
        with read_as(KIND):
            return cls(
                suite=fields.text("suite"),
                capsule_id=fields.raw("capsule_id", CAPSULE_ID_SIZE),
                asset=fields.id("asset", AssetId),
                policy_hash=fields.id("policy_hash", Digest),
                media_type=fields.text("media_type", _MAX_MEDIA_TYPE),
                schema=fields.value("schema"),
                plaintext_size=fields.integer("plaintext_size"),
                chunk_size=fields.integer("chunk_size"),
                key_commitment=fields.raw("key_commitment", 32),
                lineage=fields.ids("lineage", Digest, _MAX_LIST),
                source=fields.objects("source", _MAX_LIST, _batch),
                devices=fields.ids("devices", DeviceId, _MAX_LIST),
                provider=fields.id("provider", Address),
                sealed_at=fields.integer("sealed_at"),
                unknown=fields.unknown(),
            )

    def to_bytes(self) -> bytes:
        """As stored; InputError when it is larger than 1 MiB."""
        data = encode(self.to_json())
        if len(data) > MAX_HEADER_SIZE:
            raise InputError(f"header has {len(data)} bytes, at most {MAX_HEADER_SIZE} are allowed")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Reads a stored header; FormatError unless it is in its one form, which `to_bytes` gives again."""
        if len(data) > MAX_HEADER_SIZE:
            raise FormatError(f"capsule header is larger than {MAX_HEADER_SIZE} bytes")
        document = decode(data)
        if encode(document) != data:
            raise FormatError("capsule header is not RFC 8785 JSON")
        header = cls.from_json(document)
        if header.to_json() != document:  # an account in other letters, a member within a batch that nobody knows
            raise FormatError("capsule header is not written as its format says")
        return header


def header_digest(stored: bytes) -> Digest:
    """What the provider's signature in the capsule is over: digest "capsule" of the header's bytes."""
    return tagged("capsule", stored)


def _batch(fields: Fields) -> BatchRef:
    return BatchRef(fields.id("gateway", Address), fields.integer("number"), fields.id("frames_root", Digest))
