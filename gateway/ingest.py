"""Taking in frames: verified against the final chain, placed in their device's history, durable, then receipted.

Invariants: a receipt leaves only after its frame is on disk; the same bytes again get the same receipt and change
nothing; a refused frame changes nothing, except a fork, which is kept as evidence with its incident.
"""

from __future__ import annotations

from collections.abc import Callable

from capsule.batch import Incident, IncidentKind
from capsule.digest import Domain
from capsule.errors import FormatError, VerificationError
from capsule.frame import Mark, UnverifiedFrame, VerifiedFrame, read_frame
from capsule.frame_receipt import FrameReceipt, SignedFrameReceipt, sign_frame_receipt
from capsule.ids import Address, Digest
from capsule.signature import Signer
from capsule.thing import MODELS
from capsule.tree import leaf_hash
from gateway.continuity import Neighbours, breaks, contradicted, oddities
from gateway.errors import ForkError, MarkError, UnenrolledError
from gateway.register import EnrolledDevice, Register
from gateway.settings import GatewaySettings
from gateway.store import DeviceRow, FrameRow, IncidentRow, Records, Store

__all__ = ["Intake"]


class Intake:
    """The way in. `signer` is the gateway's registered signing key, `account` its account."""

    def __init__(
        self,
        store: Store,
        register: Register,
        *,
        account: Address,
        signer: Signer,
        domain: Domain,
        clock: Callable[[], float],
        settings: GatewaySettings,
    ) -> None:
        self._store = store
        self._register = register
        self._account = account
        self._signer = signer
        self._domain = domain
        self._clock = clock
        self._settings = settings

    def take(self, data: bytes) -> tuple[SignedFrameReceipt, bool]:
        """The receipt of a frame that is durable now, and whether it is new here.

        1. it is a frame; 2. known bytes get their receipt; 3. a key of its device that counts now signed it; 4. its
        mark is true; 5. it contradicts nothing; 6. it is stored with its incidents and receipt.

        Raises FormatError, VerificationError, UnenrolledError, MarkError, ForkError; LedgerError where the chain can't
        be asked, StoreError where nothing can be stored.
        """
        if len(data) > self._settings.max_frame_bytes:
            raise FormatError(f"a frame is at most {self._settings.max_frame_bytes} bytes here")
        frame = read_frame(data)
        with self._store.reading() as records:
            known = records.frame(frame.hash)
            receipt = None if known is None else self._receipt_of(records, known)
        if receipt is not None:
            return receipt, False
        device = self._register.device(frame.device)
        if device is None:
            raise UnenrolledError(frame.device, f"device {frame.device} is not enrolled on the final chain")
        verified = self._verified(frame, device)
        self._check_mark(verified)
        return self._keep(verified, device)

    def _verified(self, frame: UnverifiedFrame, device: EnrolledDevice) -> VerifiedFrame:
        keys = device.counting(self._clock())
        if not keys:
            why = "is retired" if device.retired else "has no key that counts now and is of a suite supported here"
            raise UnenrolledError(frame.device, f"device {frame.device} {why}")
        for key in keys[:-1]:
            try:
                return frame.verify(key)
            except VerificationError:
                continue
        try:
            return frame.verify(keys[-1])
        except VerificationError as exc:
            raise VerificationError(
                f"frame {frame.sequence} of device {frame.device} is not signed by its enrolled key", exc.evidence
            ) from exc

    def _check_mark(self, verified: VerifiedFrame) -> None:
        """`witnessed` means by the gateway's own key, and nothing else is."""
        by_gateway = verified.key.key == self._signer.public_key
        if by_gateway != (verified.frame.mark is Mark.WITNESSED):
            raise MarkError(
                verified.frame.device,
                f"frame {verified.frame.sequence} of device {verified.frame.device} says it is "
                f"{verified.frame.mark}, but it is signed by {'the gateway' if by_gateway else 'the device'}",
            )

    def _keep(self, verified: VerifiedFrame, device: EnrolledDevice) -> tuple[SignedFrameReceipt, bool]:
        frame, now = verified.frame, int(self._clock())
        with self._store.writing() as records:
            known = records.frame(verified.hash)  # it may have arrived twice at once
            if known is not None:
                return self._receipt_of(records, known), False
            history = records.device(frame.device)
            last = 0 if history is None else history.last_sequence
            conflict = contradicted(verified, _neighbours(records, verified, last))
            row = _row(verified, now, accepted=conflict is None)
            records.add(row)
            if conflict is not None:
                records.add(
                    _incident(
                        Incident(IncidentKind.FORK, frame.device, frame.sequence, verified.hash, frame.sequence), now
                    )
                )
            else:
                receipt = sign_frame_receipt(
                    FrameReceipt(self._account, frame.device, frame.sequence, verified.hash, now),
                    self._signer,
                    self._domain,
                )
                row.receipt = receipt.to_bytes()
                for incident in (
                    *breaks(verified, last),
                    *oddities(verified, MODELS.get(device.model_hash), now, self._settings.ahead_seconds),
                ):
                    records.add(_incident(incident, now))
                if history is None:
                    history = DeviceRow(device=bytes(frame.device), first_seen=now, last_sequence=0, last_hash=b"")
                    records.add(history)
                if frame.sequence > last:
                    history.last_sequence, history.last_hash = frame.sequence, bytes(verified.hash)
        if conflict is not None:
            raise ForkError(frame.device, conflict[0], conflict[1], verified.hash)
        return receipt, True

    def _receipt_of(self, records: Records, known: FrameRow) -> SignedFrameReceipt:
        if known.receipt is None:
            raise _known_fork(records, read_frame(known.data))
        return SignedFrameReceipt.from_bytes(known.receipt)


def _known_fork(records: Records, frame: UnverifiedFrame) -> ForkError:
    """The refusal of a fork, again."""
    for sequence in (frame.sequence, frame.sequence - 1, frame.sequence + 1):
        accepted = records.frame_at(frame.device, sequence)
        if accepted is not None:
            return ForkError(frame.device, sequence, Digest(accepted.hash), frame.hash)
    return ForkError(frame.device, frame.sequence - 1, frame.previous, frame.hash)


def _neighbours(records: Records, verified: VerifiedFrame, last: int) -> Neighbours:
    device, sequence = verified.frame.device, verified.frame.sequence
    same = records.frame_at(device, sequence) if sequence <= last else None
    before = records.frame_at(device, sequence - 1) if sequence <= last + 1 else None
    after = records.frame_at(device, sequence + 1) if sequence < last else None
    named = records.frame(verified.frame.previous)
    return Neighbours(
        last=last,
        same=None if same is None else Digest(same.hash),
        before=None if before is None else Digest(before.hash),
        after_names=None if after is None else Digest(after.previous),
        after=None if after is None else Digest(after.hash),
        named=None if named is None else (named.sequence, named.accepted and named.device == device),
    )


def _row(verified: VerifiedFrame, now: int, *, accepted: bool) -> FrameRow:
    frame = verified.frame
    return FrameRow(
        hash=bytes(verified.hash),
        device=bytes(frame.device),
        sequence=frame.sequence,
        previous=bytes(frame.previous),
        leaf=bytes(leaf_hash(verified.data)),
        mark=str(frame.mark),
        rows=len(frame.rows),
        first_time=float(min(row.time for row in frame.rows)),
        last_time=float(max(row.time for row in frame.rows)),
        received_at=now,
        accepted=accepted,
        data=verified.data,
    )


def _incident(incident: Incident, now: int) -> IncidentRow:
    return IncidentRow(
        kind=str(incident.kind),
        device=bytes(incident.device),
        sequence=incident.sequence,
        last=incident.last,
        evidence=bytes(incident.evidence),
        recorded_at=now,
    )
