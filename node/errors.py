"""Errors of a node. Each says in one sentence what is wrong and what to do.

NodeError
├── CallerError            the caller's doing; no retry helps
│   ├── SettingsError, InputRefusedError, UnknownError
│   └── HomeError ── HomeLockedError;  KeystoreError;  PassphraseError
├── RefusedError           this node's own rules forbid it; carries the reason
├── PeerError              another organisation's node
│   ├── PeerUnreachableError   a retry may help
│   └── PeerAnswerError        it answered with something that does not hold
├── StoreError             this machine: disk or database
├── LogForkedError         the chain has heads of this node's log that this home's log does not lead to
├── UnprotectedError       the runtime can't be confined here, and the operator did not allow that
├── RuntimeFailedError     the runtime did not start, or broke down without an outcome
└── RuntimeRefusedError    the runtime refuses a run; carries kind, reason code and who is to blame
    └── GuardError         its output guard holds the result back
"""

from pathlib import Path

from capsule.ids import Address

__all__ = [
    "CallerError",
    "GuardError",
    "HomeError",
    "HomeLockedError",
    "InputRefusedError",
    "KeystoreError",
    "LogForkedError",
    "NodeError",
    "PassphraseError",
    "PeerAnswerError",
    "PeerError",
    "PeerUnreachableError",
    "RefusedError",
    "RuntimeFailedError",
    "RuntimeRefusedError",
    "SettingsError",
    "StoreError",
    "UnknownError",
    "UnprotectedError",
]


class NodeError(Exception):
    """Root of this package's errors."""


class CallerError(NodeError):
    """The caller asked for something that can't be; no retry helps."""


class SettingsError(CallerError):
    """A setting is unknown or can't be read."""


class InputRefusedError(CallerError):
    """An input file or document is not what it must be."""


class UnknownError(CallerError):
    """Something was named that this node does not know from the final chain or its own store."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"there is no {kind} {name} in the final chain or this home; check the id, or wait for finality"
        )
        self.kind = kind


class HomeError(CallerError):
    """The home directory can't be read or written."""


class HomeLockedError(HomeError):
    """Another process has the home open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"another process uses the home {path}; stop it, or choose another home with --home")


class KeystoreError(CallerError):
    """The key file is missing, damaged or in the way."""


class PassphraseError(CallerError):
    """The passphrase does not open the key file."""

    def __init__(self) -> None:
        super().__init__("the passphrase does not open this home's keys; give the right one")


class RefusedError(NodeError):
    """This node refuses by its own check."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} is refused: {reason}")
        self.reason = reason


class PeerError(NodeError):
    """Another organisation's node."""


class PeerUnreachableError(PeerError):
    """No answer within the time limit; a retry may help."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"no answer from {endpoint or 'a participant without an endpoint'}; try again when it is up")
        self.endpoint = endpoint


class PeerAnswerError(PeerError):
    """A node answered with an error, or with something that does not hold."""

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(f"{endpoint} answered: {reason}")
        self.endpoint = endpoint
        self.reason = reason


class StoreError(NodeError):
    """This machine's disk or database failed."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the database {path} can't be read or written; check the disk and its permissions")


class LogForkedError(NodeError):
    """The operation log of this home does not begin with what the chain has a head of."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"this home's operation log is not the one anchored at size {size}, as after an older backup was restored; "
            "bring back the newer node.db, for no log can begin with both"
        )
        self.size = size


class UnprotectedError(NodeError):
    """The runtime can't be confined on this machine; `missing` names what is not there."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"the runtime can't be confined here ({', '.join(missing)} missing); install it, or allow unprotected runs"
        )
        self.missing = missing


class RuntimeFailedError(NodeError):
    """The runtime did not start, or broke down without an outcome. Never the algorithm's doing, as far as can be
    told.
    """


class RuntimeRefusedError(NodeError):
    """The runtime refuses a run. `reason` is one of a fixed list, so that it carries nothing of the data out.

    `holder` and `index` say whose share, and `capsule` which capsule of the job is at fault, where one is.
    """

    def __init__(
        self,
        kind: str,
        reason: str,
        *,
        holder: Address | None = None,
        index: int | None = None,
        capsule: int | None = None,
    ) -> None:
        by = "" if holder is None else f" (holder {holder})"
        super().__init__(f"the run is refused by its {kind} check: {reason}{by}")
        self.kind = kind
        self.reason = reason
        self.holder = holder
        self.index = index
        self.capsule = capsule


class GuardError(RuntimeRefusedError):
    """The output guard holds a result back."""

    def __init__(self, reason: str) -> None:
        super().__init__("guard", reason)
