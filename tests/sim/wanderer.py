"""A random walk of honest participants: whatever they do, in whatever order, nobody may be accused of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from capsule.box_statement import box_key_statement
from capsule.ids import Digest
from capsule.receipt import CloseReason
from capsule.signature import Ed25519Signer
from contracts.errors import RevertedError
from contracts.roles import Role
from tests.sim.dataspace import DataSpace, Granted, Offered, Opened, Party

__all__ = ["Wanderer"]

_OFFERED = 4
_DEVICES = 6
_OPEN = 12


class Wanderer:
    """Picks one honest call after another. What the contracts refuse simply does not happen."""

    def __init__(self, space: DataSpace, seed: int) -> None:
        self.space = space
        self.random = random.Random(seed)
        self.offered: list[Offered] = []
        self.granted: list[Granted] = []
        self.opened: list[tuple[Opened, bool]] = []
        self.gateways = (space.gateway, space.admit("second gateway", Role.GATEWAY))
        self.devices = [(space.enroll(), space.gateway), (space.enroll(), self.gateways[1])]

    def run(self, steps: int) -> None:
        calls: list[Callable[[], None]] = [
            self.offer,
            *[self.grant] * 3,
            *[self.open] * 4,
            self.both,
            *[self.end] * 5,
            *[self.send] * 2,
            self.deny,
            self.revoke,
            self.redeal,
            self.derive,
            self.retire,
            self.rotate,
            self.away,
            self.pause,
            self.enroll,
            self.move,
            self.wait,
        ]
        self.offer()
        for _ in range(steps):
            call = self.random.choice(calls)
            try:
                call()
            except RevertedError:
                continue
        while self.opened:
            self.end()

    # Assets

    def offer(self, parents: tuple[Digest, ...] = (), uses: int = 0) -> None:
        """A new asset, in the place of an old one where there are many."""
        share, automatic = self.random.random() < 0.7, not parents and self.random.random() < 0.4
        offered = self.space.offer(
            self.space.register(),
            threshold=3 if parents else self.random.choice([1, 2, 3]),
            provider_share=bool(parents) or share,
            parents=parents,
            automatic_grant=automatic,
            uses_per_grant=uses or self.random.choice([1, 2, 5]),
        )
        if len(self.offered) >= _OFFERED:
            self.offered.pop(self.random.randrange(_OFFERED))
        self.offered.append(offered)

    def derive(self) -> None:
        """Data made from others, under a policy within each of theirs."""
        parents = self.random.sample(self.offered, min(2, len(self.offered)))
        uses = min(one.compiled.terms.uses_per_grant for one in parents)
        self.offer(tuple(one.pin.capsule_root for one in parents), uses)

    def redeal(self) -> None:
        """A new deal for the same key, whose holders then destroy what they had."""
        at = self.random.randrange(len(self.offered))
        before = self.offered[at]
        self.offered[at] = self.space.redeal(before)
        for index in range(0 if before.deal.provider_required else 1, len(before.holders)):
            self.space.shred(before, index)

    def retire(self) -> None:
        if len(self.offered) > 1 and self.random.random() < 0.3:
            gone = self.offered.pop(self.random.randrange(len(self.offered)))
            self.space.provider.ledger.assets.retire(gone.pin.asset, "not offered any more")

    # Access

    def grant(self) -> None:
        self.granted.append(self.space.grant(self.random.choice(self.offered)))
        self.granted = self.granted[-20:]

    def deny(self) -> None:
        asked, _, granted = self.space.request(self.random.choice(self.offered))
        if not granted:
            self.space.deny(asked.request, self.random.randrange(2**16))

    def revoke(self) -> None:
        if self.granted:
            self.space.revoke(self.random.choice(self.granted), self.random.randrange(2**16))

    def open(self) -> None:
        """Holders answer a use at once: all release, or all refuse."""
        if not self.granted or len(self.opened) > _OPEN:
            return
        granted = self.random.choice(self.granted)
        (use,) = self.space.open(granted)
        released = self.random.random() < 0.6
        holders = [0, 1, 2, 3] if granted.offered.deal.provider_required else [1, 2, 3]
        self.random.shuffle(holders)
        (self.space.release if released else self.space.refuse)(use, *holders)
        self.opened.append((use, released))

    def both(self) -> None:
        """One order over two grants."""
        if len(self.granted) > 1:
            uses = self.space.open(*self.random.sample(self.granted, 2))
            for use in uses:
                self.space.release(use, *range(0 if use.granted.offered.deal.provider_required else 1, 4))
            self.space.complete(*uses, rows=1)

    def end(self) -> None:
        """What was released is completed, or fails with a receipt, or late; what was refused fails or expires."""
        if not self.opened:
            return
        use, released = self.opened.pop(self.random.randrange(len(self.opened)))
        late = self.random.random() < 0.3
        if late:
            self.space.clock.advance(700)
        if released and self.random.random() < 0.15:
            self.space.fail_with_receipt(use, reason=int(CloseReason.ALGORITHM_FAILED))
        elif released:
            self.space.complete(use, rows=self.random.randrange(3))
        elif late:
            self.space.regulator.ledger.access.expire_use(use.id)
        else:
            self.space.fail(use, 1)

    # Devices

    def send(self) -> None:
        """Frames of one gateway's devices in one batch."""
        gateway = self.random.choice(self.gateways)
        own = [device for device, at in self.devices if at is gateway]
        if own:
            frames = [
                self.space.frame(self.random.choice(own), gateway=gateway) for _ in range(self.random.randrange(1, 5))
            ]
            self.space.anchor(frames, gateway=gateway)

    def enroll(self) -> None:
        """A new device, in the place of a retired one where there are many; or a fleet."""
        if self.random.random() < 0.2:
            self.space.fleet()
        if len(self.devices) >= _DEVICES:
            device, _ = self.devices.pop(self.random.randrange(_DEVICES))
            self.space.provider.ledger.devices.retire(device.id)
        self.devices.append((self.space.enroll(), self.random.choice(self.gateways)))

    def move(self) -> None:
        """A device goes over to the other gateway."""
        at = self.random.randrange(len(self.devices))
        device, gateway = self.devices[at]
        self.devices[at] = device, self.gateways[1 if gateway is self.gateways[0] else 0]

    # Organisations

    def rotate(self) -> None:
        """Signing keys change: the compute node's, or a custodian's."""
        space = self.space
        at = self.random.randrange(4)
        if at == 3:
            space.compute = self._rotated(space.compute)
            return
        before, after = space.custodians[at], self._rotated(space.custodians[at])
        space.custodians = tuple(after if one is before else one for one in space.custodians)
        self.offered = [_held(offered, before, after) for offered in self.offered]
        self.granted = [replace(one, offered=_held(one.offered, before, after)) for one in self.granted]

    def _rotated(self, party: Party) -> Party:
        signer = Ed25519Signer.generate(self.space.entropy)
        statement = box_key_statement(self.space.operator.domain, party.account, party.box.public)
        party.ledger.participants.rotate_keys(1, signer.public_key, party.box.public, signer.sign(statement), 0)
        return replace(party, signer=signer)

    def away(self) -> None:
        """The buyer is suspended, asks in vain, and comes back."""
        operator, buyer = self.space.operator.participants, self.space.buyer.account
        operator.suspend(buyer, "papers missing")
        with suppress(RevertedError):
            self.space.request(self.random.choice(self.offered))
        operator.reinstate(buyer, "papers came")

    def pause(self) -> None:
        self.space.operator.access.pause()
        self.wait()
        self.space.operator.access.unpause()

    def wait(self) -> None:
        self.space.clock.advance(self.random.choice([1, 60, 400]))


def _held(offered: Offered, before: Party, after: Party) -> Offered:
    return replace(offered, holders=tuple(after if one is before else one for one in offered.holders))
