"""The holder's side: take a share after checking it, decide alone on every use, release or refuse.

A holder acts only on final chain state. What a use pins must equal all of the deal under whose hash the share is kept;
the policy that came with the share must compile to the terms that the chain enforces. A decision is recorded before it
is sent; one that was recorded and never reached the chain is taken up, so that each use gets one.
"""

import threading
from dataclasses import dataclass

from capsule import canonical
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.decision import REFUSED, RELEASED, RefusalReason, ShareDecision, sign_decision
from capsule.digest import document_digest
from capsule.errors import CapsuleError, InputError
from capsule.ids import AssetId, Digest, UseId
from capsule.policy.compiler import Compiled, compile_policy
from capsule.policy.explain import AccessFacts, Outcome, explain
from capsule.policy.vocabulary import Label
from capsule.share import Release, SealedShare, ShareSecret, holder_of, open_share, seal_release
from contracts.chain import Block
from contracts.errors import RevertedError
from contracts.events import UseOpened
from contracts.structs import Decision, Grant, UseStatus
from node.context import Context
from node.errors import RefusedError, UnknownError
from node.store import DecisionRow, HeldShareRow

__all__ = ["Custody", "Decided", "SharePackage"]

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class SharePackage:
    """What a provider sends to a holder: the deal, the policy it binds, and the holder's sealed share."""

    deal: Json
    policy: Json
    share: Json


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that stands on chain."""

    use: UseId
    deal: Digest
    released: bool
    reason: RefusalReason
    transaction: Digest


class _Refusal(Exception):  # noqa: N818 - carries a verdict inside this module, it is no failure
    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class Custody:
    """One holder of shares: a custodian, or the provider with its own part at position 0."""

    def __init__(self, context: Context) -> None:
        self._context = context
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
        self._check_on_chain(deal)
        # 3. the policy is the one on chain, and its terms are those that the chain enforces
        if policy.policy_hash != deal.policy_hash or policy.terms.hash != deal.terms_hash:
            raise RefusedError("the share", "its policy does not compile to the terms on chain")
        if not _is_for(policy, deal.asset):
            raise RefusedError("the share", f"its policy is for the asset {policy.holder.asset}")
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
        decided = []
        for use, opened in tuple(context.view.uses.items()):
            if use in context.view.ended:
                continue
            row = context.store.held_share(opened.pin.deal_hash)
            if row is None or not self._mine_to_decide(opened, row.position):
                continue
            try:
                decided.append(self._decide(opened, row))
            except (RevertedError, UnknownError):
                continue
        return tuple(decided)

    def _mine_to_decide(self, opened: UseOpened, position: int) -> bool:
        context = self._context
        if opened.one_time_keys[position] == bytes(32):
            return False
        return context.ledger.access.decision_of(Digest(opened.use), context.account) is Decision.NONE

    def _decide(self, opened: UseOpened, row: HeldShareRow) -> Decided:
        context = self._context
        block = context.ledger.final_block()
        deal = Digest.parse(row.deal)
        use = Digest(opened.use)
        sealed, reason = self._judge(opened, row, block)
        decision = self._recorded(opened, row, reason, block)
        if sealed is not None:
            transaction = context.ledger.access.release_share(use, decision, sealed)
        else:
            transaction = context.ledger.access.refuse_share(use, reason, decision)
        return Decided(opened.use, deal, sealed is not None, reason, transaction.hash)

    def _judge(self, opened: UseOpened, row: HeldShareRow, block: Block) -> tuple[bytes | None, RefusalReason]:
        """The share sealed for this use, or why it is refused."""
        try:
            deal = self._deal(row)
            self._check_use(opened, deal, block)
            share = SealedShare.from_json(canonical.decode(row.sealed))
            secret = open_share(share, deal, self._context.keystore.box)
        except _Refusal as refusal:
            return None, refusal.reason
        except CapsuleError:
            return None, RefusalReason.NO_SHARE
        try:
            return self._seal(secret, opened, deal.hash), RefusalReason.NONE
        except InputError:
            # the chain takes any 32 bytes for a one-time key; to some nothing can be sealed
            return None, RefusalReason.KEY_UNUSABLE

    def _recorded(self, opened: UseOpened, row: HeldShareRow, reason: RefusalReason, block: Block) -> Digest:
        """Keeps the signed decision and returns its hash; the one kept by an earlier try stands if it says the same."""
        context = self._context
        earlier = context.store.decision(opened.use)
        if earlier is not None and earlier.reason == reason:
            return Digest.parse(earlier.digest)
        decision = ShareDecision(
            use=Digest(opened.use),
            deal=Digest.parse(row.deal),
            holder=context.account,
            index=row.position,
            outcome=RELEASED if reason is RefusalReason.NONE else REFUSED,
            reason=reason,
            view=context.ledger.chain.verification,
            block=block.number,
            decided_at=context.clock(),
            salt=context.entropy(32),
        )
        signed = sign_decision(decision, context.keystore.signer, context.ledger.domain)
        context.store.save(
            context.store.document_row("decision", decision.hash, signed.to_json()),
            DecisionRow(
                use=str(opened.use),
                decided_at=decision.decided_at,
                outcome=decision.outcome,
                reason=reason,
                digest=str(decision.hash),
            ),
        )
        return decision.hash

    def _seal(self, secret: ShareSecret, opened: UseOpened, deal: Digest) -> bytes:
        release = Release(
            chain_id=self._context.ledger.domain.chain_id,
            access=self._context.ledger.access.address,
            use=Digest(opened.use),
            deal=deal,
            index=secret.index,
            share=secret.share,
            blinding=secret.blinding,
        )
        return seal_release(release, opened.one_time_keys[secret.index])

    def _deal(self, row: HeldShareRow) -> Deal:
        document = self._context.store.document("deal", Digest.parse(row.deal))
        if document is None:
            raise _Refusal(RefusalReason.NO_SHARE)
        return Deal.from_json(canonical.decode(document))

    def _check_on_chain(self, deal: Deal) -> None:
        """Every value of the deal document against the ledger at the final block; raises RefusedError."""
        context = self._context
        at = context.ledger.final_block().number
        assets = context.ledger.assets
        asset = assets.asset_of(deal.asset, at=at)
        version = assets.version_of(deal.asset, deal.version, at=at)
        dealt = assets.deal_of(deal.asset, deal.version, deal.number, at=at)
        expectations = (
            ("chain id", deal.chain_id, context.ledger.domain.chain_id),
            ("Access contract", deal.access, context.ledger.access.address),
            ("provider", deal.provider, asset.provider),
            ("capsule root", deal.capsule_root, version.capsule_root),
            ("policy hash", deal.policy_hash, version.policy_hash),
            ("terms hash", deal.terms_hash, version.terms_hash),
            ("deal number", deal.number, version.deals),
            ("deal hash", deal.hash, dealt.deal_hash),
            ("threshold", deal.threshold, dealt.threshold),
            ("provider required", deal.provider_required, dealt.provider_required),
            ("waiting time", deal.waiting_seconds, dealt.waiting_seconds),
            ("holders", tuple(holder.account for holder in deal.holders), dealt.holders),
        )
        for name, said, known in expectations:
            if said != known:
                raise RefusedError("the deal", f"its {name} is {said}, the chain says {known}")

    def _check_use(self, opened: UseOpened, deal: Deal, block: Block) -> None:
        """The holder's own check; raises _Refusal with the first reason against it."""
        context = self._context
        access = context.ledger.access
        # 1. the use is open on chain, in its time, and this clock agrees with the chain's
        use = access.use_of(opened.use, at=block.number)
        if use.status is not UseStatus.OPEN or use.order_hash != opened.order_hash:
            raise _Refusal(RefusalReason.USE_NOT_OPEN)
        if block.timestamp >= use.deadline:
            raise _Refusal(RefusalReason.DEADLINE_PASSED)
        if self._clock_is_off():
            raise _Refusal(RefusalReason.CLOCK_OFF)
        # 2. its grant stands
        grant = access.grant_of(use.grant, at=block.number)
        if grant.revoked:
            raise _Refusal(RefusalReason.GRANT_REVOKED)
        # 3. what it pins is what the deal is for
        if not _pins_deal(grant, deal, context.ledger.domain.chain_id, access.address):
            raise _Refusal(RefusalReason.PIN_MISMATCH)
        if context.ledger.assets.version_of(deal.asset, deal.version, at=block.number).deals != deal.number:
            raise _Refusal(RefusalReason.DEAL_MISMATCH)
        # 4. the policy allows it, term by term
        compiled = self._policy(deal)
        if compiled.terms.hash != deal.terms_hash or not _is_for(compiled, deal.asset):
            raise _Refusal(RefusalReason.POLICY_MISMATCH)
        if compiled.holder.measurements and opened.measurement not in compiled.holder.measurements:
            raise _Refusal(RefusalReason.MEASUREMENT_NOT_ALLOWED)
        verdicts = explain(compiled, self._facts(opened, grant, deal, block))
        # what only the result shows is the runtime's to check; anything else that is not known means no
        if any(
            verdict.outcome is Outcome.REFUSED
            or (verdict.outcome is Outcome.UNKNOWN and verdict.label is not Label.RUNTIME)
            for verdict in verdicts
        ):
            raise _Refusal(RefusalReason.TERMS_NOT_MET)
        # 5. this organisation's own limits
        since = context.clock() - SECONDS_PER_DAY
        if context.store.releases_since(since, opened.use) >= context.settings.releases_per_day:
            raise _Refusal(RefusalReason.OWN_LIMIT)

    def _clock_is_off(self) -> bool:
        """Against the newest block. The embedded chain makes blocks on demand: there an old one says nothing."""
        settings = self._context.settings
        ahead = self._context.clock() - self._context.ledger.chain.head().timestamp
        return -ahead > settings.clock_skew_seconds or (
            bool(settings.chain_urls) and ahead > settings.clock_skew_seconds
        )

    def _facts(self, opened: UseOpened, grant: Grant, deal: Deal, block: Block) -> AccessFacts:
        """What the policy is held against. The counts are those before this use, which is spent already."""
        context = self._context
        granted_in = context.view.grant(opened.grant).log.block_number
        uses, rows, total = context.ledger.access.counts_of(deal.asset, grant.buyer, at=block.number)
        return AccessFacts(
            time=block.timestamp,
            buyer=grant.buyer,
            buyer_roles=context.ledger.participants.organisation(grant.buyer, at=block.number).roles,
            purpose=context.view.request(grant.request).purpose,
            algorithm=grant.algorithm,
            compute_node=grant.compute_node,
            granted_at=context.ledger.chain.block(granted_in).timestamp,
            grant_uses=grant.used - 1,
            buyer_uses=uses - 1,
            total_uses=total - 1,
            buyer_rows=rows,
            custodians=tuple(holder.account for holder in deal.holders[1:]),
            threshold=deal.threshold,
            provider_required=deal.provider_required,
            measurement=opened.measurement,
        )

    def _policy(self, deal: Deal) -> Compiled:
        document = self._context.store.document("policy", deal.policy_hash)
        if document is None or document_digest("policy", canonical.decode(document)) != deal.policy_hash:
            raise _Refusal(RefusalReason.POLICY_MISSING)
        try:
            return compile_policy(canonical.decode(document))
        except CapsuleError as error:
            raise _Refusal(RefusalReason.POLICY_MISMATCH) from error


def _is_for(policy: Compiled, asset: AssetId) -> bool:
    return policy.holder.asset in (None, asset)


def _pins_deal(grant: Grant, deal: Deal, chain_id: int, access: object) -> bool:
    pin = grant.pin
    return (
        (pin.asset, pin.version, pin.deal, pin.deal_hash) == (deal.asset, deal.version, deal.number, deal.hash)
        and (pin.capsule_root, pin.policy_hash, pin.terms_hash)
        == (deal.capsule_root, deal.policy_hash, deal.terms_hash)
        and (deal.chain_id, deal.access, deal.provider) == (chain_id, access, grant.provider)
    )
