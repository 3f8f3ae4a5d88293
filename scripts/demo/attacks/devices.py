"""Attacks on devices and their frames."""

from capsule.frame import FIRST_PREVIOUS, Frame, Mark, frame_hash, sign_frame
from capsule.frame_receipt import FrameReceipt, sign_frame_receipt
from capsule.ids import Digest
from capsule.rows import Row
from capsule.signature import Signer
from scripts.composition import now
from scripts.demo.attacks.catalogue import Attack, Caught, Stopped, UnseenError, found, stopped
from scripts.demo.trip import Trip

__all__ = ["ATTACKS"]

GROUP = "devices"
DAY_SECONDS = 86_400


def forged_frame(trip: Trip) -> Caught:
    trip.admit()
    trip.enroll()
    forged = _frame(trip, trip.fleet.draw_signer(), 1, FIRST_PREVIOUS)
    return stopped(3, "gateway", "VerificationError", lambda: trip.fleet.gateway.ingest(forged))


def dropped_frame(trip: Trip) -> Caught:
    """Frame 2 never comes: frame 3 names it. Frame 4 comes, but the gateway only signs for it and drops it: its receipt
    names a frame that no batch holds."""
    trip.admit()
    trip.enroll()
    fleet, gateway = trip.fleet, trip.fleet.gateway
    first = _frame(trip, fleet.signer, 1, FIRST_PREVIOUS)
    second = _frame(trip, fleet.signer, 2, frame_hash(first))
    third = _frame(trip, fleet.signer, 3, frame_hash(second))
    fourth = _frame(trip, fleet.signer, 4, frame_hash(third))
    gateway.ingest(first)
    gateway.ingest(third)
    gateway.anchor_all()
    # A gateway has its time to anchor; this one signed a day ago.
    dropped = FrameReceipt(gateway.account, fleet.device, 4, frame_hash(fourth), now() - DAY_SECONDS)
    signer = trip.world["gateway"].keystore.signer
    fleet.state_receipts(sign_frame_receipt(dropped, signer, trip.world.operator.domain))
    return found(trip, "device-gap", "device-tail-missing")


def replayed_frame(trip: Trip) -> Caught:
    """The same bytes again get the same receipt and count once."""
    trip.admit()
    trip.enroll()
    gateway = trip.fleet.gateway
    frame = _frame(trip, trip.fleet.signer, 1, FIRST_PREVIOUS)
    receipt, _ = gateway.take(frame)
    again, new = gateway.take(frame)
    gateway.anchor_all()
    status = gateway.status()
    if new or again != receipt or status.frames != 1:
        raise UnseenError(f"the replay was taken as new: {status}")
    if gateway.anchor_all() or trip.audit().findings:
        raise UnseenError("the replay was anchored, or left a finding")
    return Caught(Stopped(3, "gateway", "replayed frame: answered with its first receipt, stored and anchored once"))


def split_fork(trip: Trip) -> Caught:
    """One key signs two histories and gives one to each of two gateways."""
    trip.admit()
    trip.enroll()
    other = trip.world.join("gateway-2")
    trip.world.admit(other, trip.world.role("gateway"))
    second = trip.fleet.open_gateway(other)
    for gateway, value in ((trip.fleet.gateway, 1), (second, 2)):
        gateway.ingest(_frame(trip, trip.fleet.signer, 1, FIRST_PREVIOUS, value))
        gateway.anchor_all()
    return found(trip, "device-fork")


def _frame(trip: Trip, signer: Signer, sequence: int, previous: Digest, value: int = 0) -> bytes:
    row = Row(1_700_000_000 + sequence, {"P_AC": value})
    return sign_frame(Frame(trip.fleet.device, sequence, previous, None, Mark.SIGNED, (row,)), signer)


ATTACKS = (
    Attack(
        "forged-frame",
        GROUP,
        "a frame is signed with a stranger's key",
        "帧由陌生密钥签名",
        forged_frame,
    ),
    Attack(
        "dropped-frame", GROUP, "frames are lost, in the middle and at the end", "中间与末尾的帧丢失", dropped_frame
    ),
    Attack(
        "replayed-frame",
        GROUP,
        "a frame is sent again",
        "帧被重放",
        replayed_frame,
    ),
    Attack(
        "split-fork",
        GROUP,
        "two histories to two gateways",
        "向两个网关提交两种历史",
        split_fork,
    ),
)
