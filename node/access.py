"""Access: the buyer asks for a purpose with an algorithm, the provider grants, denies or revokes."""

from dataclasses import dataclass, replace

from capsule.agreement import Agreement
from capsule.algorithm import Algorithm
from capsule.errors import CapsuleError
from capsule.ids import Address, AssetId, Digest, GrantId, RequestId
from capsule.terms import Terms
from contracts.events import AccessDenied, AccessGranted, AccessRequested, AccessRevoked
from contracts.structs import Pin
from node.context import Context
from node.errors import InputRefusedError, PeerAnswerError

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

    def __init__(self, context: Context) -> None:
        self._context = context

    def request(
        self, asset: AssetId, purpose: str, algorithm: Algorithm, code: bytes, compute_node: Address
    ) -> Requested:
        """Buyer: asks for the newest version of an asset, as it stands on the final chain.

        Keeps the algorithm and the proposed agreement as documents, so that the provider can read them. Raises
        InputRefusedError when the code is not the algorithm's.
        """
        context = self._context
        try:
            text = algorithm.code_text(code)
        except CapsuleError as error:
            raise InputRefusedError(f"the code is not that of the algorithm {algorithm.hash}") from error
        context.view.refresh()
        published = context.view.latest_version(asset)
        dealt = context.view.latest_deal(asset, published.version)
        provider = context.ledger.assets.asset_of(asset).provider
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
            context.store.document_row("agreement", agreement.hash, agreement.to_json()),
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
        """Provider: grants a final request after reading the agreement that its buyer proposed.

        Raises PeerAnswerError when the agreement is not what was requested.
        """
        context = self._context
        context.view.refresh()
        requested = context.view.request(request)
        published = context.view.version(requested.asset, requested.pin.version)
        agreement = self._agreement(requested)
        context.store.put_document("agreement", agreement.hash, agreement.to_json())
        transaction = context.ledger.access.grant(
            request, requested.purpose, agreement.hash, published.terms, narrowing.apply(published.terms)
        )
        granted = transaction.event(AccessGranted)
        return Granted(granted.grant, granted.not_after, transaction.hash)

    def deny(self, request: RequestId, reason: int) -> Denial:
        """Provider: denies a pending request."""
        transaction = self._context.ledger.access.deny(request, reason)
        return Denial(transaction.event(AccessDenied).request, reason, transaction.hash)

    def revoke(self, grant: GrantId, reason: int) -> Denial:
        """Provider: revokes a grant; no use opens and no share is released under it from then on."""
        transaction = self._context.ledger.access.revoke(grant, reason)
        return Denial(transaction.event(AccessRevoked).grant, reason, transaction.hash)

    def _agreement(self, requested: AccessRequested) -> Agreement:
        """The proposed agreement, which says what its request says on chain, and names this provider."""
        content = self._context.fetch_verified(requested.buyer, "agreement", requested.agreement_hash)
        try:
            agreement = Agreement.from_json(content)
        except CapsuleError as error:
            raise PeerAnswerError(str(requested.buyer), f"an agreement that can't be read: {error}") from error
        said = (
            agreement.asset,
            agreement.version,
            agreement.policy_hash,
            agreement.terms_hash,
            agreement.purpose,
            agreement.algorithm,
            agreement.buyer,
            agreement.provider,
            agreement.compute_node,
        )
        pin = requested.pin
        asked = (
            pin.asset,
            pin.version,
            pin.policy_hash,
            pin.terms_hash,
            requested.purpose,
            requested.algorithm,
            requested.buyer,
            self._context.account,
            requested.compute_node,
        )
        if agreement.hash != requested.agreement_hash or said != asked:
            raise PeerAnswerError(str(requested.buyer), "an agreement that is not what it requested on chain")
        return agreement
