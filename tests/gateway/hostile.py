"""A gateway under hostile frames, in a process whose memory is measured: python -m tests.gateway.hostile FOLDER.

Prints one JSON object: what became of the hostile frames by kind, and of the good ones among them; resident memory in
KiB after the first ones and after the last that came without HTTP, and at its highest.
"""

from __future__ import annotations

import json
import random
import resource
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import httpx

from capsule.frame import FIRST_PREVIOUS, MAX_FRAME_BYTES, Mark, sign_packed
from capsule.frame import MEDIA_TYPE as FRAME_TYPE
from capsule.ids import DeviceId, Digest
from capsule.senml import pack_rows
from gateway.frame_sequence import SEQUENCE_TYPE, split_frames
from gateway.gateway import Gateway
from gateway.ingest import Outcome, Taken
from gateway.problems import problem_of
from gateway.server import collect_seldom
from gateway.service import build_app
from scripts.inprocess import InProcess
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import embedded_space

FRAMES: Final = 10_000
OVER_HTTP: Final = 2_000
GROUP: Final = 200
"""hostile frames that come together, with four good ones among them"""
WARM: Final = 1_000
"""so many come before memory is measured"""
FORKS_KEPT: Final = 20


class Attacker:
    """Makes hostile frames of every kind in turn: from outside, and with the key of an enrolled device of its own."""

    def __init__(self, victim: Device, own: Device, known: bytes) -> None:
        self.chance = random.Random(32)
        self._victim = victim
        self._own = own
        self._known = known
        self._first = own.frame(some_rows(0, 1))
        self.kinds: dict[str, Callable[[], bytes]] = {
            "random": lambda: self.chance.randbytes(self.chance.randrange(400)),
            "random after a frame's head": lambda: b"\xd2\x84" + self.chance.randbytes(300),
            "cut": lambda: known[: self.chance.randrange(len(known))],
            "a bit turned": self._turned,
            "a wrong key": lambda: self._signed(Device(77), victim.id),
            "another device's key": lambda: self._signed(own, victim.id),
            "an unknown device": lambda: self._signed(own, DeviceId(self.chance.randbytes(32))),
            "a replay": lambda: known,
            "a fork": lambda: self._signed(own, own.id, sequence=1),
            "a fork of the place before": lambda: self._signed(own, own.id, sequence=2, previous=b"\x55" * 32),
            "huge": lambda: b"\xd2\x84\x5a" + struct.pack(">I", 2**32 - 1) + bytes(2_000),
            "longer than a frame": lambda: known + bytes(MAX_FRAME_BYTES),
            "a length past 64 bits": lambda: b"\xd2\x84\x5b" + b"\xff" * 8 + bytes(100),
            "an array of 2^63": lambda: b"\xd2\x9b\x7f" + b"\xff" * 7,
            "reserved and negative lengths": lambda: b"\xd2\x84" + bytes([0x40 | self.chance.randrange(24, 32)] * 9),
            "a negative number first": lambda: b"\xd2\x84\x3b" + self.chance.randbytes(200),
            "deep": lambda: b"\xd2" + b"\x81" * 50_000,
            "deep, in a header": lambda: b"\xd2\x84\x59\x7f\xff" + b"\xa1\x01" * 16_383 + b"\x01",
            "deep, signed by a device": lambda: self._payload(b"\x81" * 100_000 + b"\x01"),
            "huge, signed by a device": lambda: self._payload(b"\x9b" + b"\x7f" * 8),
            "a million records of nothing": lambda: self._payload(b"\x9a\x00\x0f\x42\x40" + b"\xa0" * 200_000),
            "numbers without end, signed": lambda: self._payload(b"\x81\xa1\x02\xc2\x59\x03\xe8" + b"\xff" * 1000),
            "no end, signed": lambda: self._payload(b"\x9f" * 1000),
            "random, signed by a device": lambda: self._payload(self.chance.randbytes(200)),
        }

    @property
    def first(self) -> bytes:
        """The one good frame of the attacker's device."""
        return self._first

    def frames(self) -> Iterator[tuple[str, bytes]]:
        while True:
            for kind, make in self.kinds.items():
                yield kind, make()

    def _turned(self) -> bytes:
        changed = bytearray(self._known)
        changed[self.chance.randrange(len(changed))] ^= 1 << self.chance.randrange(8)
        return bytes(changed)

    def _signed(self, by: Device, device: DeviceId, *, sequence: int = 1, previous: bytes = FIRST_PREVIOUS) -> bytes:
        rows = some_rows(self.chance.randrange(10**6), 1)
        return self._sign(pack_rows(device, rows, {}), by, device, sequence, previous)

    def _payload(self, payload: bytes) -> bytes:
        return self._sign(payload, self._own, self._own.id, 2, self._own.last)

    def _sign(self, payload: bytes, by: Device, device: DeviceId, sequence: int, previous: bytes) -> bytes:
        return sign_packed(
            payload,
            by.signer,
            device=device,
            sequence=sequence,
            previous=Digest(previous),
            acknowledged=None,
            mark=Mark.SIGNED,
        )


def told(outcome: Outcome) -> str:
    if isinstance(outcome, Taken):
        return "new" if outcome.new else "known"
    problem = problem_of(outcome)
    return "failed" if problem is None else problem.kind


def through_the_queue(gateway: Gateway, frames: Sequence[bytes]) -> list[str]:
    return [told(outcome) for outcome in gateway.submit_many(frames).result(60)]


def over_http(client: httpx.Client, known: bytes, frames: Sequence[bytes]) -> list[str]:
    """In one body; frames that would swallow their neighbours go alone."""
    together = [at for at, frame in enumerate(frames) if split_frames(frame + known, len(frame) + 1) == [frame, known]]
    body = b"".join(frames[at] for at in together)
    items = client.post("/v1/frames", content=body, headers={"content-type": SEQUENCE_TYPE}).json()
    answers = dict(zip(together, map(kind_of, items), strict=True))
    for at in set(range(len(frames))) - answers.keys():
        answers[at] = kind_of(
            client.post("/v1/frames", content=frames[at], headers={"content-type": FRAME_TYPE}).json()
        )
    return [answers[at] for at in range(len(frames))]


def kind_of(answer: dict[str, str]) -> str:
    return str(answer["type"]).rpartition(":")[2] if "type" in answer else "taken"


def resident() -> int:
    """KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def main(folder: Path) -> None:
    with embedded_space(folder / "chain") as space:
        victim, own = space.enrol(), space.enrol(Device(2))
        with space.open_gateway(folder / "gateway", forks_per_device=FORKS_KEPT) as gateway:
            app = build_app(gateway, "", anchoring=False)
            with httpx.Client(transport=InProcess(app), base_url="http://gateway") as client:
                known = victim.frame(some_rows(0, 1))
                attacker = Attacker(victim, own, known)
                good = [through_the_queue(gateway, [known, attacker.first])]
                became: dict[str, Counter[str]] = defaultdict(Counter)
                collect_seldom()  # as the service does
                before, after, hostile = 0, 0, attacker.frames()
                for sent in range(0, FRAMES, GROUP):
                    if sent == WARM:
                        before = resident()
                    if sent == FRAMES - OVER_HTTP:  # httpx itself leaves bodies to the garbage collector
                        after = resident()
                    kinds, frames = zip(*islice(hostile, GROUP), strict=True)
                    mixed = list(frames)
                    places = range(GROUP // 4, GROUP + 4, GROUP // 4 + 1)
                    for place in places:
                        mixed.insert(place, victim.frame(some_rows(victim.sequence, 1)))
                    if sent >= FRAMES - OVER_HTTP:
                        outcomes = over_http(client, known, mixed)
                    else:
                        outcomes = through_the_queue(gateway, mixed)
                    good.append([outcomes[place] for place in places])
                    bad = [outcome for place, outcome in enumerate(outcomes) if place not in places]
                    for kind, outcome in zip(kinds, bad, strict=True):
                        became[kind][outcome] += 1
                result = {
                    "became": became,
                    "good": Counter(outcome for some in good for outcome in some),
                    "device": str(own.id),
                    "frames": gateway.status().frames,
                    "incidents": gateway.status().incidents,
                    "before": before,
                    "after": after,
                }
                print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
