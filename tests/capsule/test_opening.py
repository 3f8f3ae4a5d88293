"""No key, no policy, no changed byte gets past; what could be checked without a key says what is wrong."""

import io
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.canonical import encode
from capsule.errors import FormatError, InputError, OpenError, VerificationError
from capsule.ids import Digest
from capsule.layout import MAGIC, read_layout
from capsule.leaves import LeafHashes
from capsule.opening import CapsuleReader, Level, inspect, verify
from tests.capsule.samples import (
    DATA_KEY,
    DOMAIN,
    OTHER_DATA_KEY,
    OTHER_DOMAIN,
    OTHER_KEY,
    POLICY_HASH,
    SIGNER_KEY,
    Capsule,
    account,
    capsule_of,
    digest,
)

CAPSULE = capsule_of(bytes(range(50)))  # chunks of 16, 16, 16 and 2 bytes
LAYOUT = read_layout(CAPSULE.stream)
ROOT = CAPSULE.sealed.root
CHUNK = 32  # 16 bytes and a tag


class Pipe(io.RawIOBase):
    """A capsule that comes front to back, a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 5))


def read_out(data: bytes, **checks: object) -> bytes:
    """The plaintext, if all of it opens; in any case nothing but plaintext leaves before a failure."""
    out = bytearray()
    try:
        for chunk in CapsuleReader(io.BytesIO(data), DATA_KEY, **checks).chunks():  # type: ignore[arg-type]
            out += chunk
    finally:
        assert CAPSULE.plaintext.startswith(bytes(out))
    return bytes(out)


def test_inspect_reads_the_header_without_a_key() -> None:
    assert inspect(CAPSULE.stream) == CAPSULE.sealed.header


def test_levels_say_what_vouches_for_a_capsule() -> None:
    signature = CAPSULE.sealed.root_signature
    assert verify(CAPSULE.stream).level is Level.HEADER_ONLY
    assert verify(CAPSULE.stream, signer_key=SIGNER_KEY, domain=DOMAIN).level is Level.HEADER_ONLY
    signed = verify(CAPSULE.stream, signer_key=SIGNER_KEY, root_signature=signature, domain=DOMAIN)
    assert signed.level is Level.SIGNATURE
    chain = verify(CAPSULE.stream, root=ROOT, signer_key=SIGNER_KEY, domain=DOMAIN)
    assert (chain.level, chain.root, chain.header) == (Level.CHAIN, ROOT, CAPSULE.sealed.header)
    assert chain.leaves == CAPSULE.sealed.leaves
    assert [str(level) for level in Level] == ["chain", "signature", "header only"]


def test_verify_reads_from_a_pipe() -> None:
    assert verify(Pipe(CAPSULE.data), root=ROOT).level is Level.CHAIN  # type: ignore[arg-type]


def test_verify_refuses_other_roots_keys_ledgers_and_signatures() -> None:
    signature = CAPSULE.sealed.root_signature
    with pytest.raises(VerificationError, match="another root"):
        verify(CAPSULE.stream, root=digest(1))
    with pytest.raises(VerificationError):
        verify(CAPSULE.stream, root=ROOT, signer_key=OTHER_KEY, domain=DOMAIN)
    with pytest.raises(VerificationError):
        verify(CAPSULE.stream, root=ROOT, signer_key=SIGNER_KEY, domain=OTHER_DOMAIN)
    with pytest.raises(VerificationError):
        verify(CAPSULE.stream, signer_key=SIGNER_KEY, root_signature=signature[::-1], domain=DOMAIN)
    with pytest.raises(InputError):
        verify(CAPSULE.stream, signer_key=SIGNER_KEY)
    with pytest.raises(InputError):
        verify(CAPSULE.stream, root_signature=signature, domain=DOMAIN)


@pytest.mark.parametrize("at", range(len(CAPSULE.data)))
def test_one_flipped_bit_anywhere_is_noticed(at: int) -> None:
    data = CAPSULE.data[:at] + bytes([CAPSULE.data[at] ^ 1 << at % 8]) + CAPSULE.data[at + 1 :]
    with pytest.raises((FormatError, VerificationError)):
        verify(io.BytesIO(data), root=ROOT)
    with pytest.raises((FormatError, VerificationError)):
        read_out(data, root=ROOT)
    with pytest.raises((FormatError, OpenError, VerificationError)):
        read_out(data, root=ROOT, leaves=CAPSULE.sealed.leaves)
    header_end = len(LAYOUT.pieces[0])
    if not header_end <= at < header_end + len(LAYOUT.pieces[1]):  # without a root nobody checks the signature
        with pytest.raises((FormatError, OpenError)):
            read_out(data)


@pytest.mark.parametrize("length", range(len(CAPSULE.data)))
def test_truncation_anywhere_is_noticed(length: int) -> None:
    data = CAPSULE.data[:length]
    for attempt in (
        lambda: verify(io.BytesIO(data)),
        lambda: read_out(data),
        lambda: read_out(data, root=ROOT, leaves=CAPSULE.sealed.leaves),
    ):
        with pytest.raises(FormatError):
            attempt()
    with pytest.raises((FormatError, OpenError)):
        CapsuleReader(Pipe(data), DATA_KEY).read_all()  # type: ignore[arg-type]


def test_bytes_after_the_last_chunk_are_noticed() -> None:
    data = CAPSULE.data + b"\x00"
    with pytest.raises(FormatError):
        verify(io.BytesIO(data))
    with pytest.raises(FormatError):
        read_out(data)
    with pytest.raises(OpenError):
        CapsuleReader(Pipe(data), DATA_KEY).read_all()  # type: ignore[arg-type]


def moved(*order: int) -> bytes:
    chunks = [CAPSULE.data[LAYOUT.offset(index) :][: LAYOUT.sealed_length(index)] for index in range(4)]
    return CAPSULE.data[: LAYOUT.body] + b"".join(chunks[index] for index in order)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 2, 1, 3), (0, 0, 2, 3), (0, 1, 1, 3)])
def test_moved_chunks_are_noticed(order: tuple[int, ...]) -> None:
    data = moved(*order)
    with pytest.raises(OpenError):
        read_out(data)
    with pytest.raises(VerificationError):
        read_out(data, root=ROOT)
    with pytest.raises(OpenError):
        read_out(data, root=ROOT, leaves=CAPSULE.sealed.leaves)


def test_chunks_of_another_capsule_are_noticed() -> None:
    other = capsule_of(CAPSULE.plaintext, seed=9)
    data = CAPSULE.data[: LAYOUT.offset(1)] + other.data[LAYOUT.offset(1) :]
    with pytest.raises(OpenError):
        read_out(data)


def with_header(**changes: object) -> bytes:
    """The capsule under a header that was changed after sealing, everything else as it was."""
    stored = replace(CAPSULE.sealed.header, **changes).to_bytes()  # type: ignore[arg-type]
    return b"".join((*replace(LAYOUT, stored_header=stored).pieces, CAPSULE.data[LAYOUT.body :]))


@pytest.mark.parametrize(
    "changes",
    [
        {"policy_hash": digest(0xBAD)},
        {"asset": digest(0xBAD)},
        {"sealed_at": 1},
        {"media_type": "text/tsv"},
        {"provider": account(0xBAD)},
        {"unknown": {"later": 1}},
        {"key_commitment": bytes(32)},
        {"capsule_id": bytes(16)},
    ],
)
def test_another_header_cannot_be_put_before_the_key(changes: dict[str, object]) -> None:
    with pytest.raises(OpenError):
        read_out(with_header(**changes))


def test_shorter_capsule_cannot_be_claimed() -> None:
    shorter = with_header(plaintext_size=48)[: LAYOUT.body + 3 * CHUNK]
    with pytest.raises(OpenError):
        read_out(shorter)


def test_wrong_key_and_changed_slot_fail_alike() -> None:
    at = LAYOUT.body - 1
    changed = CAPSULE.data[:at] + bytes([CAPSULE.data[at] ^ 1]) + CAPSULE.data[at + 1 :]
    for data, key in ((CAPSULE.data, OTHER_DATA_KEY), (changed, DATA_KEY)):
        with pytest.raises(OpenError) as refused:
            CapsuleReader(io.BytesIO(data), key)
        assert str(refused.value) == str(OpenError())
        assert refused.value.__cause__ is None


def test_policy_is_checked_before_the_key() -> None:
    assert CapsuleReader(CAPSULE.stream, DATA_KEY, policy_hash=POLICY_HASH).read_all() == CAPSULE.plaintext
    with pytest.raises(VerificationError, match="another policy"):
        CapsuleReader(CAPSULE.stream, OTHER_DATA_KEY, policy_hash=digest(1))


def test_root_is_checked_before_the_key() -> None:
    for leaves in (None, CAPSULE.sealed.leaves):
        with pytest.raises(VerificationError):
            CapsuleReader(CAPSULE.stream, OTHER_DATA_KEY, root=digest(1), leaves=leaves)


def test_leaf_hashes_must_be_the_roots_and_the_capsules() -> None:
    leaves = CAPSULE.sealed.leaves
    with pytest.raises(InputError):
        CapsuleReader(CAPSULE.stream, DATA_KEY, leaves=leaves)
    with pytest.raises(VerificationError):
        CapsuleReader(CAPSULE.stream, DATA_KEY, root=ROOT, leaves=leaves[:-1])
    other = capsule_of(CAPSULE.plaintext, seed=9).sealed
    with pytest.raises(VerificationError):
        CapsuleReader(CAPSULE.stream, DATA_KEY, root=other.root, leaves=other.leaves)
    shorter = LeafHashes(leaves[:-1])
    with pytest.raises(VerificationError):
        CapsuleReader(CAPSULE.stream, DATA_KEY, root=shorter.root, leaves=shorter)


@given(st.integers(0, 50), st.integers(0, 50), st.booleans())
def test_any_range_is_read(begin: int, end: int, rooted: bool) -> None:
    checks = {"root": ROOT, "leaves": CAPSULE.sealed.leaves} if rooted else {}
    reader = CapsuleReader(CAPSULE.stream, DATA_KEY, **checks)  # type: ignore[arg-type]
    if begin <= end:
        assert reader.read_range(begin, end) == CAPSULE.plaintext[begin:end]
    else:
        with pytest.raises(InputError):
            reader.read_range(begin, end)


def test_ranges_outside_are_refused() -> None:
    reader = CapsuleReader(CAPSULE.stream, DATA_KEY)
    for begin, end in ((-1, 1), (0, 51), (51, 51)):
        with pytest.raises(InputError):
            reader.read_range(begin, end)
    assert CapsuleReader(capsule_of(b"").stream, DATA_KEY).read_range(0, 0) == b""


def test_range_touches_its_own_chunks_only() -> None:
    spoilt = bytearray(CAPSULE.data)
    spoilt[LAYOUT.offset(0)] ^= 1
    spoilt[LAYOUT.offset(3)] ^= 1
    reader = CapsuleReader(io.BytesIO(bytes(spoilt)), DATA_KEY, root=ROOT, leaves=CAPSULE.sealed.leaves)
    assert reader.read_range(16, 48) == CAPSULE.plaintext[16:48]
    for begin, end in ((15, 48), (16, 49)):
        with pytest.raises(OpenError):
            reader.read_range(begin, end)


def test_capsule_inside_another_file_is_read_from_its_position() -> None:
    stream = io.BytesIO(b"before" + CAPSULE.data)
    stream.seek(6)
    reader = CapsuleReader(stream, DATA_KEY, root=ROOT)
    assert reader.read_range(40, 50) == CAPSULE.plaintext[40:]
    assert reader.read_all() == CAPSULE.plaintext


def test_pipe_is_read_once_front_to_back() -> None:
    pipe = CapsuleReader(Pipe(CAPSULE.data), DATA_KEY, root=ROOT, leaves=CAPSULE.sealed.leaves)  # type: ignore[arg-type]
    assert pipe.read_all() == CAPSULE.plaintext
    with pytest.raises(InputError):
        pipe.read_all()
    with pytest.raises(InputError):
        CapsuleReader(Pipe(CAPSULE.data), DATA_KEY, root=ROOT)  # type: ignore[arg-type]


@pytest.mark.parametrize("capsule", [CAPSULE, capsule_of(b"")])
def test_pipe_without_leaf_hashes_is_checked_against_its_root_at_last(capsule: Capsule) -> None:
    def reader(root: Digest) -> CapsuleReader:
        return CapsuleReader(Pipe(capsule.data), DATA_KEY, root=root, root_last=True)  # type: ignore[arg-type]

    assert reader(capsule.sealed.root).copy_to(io.BytesIO()) == len(capsule.plaintext)
    sink = io.BytesIO()
    with pytest.raises(VerificationError, match="another root"):
        reader(digest(1)).copy_to(sink)
    assert sink.getvalue() == capsule.plaintext  # that is why it must be kept back
    if capsule.plaintext:
        with pytest.raises(InputError):
            reader(capsule.sealed.root).read_range(0, 1)


def test_plaintext_reads_like_a_file() -> None:
    for capsule in (CAPSULE, capsule_of(b""), capsule_of(b"one line\nand another\n")):
        stream = CapsuleReader(capsule.stream, DATA_KEY).stream()
        expected = io.BytesIO(capsule.plaintext)
        assert stream.readlines() == expected.readlines()
        for whence, offset in ((0, 3), (1, 2), (2, -2 if capsule.plaintext else 0)):
            assert stream.seek(offset, whence) == expected.seek(offset, whence)
            assert stream.read(7) == expected.read(7)
            assert stream.tell() == expected.tell()
        assert stream.seek(1000) == 1000
        assert stream.read(1) == b""


def test_file_of_a_changed_capsule_fails_where_it_was_changed() -> None:
    spoilt = bytearray(CAPSULE.data)
    spoilt[LAYOUT.offset(2)] ^= 1
    stream = CapsuleReader(io.BytesIO(bytes(spoilt)), DATA_KEY).stream()
    assert stream.read(16) == CAPSULE.plaintext[:16]
    with pytest.raises(OpenError):
        stream.read()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        MAGIC,
        MAGIC + b"\xff\xff\xff\xff",
        MAGIC + (2).to_bytes(4, "big") + b"{}",
        MAGIC + (1 << 20 | 1).to_bytes(4, "big"),
        CAPSULE.data[: len(LAYOUT.pieces[0])] + b"\x01\x00\x00" + bytes(200),
        CAPSULE.data[: len(LAYOUT.pieces[0])] + b"\x01\xff\xff" + bytes(70_000),
    ],
)
def test_what_is_no_capsule_is_a_format_error(data: bytes) -> None:
    for attempt in (inspect, verify, lambda stream: CapsuleReader(stream, DATA_KEY)):
        with pytest.raises(FormatError):
            attempt(io.BytesIO(data))


@given(st.binary(max_size=200))
def test_fuzz_reader_raises_only_this_packages_errors(tail: bytes) -> None:
    for data in (MAGIC + tail, CAPSULE.data[: len(LAYOUT.pieces[0])] + tail, CAPSULE.data[: LAYOUT.body] + tail):
        with pytest.raises((FormatError, OpenError)):
            read_out(data)


@pytest.mark.parametrize(
    "claim",
    [
        MAGIC + b"\xff\xff\xff\xff",
        MAGIC + (1 << 20).to_bytes(4, "big") + b"{",
        with_header(plaintext_size=2**53 - 1, chunk_size=2**26),
        with_header(plaintext_size=2**53 - 1, chunk_size=1),
        CAPSULE.data[: len(LAYOUT.pieces[0])] + b"\x01\x02\x00",
    ],
)
def test_huge_claims_cost_nothing(claim: bytes) -> None:
    for attempt in (verify, lambda stream: CapsuleReader(stream, DATA_KEY)):
        tracemalloc.start()
        try:
            with pytest.raises(FormatError):
                attempt(io.BytesIO(claim))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20


def test_a_pipe_that_claims_much_costs_one_chunk() -> None:
    huge = with_header(plaintext_size=2**53 - 1, chunk_size=2**26)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            verify(Pipe(huge))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 68 << 20


def test_a_header_of_many_small_things_costs_little() -> None:
    """The worst that 1 MiB of JSON can hold: empty lists."""
    stored = encode({"schema": [[] for _ in range(340_000)]})
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            inspect(io.BytesIO(MAGIC + len(stored).to_bytes(4, "big") + stored))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


def test_reader_shows_no_secret() -> None:
    reader = CapsuleReader(CAPSULE.stream, DATA_KEY)
    assert repr(reader) == f"CapsuleReader(0x{CAPSULE.sealed.header.capsule_id.hex()})"
