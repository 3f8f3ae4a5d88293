"""Frames, batches and containers for tests, made by the code under test from seeded values."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence

from capsule.batch import NO_PREDECESSOR, BatchDocument, BatchFrame, Incident, build_batch
from capsule.frame import FIRST_PREVIOUS, Frame, Mark, frame_hash, read_frame, sign_frame
from capsule.ids import Address, DeviceId, Digest
from capsule.rows import Row
from capsule.signature import ED25519, Ed25519Signer, PublicKey, Signer, Sm2Signer
from capsule.source import Anchor, DeviceSpan, SourceFrame, write_source
from capsule.tree import Tree, leaf_hash

START = 1_680_825_600
GATEWAY = Address(b"\x67" * 20)
OTHER_GATEWAY = Address(b"\x68" * 20)


class Device:
    """A device that signs rows, one frame after another."""

    def __init__(self, name: int = 1, suite: int = ED25519) -> None:
        self.id = DeviceId(bytes([name]) * 32)
        seed = bytes([name]) * 32
        self.signer: Signer = Ed25519Signer(seed)
        if suite != ED25519:
            self.signer = Sm2Signer(seed, b"device", random.Random(name).randbytes)
        self.key = PublicKey(self.signer.suite, self.signer.public_key)
        self.sequence = 0
        self.last = FIRST_PREVIOUS

    def frame(self, rows: Sequence[Row], *, mark: Mark = Mark.SIGNED, acknowledged: Digest | None = None) -> bytes:
        data = sign_frame(Frame(self.id, self.sequence + 1, self.last, acknowledged, mark, tuple(rows)), self.signer)
        self.sequence += 1
        self.last = frame_hash(data)
        return data

    def frames(self, count: int, rows: int = 3) -> list[bytes]:
        return [self.frame(some_rows(at * rows, rows)) for at in range(count)]


def some_rows(first: int, count: int, columns: int = 3) -> list[Row]:
    """Rows 10 s apart, the same for the same arguments."""
    chance = random.Random(first)
    return [
        Row(START + 10 * (first + at), {f"C{column}": chance.randrange(-9999, 99999) for column in range(columns)})
        for at in range(count)
    ]


def in_batch(data: bytes) -> BatchFrame:
    frame = read_frame(data)
    return BatchFrame(frame.device, frame.sequence, frame.previous, frame.hash, leaf_hash(data))


def batch_of(
    frames: Sequence[bytes],
    number: int = 1,
    predecessor: Digest = NO_PREDECESSOR,
    gateway: Address = GATEWAY,
    incidents: Sequence[Incident] = (),
) -> BatchDocument:
    return build_batch(gateway, number, predecessor, [in_batch(data) for data in frames], incidents)


def anchor_of(document: BatchDocument, at: int = START) -> Anchor:
    batch = document.batch
    return Anchor(batch.gateway, batch.number, batch.frames_root, batch.size, at)


def container(batches: Sequence[Sequence[bytes]], at: int = START) -> tuple[bytes, list[Anchor]]:
    """A container of the frames of these batches, all by one device in sequence, and the batches' anchors."""
    anchors: list[Anchor] = []
    items: list[SourceFrame] = []
    predecessor = NO_PREDECESSOR
    for place, frames in enumerate(batches):
        document = batch_of(frames, place + 1, predecessor)
        predecessor = document.batch.frames_root
        anchors.append(anchor_of(document, at))
        tree = Tree(leaf_hash(data) for data in frames)
        items += [SourceFrame(place, position, data, tree.proof(position)) for position, data in enumerate(frames)]
    first, last = read_frame(items[0].data), read_frame(items[-1].data)
    sink = io.BytesIO()
    write_source(sink, [DeviceSpan(first.device, first.sequence, last.sequence)], anchors, items)
    return sink.getvalue(), anchors
