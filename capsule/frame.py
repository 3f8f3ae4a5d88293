"""A device's frame: COSE_Sign1 (RFC 9052, tag 18) over rows of readings as SenML in CBOR (RFC 8428).

The protected header names the device, its sequence number (from 1, without gaps), the hash of the frame before, and the
hash of a gateway's receipt for an earlier frame, so that loss, replay and reordering show. What is signed is the
Sig_structure of RFC 9052, section 4.4, over the bytes as received.

Invariant: no one but the holder of the key can make a second frame that verifies, not even one with the same content:
outside of what is signed, every byte is fixed. So two frames with one sequence number accuse the device's key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import cbor2

from capsule.cbor import BYTES, Cbor, byte_string, decode, read_head, read_item
from capsule.digest import tagged
from capsule.errors import FormatError, InputError
from capsule.ids import DeviceId, Digest
from capsule.rows import Row
from capsule.senml import pack_rows, unpack_rows
from capsule.signature import ED25519, MAX_SIGNATURE_BYTES, SM2, PublicKey, Signer

__all__ = [
    "FIRST_PREVIOUS",
    "MAX_FRAME_BYTES",
    "MAX_SEQUENCE",
    "MEDIA_TYPE",
    "Frame",
    "Mark",
    "UnverifiedFrame",
    "VerifiedFrame",
    "frame_hash",
    "read_frame",
    "received_digest",
    "sign_frame",
    "sign_packed",
    "verify_frame",
]

MEDIA_TYPE: Final = "application/cose"
MAX_FRAME_BYTES: Final = 1 << 20
MAX_SEQUENCE: Final = 2**53 - 1
FIRST_PREVIOUS: Final = Digest(bytes(32))
"""Stands for the frame before a device's first."""

_TYPE: Final = "application/vnd.dataspace.frame"  # RFC 9596
_VERSION: Final = 1
_SENML_CBOR: Final = 112  # CoAP content format application/senml+cbor
# Algorithms by suite: EdDSA (RFC 9053), and SM2 with SM3, which has no registered number, in the private range.
_ALGORITHMS: Final = {ED25519: -8, SM2: -70100}
_SUITES: Final = {number: suite for suite, number in _ALGORITHMS.items()}
_SIGNATURE_BYTES: Final = {ED25519: range(64, 65), SM2: range(8, MAX_SIGNATURE_BYTES + 1)}

# Header parameters (RFC 9052, table 3; RFC 9596), then ours in the private range.
_ALGORITHM, _CRITICAL, _CONTENT_TYPE, _TYP = 1, 2, 3, 16
_FORMAT, _DEVICE, _SEQUENCE, _PREVIOUS, _ACKNOWLEDGED, _MARK = -70000, -70001, -70002, -70003, -70004, -70005
_RECEIVED: Final = -70006
_OURS: Final = (_FORMAT, _DEVICE, _SEQUENCE, _PREVIOUS, _ACKNOWLEDGED, _MARK, _RECEIVED)

_TAGGED_ARRAY: Final = b"\xd2\x84"  # tag 18, array of 4
_NO_UNPROTECTED: Final = b"\xa0"
_SIGNATURE1: Final = b"\x84" + cbor2.dumps("Signature1")  # array of 4
_NO_EXTERNAL: Final = byte_string(b"")


class Mark(StrEnum):
    """What a frame's signature says of its readings."""

    SIGNED = "signed"
    """by the device's enrolled key, at the source"""
    WITNESSED = "witnessed"
    """by the gateway on arrival, for a device that can't sign"""
    IMPORTED = "imported"
    """made from a file"""


_MARKS: Final = frozenset(Mark)


# The protected header in the form in which it is written here: the same map, with less to do for each frame.
_PLAIN_ALGORITHMS: Final = {cbor2.dumps(number): number for number in _SUITES}
_PLAIN_MARKS: Final = {cbor2.dumps(str(mark)): mark for mark in Mark}
_PLAIN_DIGEST: Final = rb"\x58\x20(.{32})"


def _any_of(literals: Iterable[bytes]) -> bytes:
    return rb"(" + rb"|".join(re.escape(literal) for literal in literals) + rb")"


def _label(label: int, *content: int | str) -> bytes:
    return re.escape(b"".join(cbor2.dumps(item) for item in (label, *content)))


_PLAIN_HEADER: Final = re.compile(
    rb"[\xa8-\xaa]"
    + _label(_ALGORITHM)
    + _any_of(_PLAIN_ALGORITHMS)
    + _label(_CONTENT_TYPE, _SENML_CBOR, _TYP, _TYPE, _FORMAT, _VERSION, _DEVICE)
    + _PLAIN_DIGEST
    + _label(_SEQUENCE)
    + rb"([\x00-\x17]|\x18.|\x19..|\x1a.{4}|\x1b.{8})"
    + _label(_PREVIOUS)
    + _PLAIN_DIGEST
    + rb"(?:" + _label(_ACKNOWLEDGED) + _PLAIN_DIGEST + rb")?"
    + _label(_MARK)
    + _any_of(_PLAIN_MARKS)
    + rb"(?:" + _label(_RECEIVED) + _PLAIN_DIGEST + rb")?",
    re.DOTALL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame says. `units` is optional: where a column has none, the thing model's counts.

    Raises InputError for a sequence outside 1 to MAX_SEQUENCE, and for a `previous` that is zero after the first frame
    or is not zero in it.
    """

    device: DeviceId
    sequence: int
    previous: Digest
    acknowledged: Digest | None
    mark: Mark
    rows: Sequence[Row]
    units: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_place(self.sequence, self.previous)


@dataclass(frozen=True, slots=True)
class VerifiedFrame:
    """A frame whose signature holds under `key`. `data` is what was received and what `hash` is over."""

    frame: Frame
    hash: Digest
    key: PublicKey
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnverifiedFrame:
    """A frame's header, with its payload and signature as received. Anyone may have made it.

    `received`: in a witnessed frame, the digest of the message that its readings were read from (`received_digest`).
    """

    device: DeviceId
    sequence: int
    previous: Digest
    acknowledged: Digest | None
    mark: Mark
    suite: int
    hash: Digest
    data: bytes = field(repr=False)
    protected: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    received: Digest | None = None

    def content_unverified(self) -> Frame:
        """The rows, by no authority. Raises FormatError where the payload is no SenML pack about the device."""
        rows, units = unpack_rows(self.payload, self.device)
        return Frame(self.device, self.sequence, self.previous, self.acknowledged, self.mark, rows, units)

    def verify(self, key: PublicKey) -> VerifiedFrame:
        """Raises VerificationError where `key` did not sign this, FormatError where what it signed is malformed."""
        key.verify_suite(self.suite).verify(_sig_structure(self.protected, self.payload), self.signature)
        return VerifiedFrame(self.content_unverified(), self.hash, key, self.data)


def frame_hash(data: bytes) -> Digest:
    """A frame's name: digest of kind "frame" over its bytes as received."""
    return tagged("frame", data)


def received_digest(salt: bytes, message: bytes) -> Digest:
    """What a witnessed frame says of the message that it was read from: digest of kind "received-message" over 32
    random bytes and the message. Both stay with the gateway; bare, a vehicle's number could be guessed from it."""
    if len(salt) != 32:
        raise InputError(f"a salt has 32 bytes, not {len(salt)}")
    return tagged("received-message", salt + message)


def sign_frame(frame: Frame, signer: Signer) -> bytes:
    """The frame's bytes. Raises InputError for rows that the format can't hold and frames past MAX_FRAME_BYTES."""
    return sign_packed(
        pack_rows(frame.device, frame.rows, frame.units),
        signer,
        device=frame.device,
        sequence=frame.sequence,
        previous=frame.previous,
        acknowledged=frame.acknowledged,
        mark=frame.mark,
    )


def sign_packed(
    payload: bytes,
    signer: Signer,
    *,
    device: DeviceId,
    sequence: int,
    previous: Digest,
    acknowledged: Digest | None,
    mark: Mark,
    received: Digest | None = None,
) -> bytes:
    """As `sign_frame`, for rows that `pack_rows` has packed for this device before."""
    if signer.suite not in _ALGORITHMS:
        raise InputError(f"frames can't be signed under suite {signer.suite}")
    _check_place(sequence, previous)
    header: dict[int, int | str | bytes] = {
        _ALGORITHM: _ALGORITHMS[signer.suite],
        _CONTENT_TYPE: _SENML_CBOR,
        _TYP: _TYPE,
        _FORMAT: _VERSION,
        _DEVICE: bytes(device),
        _SEQUENCE: sequence,
        _PREVIOUS: bytes(previous),
        _MARK: str(mark),
    }
    if acknowledged is not None:
        header[_ACKNOWLEDGED] = bytes(acknowledged)
    if received is not None:
        header[_RECEIVED] = bytes(received)
    protected = cbor2.dumps(header, canonical=True)
    signature = signer.sign(_sig_structure(protected, payload))
    parts = (_TAGGED_ARRAY, byte_string(protected), _NO_UNPROTECTED, byte_string(payload), byte_string(signature))
    data = b"".join(parts)
    if len(data) > MAX_FRAME_BYTES:
        raise InputError(f"a frame has at most {MAX_FRAME_BYTES} bytes, not {len(data)}")
    return data


def read_frame(data: bytes) -> UnverifiedFrame:
    """Reads the envelope and the protected header, and leaves the payload alone.

    Raises FormatError for everything that is not exactly one frame; never anything else.
    """
    if not isinstance(data, bytes) or len(data) > MAX_FRAME_BYTES:
        raise FormatError(f"a frame is at most {MAX_FRAME_BYTES} bytes")
    if not data.startswith(_TAGGED_ARRAY):
        raise FormatError("not a COSE_Sign1 message with tag 18")
    protected, at = _byte_string(data, len(_TAGGED_ARRAY))
    if data[at : at + 1] != _NO_UNPROTECTED:
        raise FormatError("a frame has no unprotected header")
    payload, at = _byte_string(data, at + 1)
    signature, at = _byte_string(data, at)
    if at != len(data):
        raise FormatError("a frame ends with its signature")
    if (plain := _PLAIN_HEADER.fullmatch(protected)) is not None:
        return _plain(plain, data, protected, payload, signature)
    header = decode(protected, depth=2)
    algorithm = header.get(_ALGORITHM) if isinstance(header, dict) else None
    if not isinstance(header, dict) or type(algorithm) is not int or algorithm not in _SUITES:
        raise FormatError("protected header says neither EdDSA nor SM2")
    suite = _suite(algorithm, signature)
    if header.get(_CONTENT_TYPE) != _SENML_CBOR:
        raise FormatError("protected header does not say SenML in CBOR")
    if header.get(_TYP) != _TYPE or header.get(_FORMAT) != _VERSION:
        raise FormatError("protected header does not name a frame of version 1")
    understood = header.get(_CRITICAL, list(_OURS))
    if not isinstance(understood, list) or not understood or any(label not in _OURS for label in understood):
        raise FormatError("protected header has critical parameters that are not known")
    sequence, mark, previous = header.get(_SEQUENCE), header.get(_MARK), _digest(header, _PREVIOUS)
    if type(sequence) is not int:
        raise FormatError("frame sequence is not an integer")
    if not isinstance(mark, str) or mark not in _MARKS:
        raise FormatError(f"{mark!r:.40} is no mark")
    try:
        _check_place(sequence, previous)
    except InputError as exc:
        raise FormatError(str(exc)) from exc
    return UnverifiedFrame(
        DeviceId(_digest(header, _DEVICE)),
        sequence,
        previous,
        _digest(header, _ACKNOWLEDGED) if _ACKNOWLEDGED in header else None,
        Mark(mark),
        suite,
        frame_hash(data),
        data,
        protected,
        payload,
        signature,
        _digest(header, _RECEIVED) if _RECEIVED in header else None,
    )


def _plain(header: re.Match[bytes], data: bytes, protected: bytes, payload: bytes, signature: bytes) -> UnverifiedFrame:
    """The frame of a header in the form in which `sign_packed` writes it."""
    algorithm, device, number, before, acknowledged, mark, received = header.groups()
    if header[0][0] != 0xA8 + (acknowledged is not None) + (received is not None):
        raise FormatError("protected header has not as many parameters as it says")
    sequence, _ = read_item(number, 0)
    assert isinstance(sequence, int)  # noqa: S101  what the form holds there
    suite = _suite(_PLAIN_ALGORITHMS[algorithm], signature)
    previous = Digest(before)
    try:
        _check_place(sequence, previous)
    except InputError as exc:
        raise FormatError(str(exc)) from exc
    return UnverifiedFrame(
        DeviceId(device),
        sequence,
        previous,
        None if acknowledged is None else Digest(acknowledged),
        _PLAIN_MARKS[mark],
        suite,
        frame_hash(data),
        data,
        protected,
        payload,
        signature,
        None if received is None else Digest(received),
    )


def _suite(algorithm: int, signature: bytes) -> int:
    suite = _SUITES[algorithm]
    if len(signature) not in _SIGNATURE_BYTES[suite]:
        raise FormatError(f"a frame's signature of suite {suite} does not have {len(signature)} bytes")
    return suite


def verify_frame(data: bytes, key: PublicKey) -> VerifiedFrame:
    """Reads a frame and checks its signature. Raises FormatError or VerificationError."""
    return read_frame(data).verify(key)


def _check_place(sequence: int, previous: Digest) -> None:
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise InputError(f"frame sequence {sequence} is not within 1 to 2^53 - 1")
    if (sequence == 1) != (previous == FIRST_PREVIOUS):
        raise InputError(f"frame {sequence} names {previous} as the one before")


def _digest(header: Mapping[int | str, Cbor], label: int) -> Digest:
    value = header.get(label)
    if not isinstance(value, bytes) or len(value) != 32:
        raise FormatError(f"header parameter {label} is not 32 bytes")
    return Digest(value)


def _byte_string(data: bytes, at: int) -> tuple[bytes, int]:
    major, length, at = read_head(data, at)
    if major != BYTES or at + length > len(data):
        raise FormatError("a frame's protected header, payload and signature are byte strings")
    return data[at : at + length], at + length


def _sig_structure(protected: bytes, payload: bytes) -> bytes:
    return b"".join((_SIGNATURE1, byte_string(protected), _NO_EXTERNAL, byte_string(payload)))
