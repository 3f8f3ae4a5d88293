"""The holder's side of an opening: who asks for the shares of a deal, what a person said to it, and what then leaves.

No share leaves for an opening that no person confirmed, nor before the deal's waiting time is over. An opening without
an answer stays as it is, without a word on chain; one that a person declined is refused there.
"""

from dataclasses import dataclass
from functools import partial

from capsule.deal import Deal
from capsule.decision import RefusalReason
from capsule.ids import Address, AssetId, Digest, OpeningId
from contracts.chain import Block
from contracts.errors import RevertedError
from contracts.events import DealOpened
from contracts.roles import Role
from contracts.structs import Decision
from node.context import Context
from node.errors import InputRefusedError, RefusedError, UnknownError
from node.holding import Decided, Holding, RefusalError
from node.store import AnswerRow, HeldShareRow

__all__ = ["AskedFor", "Openings"]

UNANSWERED, CONFIRMED, DECLINED, RELEASED, REFUSED, OVER = (
    "unanswered",
    "confirmed",
    "declined",
    "released",
    "refused",
    "over",
)


@dataclass(frozen=True, slots=True)
class AskedFor:
    """An opening of a deal that this organisation holds a share of. Times in unix seconds.

    `state`: unanswered, confirmed or declined by a person here; released or refused on chain; over when the deal was
    replaced without this holder's share.
    """

    opening: OpeningId
    asset: AssetId
    version: int
    number: int
    deal: Digest
    provider: Address
    reason: str
    position: int
    releasable_from: int
    state: str
    note: str


class Openings:
    """One holder's openings."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._holding = Holding(context)

    def asked_for(self) -> tuple[AskedFor, ...]:
        """All final openings of deals whose share this organisation holds or held, in the chain's order."""
        self._context.view.refresh()
        return tuple(
            self._asked_for(opened, row)
            for opened in tuple(self._context.view.openings.values())
            if (row := self._row(opened)) is not None
        )

    def answer(self, opening: OpeningId, *, confirmed: bool, note: str = "") -> AskedFor:
        """Keeps what a person here says to an opening; the next round of work acts on it. `note` stays in this home.

        Raises UnknownError for an opening that asks nothing of this organisation, InputRefusedError once it is decided.
        """
        context = self._context
        context.view.refresh()
        opened = context.view.opening(opening)
        row = self._row(opened)
        if row is None:
            raise UnknownError("opening of a deal held here", str(opening))
        state = self._asked_for(opened, row).state
        if state in (RELEASED, REFUSED, OVER):
            raise InputRefusedError(f"the opening {opening} is {state} already; there is nothing left to say")
        answer = AnswerRow(opening=str(opening), confirmed=confirmed, note=note, answered_at=context.clock())
        context.store.save(answer)
        return self._asked_for(opened, row)

    def decide(self) -> tuple[Decided, ...]:
        """Acts on the answers: releases what was confirmed and has waited, refuses what was declined.

        What the chain does not take yet, or not any more, is left for the next round.
        """
        context = self._context
        context.view.refresh()
        decided = []
        for opening, opened in tuple(context.view.openings.items()):
            row = self._row(opened)
            answer = context.store.answer(opening)
            if row is None or answer is None or not context.view.is_in_force(opened):
                continue
            if answer.confirmed and not self._has_waited(opened):
                continue
            key = opened.one_time_keys[row.position]
            if not self._holding.is_asked(opening, key):
                continue
            check = partial(self._check, opened) if answer.confirmed else _declined
            try:
                decided.append(self._holding.decide(opening, row, key, check))
            except RevertedError:
                continue
        return tuple(decided)

    def _row(self, opened: DealOpened) -> HeldShareRow | None:
        """What this organisation holds of the opened deal, where the opening asks for it."""
        row = self._context.store.held_share(self._context.view.opened_deal(opened).deal_hash)
        if row is None or opened.one_time_keys[row.position] == bytes(32):
            return None
        return row

    def _asked_for(self, opened: DealOpened, row: HeldShareRow) -> AskedFor:
        context = self._context
        answer = context.store.answer(opened.opening)
        return AskedFor(
            opening=opened.opening,
            asset=opened.asset,
            version=opened.version,
            number=opened.deal,
            deal=Digest.parse(row.deal),
            provider=context.view.opened_deal(opened).holders[0],
            reason=opened.reason,
            position=row.position,
            releasable_from=opened.releasable_from,
            state=self._state(opened, answer),
            note=answer.note if answer else "",
        )

    def _state(self, opened: DealOpened, answer: AnswerRow | None) -> str:
        context = self._context
        on_chain = context.ledger.access.decision_of(Digest(opened.opening), context.account)
        if on_chain is not Decision.NONE:
            return RELEASED if on_chain is Decision.RELEASED else REFUSED
        if not context.view.is_in_force(opened):
            return OVER
        if answer is None:
            return UNANSWERED
        return CONFIRMED if answer.confirmed else DECLINED

    def _has_waited(self, opened: DealOpened) -> bool:
        """By the chain's time, or this node's own: a chain may make no block until somebody sends. It checks again."""
        context = self._context
        return max(context.ledger.final_block().timestamp, context.clock()) >= opened.releasable_from

    def _check(self, opened: DealOpened, deal: Deal, block: Block) -> None:
        """The holder's own check; raises RefusalError with the first reason against it."""
        context = self._context
        assets = context.ledger.assets
        # 1. the opening stands on chain as it was confirmed, and this clock agrees with the chain's
        known = assets.opening_of(opened.opening, at=block.number)
        said = (known.asset, known.version, known.deal, known.releasable_from)
        asset = assets.asset_of(deal.asset, at=block.number)
        if said != (opened.asset, opened.version, opened.deal, opened.releasable_from) or asset.retired:
            raise RefusalError(RefusalReason.USE_NOT_OPEN)
        self._holding.check_clock()
        # 2. what it opens is the deal that the share is kept under, in force and for the version that it names
        if (deal.asset, deal.version, deal.number) != (opened.asset, opened.version, opened.deal):
            raise RefusalError(RefusalReason.DEAL_MISMATCH)
        try:
            self._holding.check_on_chain(deal, block.number)
        except RefusedError as error:
            raise RefusalError(RefusalReason.DEAL_MISMATCH) from error
        # 3. the policy is still here, and whoever asks may still deal
        self._holding.policy(deal)
        if not context.ledger.participants.is_active(asset.provider, Role.PROVIDER, at=block.number):
            raise RefusalError(RefusalReason.PARTY_NOT_ACTIVE)
        # 4. this organisation's own limits
        self._holding.check_limit(opened.opening)


def _declined(_: Deal, __: Block) -> None:
    raise RefusalError(RefusalReason.NOT_CONFIRMED)
