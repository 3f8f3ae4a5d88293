"""The errors of the device door. Each says in one sentence what is wrong.

GatewayError
├── CallerError               the caller's doing; no retry helps
│   ├── SettingsError, NotFoundError, ForbiddenError
│   ├── ReadingsError         a file of readings; names line and column
│   └── IncompleteError       frames of the period are missing; names device and sequence
├── NotAnchoredError          not yet; a retry after the next batch helps
├── EnrolmentPendingError     a device's key is on its way to the final chain; a retry helps
├── DeviceError               what a device sent can't be accepted; carries the device
│   ├── UnenrolledError       it is not enrolled on the final chain, or is retired
│   ├── MarkError             the frame's mark is not what its signature is
│   └── ForkError             a second frame for a place that is taken; carries both hashes
├── PeerError                 the gateway that an agent talks to
│   ├── PeerUnreachableError  it gave no answer; a retry helps
│   ├── NotGatewayError       the account given is no gateway's now, or has no keys
│   └── PeerAnswerError       it answered with something that does not hold, or refused
│       └── PeerUnenrolledError  it says that this device is not enrolled
├── BehindError              more frames come than can be kept; a retry after some seconds helps
├── StoppingError            this process ends; a retry after its restart helps
├── RoleError                 this account may not be a gateway on chain
├── UncheckedError            the check of the start did not pass yet; a retry helps
├── AnchorConflictError       the chain holds other batches of this account than this store
└── StoreError                this machine: disk or database; a retry may help
    ├── StoreFullError        no room on its disk
    └── StoreLockedError      another process has it open

Malformed and wrongly signed frames are FormatError and VerificationError of `capsule`; the chain's own errors are
those of `contracts`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import floor
from pathlib import Path

from capsule.ids import Address, DeviceId, Digest

__all__ = [
    "AnchorConflictError",
    "BehindError",
    "CallerError",
    "DeviceError",
    "EnrolmentPendingError",
    "ForbiddenError",
    "ForkError",
    "GatewayError",
    "IncompleteError",
    "MarkError",
    "NotAnchoredError",
    "NotFoundError",
    "NotGatewayError",
    "PeerAnswerError",
    "PeerError",
    "PeerUnenrolledError",
    "PeerUnreachableError",
    "ReadingsError",
    "RoleError",
    "SettingsError",
    "StoppingError",
    "StoreError",
    "StoreFullError",
    "StoreLockedError",
    "UncheckedError",
    "UnenrolledError",
]


class GatewayError(Exception):
    """Root of this package's errors."""


class CallerError(GatewayError):
    """The caller asked for something that can't be; no retry helps."""


class SettingsError(CallerError):
    """A setting is unknown or can't be read."""


class NotFoundError(CallerError):
    """This gateway has no such thing."""

    def __init__(self, kind: str, name: object) -> None:
        super().__init__(f"this gateway has no {kind} {name}")


class ForbiddenError(CallerError):
    """Only the gateway's operator may do this."""


class ReadingsError(CallerError):
    """A file of readings has a fault; `line` counts from 1, None where it is the whole file's; `column` is the header's
    name, where it is one cell's."""

    def __init__(self, source: str, line: int | None, column: str | None, why: str) -> None:
        at = source + (f", line {line}" if line else "") + (f", column {column}" if column else "")
        super().__init__(f"{at}: {why}")
        self.line = line
        self.column = column


class IncompleteError(CallerError):
    """Frames between two others of a device are not here, so no container can be made."""

    def __init__(self, device: DeviceId, first: int, last: int) -> None:
        which = f"frame {first}" if first == last else f"frames {first} to {last}"
        super().__init__(f"{which} of device {device} never arrived here; export a period without the gap")
        self.device = device
        self.first = first
        self.last = last


class NotAnchoredError(GatewayError):
    """Frames wait for their batch, or its anchor for finality. `anchored_before`: the time (unix seconds) up to which
    those of the period are anchored, where some are.
    """

    def __init__(self, frames: int, anchored_before: float | None = None) -> None:
        what = "1 frame is" if frames == 1 else f"{frames} frames are"
        way = "anchor a batch, or try again later"
        if anchored_before is not None:
            before = floor(anchored_before * 1000) / 1000  # rounded up, it would let the first of them in
            moment = datetime.fromtimestamp(before, UTC).isoformat().replace("+00:00", "Z")
            way = f"anchor a batch, try again later, or give --to {moment} to export what is anchored"
        super().__init__(f"{what} not anchored on the final chain yet; {way}")
        self.frames = frames
        self.anchored_before = anchored_before


class EnrolmentPendingError(GatewayError):
    """The proof of a device's key is on chain, and its block not final."""

    def __init__(self, device: DeviceId) -> None:
        super().__init__(f"the key of device {device} is on chain, but not final yet; try again later")
        self.device = device


class DeviceError(GatewayError):
    """What a device sent can't be accepted."""

    def __init__(self, device: DeviceId, why: str) -> None:
        super().__init__(why)
        self.device = device


class UnenrolledError(DeviceError):
    """No key of this device counts now."""


class MarkError(DeviceError):
    """The frame says another mark than its signature is."""


class ForkError(DeviceError):
    """The device signed two frames for one place. Both are kept as evidence, and the incident is anchored; past the
    setting `forks_per_device`, the second one is not `kept`.
    """

    def __init__(self, device: DeviceId, sequence: int, known: Digest, frame: Digest, *, kept: bool = True) -> None:
        super().__init__(
            device,
            f"device {device} signed a second history: frame {frame} contradicts frame {known} at sequence {sequence}; "
            + ("both are kept as evidence" if kept else "this one is not kept, as enough evidence of it is here"),
        )
        self.sequence = sequence
        self.known = known
        self.frame = frame


class PeerError(GatewayError):
    """The gateway that an agent talks to."""


class PeerUnreachableError(PeerError):
    """No usable answer; the frame is still queued."""


class NotGatewayError(PeerError):
    """The account that an agent was told is no active gateway with keys on the final chain; nothing was sent."""

    def __init__(self, account: Address, why: str) -> None:
        super().__init__(f"account {account} {why}")
        self.account = account


class PeerAnswerError(PeerError):
    """It refused, or its answer does not hold."""


class PeerUnenrolledError(PeerAnswerError):
    """It knows no key of this device that counts; a device of a fleet presents its paper."""


class BehindError(GatewayError):
    """The intake queue is full; the frame was not taken."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"frames come faster than this gateway can keep them; send this one again in {retry_after} s")
        self.retry_after = retry_after


class StoppingError(GatewayError):
    """The gateway is stopping, and takes no more frames."""


class RoleError(GatewayError):
    """The final chain does not show this account as an organisation with the role GATEWAY that is not suspended."""

    def __init__(self, account: Address) -> None:
        super().__init__(
            f"account {account} has not the role gateway on chain: ask the operator to admit it with --role gateway"
        )


class UncheckedError(GatewayError):
    """The chain did not confirm this gateway since its start; no frame was taken."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this gateway is not checked against the chain yet ({why}); send the frame again later")


class AnchorConflictError(GatewayError):
    """The chain holds a batch of this account that this store does not: another gateway used the account."""

    def __init__(self, number: int, here: Digest, on_chain: Digest) -> None:
        super().__init__(
            f"batch {number} on chain has frames root {on_chain}, here it is {here}: another process anchors with this "
            "account, or this store is an old copy"
        )
        self.number = number


class StoreError(GatewayError):
    """The disk or the database failed; nothing was acknowledged."""


class StoreFullError(StoreError):
    """There is no room for more; nothing was acknowledged."""


class StoreLockedError(StoreError):
    """One process a store."""

    def __init__(self, store: Path | str) -> None:
        super().__init__(f"another process uses {store}; stop it, or choose another home")
