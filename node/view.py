"""What this node knows of the ledger: final events, folded into the lookups that access, custody and compute need.

Nothing that is not final enters, so nothing has to be undone. What a fold needs beside the events is read before it,
so that a chain that fails leaves the view as it was. The view is rebuilt from the first block at every start; decisions
re-read the state that they depend on from the chain itself. Other threads may refresh at any time: who walks a lookup
walks a copy of it.
"""

import threading
from collections.abc import Iterable, Mapping

from capsule.errors import InputError
from capsule.ids import Address, AssetId, Bytes32, DeviceId, Digest, GrantId, OpeningId, RequestId, UseId
from capsule.signature import PublicKey
from capsule.source import Anchor, DeviceKey
from contracts.chain import Block
from contracts.events import (
    AccessDenied,
    AccessGranted,
    AccessRequested,
    AccessRevoked,
    BatchAnchored,
    CapsulePublished,
    CustodyDealt,
    DealOpened,
    DeviceEnrolled,
    DeviceRotated,
    Event,
    ShareRefused,
    ShareReleased,
    UseClosed,
    UseExpired,
    UseOpened,
)
from contracts.ledger import Ledger
from node.errors import UnknownError

__all__ = ["LedgerView"]

BLOCKS_PER_READ = 2_000


class LedgerView:
    """Follows one ledger up to its final block; `refresh` returns what is new."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._turn = threading.Lock()
        self._next_block = 0
        self.final: Block | None = None
        self.versions: dict[tuple[AssetId, int], CapsulePublished] = {}
        self.deals: dict[tuple[AssetId, int, int], CustodyDealt] = {}
        self.replaced: dict[Digest, CustodyDealt] = {}
        self.openings: dict[OpeningId, DealOpened] = {}
        self.requests: dict[RequestId, AccessRequested] = {}
        self.denied: dict[RequestId, AccessDenied] = {}
        self.grants: dict[GrantId, AccessGranted] = {}
        self.revoked: dict[GrantId, AccessRevoked] = {}
        self.uses: dict[UseId, UseOpened] = {}
        self.orders: dict[Digest, list[UseId]] = {}
        self.releases: dict[Bytes32, dict[int, ShareReleased]] = {}
        self.refusals: dict[Bytes32, dict[int, ShareRefused]] = {}
        self.ended: dict[UseId, UseClosed | UseExpired] = {}
        self.device_keys: dict[DeviceId, tuple[DeviceKey, ...]] = {}
        self.anchors: dict[tuple[Address, int], Anchor] = {}

    def refresh(self) -> tuple[Event, ...]:
        """Takes in the events up to the final block and returns them."""
        fresh: list[Event] = []
        with self._turn:
            final = self._ledger.final_block()
            while self._next_block <= final.number:
                last = min(self._next_block + BLOCKS_PER_READ - 1, final.number)
                events = self._ledger.events(self._next_block, last)
                self._fold(events, self._times(events))
                fresh.extend(events)
                self._next_block = last + 1
            self.final = final
        return tuple(fresh)

    def version(self, asset: AssetId, number: int) -> CapsulePublished:
        """A published version; raises UnknownError."""
        try:
            return self.versions[asset, number]
        except KeyError:
            raise UnknownError("version", f"{number} of asset {asset}") from None

    def latest_version(self, asset: AssetId) -> CapsulePublished:
        """The newest published version of an asset; raises UnknownError."""
        numbers = [number for owner, number in tuple(self.versions) if owner == asset]
        return self.version(asset, max(numbers, default=1))

    def latest_deal(self, asset: AssetId, version: int) -> CustodyDealt:
        """The deal in force of a version; raises UnknownError."""
        numbers = [deal for owner, of, deal in tuple(self.deals) if (owner, of) == (asset, version)]
        if not numbers:
            raise UnknownError("deal", f"of version {version} of asset {asset}")
        return self.deals[asset, version, max(numbers)]

    def opening(self, opening: OpeningId) -> DealOpened:
        """An opening of a deal; raises UnknownError."""
        try:
            return self.openings[opening]
        except KeyError:
            raise UnknownError("opening", str(opening)) from None

    def opened_deal(self, opened: DealOpened) -> CustodyDealt:
        """The deal that an opening asks for."""
        return self.deals[opened.asset, opened.version, opened.deal]

    def is_in_force(self, opened: DealOpened) -> bool:
        """Whether the deal that an opening asks for has not been replaced."""
        return (opened.asset, opened.version, opened.deal + 1) not in self.deals

    def request(self, request: RequestId) -> AccessRequested:
        """A request; raises UnknownError."""
        try:
            return self.requests[request]
        except KeyError:
            raise UnknownError("request", str(request)) from None

    def grant(self, grant: GrantId) -> AccessGranted:
        """A grant; raises UnknownError."""
        try:
            return self.grants[grant]
        except KeyError:
            raise UnknownError("grant", str(grant)) from None

    def uses_of(self, order_hash: Digest) -> tuple[UseOpened, ...]:
        """The uses that an order opened, in the order's sequence; empty when it opened none."""
        return tuple(self.uses[use] for use in self.orders.get(order_hash, ()))

    def _times(self, events: Iterable[Event]) -> dict[int, int]:
        """Timestamps of the blocks that hold anchors, by block number."""
        blocks = {event.log.block_number for event in events if isinstance(event, BatchAnchored)}
        return {number: self._ledger.chain.block(number).timestamp for number in sorted(blocks)}

    def _fold(self, events: Iterable[Event], times: Mapping[int, int]) -> None:
        for event in events:
            match event:
                case CapsulePublished():
                    self.versions[event.asset, event.version] = event
                case CustodyDealt():
                    self._deal(event)
                case DealOpened():
                    self.openings[event.opening] = event
                case AccessRequested():
                    self.requests[event.request] = event
                case AccessDenied():
                    self.denied[event.request] = event
                case AccessGranted():
                    self.grants[event.grant] = event
                case AccessRevoked():
                    self.revoked[event.grant] = event
                case UseOpened():
                    self.uses[event.use] = event
                    self.orders.setdefault(event.order_hash, []).append(event.use)
                case ShareReleased():
                    self.releases.setdefault(event.use, {})[event.index] = event
                case ShareRefused():
                    self.refusals.setdefault(event.use, {})[event.index] = event
                case UseClosed() | UseExpired():
                    self.ended[event.use] = event
                case DeviceEnrolled():
                    self.device_keys[event.device] = _device_key(event.suite, event.public_key)
                case DeviceRotated():
                    self._rotate(event)
                case BatchAnchored():
                    self._anchor(event, times[event.log.block_number])
                case _:
                    pass

    def _deal(self, event: CustodyDealt) -> None:
        """`replaced` names a deal's successor by the hash of the deal that it took out of force."""
        before = self.deals.get((event.asset, event.version, event.deal - 1))
        if before is not None:
            self.replaced[before.deal_hash] = event
        self.deals[event.asset, event.version, event.deal] = event

    def _rotate(self, event: DeviceRotated) -> None:
        """The replaced key counts for what is anchored before its overlap ends, or before it is distrusted."""
        ends = min(event.overlap_until, event.distrusted_from or event.overlap_until)
        kept = tuple(
            DeviceKey(one.key, ends) if one.anchored_before is None else one for one in self.device_keys[event.device]
        )
        self.device_keys[event.device] = kept + _device_key(event.suite, event.public_key)

    def _anchor(self, event: BatchAnchored, time: int) -> None:
        batch = event.batch
        self.anchors[event.gateway, event.number] = Anchor(
            event.gateway, event.number, batch.frames_root, batch.size, time
        )


def _device_key(suite: int, key: bytes) -> tuple[DeviceKey, ...]:
    """The contract checks no more than a key's length: bytes that are no key sign nothing, and must stop nobody."""
    try:
        return (DeviceKey(PublicKey(suite, key)),)
    except InputError:
        return ()
