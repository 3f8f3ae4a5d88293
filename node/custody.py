"""The holder's side: take a share after checking it, decide alone on every use, destroy it when it has served.

A holder acts only on final chain state. What a use pins must equal all of the deal under whose hash the share is kept;
the policy that came with the share must compile to the terms that the chain enforces. A destroyed share leaves a signed
statement (`capsule.shred`), served under its deal's hash.
"""

import threading
from dataclasses import dataclass
from functools import partial

from capsule import canonical
from capsule.attestation import Level, is_met
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.decision import RefusalReason
from capsule.errors import CapsuleError
from capsule.ids import AssetId, Digest
from capsule.oplog import Act, LogEntry
from capsule.order import order_hash, recover
from capsule.policy.compiler import compile_policy
from capsule.policy.explain import AccessFacts, Outcome, explain
from capsule.policy.vocabulary import Label
from capsule.share import SealedShare, holder_of, open_share
from capsule.shred import SALT_SIZE, ShredStatement, SignedShred, sign_shred
from capsule.terms import Terms
from contracts.chain import Block
from contracts.errors import RevertedError
from contracts.events import UseOpened
from contracts.structs import Grant, UseStatus
from node.context import Context
from node.errors import InputRefusedError, RefusedError, UnknownError
from node.holding import Decided, Holding, RefusalError, is_for
from node.store import HeldShareRow
from node.tally import Tally

__all__ = ["Custody", "Decided", "SharePackage"]


@dataclass(frozen=True, slots=True)
class SharePackage:
    """What a provider sends to a holder: the deal, the policy it binds, and the holder's sealed share."""

    deal: Json
    policy: Json
    share: Json


class Custody:
    """One holder of shares: a custodian, or the provider with its own part at position 0."""

    def __init__(self, context: Context, holding: Holding | None = None) -> None:
        self._context = context
        self._holding = holding or Holding(context)
        self._turn = threading.Lock()

    def accept(self, package: SharePackage) -> Digest:
        """Checks a share and everything around it, keeps it, and accepts it on chain; returns the deal's hash.

        Raises RefusedError with the reason, RevertedError when the chain refuses; then nothing was kept. Taking the
        same share again changes nothing.
        """
        with self._turn:
            return self._accept(package)

    def _accept(self, package: SharePackage) -> Digest:
        context = self._context
        try:
            deal = Deal.from_json(package.deal)
            share = SealedShare.from_json(package.share)
            policy = compile_policy(package.policy)
            context.view.refresh()
            # 1. the share is this organisation's, opens, and matches its commitment
            open_share(share, deal, context.keystore.box)
            if holder_of(deal, share.index).account != context.account:
                raise RefusedError("the share", f"position {share.index} of its deal is not this organisation")
        except CapsuleError as error:
            raise RefusedError("the share", str(error)) from error
        # 2. the chain knows exactly this deal, for this version of this asset
        self._holding.check_on_chain(deal, context.ledger.final_block().number)
        # 3. the policy is the one on chain, and its terms are those that the chain enforces
        if policy.policy_hash != deal.policy_hash or policy.terms.hash != deal.terms_hash:
            raise RefusedError("the share", "its policy does not compile to the terms on chain")
        if not is_for(policy, deal.asset):
            raise RefusedError("the share", f"its policy is for the asset {policy.holder.asset}")
        _check_deal(deal, policy.terms)
        earlier = context.store.held_share(deal.hash)
        if earlier is not None and not earlier.sealed:
            raise RefusedError("the share", "it was destroyed here, and is not taken again")
        row = HeldShareRow(
            deal=str(deal.hash),
            position=share.index,
            policy=str(policy.policy_hash),
            sealed=canonical.encode(share.to_json()),
        )
        context.store.save(
            context.store.document_row("deal", deal.hash, deal.to_json()),
            context.store.document_row("policy", policy.policy_hash, package.policy),
            row,
        )
        if not context.ledger.assets.has_accepted(deal.asset, deal.version, deal.number, context.account):
            try:
                context.ledger.assets.accept_share(deal.asset, deal.version, deal.number, deal.hash)
            except RevertedError:
                context.store.forget_share(deal.hash)
                raise
        return deal.hash

    def decide_open_uses(self) -> tuple[Decided, ...]:
        """Decides every open use of a deal that this organisation holds a share of, once.

        A use whose decision the chain does not take any more, since its state moved on, is left for the next round.
        """
        context = self._context
        context.view.refresh()
        decided: list[Decided] = []
        tally: Tally | None = None
        for use, opened in tuple(context.view.uses.items()):
            if use in context.view.ended:
                continue
            row = context.store.held_share(opened.pin.deal_hash)
            if row is None:
                continue
            key = opened.one_time_keys[row.position]
            if not self._holding.is_asked(use, key):
                continue
            tally = tally or Tally(context)
            try:
                one = self._holding.decide(use, row, key, partial(self._check_use, opened, tally))
            except (RevertedError, UnknownError):
                continue
            decided.append(one)
            if one.released:
                tally.add(opened)
        return tuple(decided)

    def shred(self, deal: Digest) -> SignedShred:
        """Destroys this organisation's part of a deal, for good, and keeps a signed statement of it.

        Also the copy that a provider keeps with its offering. Uses that ask for it are refused from then on. Raises
        UnknownError where there is nothing to destroy. What was destroyed before answers with its statement.
        """
        store = self._context.store
        with self._turn:
            kept = store.document("shred-statement", deal)
            if kept is not None:
                return SignedShred.from_json(canonical.decode(kept))
            row = store.held_share(deal)
            if row is None:
                raise UnknownError("share of deal", str(deal))
            return self._destroy(row)

    def held_of(self, asset: AssetId) -> tuple[Digest, ...]:
        """The deals of an asset, of any version, that this organisation holds a part of.

        Raises InputRefusedError where it held some and all were shredded.
        """
        view, store = self._context.view, self._context.store
        view.refresh()
        deals = [one.deal_hash for one in tuple(view.deals.values()) if one.asset == asset]
        held = set(store.held_deals())
        found = tuple(deal for deal in deals if deal in held)
        if not found and any(store.held_share(deal) is not None for deal in deals):
            raise InputRefusedError(f"what was held here of asset {asset} was shredded; its statements are kept")
        return found

    def destroy_replaced(self) -> tuple[Digest, ...]:
        """Destroys the shares of deals that another has replaced, once that one is ready on the final chain; returns
        their deals.

        Until then the replaced shares are the only ones that make the key.
        """
        context = self._context
        context.view.refresh()
        destroyed = []
        with self._turn:
            for deal in context.store.held_deals():
                replaced = context.view.replaced.get(deal)
                if replaced is None:
                    continue
                final = context.ledger.final_block().number
                newest = context.view.latest_deal(replaced.asset, replaced.version).deal
                if context.ledger.assets.is_ready(replaced.asset, replaced.version, newest, at=final):
                    row = context.store.held_share(deal)
                    if row is not None:
                        self._destroy(row)
                        destroyed.append(deal)
        return tuple(destroyed)

    def _destroy(self, row: HeldShareRow) -> SignedShred:
        context = self._context
        deal = Digest.parse(row.deal)
        statement = ShredStatement(
            deal=deal,
            holder=context.account,
            index=row.position,
            time=context.clock(),
            salt=context.entropy(SALT_SIZE),
        )
        signed = sign_shred(statement, context.keystore.signer, context.ledger.domain)
        row.sealed = b""
        offering = context.store.offering_of_deal(deal)
        rows = [row, context.store.document_row("shred-statement", deal, signed.to_json())]
        if offering is not None:
            offering.shares = canonical.encode([])
            rows.append(offering)
        logged = LogEntry(Act.SHRED, statement.time, deal, {"statement": statement.hash})
        context.store.save(*rows, log=[logged])
        context.store.settle()
        return signed

    def _check_use(self, opened: UseOpened, tally: Tally, deal: Deal, block: Block) -> None:
        """The holder's own check; raises RefusalError with the first reason against it."""
        context = self._context
        access = context.ledger.access
        # 1. the use is open on chain, in its time, and this clock agrees with the chain's
        use = access.use_of(opened.use, at=block.number)
        if use.status is not UseStatus.OPEN or use.order_hash != opened.order_hash:
            raise RefusalError(RefusalReason.USE_NOT_OPEN)
        if block.timestamp >= use.deadline:
            raise RefusalError(RefusalReason.DEADLINE_PASSED)
        self._holding.check_clock()
        # 2. its grant stands, and its buyer ordered it, once
        grant = access.grant_of(use.grant, at=block.number)
        if grant.revoked:
            raise RefusalError(RefusalReason.GRANT_REVOKED)
        self._check_order(opened, grant)
        # 3. what it pins is what the deal is for
        if not _pins_deal(grant, deal, context.ledger.domain.chain_id, access.address):
            raise RefusalError(RefusalReason.PIN_MISMATCH)
        if context.ledger.assets.version_of(deal.asset, deal.version, at=block.number).deals != deal.number:
            raise RefusalError(RefusalReason.DEAL_MISMATCH)
        # 4. the policy allows it, term by term
        compiled = self._holding.policy(deal)
        if compiled.holder.measurements and opened.measurement not in compiled.holder.measurements:
            raise RefusalError(RefusalReason.MEASUREMENT_NOT_ALLOWED)
        level = self._holding.attested(opened) if compiled.holder.attestation else Level.SOFTWARE
        if not is_met(level, compiled.holder.attestation):
            raise RefusalError(RefusalReason.ATTESTATION_NOT_MET)
        verdicts = explain(compiled, self._facts(opened, tally, grant, deal, block, level))
        # what only the result shows is the runtime's to check; anything else that is not known means no
        if any(
            verdict.outcome is Outcome.REFUSED
            or (verdict.outcome is Outcome.UNKNOWN and verdict.label is not Label.RUNTIME)
            for verdict in verdicts
        ):
            raise RefusalError(RefusalReason.TERMS_NOT_MET)
        # 5. this organisation's own limits
        self._holding.check_limit(opened.use)

    def _check_order(self, opened: UseOpened, grant: Grant) -> None:
        """The use is of an order that the grant's buyer signed, for this grant, algorithm and compute node."""
        context, order = self._context, opened.order
        domain, access = context.ledger.domain, context.ledger.access.address
        try:
            signer = recover(order, opened.order_signature, domain.chain_id, access)
        except CapsuleError as error:
            raise RefusalError(RefusalReason.ORDER_INVALID) from error
        said = (signer, order_hash(order, domain.chain_id, access), order.algorithm, order.compute_node)
        uses = [one.use for one in context.view.uses_of(opened.order_hash) if one.grant == opened.grant]
        if (
            said != (grant.buyer, opened.order_hash, grant.algorithm, grant.compute_node)
            or opened.grant not in order.grants
            or uses != [opened.use]
        ):
            raise RefusalError(RefusalReason.ORDER_INVALID)

    def _facts(
        self, opened: UseOpened, tally: Tally, grant: Grant, deal: Deal, block: Block, level: Level
    ) -> AccessFacts:
        """What the policy is held against. The counts are those before this use, which is spent already: the chain's,
        or what this holder itself released, where that is more."""
        context = self._context
        granted = context.view.grant(opened.grant)
        under_grant, by_buyer, in_all = tally.before(opened)
        uses, rows, total = context.ledger.access.counts_of(deal.asset, grant.buyer, at=block.number)
        return AccessFacts(
            time=block.timestamp,
            buyer=grant.buyer,
            buyer_roles=context.ledger.participants.organisation(grant.buyer, at=block.number).roles,
            purpose=context.view.request(grant.request).purpose,
            algorithm=grant.algorithm,
            compute_node=grant.compute_node,
            granted_at=context.ledger.chain.block(granted.log.block_number).timestamp,
            automatic=granted.automatic,
            opened_at=context.ledger.chain.block(opened.log.block_number).timestamp,
            grant_uses=max(grant.used - 1, under_grant),
            buyer_uses=max(uses - 1, by_buyer),
            total_uses=max(total - 1, in_all),
            buyer_rows=rows,
            custodians=tuple(holder.account for holder in deal.holders[1:]),
            threshold=deal.threshold,
            provider_required=deal.provider_required,
            measurement=opened.measurement,
            attestation=level,
        )


def _check_deal(deal: Deal, terms: Terms) -> None:
    """The deal keeps what the policy asks of custody, as the chain should have seen to; RefusedError otherwise."""
    strangers = {holder.account for holder in deal.holders[1:]} - set(terms.holders)
    if deal.threshold < terms.least_threshold:
        raise RefusedError(
            "the share", f"its threshold is {deal.threshold}, the policy asks for {terms.least_threshold}"
        )
    if terms.provider_share_required and not deal.provider_required:
        raise RefusedError("the share", "its deal does without the provider's share, which the policy asks for")
    if terms.holders and strangers:
        raise RefusedError("the share", f"its policy does not allow the custodian {min(strangers)}")


def _pins_deal(grant: Grant, deal: Deal, chain_id: int, access: object) -> bool:
    pin = grant.pin
    return (
        (pin.asset, pin.version, pin.deal, pin.deal_hash) == (deal.asset, deal.version, deal.number, deal.hash)
        and (pin.capsule_root, pin.policy_hash, pin.terms_hash)
        == (deal.capsule_root, deal.policy_hash, deal.terms_hash)
        and (deal.chain_id, deal.access, deal.provider) == (chain_id, access, grant.provider)
    )
