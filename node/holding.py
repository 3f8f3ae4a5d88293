"""What a holder does alike for a use and for an opening of its deal: check, decide, sign, keep, send.

A decision is recorded before it is sent; one that was recorded and never reached the chain is taken up, so that each
use and opening gets one. A share that was destroyed leaves its row behind, without the share: who asks for it is
refused, and it is not taken again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from capsule import canonical
from capsule.attestation import Claim, Level, Quote, verify_quote
from capsule.deal import Deal
from capsule.decision import REFUSED, RELEASED, RefusalReason, ShareDecision, sign_decision
from capsule.digest import document_digest
from capsule.errors import CapsuleError, InputError
from capsule.ids import AssetId, Bytes32, Digest
from capsule.oplog import Act, LogEntry
from capsule.policy.compiler import Compiled, compile_policy
from capsule.share import Release, SealedShare, ShareSecret, open_share, seal_release
from contracts.chain import Block
from contracts.events import UseOpened
from contracts.structs import Decision
from node.context import Context
from node.errors import NodeError, RefusedError
from node.store import DecisionRow, HeldShareRow

__all__ = ["Check", "Decided", "Holding", "RefusalError", "is_for"]

SECONDS_PER_DAY = 86_400
NO_KEY = bytes(32)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that stands on chain. `use` is the id of a use, or of an opening of the deal."""

    use: Bytes32
    deal: Digest
    released: bool
    reason: RefusalReason
    transaction: Digest


class RefusalError(Exception):
    """A check's verdict against a release; it is no failure, and never leaves the holder's side."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


Check = Callable[[Deal, Block], None]
"""Raises RefusalError with the first reason against a release, at a final block."""


class Holding:
    """One holder of shares: a custodian, or the provider with its own part at position 0."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def is_asked(self, use: Bytes32, one_time_key: bytes) -> bool:
        """Whether this holder is asked for its share and has not decided."""
        if one_time_key == NO_KEY:
            return False
        return self._context.ledger.access.decision_of(Digest(use), self._context.account) is Decision.NONE

    def decide(self, use: Bytes32, row: HeldShareRow, one_time_key: bytes, check: Check) -> Decided:
        """Releases or refuses; raises RevertedError where the chain does not take the decision any more."""
        context = self._context
        block = context.ledger.final_block()
        sealed, reason = self._judge(use, row, one_time_key, check, block)
        decision = self._recorded(use, row, reason, block)
        if sealed is not None:
            transaction = context.ledger.access.release_share(Digest(use), decision, sealed)
        else:
            transaction = context.ledger.access.refuse_share(Digest(use), reason, decision)
        return Decided(use, Digest.parse(row.deal), sealed is not None, reason, transaction.hash)

    def _judge(
        self, use: Bytes32, row: HeldShareRow, one_time_key: bytes, check: Check, block: Block
    ) -> tuple[bytes | None, RefusalReason]:
        """The share sealed for this use, or why it is refused."""
        try:
            deal = self._deal(row)
            check(deal, block)
            secret = self.secret(row, deal)
        except RefusalError as refusal:
            return None, refusal.reason
        except CapsuleError:
            return None, RefusalReason.NO_SHARE
        try:
            return self._seal(secret, use, deal.hash, one_time_key), RefusalReason.NONE
        except InputError:
            # the chain takes any 32 bytes for a one-time key; to some nothing can be sealed
            return None, RefusalReason.KEY_UNUSABLE

    def _recorded(self, use: Bytes32, row: HeldShareRow, reason: RefusalReason, block: Block) -> Digest:
        """Keeps the signed decision and returns its hash; the one kept by an earlier try stands if it says the same."""
        context = self._context
        earlier = context.store.decision(use)
        if earlier is not None and earlier.reason == reason:
            return Digest.parse(earlier.digest)
        decision = ShareDecision(
            use=Digest(use),
            deal=Digest.parse(row.deal),
            holder=context.account,
            index=row.position,
            outcome=RELEASED if reason is RefusalReason.NONE else REFUSED,
            reason=reason,
            view=context.ledger.chain.verification,
            block=block.number,
            decided_at=context.clock(),
            salt=context.entropy(32),
            log_head=context.store.log_head(),
        )
        signed = sign_decision(decision, context.keystore.signer, context.ledger.domain)
        digests = {"deal": decision.deal, "decision": decision.hash}
        stated = RELEASED if reason is RefusalReason.NONE else reason.name.lower()
        context.store.save(
            context.store.document_row("decision", decision.hash, signed.to_json()),
            DecisionRow(
                use=str(use),
                decided_at=decision.decided_at,
                outcome=decision.outcome,
                reason=reason,
                digest=str(decision.hash),
            ),
            log=[LogEntry(Act.DECISION, decision.decided_at, decision.use, digests, stated)],
        )
        return decision.hash

    def _seal(self, secret: ShareSecret, use: Bytes32, deal: Digest, one_time_key: bytes) -> bytes:
        release = Release(
            chain_id=self._context.ledger.domain.chain_id,
            access=self._context.ledger.access.address,
            use=Digest(use),
            deal=deal,
            index=secret.index,
            share=secret.share,
            blinding=secret.blinding,
        )
        return seal_release(release, one_time_key)

    def secret(self, row: HeldShareRow, deal: Deal) -> ShareSecret:
        """The share of a row, checked against its deal; CapsuleError where it is damaged or destroyed."""
        return open_share(SealedShare.from_json(canonical.decode(row.sealed)), deal, self._context.keystore.box)

    def _deal(self, row: HeldShareRow) -> Deal:
        document = self._context.store.document("deal", Digest.parse(row.deal))
        if document is None:
            raise RefusalError(RefusalReason.NO_SHARE)
        return Deal.from_json(canonical.decode(document))

    def policy(self, deal: Deal) -> Compiled:
        """The policy that came with the share, which compiles to the deal's terms; RefusalError otherwise."""
        document = self._context.store.document("policy", deal.policy_hash)
        if document is None or document_digest("policy", canonical.decode(document)) != deal.policy_hash:
            raise RefusalError(RefusalReason.POLICY_MISSING)
        try:
            compiled = compile_policy(canonical.decode(document))
        except CapsuleError as error:
            raise RefusalError(RefusalReason.POLICY_MISMATCH) from error
        if compiled.terms.hash != deal.terms_hash or not is_for(compiled, deal.asset):
            raise RefusalError(RefusalReason.POLICY_MISMATCH)
        return compiled

    def attested(self, opened: UseOpened) -> Level:
        """Who vouches for a use's runtime, by the quote that its compute node serves.

        SOFTWARE without a good one: then there is only the node's word, which `UseOpened` is already.
        """
        context = self._context
        domain, access = context.ledger.domain, context.ledger.access.address
        keys = tuple(map(bytes, opened.one_time_keys))
        claim = Claim(domain.chain_id, access, opened.order_hash, opened.measurement, keys)
        try:
            document = context.fetch_document(opened.order.compute_node, "quote", claim.digest)
            return verify_quote(Quote.from_json(document), claim, context.verifiers)
        except (CapsuleError, NodeError):
            return Level.SOFTWARE

    def check_on_chain(self, deal: Deal, at: int) -> None:
        """Every value of the deal document against the ledger at a block; raises RefusedError."""
        context = self._context
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

    def check_clock(self) -> None:
        """Against the newest block. The embedded chain makes blocks on demand: there an old one says nothing."""
        settings = self._context.settings
        ahead = self._context.clock() - self._context.ledger.chain.head().timestamp
        if -ahead > settings.clock_skew_seconds or (bool(settings.chain_urls) and ahead > settings.clock_skew_seconds):
            raise RefusalError(RefusalReason.CLOCK_OFF)

    def check_limit(self, use: Bytes32) -> None:
        """This organisation's own limit, over uses and openings together."""
        context = self._context
        since = context.clock() - SECONDS_PER_DAY
        if context.store.releases_since(since, use) >= context.settings.releases_per_day:
            raise RefusalError(RefusalReason.OWN_LIMIT)


def is_for(policy: Compiled, asset: AssetId) -> bool:
    """Whether a policy is for an asset, or names none."""
    return policy.holder.asset in (None, asset)
