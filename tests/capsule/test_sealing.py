"""Sealing and rebinding, read back by this package and by an independent reader of the format."""

import io
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.errors import FormatError, InputError, OpenError, VerificationError
from capsule.header import MAX_CHUNK_SIZE, BatchRef
from capsule.ids import DeviceId
from capsule.opening import CapsuleReader, verify
from capsule.sealing import RebindPlan, SealPlan, rebind, seal
from tests.capsule.reference import read_capsule
from tests.capsule.samples import (
    DATA_KEY,
    DOMAIN,
    OTHER_DATA_KEY,
    OTHER_SIGNER,
    PLAN,
    SIGNER,
    SIGNER_KEY,
    Capsule,
    account,
    capsule_of,
    digest,
    entropy_of,
)

REBIND = RebindPlan(policy_hash=digest(0xF1), sealed_at=1_760_000_000)


class Trickle(io.RawIOBase):
    """A source or capsule that can't seek and returns a byte or two at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 2))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 100])
def test_an_independent_reader_opens_what_was_sealed(size: int) -> None:
    capsule = capsule_of(bytes(range(size)))
    assert read_capsule(capsule.data, DATA_KEY.secret) == (capsule.plaintext, capsule.sealed.root)
    assert capsule.sealed.size == len(capsule.data)


@given(st.binary(max_size=90), st.integers(1, 40))
def test_what_was_sealed_opens_at_any_chunk_size(plaintext: bytes, chunk_size: int) -> None:
    capsule = capsule_of(plaintext, plan=replace(PLAN, chunk_size=chunk_size))
    assert CapsuleReader(capsule.stream, DATA_KEY, root=capsule.sealed.root).read_all() == plaintext
    assert len(capsule.sealed.leaves) == 3 + max(1, -(-len(plaintext) // chunk_size))


def test_the_whole_plan_stands_in_the_header() -> None:
    plan = replace(
        PLAN,
        lineage=(digest(1),),
        source=(BatchRef(account(1), 2, digest(3)),),
        devices=(DeviceId(digest(4)),),
    )
    header = capsule_of(b"x", plan=plan).sealed.header
    for name in ("asset", "policy_hash", "media_type", "schema", "provider", "sealed_at", "chunk_size"):
        assert getattr(header, name) == getattr(plan, name)
    assert (header.lineage, header.source, header.devices) == (plan.lineage, plan.source, plan.devices)
    assert header.plaintext_size == 1


def test_capsules_differ_in_id_and_key() -> None:
    first, second = capsule_of(b"same", seed=1), capsule_of(b"same", seed=2)
    assert first.sealed.header.capsule_id != second.sealed.header.capsule_id
    assert first.data[-20:] != second.data[-20:]


def test_source_that_cannot_seek_needs_its_size() -> None:
    with pytest.raises(InputError):
        seal(Trickle(b"abc"), io.BytesIO(), PLAN, SIGNER, DATA_KEY, DOMAIN, entropy_of(1))  # type: ignore[arg-type]
    sink = io.BytesIO()
    plan = replace(PLAN, plaintext_size=50)
    sealed = seal(Trickle(b"a" * 50), sink, plan, SIGNER, DATA_KEY, DOMAIN, entropy_of(1))  # type: ignore[arg-type]
    assert Capsule(sink.getvalue(), b"", sealed).data == capsule_of(b"a" * 50).data


def test_source_is_sealed_from_its_position() -> None:
    source = io.BytesIO(b"skipped, sealed")
    source.seek(9)
    sink = io.BytesIO()
    seal(source, sink, PLAN, SIGNER, DATA_KEY, DOMAIN, entropy_of(1))
    sink.seek(0)
    assert CapsuleReader(sink, DATA_KEY).read_all() == b"sealed"


@pytest.mark.parametrize("size", [0, 15, 16, 17, 31, 33])
def test_source_of_another_size_is_refused(size: int) -> None:
    plan = replace(PLAN, plaintext_size=32)
    with pytest.raises(InputError, match="than 32 bytes"):
        seal(io.BytesIO(bytes(size)), io.BytesIO(), plan, SIGNER, DATA_KEY, DOMAIN, entropy_of(1))


def test_impossible_plans_and_entropy_are_refused() -> None:
    for plan in (replace(PLAN, chunk_size=0), replace(PLAN, chunk_size=MAX_CHUNK_SIZE + 1)):
        with pytest.raises(InputError):
            capsule_of(b"", plan=plan)
    for broken in (lambda _: b"", lambda size: bytes(16) if size == 32 else bytes(size + 1)):
        with pytest.raises(InputError):
            seal(io.BytesIO(b""), io.BytesIO(), PLAN, SIGNER, DATA_KEY, DOMAIN, broken)


class Zeros(io.RawIOBase):
    """That many zero bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part = min(size, self.left)
        self.left -= part
        return bytes(part)


class Counter(io.RawIOBase):
    """A sink that only counts."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.size += len(memoryview(data))  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


def test_sealing_takes_constant_memory() -> None:
    size = 24 << 20
    plan = SealPlan(
        asset=PLAN.asset,
        policy_hash=PLAN.policy_hash,
        media_type=PLAN.media_type,
        schema={},
        provider=PLAN.provider,
        sealed_at=PLAN.sealed_at,
        plaintext_size=size,
    )
    sink = Counter()
    tracemalloc.start()
    try:
        sealed = seal(Zeros(size), sink, plan, SIGNER, DATA_KEY, DOMAIN, entropy_of(1))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sink.size == sealed.size
    assert peak < 8 << 20


def rebound(capsule: Capsule) -> Capsule:
    sink = io.BytesIO()
    sealed = rebind(capsule.stream, sink, REBIND, SIGNER, DATA_KEY, OTHER_DATA_KEY, DOMAIN, root=capsule.sealed.root)
    return Capsule(sink.getvalue(), capsule.plaintext, sealed)


@pytest.mark.parametrize("size", [0, 16, 50])
def test_rebound_capsule_opens_under_its_new_policy_and_key_only(size: int) -> None:
    old = capsule_of(bytes(range(size)))
    new = rebound(old)
    assert new.sealed.header.policy_hash == REBIND.policy_hash
    assert new.sealed.header.capsule_id == old.sealed.header.capsule_id
    assert new.sealed.leaves[3:] == old.sealed.leaves[3:]
    assert new.sealed.root != old.sealed.root
    reader = CapsuleReader(new.stream, OTHER_DATA_KEY, root=new.sealed.root, policy_hash=REBIND.policy_hash)
    assert reader.read_all() == old.plaintext
    assert read_capsule(new.data, OTHER_DATA_KEY.secret) == (old.plaintext, new.sealed.root)
    with pytest.raises(OpenError):
        CapsuleReader(new.stream, DATA_KEY)
    verify(new.stream, root=new.sealed.root, signer_key=SIGNER_KEY, domain=DOMAIN)


def test_rebinding_does_not_reach_back() -> None:
    old = capsule_of(b"still readable")
    rebound(old)
    assert CapsuleReader(old.stream, DATA_KEY).read_all() == b"still readable"


def test_rebinding_refuses_the_same_key_wrong_keys_and_changed_capsules() -> None:
    capsule = capsule_of(b"x" * 40)
    with pytest.raises(InputError):
        rebind(capsule.stream, io.BytesIO(), REBIND, SIGNER, DATA_KEY, DATA_KEY, DOMAIN)
    with pytest.raises(OpenError):
        rebind(capsule.stream, io.BytesIO(), REBIND, SIGNER, OTHER_DATA_KEY, DATA_KEY, DOMAIN)
    changed = io.BytesIO(capsule.data[:-1] + bytes([capsule.data[-1] ^ 1]))
    with pytest.raises(VerificationError):
        rebind(changed, io.BytesIO(), REBIND, SIGNER, DATA_KEY, OTHER_DATA_KEY, DOMAIN, root=capsule.sealed.root)
    for data in (capsule.data + b"\x00", capsule.data[:-1]):
        with pytest.raises(FormatError):
            rebind(io.BytesIO(data), io.BytesIO(), REBIND, SIGNER, DATA_KEY, OTHER_DATA_KEY, DOMAIN)


def test_another_signer_does_not_pass_for_the_provider() -> None:
    sink = io.BytesIO()
    sealed = seal(io.BytesIO(b"x"), sink, PLAN, OTHER_SIGNER, DATA_KEY, DOMAIN, entropy_of(1))
    with pytest.raises(VerificationError):
        verify(io.BytesIO(sink.getvalue()), root=sealed.root, signer_key=SIGNER_KEY, domain=DOMAIN)
