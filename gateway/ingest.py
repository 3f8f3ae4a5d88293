"""Taking in frames: verified against the final chain, placed in their device's history, durable, then receipted.

Invariants: a receipt leaves only after its frame is on disk; the same bytes again get the same receipt and change
nothing; a refused frame changes nothing, except a fork, which is kept as evidence with its incident, up to a number of
them for a device. Frames taken together fare as they would one by one in that order.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeAlias, TypeVar

from capsule.batch import Incident, IncidentKind
from capsule.digest import Domain
from capsule.errors import CapsuleError, FormatError, VerificationError
from capsule.frame import Mark, UnverifiedFrame, VerifiedFrame, read_frame
from capsule.frame_receipt import FrameReceipt, SignedFrameReceipt, sign_frame_receipt, verify_frame_receipt
from capsule.ids import Address, DeviceId, Digest
from capsule.rows import times_of
from capsule.signature import PublicKey, Signer
from capsule.thing import MODELS
from capsule.tree import leaf_hash
from contracts.errors import LedgerError
from gateway.checks import Checks, implausible, mark_rows
from gateway.continuity import Neighbours, breaks, contradicted, oddities
from gateway.errors import ForkError, GatewayError, MarkError, StoreError, UnenrolledError
from gateway.places import Places
from gateway.problems import problem_of
from gateway.register import EnrolledDevice, Register
from gateway.settings import GatewaySettings
from gateway.store import DeviceRow, ForkRow, FrameRow, IncidentRow, MarkRow, Records, Store
from gateway.tally import Tally

__all__ = ["Intake", "Outcome", "Taken"]

_LOG: Final = logging.getLogger("dataspace.gateway")
_ADDRESS_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame that is durable, with its receipt. Not `new`: it was here before."""

    receipt: SignedFrameReceipt
    new: bool


Outcome: TypeAlias = "Taken | CapsuleError | GatewayError | LedgerError"
"""What became of a frame: taken, or the error that `Intake.take` raises for it."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """A frame that passed all checks but those of its place; of its rows only what is stored beside it.

    `at`: its position among the frames given; `period`: its first and last time; `oddities`: incidents of its rows;
    `marks`: its readings that the thing model says can't be, as rows of the store.
    """

    at: int
    frame: UnverifiedFrame
    rows: int
    period: tuple[float, float]
    oddities: tuple[Incident, ...]
    marks: tuple[dict[str, object], ...]


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
        self._places = Places(settings.known_devices)
        self._checks = Checks(store, clock=clock, ahead_seconds=settings.ahead_seconds, most=settings.checked_devices)
        self._turn = threading.Lock()
        self.tally = Tally()

    def take(self, data: bytes) -> tuple[SignedFrameReceipt, bool]:
        """The receipt of a frame that is durable now, and whether it is new here.

        1. it is a frame; 2. known bytes get their receipt; 3. a key of its device that counts now signed it; 4. its
        mark is true; 5. it contradicts nothing; 6. it is stored with its incidents and receipt.

        Raises FormatError, VerificationError, UnenrolledError, MarkError, ForkError; LedgerError where the chain can't
        be asked, StoreError where nothing can be stored.
        """
        (outcome,) = self.take_many((data,))
        if isinstance(outcome, Taken):
            return outcome.receipt, outcome.new
        raise outcome

    def take_many(self, frames: Sequence[bytes]) -> tuple[Outcome, ...]:
        """What `take` would return or raise for each frame in turn; all that are taken become durable at once."""
        now, start = int(self._clock()), monotonic()
        outcomes: dict[int, Outcome] = {}
        read: dict[int, UnverifiedFrame] = {}
        for at, data in enumerate(frames):
            try:
                read[at] = self._read(data)
            except FormatError as exc:
                outcomes[at] = _bare(exc)
        try:
            self._look_up(read, outcomes, self._places.not_next(read))
            verified = self._verify(read, outcomes, now)
            self._look_up(read, outcomes, [at for at in outcomes if at in read])
            if verified:
                outcomes |= self._keep(verified, now)
        except StoreError as exc:
            outcomes |= {at: _bare(exc) for at in read if not isinstance(outcomes.get(at), Taken)}
        self.tally.add([_kind(outcome) for outcome in outcomes.values()], now, monotonic() - start)
        return tuple(outcomes[at] for at in range(len(frames)))

    def _read(self, data: bytes) -> UnverifiedFrame:
        if len(data) > self._settings.max_frame_bytes:
            raise FormatError(f"a frame is at most {self._settings.max_frame_bytes} bytes here")
        return read_frame(data)

    def _look_up(self, read: dict[int, UnverifiedFrame], outcomes: dict[int, Outcome], which: Iterable[int]) -> None:
        """Known bytes get what they got before, whatever holds of their device now."""
        hashes = {at: bytes(read[at].hash) for at in which if not isinstance(outcomes.get(at), Taken | ForkError)}
        if not hashes:
            return
        with self._store.reading() as records:
            known = records.known(tuple(set(hashes.values())))
            for at, frame in hashes.items():
                if (row := known.get(frame)) is not None:
                    outcomes[at] = self._again(row)

    def _verify(self, read: dict[int, UnverifiedFrame], outcomes: dict[int, Outcome], now: int) -> list[_Verified]:
        """Those of the frames without an outcome that are what they say; the others get one."""
        verified: list[_Verified] = []
        open_ones = {at: frame for at, frame in read.items() if at not in outcomes}
        if not open_ones:
            return verified
        devices = self._register.look_up(frame.device for frame in open_ones.values())
        for at, frame in open_ones.items():
            device = devices[frame.device]
            if isinstance(device, LedgerError):
                outcomes[at] = _bare(device)
                continue
            try:
                if device is None:
                    raise UnenrolledError(frame.device, f"device {frame.device} is not enrolled on the final chain")
                content = self._verified(frame, device)
                self._check_mark(content)
            except (CapsuleError, GatewayError) as exc:
                outcomes[at] = _bare(exc)
            else:
                times = times_of(content.frame.rows)
                period = (float(min(times)), float(max(times)))
                model = MODELS.get(device.model_hash)
                marks = self._checks.judge(content, model)
                odd = (*oddities(frame, model, period, now, self._settings.ahead_seconds), *implausible(frame, marks))
                verified.append(_Verified(at, frame, len(times), period, odd, mark_rows(content, marks)))
        return verified

    def _again(self, known: FrameRow | ForkRow) -> Outcome:
        """What a frame that is here already gets: its receipt, or its refusal.

        A receipt from before a rotation is signed anew: its device reads this gateway's key from the chain, and would
        send the frame for ever.
        """
        if isinstance(known, ForkRow):
            return ForkError(DeviceId(known.device), known.known_sequence, Digest(known.known), Digest(known.hash))
        suite, account, signature = (
            known.receipt[0],
            known.receipt[1 : 1 + _ADDRESS_BYTES],
            known.receipt[1 + _ADDRESS_BYTES :],
        )
        frame = read_frame(known.data)
        receipt = FrameReceipt(Address(account), frame.device, known.sequence, frame.hash, known.received_at)
        signed = SignedFrameReceipt(receipt, suite, signature)
        try:
            verify_frame_receipt(signed, PublicKey(self._signer.suite, self._signer.public_key), self._domain)
        except VerificationError:
            signed = sign_frame_receipt(receipt, self._signer, self._domain)
        return Taken(signed, new=False)

    def _verified(self, frame: UnverifiedFrame, device: EnrolledDevice) -> VerifiedFrame:
        keys = device.counting(self._clock())
        if not keys:
            why = "is retired" if device.retired else "has no key that counts now"
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

    def _keep(self, verified: Sequence[_Verified], now: int) -> dict[int, Outcome]:
        """Places and stores frames in one transaction. Raises StoreError, and then none of them is stored."""
        with self._turn:
            try:
                return self._commit(verified, now)
            except BaseException:
                self._places.forget()  # what was committed stands in the database alone
                raise

    def _commit(self, verified: Sequence[_Verified], now: int) -> dict[int, Outcome]:
        with self._store.writing() as records:
            self._places.open(records, self._store.generation, (one.frame.device for one in verified))
            group = _Group(records, self._places, now)
            outcomes = {one.at: self._place(group, one) for one in verified}
            group.flush()
        return outcomes

    def _place(self, group: _Group, one: _Verified) -> Outcome:
        """One frame into its device's history. Nearly all go on from the newest; for others the database is asked."""
        frame, records = one.frame, group.records
        last, last_hash = self._places.last(frame.device)
        if frame.sequence != last + 1 or frame.previous != last_hash:
            group.flush()
            known = records.known((bytes(frame.hash),)).get(bytes(frame.hash))  # it may have arrived twice
            if known is not None:
                return self._again(known)
            if (conflict := contradicted(frame, _neighbours(records, frame, last))) is not None:
                kept = not records.has_forks(frame.device, self._settings.forks_per_device)
                if kept:
                    group.keep_fork(frame, *conflict)
                    _LOG.warning("fork", extra={"device": str(frame.device), "sequence": frame.sequence})
                return ForkError(frame.device, conflict[0], conflict[1], frame.hash, kept=kept)
        receipt = sign_frame_receipt(
            FrameReceipt(self._account, frame.device, frame.sequence, frame.hash, group.now),
            self._signer,
            self._domain,
        )
        group.keep(one, receipt, is_first=last == 0)
        for incident in (*breaks(frame, last), *one.oddities):
            group.record(incident)
        return Taken(receipt, new=True)


class _Group:
    """Rows of one transaction, gathered so that each table is written at once. `now`: when these frames came."""

    def __init__(self, records: Records, places: Places, now: int) -> None:
        self.records = records
        self.now = now
        self._places = places
        self._frames: list[dict[str, object]] = []
        self._devices: list[dict[str, object]] = []
        self._incidents: list[dict[str, object]] = []
        self._marks: list[dict[str, object]] = []

    def keep(self, one: _Verified, receipt: SignedFrameReceipt, *, is_first: bool) -> None:
        """An accepted frame with its receipt; of a device that was not seen before where it `is_first`."""
        frame = one.frame
        device, name = bytes(frame.device), bytes(frame.hash)
        if is_first:
            self._devices.append({"device": device, "first_seen": self.now})
        self._frames.append(
            {
                "number": self._places.take_number(),
                "hash": name,
                "device": device,
                "sequence": frame.sequence,
                "previous": bytes(frame.previous),
                "leaf": bytes(leaf_hash(frame.data)),
                "mark": str(frame.mark),
                "rows": one.rows,
                "first_time": one.period[0],
                "last_time": one.period[1],
                "received_at": self.now,
                "receipt": bytes((receipt.suite,)) + receipt.receipt.gateway + receipt.signature,
                "data": frame.data,
            }
        )
        self._marks += one.marks
        self._places.advance(frame.device, frame.sequence, frame.hash)

    def keep_fork(self, frame: UnverifiedFrame, known_sequence: int, known: Digest) -> None:
        """Evidence, with its incident."""
        self.records.add(
            ForkRow(
                hash=bytes(frame.hash),
                device=bytes(frame.device),
                sequence=frame.sequence,
                known=bytes(known),
                known_sequence=known_sequence,
                received_at=self.now,
                data=frame.data,
            )
        )
        self.record(Incident(IncidentKind.FORK, frame.device, frame.sequence, frame.hash, frame.sequence))

    def record(self, incident: Incident) -> None:
        self._incidents.append(
            {
                "kind": str(incident.kind),
                "device": bytes(incident.device),
                "sequence": incident.sequence,
                "last": incident.last,
                "evidence": bytes(incident.evidence),
                "rule": incident.rule,
                "recorded_at": self.now,
            }
        )

    def flush(self) -> None:
        """Writes what was gathered; questions asked of the records see it from then on."""
        for table, rows in (
            (DeviceRow, self._devices),
            (FrameRow, self._frames),
            (IncidentRow, self._incidents),
            (MarkRow, self._marks),
        ):
            self.records.add_all(table, rows)
            rows.clear()


_Error = TypeVar("_Error", bound=BaseException)


def _bare(error: _Error) -> _Error:
    """Without the calls that it came through: they hold all frames of the group, and the outcomes, in a circle that
    stays until the garbage collector comes by, which a gateway lets it do seldom.
    """
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error


def _kind(outcome: Outcome) -> str:
    """The outcome's name in the tally."""
    if isinstance(outcome, Taken):
        return "new" if outcome.new else "known"
    problem = problem_of(outcome)
    return "failed" if problem is None else problem.kind


def _neighbours(records: Records, frame: UnverifiedFrame, last: int) -> Neighbours:
    device, sequence = frame.device, frame.sequence
    same = records.frame_at(device, sequence) if sequence <= last else None
    before = records.frame_at(device, sequence - 1) if sequence <= last + 1 else None
    after = records.frame_at(device, sequence + 1) if sequence < last else None
    named = records.known((bytes(frame.previous),)).get(bytes(frame.previous))
    accepted = isinstance(named, FrameRow) and named.device == device
    return Neighbours(
        last=last,
        same=None if same is None else Digest(same.hash),
        before=None if before is None else Digest(before.hash),
        after_names=None if after is None else Digest(after.previous),
        after=None if after is None else Digest(after.hash),
        named=None if named is None else (named.sequence, accepted),
    )
