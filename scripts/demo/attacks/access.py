"""Attacks on access: who asks, for what, how often, and what happens to a use once it is open."""

import secrets
import time
from dataclasses import replace

from node.runtime.measurement import measure
from scripts.algorithm import sql_algorithm
from scripts.composition import now
from scripts.demo.attacks.catalogue import Attack, Caught, Stopped, UnseenError, found, stopped
from scripts.demo.trip import Trip

__all__ = ["ATTACKS"]

LEDGER = "Access contract"
GROUP = "access"
SHORT_USE_SECONDS = 12


def unregistered_buyer(trip: Trip) -> Caught:
    trip.admit()
    trip.enroll()
    trip.record()
    trip.offer()
    trip.world.join("stranger")
    return stopped(5, LEDGER, "AccessParticipantNotActive", lambda: trip.request(buyer="stranger"))


def wrong_purpose(trip: Trip) -> Caught:
    trip.until_granted()
    return stopped(5, LEDGER, "AccessPurposeNotAllowed", lambda: trip.request(purpose="advertising"))


def wrong_algorithm(trip: Trip) -> Caught:
    trip.until_granted()
    # one whose groups can be counted: the buyer's own node would not ask for another
    sql = "SELECT count(*) AS n FROM readings"
    other = replace(trip.question, sql=sql, algorithm=sql_algorithm(sql, ["n:integer"], (), "n"))
    return stopped(5, LEDGER, "AccessAlgorithmNotAllowed", lambda: trip.request(question=other))


def expired_grant(trip: Trip) -> Caught:
    trip.seconds_per_grant = 1
    trip.until_granted()
    time.sleep(2)
    trip.order()
    return _refused_opening(trip, "AccessTooLate")


def revoked_grant(trip: Trip) -> Caught:
    trip.until_granted()
    trip.world["provider"].node.access.revoke(trip.granted.grant, 1)
    trip.order()
    return _refused_opening(trip, "AccessGrantRevoked")


def overuse(trip: Trip) -> Caught:
    trip.uses_per_grant = 1
    trip.until_granted()
    trip.order()
    trip.order()
    return _refused_opening(trip, "AccessUsesSpent", opened=1)


def regrant(trip: Trip) -> Caught:
    trip.uses_per_grant = trip.uses_per_buyer = 1
    trip.until_opened()
    trip.finish()
    trip.request()
    trip.grant()
    trip.order()
    return _refused_opening(trip, "AccessUsesSpent")


def unordered_use(trip: Trip) -> Caught:
    trip.until_opened()
    compute = trip.world["compute"]
    opened = trip.opened
    keys = [[bytes(key) for key in opened.one_time_keys]]
    measurement = measure(allow_unprotected=False).digest
    again = stopped(
        6,
        LEDGER,
        "AccessOrderUsed",
        lambda: compute.ledger.access.open_use(opened.order, opened.order_signature, measurement, keys),
    )
    unsigned = replace(opened.order, number=secrets.randbits(64))
    stopped(
        6,
        LEDGER,
        "AccessOrderSignatureInvalid",
        lambda: compute.ledger.access.open_use(unsigned, opened.order_signature, measurement, keys),
    )
    return again


def unclosed_use(trip: Trip) -> Caught:
    trip.seconds_per_use = SHORT_USE_SECONDS
    trip.until_opened()
    trip.release()
    _wait_for_deadline(trip)
    trip.world["regulator"].ledger.access.expire_use(trip.opened.use)
    return found(trip, "use-unclosed")


def silent_custodian(trip: Trip) -> Caught:
    """Two of three say nothing: the key can't be rebuilt and the use runs out; it stays counted, as shares left."""
    trip.seconds_per_use = SHORT_USE_SECONDS
    trip.until_opened()
    trip.release(("provider", "custodian-1"))
    _wait_for_deadline(trip)
    trip.world["regulator"].ledger.access.expire_use(trip.opened.use)
    return found(trip, "silent-holder")


def _wait_for_deadline(trip: Trip) -> None:
    time.sleep(max(0, trip.opened.deadline + 1 - now()))


def _refused_opening(trip: Trip, error: str, opened: int = 0) -> Caught:
    """The compute node tries to open what was ordered; the chain must refuse one order, and open `opened` others."""
    steps = trip.world["compute"].node.work().progress
    refusals = [step.note for step in steps if step.note]
    if len(refusals) != 1 or error not in refusals[0] or len(steps) - 1 != opened:
        raise UnseenError(f"{len(steps)} orders, refusals {refusals}; expected one {error}")
    return Caught(Stopped(6, LEDGER, refusals[0]))


ATTACKS = (
    Attack(
        "unregistered-buyer",
        GROUP,
        "a stranger asks for access",
        "未准入的机构申请访问",
        unregistered_buyer,
    ),
    Attack(
        "wrong-purpose",
        GROUP,
        "a buyer asks for a purpose that is not offered",
        "使用方以未许可的用途申请",
        wrong_purpose,
    ),
    Attack(
        "wrong-algorithm", GROUP, "a buyer asks to run another algorithm", "使用方申请运行未许可的算法", wrong_algorithm
    ),
    Attack(
        "expired-grant",
        GROUP,
        "a use is opened after the grant ended",
        "授权到期后仍开启使用",
        expired_grant,
    ),
    Attack(
        "revoked-grant", GROUP, "a use is opened after the grant was revoked", "授权撤销后仍开启使用", revoked_grant
    ),
    Attack(
        "overuse",
        GROUP,
        "two uses race for the last count",
        "两次使用争抢最后一次额度",
        overuse,
    ),
    Attack(
        "regrant",
        GROUP,
        "a buyer asks again to reset its counts",
        "使用方重新申请以重置次数",
        regrant,
    ),
    Attack(
        "unordered-use",
        GROUP,
        "a compute node opens a use without a fresh order",
        "计算方无新订单即开启使用",
        unordered_use,
    ),
    Attack(
        "unclosed-use",
        GROUP,
        "a compute node takes the keys and gives no receipt",
        "计算方取得密钥却不出具回执",
        unclosed_use,
    ),
    Attack(
        "silent-custodian",
        GROUP,
        "a custodian neither releases nor refuses",
        "托管方既不放行也不拒绝",
        silent_custodian,
    ),
)
