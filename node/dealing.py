"""The provider's side of a new deal: ask for the shares of the deal in force, put the key together, deal it anew.

An opening goes through the states drawn (its one-time keys are kept), opened (it is on chain), made (the key was put
together, and cut again for a new deal or a rebound capsule, whose shares are kept sealed), ended (delivered, and its
one-time keys are gone). Each state is kept before the next act, so that whoever calls again resumes. The key lives in
memory only, while something is made of it.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capsule.accusation import Accusation
from capsule.box import BoxKey
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.errors import ShareError
from capsule.ids import Address, AssetId, Digest, OpeningId, UseId
from capsule.key import DataKey
from capsule.opening import inspect
from capsule.sealing import RebindPlan, rebind
from capsule.share import ReleaseContext, ShareSecret, open_release, rebuild_key
from contracts.errors import RevertedError
from contracts.events import DealOpened, Event
from node.catalogue import DELIVERED, PUBLISHED, SEALED, Catalogue, CustodyPlan, Offering
from node.context import Context
from node.custody import Custody
from node.errors import HomeError, InputRefusedError, RefusedError
from node.holding import Holding
from node.home import create_whole
from node.store import DealingRow

__all__ = ["Dealing", "Opened"]

DRAWN, OPENED, MADE, ENDED = "drawn", "opened", "made", "ended"
KEYS_BYTES = 16


@dataclass(frozen=True, slots=True)
class Opened:
    """An opening of one of this provider's deals. `wrong` released a share that is not the one dealt.

    `releasable_from` in unix seconds; `state` is drawn, opened or made.
    """

    asset: AssetId
    version: int
    number: int
    opening: OpeningId | None
    reason: str
    state: str
    releasable_from: int
    threshold: int
    released: tuple[Address, ...]
    wrong: tuple[Address, ...]
    refused: tuple[Address, ...]


class Dealing:
    """One provider's new deals."""

    def __init__(self, context: Context, catalogue: Catalogue, custody: Custody) -> None:
        self._context = context
        self._catalogue = catalogue
        self._custody = custody
        self._holding = Holding(context)
        self._turn = threading.Lock()

    def open(self, asset: AssetId, reason: str, version: int | None = None) -> Opened:
        """Asks the custodians of the deal in force for their shares; `reason` stands on chain. None: newest version.

        The same again gives the same opening, as long as enough custodians may still release for it; else a new one.
        Raises UnknownError for what is not this provider's, InputRefusedError while a new deal is under way already.
        """
        with self._turn:
            context = self._context
            context.view.refresh()
            self._catalogue.own_asset(asset)
            number = version or context.view.latest_version(asset).version
            deal = context.view.latest_deal(asset, number)
            row = next((one for one in self._rows(asset) if (one.version, one.number) == (number, deal.deal)), None)
            if row is not None and row.state == MADE:
                raise InputRefusedError(f"a new deal is under way; take it up with 'asset finish {row.capsule_root}'")
            if row is not None and self._is_hopeless(row):
                self._end(row)
                row = None
            if row is None:
                row = self._draw(asset, number, deal.deal, len(deal.holders), reason)
            return self._told(self._ask(row))

    def openings(self) -> tuple[Opened, ...]:
        """All openings that have not led to a delivered deal yet, with what came in."""
        self._context.view.refresh()
        return tuple(self._told(row) for row in self._context.store.dealings())

    def deal(self, asset: AssetId, custody: CustodyPlan, version: int | None = None) -> Offering:
        """Deals the key of an opened deal anew, to these custodians; the capsule stays as it is.

        Raises RefusedError while too few right shares came, PeerError while a custodian can't be reached; call again.
        """

        def make(row: DealingRow) -> None:
            deal = self._opened_deal(row)
            policy = self._catalogue.policy(deal.policy_hash)
            compiled = self._catalogue.check(asset, policy, custody)
            boxes = self._catalogue.box_keys(custody.custodians)
            path = self._catalogue.capsule_path(deal.capsule_root)
            try:
                with path.open("rb") as stream:
                    header = inspect(stream)
            except OSError as error:
                raise HomeError(f"the capsule {path} can't be read: {error.strerror}") from error
            key = self._gather(row, deal)
            new, shares = self._catalogue.split(
                key, header, deal.capsule_root, deal.version, deal.number + 1, compiled, custody, boxes
            )
            self._catalogue.keep_deal(deal.capsule_root, new, shares, _made(row, deal.capsule_root, new))

        def fits(row: DealingRow, made: Deal) -> bool:
            return made.capsule_root == self._opened_deal(row).capsule_root and _is_planned(made, custody)

        return self._take_up(asset, version, make, fits)

    def rebind(self, asset: AssetId, policy: Json, custody: CustodyPlan, version: int | None = None) -> Offering:
        """Puts the capsule of an opened deal under another policy and key, as the asset's next version; no chunk is
        encrypted again.

        It does not reach back: the older version stays open to whom it was. Raises as `deal` does.
        """

        def make(row: DealingRow) -> None:
            context = self._context
            deal = self._opened_deal(row)
            compiled = self._catalogue.check(asset, policy, custody)
            number = self._catalogue.own_asset(asset).versions + 1
            boxes = self._catalogue.box_keys(custody.custodians)
            path = self._catalogue.capsule_path(deal.capsule_root)
            key, fresh = self._gather(row, deal), DataKey.generate(context.entropy)
            plan = RebindPlan(policy_hash=compiled.policy_hash, sealed_at=context.clock())
            with self._catalogue.draft() as draft:
                try:
                    with path.open("rb") as source, create_whole(draft) as sink:
                        bound = rebind(
                            source,
                            sink,
                            plan,
                            context.keystore.signer,
                            key,
                            fresh,
                            context.ledger.domain,
                            root=deal.capsule_root,
                            workers=os.cpu_count() or 1,
                        )
                except OSError as error:
                    raise HomeError(f"the capsule {path} can't be read: {error.strerror}") from error
                new, shares = self._catalogue.split(
                    fresh, bound.header, bound.root, number, 1, compiled, custody, boxes
                )
                self._catalogue.keep(draft, bound, policy, new, shares, _made(row, bound.root, new))

        def fits(row: DealingRow, made: Deal) -> bool:
            same_policy = self._catalogue.check(asset, policy, custody).policy_hash == made.policy_hash
            other_capsule = made.capsule_root != self._opened_deal(row).capsule_root
            return other_capsule and same_policy and _is_planned(made, custody)

        return self._take_up(asset, version, make, fits)

    def settle(self) -> None:
        """Ends the openings whose new deal is delivered, or whose deal another one has replaced."""
        context = self._context
        with self._turn:
            for row in context.store.dealings():
                if row.state == MADE:
                    offering = context.store.offering(Digest.parse(row.capsule_root))
                    if offering is None or offering.stage == DELIVERED or offering.deal != row.made:
                        self._end(row)
                elif (AssetId.parse(row.asset), row.version, row.number + 1) in context.view.deals:
                    self._end(row)

    def _take_up(
        self,
        asset: AssetId,
        version: int | None,
        make: Callable[[DealingRow], None],
        fits: Callable[[DealingRow, Deal], bool],
    ) -> Offering:
        """Makes what an opening is for, once, and finishes it."""
        with self._turn:
            self._context.view.refresh()
            self._catalogue.own_asset(asset)
            row = self._opened_row(asset, version)
            if row.state == MADE:
                if not fits(row, self._catalogue.deal(Digest.parse(row.made))):
                    raise InputRefusedError(
                        f"something else was made of this opening; take it up with 'asset finish {row.capsule_root}'"
                    )
            else:
                make(row)
            offering = self._finish(row)
            self._custody.destroy_replaced()
            self._end(row)
            return offering

    def _finish(self, row: DealingRow) -> Offering:
        """Through the stages of an offering. One that the chain refuses before it is dealt leaves the opening free."""
        root = Digest.parse(row.capsule_root)
        try:
            return self._catalogue.finish(root)
        except RevertedError:
            offering = self._context.store.offering(root)
            if offering is not None and offering.stage in (SEALED, PUBLISHED):
                row.state = OPENED
                self._context.store.save(row)
            raise

    def _rows(self, asset: AssetId) -> list[DealingRow]:
        return [row for row in self._context.store.dealings() if row.asset == str(asset)]

    def _opened_row(self, asset: AssetId, version: int | None) -> DealingRow:
        """The opening that a new deal is to be made of."""
        rows = [row for row in self._rows(asset) if version in (None, row.version) and row.state != DRAWN]
        if not rows:
            raise InputRefusedError("no deal of this asset is opened; ask for its shares with 'asset open-deal' first")
        if len(rows) > 1:
            numbers = ", ".join(str(row.version) for row in rows)
            raise InputRefusedError(f"the deals of versions {numbers} are opened; name one with --version")
        return rows[0]

    def _draw(self, asset: AssetId, version: int, number: int, holders: int, reason: str) -> DealingRow:
        """One X25519 key per custodian, kept before any of them is named on chain."""
        context = self._context
        row = DealingRow(
            keys=context.entropy(KEYS_BYTES).hex(),
            asset=str(asset),
            version=version,
            number=number,
            state=DRAWN,
            reason=reason,
        )
        secrets = (
            context.store.secret_row(_key_name(row, index), BoxKey.generate(context.entropy).secret)
            for index in range(1, holders)
        )
        context.store.save(row, *secrets)
        return row

    def _ask(self, row: DealingRow) -> DealingRow:
        """Sends the opening, unless an earlier try of this node got through."""
        if row.opening:
            return row
        context = self._context
        holders = context.view.deals[AssetId.parse(row.asset), row.version, row.number].holders
        keys = self._public_keys(row, len(holders))
        opened = self._sent(keys)
        if opened is None:
            transaction = context.ledger.assets.open_deal(AssetId.parse(row.asset), row.version, keys, row.reason)
            opened = transaction.event(DealOpened)
        row.opening, row.state = str(opened.opening), OPENED
        context.store.save(row)
        return row

    def _sent(self, keys: Sequence[bytes]) -> DealOpened | None:
        """The opening on chain with these one-time keys, final or not."""
        context = self._context
        final = context.view.final
        after = 0 if final is None else final.number + 1
        head = context.ledger.chain.head().number
        recent: Sequence[Event] = context.ledger.events(after, head) if after <= head else ()
        known = [*tuple(context.view.openings.values()), *(one for one in recent if isinstance(one, DealOpened))]
        return next((one for one in known if list(map(bytes, one.one_time_keys)) == list(keys)), None)

    def _gather(self, row: DealingRow, deal: Deal) -> DataKey:
        """The data key, from the releases and this provider's own part. Raises RefusedError while too few came."""
        secrets, wrong = self._read(row, deal)
        for accusation, decision in wrong:
            self._context.store.put_document("opening-accusation", decision, accusation.to_json())
        if len(secrets) < deal.threshold:
            known = f"{len(secrets)} of the {deal.threshold} shares that are needed came"
            blamed = f", {len(wrong)} were wrong" if wrong else ""
            raise RefusedError("the new deal", f"{known}{blamed}; wait for its custodians to confirm and release")
        if deal.provider_required:
            held = self._context.store.held_share(deal.hash)
            if held is None or not held.sealed:
                raise RefusedError("the new deal", "this home lost its own part of the key; restore node.db")
            secrets.append(self._holding.secret(held, deal))
        return rebuild_key(deal, secrets)

    def _read(self, row: DealingRow, deal: Deal) -> tuple[list[ShareSecret], list[tuple[Accusation, Digest]]]:
        """The right shares that were released; for each wrong one an accusation, and the decision that it is about."""
        context = self._context
        opening = OpeningId.parse(row.opening)
        secrets: list[ShareSecret] = []
        wrong = []
        for index, released in sorted(context.view.releases.get(opening, {}).items()):
            key = self._key(row, index)
            if key is None:
                continue
            expected = ReleaseContext(
                chain_id=context.ledger.domain.chain_id,
                access=context.ledger.access.address,
                use=opening,
                index=index,
            )
            try:
                secrets.append(open_release(released.sealed_share, key, expected, deal))
            except ShareError:
                accusation = Accusation(
                    use=UseId(opening), deal=deal.hash, index=index, holder=released.holder, one_time_key=key.secret
                )
                wrong.append((accusation, released.decision_hash))
        return secrets, wrong

    def _key(self, row: DealingRow, index: int) -> BoxKey | None:
        """The one-time key of a custodian; None for the provider, and in a home restored from a backup."""
        secret = self._context.store.secret(_key_name(row, index))
        return None if secret is None else BoxKey(secret)

    def _public_keys(self, row: DealingRow, holders: int) -> list[bytes]:
        """By position; zero where there is none, which the chain takes for the provider alone."""
        keys = (self._key(row, index) for index in range(holders))
        return [bytes(32) if key is None else key.public for key in keys]

    def _opened_deal(self, row: DealingRow) -> Deal:
        dealt = self._context.view.deals[AssetId.parse(row.asset), row.version, row.number]
        return self._catalogue.deal(dealt.deal_hash)

    def _is_hopeless(self, row: DealingRow) -> bool:
        """Whether too few custodians are left that neither refused nor released a wrong share; or the keys are gone."""
        deal = self._opened_deal(row)
        if not all(map(any, self._public_keys(row, len(deal.holders))[1:])):
            return True
        if not row.opening:
            return False
        refused = self._context.view.refusals.get(OpeningId.parse(row.opening), {})
        _, wrong = self._read(row, deal)
        return len(deal.holders) - 1 - len(refused) - len(wrong) < deal.threshold

    def _told(self, row: DealingRow) -> Opened:
        view = self._context.view
        asset = AssetId.parse(row.asset)
        deal = self._opened_deal(row)
        opening = OpeningId.parse(row.opening) if row.opening else None
        stored = self._context.ledger.assets.opening_of(opening) if opening else None
        secrets, wrong = self._read(row, deal) if opening else ([], [])
        return Opened(
            asset=asset,
            version=row.version,
            number=row.number,
            opening=opening,
            reason=row.reason,
            state=row.state,
            releasable_from=stored.releasable_from if stored else 0,
            threshold=deal.threshold,
            released=tuple(deal.holders[secret.index].account for secret in secrets),
            wrong=tuple(accusation.holder for accusation, _ in wrong),
            refused=tuple(one.holder for one in view.refusals.get(opening, {}).values()) if opening else (),
        )

    def _end(self, row: DealingRow) -> None:
        """The one-time keys are forgotten, and the row says so."""
        store = self._context.store
        store.forget_secrets(f"opening/{row.keys}/")
        store.settle()
        row.state = ENDED
        store.save(row)


def _key_name(row: DealingRow, index: int) -> str:
    """The store's name of the one-time key of a custodian."""
    return f"opening/{row.keys}/{index}"


def _made(row: DealingRow, capsule_root: Digest, deal: Deal) -> DealingRow:
    row.state, row.capsule_root, row.made = MADE, str(capsule_root), str(deal.hash)
    return row


def _is_planned(deal: Deal, custody: CustodyPlan) -> bool:
    custodians = tuple(holder.account for holder in deal.holders[1:])
    planned = (custody.custodians, custody.threshold, custody.waiting_seconds)
    return (custodians, deal.threshold, deal.waiting_seconds) == planned
