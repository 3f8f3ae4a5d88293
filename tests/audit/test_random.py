"""Random honest histories: whatever honest participants do, in whatever order, nobody is accused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from audit.papers import Patience
from capsule.box_statement import box_key_statement
from capsule.signature import Ed25519Signer
from contracts.errors import RevertedError
from tests.sim.dataspace import DataSpace, Granted, Offered, Opened
from tests.sim.histories import history_of

# Seeds that once showed a false finding go here too.
SEEDS = (9, 11)
STEPS = 25


class Wanderer:
    """Picks one honest call after another. What the contracts refuse simply does not happen."""

    def __init__(self, space: DataSpace, seed: int) -> None:
        self.space = space
        self.random = random.Random(seed)
        self.offered: list[Offered] = []
        self.granted: list[Granted] = []
        self.opened: list[tuple[Opened, bool]] = []
        self.devices = [space.enroll(), space.enroll()]

    def run(self, steps: int) -> None:
        calls: list[Callable[[], None]] = [
            self.offer,
            *[self.grant] * 3,
            *[self.open] * 4,
            self.both,
            *[self.end] * 5,
            *[self.send] * 2,
            self.revoke,
            self.redeal,
            self.rotate,
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

    def offer(self) -> None:
        if len(self.offered) > 3:
            return
        share, automatic = self.random.random() < 0.7, self.random.random() < 0.4
        terms = {"automatic_grant": automatic, "uses_per_grant": self.random.choice([1, 2, 5])}
        asset = self.space.register()
        self.offered.append(
            self.space.offer(asset, threshold=self.random.choice([1, 2, 3]), provider_share=share, **terms)
        )

    def grant(self) -> None:
        self.granted.append(self.space.grant(self.random.choice(self.offered)))

    def open(self) -> None:
        """Holders answer a use at once: all release, or all refuse."""
        if not self.granted:
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
        """What was released is completed, sometimes late; what was refused is closed as failed, or runs out."""
        if not self.opened:
            return
        use, released = self.opened.pop(self.random.randrange(len(self.opened)))
        late = self.random.random() < 0.3
        if late:
            self.space.clock.advance(700)
        if released:
            self.space.complete(use, rows=self.random.randrange(3))
        elif late:
            self.space.regulator.ledger.access.expire_use(use.id)
        else:
            self.space.fail(use, 1)

    def send(self) -> None:
        frames = [self.space.frame(self.random.choice(self.devices)) for _ in range(self.random.randrange(1, 5))]
        self.space.anchor(frames)

    def revoke(self) -> None:
        if self.granted:
            self.space.provider.ledger.access.revoke(self.random.choice(self.granted).id, 1)

    def redeal(self) -> None:
        at = self.random.randrange(len(self.offered))
        self.offered[at] = self.space.redeal(self.offered[at])

    def rotate(self) -> None:
        signer = Ed25519Signer.generate(self.space.entropy)
        party = self.space.compute
        statement = box_key_statement(self.space.operator.domain, party.account, party.box.public)
        party.ledger.participants.rotate_keys(1, signer.public_key, party.box.public, signer.sign(statement), 0)
        self.space.compute = replace(party, signer=signer)

    def wait(self) -> None:
        self.space.clock.advance(self.random.choice([1, 60, 400]))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_honest_history_has_no_findings(seed: int, tmp_path: Path) -> None:
    space = DataSpace(tmp_path / "chain", seed)
    Wanderer(space, seed).run(STEPS)

    history = history_of(space)
    space.close()

    assert len(history.entries) > 55
    assert history.findings() == ()
    assert history.findings(patience=Patience(anchor=0, log=0)) == ()
