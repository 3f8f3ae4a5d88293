"""Access: the buyer asks for a purpose with an algorithm, the provider grants, denies or revokes."""

from dataclasses import dataclass, replace

from capsule import canonical
from capsule.agreement import Agreement
from capsule.algorithm import Algorithm
from capsule.errors import CapsuleError
from capsule.ids import Address, AssetId, Digest, GrantId, RequestId
from capsule.oplog import Act, LogEntry
from capsule.policy.compiler import compile_policy
from capsule.policy.groups import is_counted, verify_groups
from capsule.terms import Terms
from contracts.events import AccessDenied, AccessGranted, AccessRequested, AccessRevoked
from contracts.structs import Pin
from node.agreements import Agreements
from node.context import Context
from node.errors import InputRefusedError, RefusedError, UnknownError

__all__ = ["Access", "Denial", "Granted", "Narrowing", "Requested"]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """How a grant stays under its terms: fewer uses, a shorter time, fewer rows. None leaves the terms' own."""

    uses: int | None = None
    seconds: int | None = None
    rows: int | None = None

    def apply(self, terms: Terms) -> Terms:
        """The terms, narrowed; wider wishes have no effect."""
        return replace(
            terms,
            uses_per_grant=min(terms.uses_per_grant, self.uses if self.uses is not None else terms.uses_per_grant),
            seconds_per_grant=min(
                terms.seconds_per_grant, self.seconds if self.seconds is not None else terms.seconds_per_grant
            ),
            rows_per_buyer=min(terms.rows_per_buyer, self.rows if self.rows is not None else terms.rows_per_buyer),
        )


@dataclass(frozen=True, slots=True)
class Requested:
    """A request on chain; `grant` is there when the terms granted it at once."""

    request: RequestId
    grant: GrantId | None
    transaction: Digest


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant on chain; `not_after` in unix seconds."""

    grant: GrantId
    not_after: int
    transaction: Digest


@dataclass(frozen=True, slots=True)
class Denial:
    """A denied request or a revoked grant; `reason` is the provider's own code."""

    subject: RequestId | GrantId
    reason: int
    transaction: Digest


class Access:
    """Both sides of access; which calls the chain lets through depends on the roles of the account."""

    def __init__(self, context: Context, agreements: Agreements) -> None:
        self._context = context
        self._agreements = agreements

    def request(
        self, asset: AssetId, purpose: str, algorithm: Algorithm, code: bytes, compute_node: Address, version: int = 0
    ) -> Requested:
        """Buyer: asks for a version of an asset, 0 for the newest, as it stands on the final chain.

        Keeps the algorithm and the proposed, signed agreement as documents, so that the provider can read them. Raises
        InputRefusedError when the code is not the algorithm's, or the policy's group size can never let it run;
        PeerError where terms that grant by themselves have no offer that their provider signed, or the policy is needed
        and not served.
        """
        context = self._context
        try:
            text = algorithm.code_text(code)
        except CapsuleError as error:
            raise InputRefusedError(f"the code is not that of the algorithm {algorithm.hash}") from error
        context.view.refresh()
        view = context.view
        published = view.version(asset, version) if version else view.latest_version(asset)
        dealt = context.view.latest_deal(asset, published.version)
        provider = context.ledger.assets.asset_of(asset).provider
        if not is_counted(algorithm):
            document = context.fetch_verified(provider, "policy", published.policy_hash)
            try:
                verify_groups(compile_policy(document), algorithm)
            except CapsuleError as error:
                raise InputRefusedError(f"this algorithm can never run on asset {asset}: {error}") from error
        agreement = Agreement(
            asset=asset,
            version=published.version,
            policy_hash=published.policy_hash,
            terms_hash=published.terms_hash,
            purpose=purpose,
            algorithm=algorithm.hash,
            buyer=context.account,
            provider=provider,
            compute_node=compute_node,
            salt=context.entropy(32),
        )
        context.store.save(
            *self._agreements.propose(agreement, automatic=published.terms.automatic_grant),
            context.store.document_row("algorithm", algorithm.hash, algorithm.to_json()),
            context.store.document_row("code", algorithm.code_hash, text),
        )
        transaction = context.ledger.access.request(
            Pin(
                asset=asset,
                version=published.version,
                capsule_root=published.capsule_root,
                policy_hash=published.policy_hash,
                terms_hash=published.terms_hash,
                deal=dealt.deal,
                deal_hash=dealt.deal_hash,
            ),
            purpose,
            algorithm.hash,
            compute_node,
            agreement.hash,
            published.terms,
        )
        request = transaction.event(AccessRequested).request
        grants = [event.grant for event in transaction.events if isinstance(event, AccessGranted)]
        return Requested(request, grants[0] if grants else None, transaction.hash)

    def pending(self) -> tuple[AccessRequested, ...]:
        """Provider: final requests for this provider's assets that are neither granted nor denied."""
        view = self._context.view
        view.refresh()
        granted = {grant.request for grant in tuple(view.grants.values())}
        return tuple(
            requested
            for request, requested in tuple(view.requests.items())
            if request not in granted
            and request not in view.denied
            and self._context.ledger.assets.asset_of(requested.asset).provider == self._context.account
        )

    def grant(self, request: RequestId, narrowing: Narrowing) -> Granted:
        """Provider: grants a final request after reading and signing the agreement that its buyer proposed.

        Logged before it is sent, as denials and revocations are: what the contract refuses stays in the log as tried.
        Raises PeerAnswerError when the agreement is not what was requested, or its buyer did not sign it; RefusedError
        when the policy's group size can never let its algorithm run.
        """
        context = self._context
        context.view.refresh()
        requested = context.view.request(request)
        published = context.view.version(requested.asset, requested.pin.version)
        self._verify_groups(requested)
        agreement = self._agreements.countersign(requested)
        narrowed = narrowing.apply(published.terms)
        digests = {"agreement": agreement.hash, "terms": narrowed.hash}
        context.store.save(log=[LogEntry(Act.GRANT, context.clock(), request, digests)])
        transaction = context.ledger.access.grant(request, requested.purpose, agreement.hash, published.terms, narrowed)
        granted = transaction.event(AccessGranted)
        return Granted(granted.grant, granted.not_after, transaction.hash)

    def _verify_groups(self, requested: AccessRequested) -> None:
        """Provider: reads the algorithm that a request names where the policy has a group size."""
        context = self._context
        kept = context.store.document("policy", requested.pin.policy_hash)
        if kept is None:
            raise UnknownError("policy", str(requested.pin.policy_hash))
        policy = compile_policy(canonical.decode(kept))
        if policy.runtime.min_group <= 1:
            return
        document = context.fetch_verified(requested.buyer, "algorithm", requested.algorithm)
        try:
            verify_groups(policy, Algorithm.from_json(document))
        except CapsuleError as error:
            raise RefusedError(f"request {requested.request}", f"{error}; deny it") from error

    def deny(self, request: RequestId, reason: int) -> Denial:
        """Provider: denies a pending request."""
        self._context.store.save(log=[LogEntry(Act.DENIAL, self._context.clock(), request, {}, str(reason))])
        transaction = self._context.ledger.access.deny(request, reason)
        return Denial(transaction.event(AccessDenied).request, reason, transaction.hash)

    def revoke(self, grant: GrantId, reason: int) -> Denial:
        """Provider: revokes a grant; no use opens and no share is released under it from then on."""
        self._context.store.save(log=[LogEntry(Act.REVOCATION, self._context.clock(), grant, {}, str(reason))])
        transaction = self._context.ledger.access.revoke(grant, reason)
        return Denial(transaction.event(AccessRevoked).grant, reason, transaction.hash)
