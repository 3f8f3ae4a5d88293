"""One header is one string of bytes."""

from dataclasses import replace

import pytest

from capsule.canonical import Json, decode, encode
from capsule.errors import FormatError, InputError
from capsule.header import MAX_HEADER_SIZE, BatchRef, Header, header_digest
from capsule.ids import DeviceId
from tests.capsule.samples import account, capsule_of, digest

HEADER = replace(
    capsule_of(b"x" * 40).sealed.header,
    lineage=(digest(1),),
    source=(BatchRef(account(1), 7, digest(2)),),
    devices=(DeviceId(digest(3)),),
)


def test_header_survives_its_bytes() -> None:
    assert Header.from_bytes(HEADER.to_bytes()) == HEADER
    assert Header.from_bytes(HEADER.to_bytes()).to_bytes() == HEADER.to_bytes()


def test_members_of_the_future_are_kept() -> None:
    stored = encode({**HEADER.to_json(), "later": {"a": "b"}})
    assert Header.from_bytes(stored).to_bytes() == stored
    assert header_digest(stored) != header_digest(HEADER.to_bytes())


def test_header_that_is_not_canonical_is_refused() -> None:
    stored = HEADER.to_bytes()
    for changed in (stored + b" ", stored.replace(b'":"', b'": "', 1), stored.replace(b"dsc1", b"dsc\\u0031", 1)):
        assert decode(changed) == decode(stored)
        with pytest.raises(FormatError):
            Header.from_bytes(changed)


def test_header_has_one_form_only() -> None:
    """Found by fuzzing: an account of which one letter decides the case passes as upper case, too."""
    header = replace(HEADER, provider=account(0x18A))
    stored = header.to_bytes()
    assert b"018a" in stored
    assert Header.from_bytes(stored) == header
    document = header.to_json()
    batch = {"gateway": str(account(1)), "number": 7, "frames_root": str(digest(2)), "later": 1}
    for changed in (stored.replace(b"018a", b"018A"), encode({**document, "source": [batch]})):
        with pytest.raises(FormatError):
            Header.from_bytes(changed)


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, [0]), (1, [1]), (15, [15]), (16, [16]), (17, [16, 1]), (32, [16, 16])]
)
def test_chunks_follow_from_the_sizes(size: int, chunks: list[int]) -> None:
    header = replace(HEADER, plaintext_size=size, chunk_size=16)
    assert [header.chunk_length(index) for index in range(header.chunk_count)] == chunks


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "dsc2"},
        {"suite": "AES-256-GCM"},
        {"capsule_id": bytes(15)},
        {"key_commitment": bytes(31)},
        {"plaintext_size": -1},
        {"plaintext_size": 2**53},
        {"chunk_size": 0},
        {"chunk_size": 2**26 + 1},
        {"schema": []},
        {"media_type": "x" * 256},
        {"sealed_at": -1},
        {"devices": (DeviceId(digest(1)),) * 8193},
    ],
)
def test_impossible_headers_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(HEADER, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "dataspace/deal"},
        {"version": "dsc2"},
        {"version": 1},
        {"suite": "none"},
        {"plaintext_size": -1},
        {"plaintext_size": "5"},
        {"chunk_size": 0},
        {"capsule_id": "0x00"},
        {"schema": "x"},
        {"source": [{}]},
        {"devices": ["x"]},
    ],
)
def test_malformed_headers_are_format_errors(changes: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        Header.from_bytes(encode({**HEADER.to_json(), **changes}))


def test_header_has_a_limit() -> None:
    large = replace(HEADER, schema={"note": "x" * MAX_HEADER_SIZE})
    with pytest.raises(InputError):
        large.to_bytes()
    with pytest.raises(FormatError):
        Header.from_bytes(encode(large.to_json()))
