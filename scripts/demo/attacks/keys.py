"""Attacks on data and keys: capsules, shares, deals."""

import secrets
from dataclasses import replace

from capsule import canonical
from capsule.accusation import Accusation
from capsule.canonical import Json
from capsule.deal import Deal, DealHolder
from capsule.errors import VerificationError
from capsule.ids import Bytes32, Digest
from capsule.key import NO_PROVIDER_PART, combine, verify_key_commitment
from capsule.share import Release, SealedShare, ShareSecret, open_share, seal_release
from node.compute import CloseReason
from node.custody import Custody, SharePackage
from node.holding import Holding
from scripts.demo.attacks.catalogue import Attack, Caught, Stopped, UnseenError, found, stopped
from scripts.demo.trip import Trip
from scripts.demo.world import Member

__all__ = ["ATTACKS"]

GROUP = "data and keys"


class _Forger(Holding):
    """Decides as an honest holder does, and seals a share that it made up."""

    def _seal(self, secret: ShareSecret, use: Bytes32, deal: Digest, one_time_key: bytes) -> bytes:
        return super()._seal(replace(secret, share=secrets.token_bytes(len(secret.share))), use, deal, one_time_key)


def tampered_capsule(trip: Trip) -> Caught:
    trip.until_opened()
    path = trip.offering.capsule
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    trip.release()
    return _ended(trip, CloseReason.CAPSULE_WRONG, "runtime of the compute node")


def forged_share(trip: Trip) -> Caught:
    trip.until_opened()
    context = trip.world["custodian-1"].node.context
    Custody(context, _Forger(context)).decide_open_uses()
    trip.release(("provider", "custodian-2", "custodian-3"))
    trip.compute()
    return found(trip, "share-wrong")


def custodian_collusion(trip: Trip) -> Caught:
    trip.until_granted()
    shares = {secret.index: secret.share for secret in (_share(trip, member) for member in trip.world.custodians)}
    deal = _deal(trip)
    guess = combine(NO_PROVIDER_PART, shares, deal.threshold)
    try:
        verify_key_commitment(guess, deal.key_commitment)
    except VerificationError as error:
        return Caught(Stopped(7, "the provider's part of the key", str(error)))
    raise UnseenError("custodians alone rebuilt the key")


def borrowed_deal(trip: Trip) -> Caught:
    trip.until_granted()
    thief = trip.world.join("thief")
    trip.world.admit(thief, trip.world.role("provider"))
    assets = thief.ledger.assets
    asset = thief.node.catalogue.register({"title": "borrowed"})
    view = thief.node.context.view
    view.refresh()
    published = view.version(trip.asset, 1)
    terms = replace(published.terms, purposes=(), uses_per_buyer=1000)
    assets.publish(
        asset, published.capsule_root, published.capsule_size, published.policy_hash, Digest(bytes(32)), terms
    )
    holders = (thief.account, *(member.account for member in trip.world.custodians))
    assets.deal(asset, 1, trip.offering.deal_hash, 2, 0, holders, terms)
    victim = trip.world["custodian-1"]
    sealed = _sealed(trip, victim).to_json()
    altered = replace(_deal(trip), asset=asset, provider=thief.account, holders=_with_provider(trip, thief))
    package = SharePackage(altered.to_json(), _document(trip, "policy"), sealed)
    stopped(4, victim.name, "share", lambda: victim.node.custody.accept(package))
    trip.asset = asset
    return stopped(5, "Access contract", "AccessDealNotReady", trip.request)


def swapped_version(trip: Trip) -> Caught:
    trip.until_opened()
    provider = trip.world["provider"]
    dealt = provider.node.context.view.latest_deal(trip.asset, 1)
    published = provider.node.context.view.version(trip.asset, 1)
    other = Digest(secrets.token_bytes(32))
    provider.ledger.assets.deal(trip.asset, 1, other, dealt.threshold, 0, dealt.holders, published.terms)
    refusals = [decided.reason.name for decided in trip.world["custodian-1"].node.work().decided]
    if refusals != ["DEAL_MISMATCH"]:
        raise UnseenError(f"the custodian decided {refusals} on a use whose deal was swapped")
    second = trip.world["custodian-2"]
    sealed = seal_release(_release(trip, _share(trip, second)), bytes(trip.opened.one_time_keys[2]))
    return stopped(
        6,
        "custodian-1, and the Access contract",
        "AccessDealReplaced",
        lambda: second.ledger.access.release_share(trip.opened.use, Digest(bytes(32)), sealed),
    )


def false_accusation(trip: Trip) -> Caught:
    trip.until_opened()
    trip.release()
    compute, victim = trip.world["compute"], trip.world["custodian-1"]
    context = compute.node.context
    order = trip.placed.order_hash
    accusation = Accusation(
        use=trip.opened.use,
        deal=trip.opened.pin.deal_hash,
        index=1,
        holder=victim.account,
        one_time_key=context.store.secret(f"one-time/{order}/0/1") or bytes(32),
    )
    context.store.put_document("accusation", accusation.hash, accusation.to_json())
    compute.ledger.access.close_use(order, False, CloseReason.SHARE_WRONG, accusation.hash, Digest(bytes(32)), 0)
    return found(trip, "false-accusation", "use-unclosed")


def _ended(trip: Trip, reason: CloseReason, who: str) -> Caught:
    """The run must end without a result, for this reason."""
    steps = trip.world["compute"].node.work().progress
    if [step.note for step in steps] != [reason.name.lower()]:
        raise UnseenError(f"the run ended with {[step.note for step in steps]}, not {reason.name.lower()}")
    return Caught(Stopped(7, who, steps[0].note))


def _document(trip: Trip, kind: str) -> Json:
    digest = {"deal": trip.offering.deal_hash, "policy": trip.offering.policy_hash}[kind]
    content = trip.world["provider"].node.context.store.document(kind, digest)
    return canonical.decode(content or b"null")


def _deal(trip: Trip) -> Deal:
    return Deal.from_json(_document(trip, "deal"))


def _sealed(trip: Trip, member: Member) -> SealedShare:
    row = member.node.context.store.held_share(trip.offering.deal_hash)
    return SealedShare.from_json(canonical.decode(row.sealed if row else b"null"))


def _share(trip: Trip, member: Member) -> ShareSecret:
    return open_share(_sealed(trip, member), _deal(trip), member.keystore.box)


def _release(trip: Trip, secret: ShareSecret) -> Release:
    ledger = trip.world["provider"].ledger
    return Release(
        chain_id=ledger.domain.chain_id,
        access=ledger.access.address,
        use=trip.opened.use,
        deal=trip.offering.deal_hash,
        index=secret.index,
        share=secret.share,
        blinding=secret.blinding,
    )


def _with_provider(trip: Trip, provider: Member) -> tuple[DealHolder, ...]:
    holders = _deal(trip).holders
    return (replace(holders[0], account=provider.account), *holders[1:])


ATTACKS = (
    Attack(
        "tampered-capsule",
        GROUP,
        "one byte of the capsule is changed",
        "密态胶囊被篡改一个字节",
        tampered_capsule,
    ),
    Attack(
        "forged-share",
        GROUP,
        "a custodian releases a wrong share",
        "托管方放行伪造份额",
        forged_share,
    ),
    Attack(
        "custodian-collusion",
        GROUP,
        "custodians pool their shares without the provider",
        "托管方绕过提供方合谋",
        custodian_collusion,
    ),
    Attack(
        "borrowed-deal",
        GROUP,
        "another asset names the victim's capsule and deal",
        "他人资产借用受害方的胶囊与份额分发",
        borrowed_deal,
    ),
    Attack(
        "swapped-version",
        GROUP,
        "the deal is swapped between opening and release",
        "开启与放行之间更换份额分发",
        swapped_version,
    ),
    Attack(
        "false-accusation",
        GROUP,
        "a compute node claims that a good share is wrong",
        "计算方诬告正确份额有误",
        false_accusation,
    ),
)
