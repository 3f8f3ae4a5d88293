"""How jobs and messages are written: two lengths (4 bytes each, big-endian), a JSON document, bytes.

The document has kind and version. Both sides check lengths before they read. Every text that a runtime sends is checked
against a fixed list or form, so that it can't carry out what it read in a capsule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO, Final

from capsule.algorithm import Algorithm, Parameters
from capsule.attestation import Level
from capsule.box import BoxKey
from capsule.canonical import Json, decode, encode
from capsule.deal import Deal
from capsule.document import Fields, hexed, read_as
from capsule.errors import FormatError
from capsule.ids import Address, Bytes32, DeviceId, Digest
from capsule.privacy import Epsilon
from capsule.receipt import SourceVerdict
from capsule.share import MAX_RELEASE_BYTES
from capsule.signature import MAX_KEY_BYTES, PublicKey
from capsule.source import Anchor, DeviceKey
from node.runtime.protocol import (
    MAX_CAPSULES,
    MISSING,
    Answered,
    Broken,
    CapsuleInput,
    Completed,
    Job,
    Limits,
    Message,
    Ready,
    Refused,
)

__all__ = ["MAX_JOB_BYTES", "read_job", "read_message", "write_job", "write_message"]

MAX_JOB_BYTES: Final = 128 << 20

_JOB: Final = "dataspace/runtime-job"
_READY: Final = "dataspace/runtime-ready"
_BROKEN: Final = "dataspace/runtime-broken"
_COMPLETED: Final = "dataspace/runtime-completed"
_REFUSED: Final = "dataspace/runtime-refused"
_MAX_HOLDERS: Final = 33
_MAX_DEVICES: Final = 100_000
_MAX_KEYS: Final = 256
_MAX_ANCHORS: Final = 1_000_000
_MAX_EARLIER: Final = 100_000
_WHERE: Final = re.compile(r"(?:unknown|(?:capsule|node)/[a-z_/]{1,60}\.py:[0-9]{1,5}) [A-Za-z]{1,60}")
_UNCOUNTABLE: Final = 2**53 - 1


def write_job(job: Job, limits: Limits, *, allow_unprotected: bool) -> bytes:
    """The bytes that a runtime reads first."""
    header: dict[str, Json] = {
        "kind": _JOB,
        "version": 1,
        "allow_unprotected": allow_unprotected,
        "limits": {
            "cpu_seconds": limits.cpu_seconds,
            "memory_bytes": limits.memory_bytes,
            "output_bytes": limits.output_bytes,
            "threads": limits.threads,
            "fuel": _clipped(limits.fuel),
        },
        "capsules": [_capsule_json(one) for one in job.capsules],
        "code_bytes": len(job.code),
        "algorithm": job.algorithm.to_json(),
        "parameters": job.parameters.to_json(),
        "level": str(job.level),
        "result_key": hexed(job.result_key),
        "result_salt": hexed(job.result_salt),
        "devices": [
            {
                "device": str(device),
                "keys": [
                    {"suite": one.key.suite, "key": hexed(one.key.key), "anchored_before": one.anchored_before}
                    for one in keys
                ],
            }
            for device, keys in job.device_keys.items()
        ],
        "anchors": [
            {
                "gateway": str(one.gateway),
                "number": one.number,
                "frames_root": str(one.frames_root),
                "size": one.size,
                "anchored_at": one.anchored_at,
            }
            for one in job.anchors
        ],
    }
    return _framed(header, job.code + b"".join(members for one in job.capsules for members in one.earlier))


def read_job(stream: BinaryIO) -> tuple[Job, Limits, bool]:
    """Reads a job with its limits and whether it may run unprotected. FormatError for anything else."""
    document, body = _unframed(stream, MAX_JOB_BYTES)
    fields = Fields.of(document, _JOB)
    bounds = fields.object("limits")
    parts = _Parts(body)
    with read_as(_JOB):
        code = parts.take(fields.integer("code_bytes"))
        job = Job(
            capsules=fields.objects("capsules", MAX_CAPSULES, lambda one: _capsule(one, parts)),
            algorithm=Algorithm.from_json(fields.value("algorithm")),
            code=code,
            parameters=Parameters.from_json(fields.value("parameters")),
            result_key=fields.raw("result_key", 32),
            result_salt=fields.raw("result_salt", 32),
            device_keys=dict(fields.objects("devices", _MAX_DEVICES, _device)),
            anchors=fields.objects("anchors", _MAX_ANCHORS, _anchor),
            level=Level(fields.one_of("level", tuple(Level))),
        )
        limits = Limits(
            cpu_seconds=bounds.integer("cpu_seconds"),
            memory_bytes=bounds.integer("memory_bytes"),
            output_bytes=bounds.integer("output_bytes"),
            threads=bounds.integer("threads"),
            fuel=bounds.integer("fuel"),
        )
    parts.end()
    return job, limits, fields.flag("allow_unprotected")


def write_message(message: Message) -> bytes:
    """The bytes of one message of a runtime."""
    match message:
        case Ready(measurement, missing):
            return _framed({"kind": _READY, "version": 1, "measurement": str(measurement), "missing": list(missing)})
        case Broken(missing, where):
            return _framed({"kind": _BROKEN, "version": 1, "missing": list(missing), "where": where})
        case Completed():
            return _framed(
                {
                    "kind": _COMPLETED,
                    "version": 1,
                    "sealed_result_hash": str(message.sealed_result_hash),
                    "output_hash": str(message.output_hash),
                    "rows_in": message.rows_in,
                    "rows_out": message.rows_out,
                    "sealed_bytes": len(message.sealed_result),
                    "answered": [
                        {"groups": one.groups, "epsilon": str(one.epsilon), "member_bytes": len(one.members)}
                        for one in message.answered
                    ],
                    "source": {
                        "level": message.source.level,
                        "verified": message.source.verified,
                        "of": message.source.of,
                    },
                    "measurement": str(message.measurement),
                    "protected": message.protected,
                },
                message.sealed_result + b"".join(one.members for one in message.answered),
            )
        case Refused():
            return _framed(
                {
                    "kind": _REFUSED,
                    "version": 1,
                    "refused": message.kind,
                    "reason": message.reason,
                    "holder": None if message.holder is None else str(message.holder),
                    "index": message.index,
                    "capsule": message.capsule,
                    "measurement": str(message.measurement),
                    "protected": message.protected,
                }
            )


def read_message(stream: BinaryIO, limit: int) -> Message:
    """Reads one message of at most `limit` bytes. FormatError for anything else, and at the stream's end."""
    document, body = _unframed(stream, limit)
    kind = document.get("kind") if isinstance(document, Mapping) else None
    if kind not in (_READY, _BROKEN, _COMPLETED, _REFUSED):
        raise FormatError("not a message of a runtime")
    fields = Fields.of(document, str(kind))
    with read_as(str(kind)):
        if kind == _READY:
            return Ready(fields.id("measurement", Digest), _missing(fields))
        if kind == _BROKEN:
            where = fields.text("where", 200)
            if where and _WHERE.fullmatch(where) is None:
                raise FormatError("a runtime that broke down names no place in its code")
            return Broken(_missing(fields), where)
        if kind == _REFUSED:
            return Refused(
                kind=fields.text("refused", 40),
                reason=fields.text("reason", 40),
                holder=None if fields.value("holder") is None else fields.id("holder", Address),
                index=_optional(fields, "index"),
                capsule=_optional(fields, "capsule"),
                measurement=fields.id("measurement", Digest),
                protected=fields.flag("protected"),
            )
        source = fields.object("source")
        parts = _Parts(body)
        completed = Completed(
            sealed_result=parts.take(fields.integer("sealed_bytes")),
            sealed_result_hash=fields.id("sealed_result_hash", Digest),
            output_hash=fields.id("output_hash", Digest),
            rows_in=fields.integer("rows_in"),
            rows_out=fields.integer("rows_out"),
            answered=fields.objects("answered", MAX_CAPSULES, lambda one: _answered(one, parts)),
            source=SourceVerdict(source.text("level", 40), source.integer("verified"), source.integer("of")),
            measurement=fields.id("measurement", Digest),
            protected=fields.flag("protected"),
        )
        parts.end()
        return completed


class _Parts:
    """The bytes behind a document, from front to end, by the lengths that it gives."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, size: int) -> bytes:
        if size > len(self._body) - self._at:
            raise FormatError("a message is cut short")
        self._at += size
        return self._body[self._at - size : self._at]

    def end(self) -> None:
        if self._at != len(self._body):
            raise FormatError("a message has more bytes than it tells of")


def _framed(document: Json, body: bytes = b"") -> bytes:
    header = encode(document)
    return len(header).to_bytes(4, "big") + len(body).to_bytes(4, "big") + header + body


def _unframed(stream: BinaryIO, limit: int) -> tuple[Json, bytes]:
    lengths = stream.read(8)
    if len(lengths) != 8:
        raise FormatError("a message is cut short")
    first, second = int.from_bytes(lengths[:4], "big"), int.from_bytes(lengths[4:], "big")
    if first + second > limit:
        raise FormatError(f"a message is longer than {limit} bytes")
    header, body = stream.read(first), stream.read(second)
    if len(header) != first or len(body) != second:
        raise FormatError("a message is cut short")
    return decode(header), body


def _capsule_json(one: CapsuleInput) -> Json:
    return {
        "chain_id": str(one.chain_id),
        "access": str(one.access),
        "use": str(one.use),
        "deal": one.deal.to_json(),
        "capsule_root": str(one.capsule_root),
        "policy_hash": str(one.policy_hash),
        "policy": one.policy,
        "one_time_keys": [{"index": at, "secret": hexed(key.secret)} for at, key in sorted(one.one_time_keys.items())],
        "releases": [{"index": at, "sealed": hexed(sealed)} for at, sealed in sorted(one.releases.items())],
        "max_rows": _clipped(one.max_rows),
        "rows_left": _clipped(one.rows_left),
        "min_group": one.min_group,
        "groups_declared": one.groups_declared,
        "max_bytes": _clipped(one.max_bytes),
        "suppress_groups": one.suppress_groups,
        "groups_left": _clipped(one.groups_left),
        "earlier": [{"member_bytes": len(members)} for members in one.earlier],
        "attestation": [{"level": str(level)} for level in one.attestation],
        "epsilon_per_use": None if one.epsilon_per_use is None else str(one.epsilon_per_use),
        "epsilon_left": None if one.epsilon_left is None else str(one.epsilon_left),
    }


def _clipped(bound: int | None) -> int | None:
    """A bound past 2^53 - 1 bounds nothing that could be counted."""
    return None if bound is None else min(bound, _UNCOUNTABLE)


def _capsule(fields: Fields, parts: _Parts) -> CapsuleInput:
    return CapsuleInput(
        chain_id=fields.decimal("chain_id"),
        access=fields.id("access", Address),
        use=fields.id("use", Bytes32),
        deal=Deal.from_json(fields.value("deal")),
        capsule_root=fields.id("capsule_root", Digest),
        policy_hash=fields.id("policy_hash", Digest),
        policy=fields.value("policy"),
        one_time_keys=dict(fields.objects("one_time_keys", _MAX_HOLDERS, _one_time_key)),
        releases=dict(fields.objects("releases", _MAX_HOLDERS, _release)),
        max_rows=_optional(fields, "max_rows"),
        rows_left=_optional(fields, "rows_left"),
        min_group=fields.integer("min_group"),
        groups_declared=fields.flag("groups_declared"),
        max_bytes=_optional(fields, "max_bytes"),
        suppress_groups=fields.flag("suppress_groups"),
        groups_left=_optional(fields, "groups_left"),
        earlier=fields.objects("earlier", _MAX_EARLIER, lambda one: parts.take(one.integer("member_bytes"))),
        attestation=fields.objects("attestation", len(Level), _level),
        epsilon_per_use=_optional_epsilon(fields, "epsilon_per_use"),
        epsilon_left=_optional_epsilon(fields, "epsilon_left"),
    )


def _answered(fields: Fields, parts: _Parts) -> Answered:
    return Answered(
        groups=fields.integer("groups"),
        epsilon=fields.id("epsilon", Epsilon),
        members=parts.take(fields.integer("member_bytes")),
    )


def _one_time_key(fields: Fields) -> tuple[int, BoxKey]:
    return fields.integer("index"), BoxKey(fields.raw("secret", 32))


def _release(fields: Fields) -> tuple[int, bytes]:
    return fields.integer("index"), fields.raw("sealed", limit=MAX_RELEASE_BYTES)


def _device(fields: Fields) -> tuple[DeviceId, tuple[DeviceKey, ...]]:
    return fields.id("device", DeviceId), fields.objects("keys", _MAX_KEYS, _device_key)


def _device_key(fields: Fields) -> DeviceKey:
    key = PublicKey(fields.integer("suite"), fields.raw("key", limit=MAX_KEY_BYTES))
    return DeviceKey(key, _optional(fields, "anchored_before"))


def _anchor(fields: Fields) -> Anchor:
    return Anchor(
        fields.id("gateway", Address),
        fields.integer("number"),
        fields.id("frames_root", Digest),
        fields.integer("size"),
        fields.integer("anchored_at"),
    )


def _level(fields: Fields) -> Level:
    return Level(fields.one_of("level", tuple(Level)))


def _optional(fields: Fields, name: str) -> int | None:
    return None if fields.value(name) is None else fields.integer(name)


def _optional_epsilon(fields: Fields, name: str) -> Epsilon | None:
    return None if fields.value(name) is None else fields.id(name, Epsilon)


def _missing(fields: Fields) -> tuple[str, ...]:
    value = fields.value("missing")
    if not isinstance(value, list) or len(value) > len(MISSING) or not all(item in MISSING for item in value):
        raise FormatError("a runtime lacks something that it can't lack")
    return tuple(str(item) for item in value)
