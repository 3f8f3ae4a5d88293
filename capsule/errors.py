"""The errors of this package.

CapsuleError
├── InputError          the caller gave a bad value; no retry helps
├── FormatError         bytes are not what their format says; whoever made them is at fault
├── VerificationError   a signature, root, digest, commitment or proof does not hold; carries the evidence
│   └── ShareError      a share is not the one that was dealt; names its holder where that is shown
│       └── ShareSealedError  it is sealed to another key, or was changed: nobody is to blame
├── OpenError           a capsule or sealed text does not open; says nothing more, so that it serves as no oracle
├── PolicyError         a policy term that cannot be compiled or enforced; names the term
└── CipherUnavailableError  this installation has no working SM2, SM3 or SM4-GCM; another cipher library helps

Every foreign exception is translated into one of these at the module that calls the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capsule.ids import Address

__all__ = [
    "CapsuleError",
    "CipherUnavailableError",
    "FormatError",
    "InputError",
    "OpenError",
    "PolicyError",
    "ShareError",
    "ShareSealedError",
    "VerificationError",
]


class CapsuleError(Exception):
    """Root of this package's errors."""


class InputError(CapsuleError):
    """A value that the caller passed is not acceptable."""


class FormatError(CapsuleError):
    """Bytes are not what their format says."""


class VerificationError(CapsuleError):
    """Something signed, hashed or committed to does not hold.

    `evidence` names what was compared, so that a third party can repeat it; it never holds a secret.
    """

    def __init__(self, message: str, evidence: str = "") -> None:
        super().__init__(message)
        self.evidence = evidence


class ShareError(VerificationError):
    """A share does not match its commitment in the deal.

    `holder` is the account that dealt, sealed or released it, where that is shown, and `index` its position in the
    deal, where known.
    """

    def __init__(
        self, message: str, *, holder: Address | None = None, index: int | None = None, evidence: str = ""
    ) -> None:
        of_whom = "" if holder is None else f" of holder {holder}"
        at = "" if index is None else f" at index {index}"
        share = f": share{of_whom}{at}" if of_whom or at else ""
        super().__init__(message + share, evidence)
        self.holder = holder
        self.index = index


class ShareSealedError(ShareError):
    """A share does not open with this box key: it is sealed to another, or was changed since. That accuses nobody."""


class OpenError(CapsuleError):
    """A sealed thing does not open. Wrong key and changed bytes look the same on purpose."""

    def __init__(self) -> None:
        super().__init__("does not open: wrong key or changed bytes")


class CipherUnavailableError(CapsuleError):
    """This installation's cipher library lacks SM2, SM3 or SM4-GCM, or computes them wrongly."""


class PolicyError(CapsuleError):
    """A policy term that this system can't compile or enforce; `term` is its name."""

    def __init__(self, term: str, reason: str) -> None:
        super().__init__(f"policy term {term}: {reason}")
        self.term = term
        self.reason = reason
