"""The errors of this package.

AuditError
├── RequestError       the caller asked for something that is not there, or passed a bad value; no retry helps
├── StoreError         the index is damaged, of another ledger, or held by somebody else
├── LoginError         the reader of a page must log in (again)
├── ForbiddenError     the reader's role does not allow it
├── ThrottledError     too many failed logins; a retry helps after a while
├── BundleError        a bundle or checkpoint file is not what its format says
├── DocumentError      documents can't be asked for: no endpoint can be reached
└── FinalityError      the chain took back what it had called final; carries both sides as evidence

What participants did wrong is not an error but a `Finding`. Errors of the chain come from `contracts.errors`, those of
the core from `capsule.errors`; neither is swallowed here.
"""

from __future__ import annotations

__all__ = [
    "AuditError",
    "BundleError",
    "DocumentError",
    "FinalityError",
    "ForbiddenError",
    "LoginError",
    "RequestError",
    "StoreError",
    "ThrottledError",
]


class AuditError(Exception):
    """Root of this package's errors."""


class RequestError(AuditError):
    """The caller asked for something that does not exist or is not allowed."""


class StoreError(AuditError):
    """The index can't be used as it is."""


class LoginError(AuditError):
    """A reader must say who he is first, or again."""


class ForbiddenError(AuditError):
    """The reader's role does not allow what he asked for."""


class ThrottledError(AuditError):
    """Too many failed logins; the next one is looked at in `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many failed logins; try again in {seconds} s")
        self.seconds = seconds


class BundleError(AuditError):
    """A bundle, checkpoint or trust file is not what its format says."""


class DocumentError(AuditError):
    """Documents can't be asked for at all. A retry may help when `retryable`."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class FinalityError(AuditError):
    """A block that was final is not part of the chain any more.

    Nothing is undone and nothing goes on: `number` says where, `ours` and `theirs` are the two block hashes.
    """

    def __init__(self, number: int, ours: bytes, theirs: bytes) -> None:
        super().__init__(
            f"the chain changed block {number} after it was final: it was 0x{ours.hex()}, now 0x{theirs.hex()}; "
            "ask another endpoint, and rebuild the index only when you know which one lies"
        )
        self.number = number
        self.ours = ours
        self.theirs = theirs
