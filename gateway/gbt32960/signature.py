"""The signature record of the edition of 2025 (table 8): the vehicle's own signature over its data unit.

FF | algorithm (1) | length of R (2) | R | length of S (2) | S, over the bytes from the time to the last item. The
standard names SM2, RSA and ECC, and neither hash nor padding. Verified here: SM2 with SM3 (GB/T 32918.2, with the user
id that stands with the key), and ECC as ECDSA on P-256 with SHA-256. RSA is named as unsupported, not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from capsule.crypto.p256 import check_p256, signature_der, verify_p256
from capsule.errors import InputError, VerificationError
from capsule.signature import SM2, PublicKey
from gateway.gbt32960.errors import Answer, LayoutError, RefusedError

__all__ = ["Algorithm", "SignatureRecord", "VehicleKey", "read_signature", "verify_signature"]


class Algorithm(IntEnum):
    """Of a signature record."""

    SM2 = 1
    RSA = 2
    ECC = 3


@dataclass(frozen=True, slots=True)
class SignatureRecord:
    """A record as received, yet to be verified."""

    algorithm: int
    r: bytes = field(repr=False)
    s: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VehicleKey:
    """The public key of a vehicle's chip, as its owner registered it: 04, x, y; with SM2 its user id after that.

    Raises InputError for what is no such key.
    """

    algorithm: Algorithm
    key: bytes

    def __post_init__(self) -> None:
        match self.algorithm:
            case Algorithm.SM2:
                PublicKey(SM2, self.key)
            case Algorithm.ECC:
                check_p256(self.key)
            case _:
                raise InputError("RSA signatures can't be verified: the standard names neither hash nor padding")


def read_signature(data: bytes) -> SignatureRecord:
    """Reads a record, without its FF. Raises LayoutError."""
    if len(data) < 3:
        raise LayoutError("the signature record is cut off")
    parts: list[bytes] = []
    at = 1
    for name in ("R", "S"):
        length = int.from_bytes(data[at : at + 2], "big")
        if at + 2 + length > len(data):
            raise LayoutError(f"{name} of the signature record runs past the data unit")
        parts.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(data):
        raise LayoutError(f"{len(data) - at} bytes follow the signature record")
    return SignatureRecord(data[0], parts[0], parts[1])


def verify_signature(record: SignatureRecord | None, signed: bytes, key: VehicleKey) -> SignatureRecord:
    """The record, once it holds under the vehicle's registered key. Raises RefusedError with the reason."""
    if record is None:
        raise RefusedError("this vehicle's key is registered, and the message bears no signature", Answer.SIGNATURE)
    if record.algorithm != key.algorithm:
        raise RefusedError(
            f"the signature is of algorithm {record.algorithm}, the vehicle's key is for {key.algorithm.name}",
            Answer.SIGNATURE,
        )
    try:
        signature = signature_der(_scalar(record.r), _scalar(record.s))
        if key.algorithm is Algorithm.SM2:
            PublicKey(SM2, key.key).verify(signed, signature)
        else:
            verify_p256(key.key, signed, signature)
    except VerificationError as exc:
        raise RefusedError(f"the vehicle's signature does not hold: {exc}", Answer.SIGNATURE) from exc
    return record


def _scalar(part: bytes) -> int:
    """R or S; chips put zeros before them, or drop leading ones."""
    number = int.from_bytes(part, "big")
    if number >> 256:
        raise VerificationError("R or S has more than 256 bits")
    return number
