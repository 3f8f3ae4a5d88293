"""Agreements: signed by both sides, and how each one stands.

The buyer signs what it asks for, the provider what it grants; where the terms grant by themselves, the provider has
signed its offer before. No order leaves and no grant is given without the other side's signature.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from capsule import canonical
from capsule.agreement import Agreement, Offer, Signatures, SignedOffer, verify_signatures
from capsule.errors import CapsuleError
from capsule.ids import Address, AssetId, Digest, GrantId
from contracts.events import AccessGranted, AccessRequested
from node.context import Context
from node.errors import PeerAnswerError, UnknownError
from node.store import DocumentRow

__all__ = ["Agreements", "Change", "Standing", "State"]

_AGREEMENT = "agreement"
_SIGNATURES = "agreement-signatures"
_OFFER = "signed-offer"
_TOLD = "agreement-told"


class State(StrEnum):
    """How an agreement stands."""

    WAITING = "waiting"
    """its time has not come"""
    LIVE = "live"
    ENDING = "ending"
    """live, and its end is near"""
    RENEWED = "renewed"
    """the same buyer has a later one for the asset"""
    ENDED = "ended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Standing:
    """One agreement of this organisation. Times in unix seconds; `reason`: the provider's, where it revoked."""

    grant: GrantId
    agreement: Digest
    asset: AssetId
    buyer: Address
    provider: Address
    not_before: int
    not_after: int
    state: State
    reason: int | None = None
    renewed_by: GrantId | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """An agreement whose state is another one than was told before; `before` is None for a new one."""

    standing: Standing
    before: State | None


class Agreements:
    """The agreements of one organisation, as buyer or provider."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._providers: dict[AssetId, Address] = {}
        self._told: dict[GrantId, State] = {}

    # ------------------------------------------------------------------------------------------------- signatures

    def offer(self, asset: AssetId, version: int, policy_hash: Digest, terms_hash: Digest) -> None:
        """Provider: signs what it has published, and keeps that for buyers."""
        context = self._context
        offer = Offer(
            asset=asset,
            version=version,
            policy_hash=policy_hash,
            terms_hash=terms_hash,
            provider=context.account,
        )
        signature = context.keystore.account.sign_typed(offer.typed_data(*self._domain))
        context.store.put_document(_OFFER, offer.hash, SignedOffer(offer, signature).to_json())

    def propose(self, agreement: Agreement, *, automatic: bool) -> tuple[DocumentRow, DocumentRow]:
        """Buyer: the agreement and its signature, to be kept before the request goes on chain.

        Where the terms are `automatic`, with the provider's signature on its offer; raises PeerAnswerError where the
        provider has none, PeerUnreachableError.
        """
        context = self._context
        signatures = Signatures(
            agreement.hash, context.keystore.account.sign_typed(agreement.typed_data(*self._domain))
        )
        if automatic:
            signatures = replace(signatures, provider=self._offered(agreement), on_offer=True)
        return (
            context.store.document_row(_AGREEMENT, agreement.hash, agreement.to_json()),
            context.store.document_row(_SIGNATURES, agreement.hash, signatures.to_json()),
        )

    def countersign(self, requested: AccessRequested) -> Agreement:
        """Provider: the agreement that a request proposes, signed by both from now on.

        Raises PeerAnswerError when it is not what was requested, or its buyer did not sign it.
        """
        context = self._context
        agreement = self._proposed(requested)
        signatures = self._signatures_at(requested.buyer, agreement)
        try:
            signatures.verify_buyer(agreement, *self._domain)
        except CapsuleError as error:
            raise PeerAnswerError(str(requested.buyer), f"an agreement that it did not sign: {error}") from error
        own = context.keystore.account.sign_typed(agreement.typed_data(*self._domain))
        signatures = replace(signatures, provider=own, on_offer=False)
        context.store.save(
            context.store.document_row(_AGREEMENT, agreement.hash, agreement.to_json()),
            context.store.document_row(_SIGNATURES, agreement.hash, signatures.to_json()),
        )
        return agreement

    def settled(self, granted: AccessGranted) -> Agreement:
        """Buyer: the agreement of its grant, once both signatures are here and hold.

        Raises UnknownError for an agreement that is not this buyer's, PeerAnswerError where its provider did not sign.
        """
        context = self._context
        content = context.store.document(_AGREEMENT, granted.agreement_hash)
        kept = context.store.document(_SIGNATURES, granted.agreement_hash)
        if content is None or kept is None:
            raise UnknownError(_AGREEMENT, str(granted.agreement_hash))
        agreement = Agreement.from_json(canonical.decode(content))
        signatures = Signatures.from_json(canonical.decode(kept))
        if not signatures.provider:
            theirs = self._signatures_at(agreement.provider, agreement)
            signatures = replace(signatures, provider=theirs.provider, on_offer=False)
        try:
            verify_signatures(agreement, signatures, *self._domain, automatic=granted.automatic)
        except CapsuleError as error:
            raise PeerAnswerError(str(agreement.provider), f"an agreement that it did not sign: {error}") from error
        context.store.put_document(_SIGNATURES, agreement.hash, signatures.to_json())
        return agreement

    # --------------------------------------------------------------------------------------------------- standing

    def standing(self) -> tuple[Standing, ...]:
        """All agreements of this organisation on the final chain, by their ends."""
        view, account = self._context.view, self._context.account
        view.refresh()
        followers: dict[tuple[AssetId, Address], list[AccessGranted]] = {}
        found: list[Standing] = []
        for granted in sorted(view.grants.values(), key=lambda one: one.not_after, reverse=True):
            provider = self._provider(granted.asset)
            if account not in (granted.buyer, provider):
                continue
            later = followers.setdefault((granted.asset, granted.buyer), [])
            renewed_by = next((one.grant for one in reversed(later) if one.not_after > granted.not_after), None)
            later.append(granted)
            found.append(self._stands(granted, provider, renewed_by))
        return tuple(reversed(found))

    def changes(self) -> tuple[Change, ...]:
        """What stands otherwise than was told before; told once, also when this node was down meanwhile."""
        store = self._context.store
        changes = []
        for standing in self.standing():
            before = self._told.get(standing.grant)
            if before is None and (told := store.document(_TOLD, standing.grant)) is not None:
                before = State(str(canonical.decode(told)))
            if before is not standing.state:
                changes.append(Change(standing, before))
                store.put_document(_TOLD, standing.grant, str(standing.state))
            self._told[standing.grant] = standing.state
        return tuple(changes)

    def _provider(self, asset: AssetId) -> Address:
        if asset not in self._providers:
            self._providers[asset] = self._context.ledger.assets.asset_of(asset).provider
        return self._providers[asset]

    def _stands(self, granted: AccessGranted, provider: Address, renewed_by: GrantId | None) -> Standing:
        now, revoked = self._context.clock(), self._context.view.revoked.get(granted.grant)
        length = min(granted.not_after - granted.not_before, granted.terms.seconds_per_grant or granted.not_after)
        notice = min(self._context.settings.notice_seconds, length // 4)
        if revoked is not None:
            state = State.REVOKED
        elif renewed_by is not None:
            state = State.RENEWED
        elif now > granted.not_after:
            state = State.ENDED
        elif now < granted.not_before:
            state = State.WAITING
        else:
            state = State.ENDING if granted.not_after - now < notice else State.LIVE
        return Standing(
            granted.grant,
            granted.agreement_hash,
            granted.asset,
            granted.buyer,
            provider,
            granted.not_before,
            granted.not_after,
            state,
            None if revoked is None else revoked.reason,
            renewed_by,
        )

    # ----------------------------------------------------------------------------------------------------- others'

    def _offered(self, agreement: Agreement) -> bytes:
        """The provider's signature on the offer behind an agreement."""
        content = self._context.fetch_document(agreement.provider, _OFFER, agreement.offer.hash)
        try:
            return SignedOffer.from_json(content).verify(agreement.offer, *self._domain).signature
        except CapsuleError as error:
            raise PeerAnswerError(str(agreement.provider), f"an offer that it did not sign: {error}") from error

    def _signatures_at(self, account: Address, agreement: Agreement) -> Signatures:
        content = self._context.fetch_document(account, _SIGNATURES, agreement.hash)
        try:
            return Signatures.from_json(content)
        except CapsuleError as error:
            raise PeerAnswerError(str(account), f"signatures that can't be read: {error}") from error

    def _proposed(self, requested: AccessRequested) -> Agreement:
        """The proposed agreement, which says what its request says on chain, and names this provider."""
        content = self._context.fetch_verified(requested.buyer, _AGREEMENT, requested.agreement_hash)
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

    @property
    def _domain(self) -> tuple[int, Address]:
        ledger = self._context.ledger
        return ledger.domain.chain_id, ledger.access.address
