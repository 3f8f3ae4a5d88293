"""Strict CBOR: everything that cbor2 writes canonically reads as the same value; everything odd is a FormatError."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.cbor import byte_string, decode, read_head
from capsule.errors import FormatError

_SCALARS = (
    st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(max_size=40)
    | st.booleans()
    | st.none()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(-100, 100) | st.text(max_size=5), inner),
    max_leaves=10,
)


@given(_VALUES)
def test_reads_back_what_cbor2_writes(value: object) -> None:
    for canonical in (False, True):
        again = decode(cbor2.dumps(value, canonical=canonical), depth=20)
        assert again == value
        assert repr(again) == repr(value) or canonical


@given(st.binary(max_size=200))
def test_fuzz_random_bytes_raise_nothing_but_format_errors(data: bytes) -> None:
    try:
        value = decode(data)
    except FormatError:
        return
    assert value == cbor2.loads(data) or value != value  # noqa: PLR0124 (NaN)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "too early"),
        ("1817", "shortest"),
        ("190018", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("5817" + "00" * 23, "shortest"),
        ("1c", "reserved"),
        ("5f4101ff", "indefinite"),
        ("9fff", "indefinite"),
        ("bf00ff", "indefinite"),
        ("5bffffffffffffffff00", "too early"),
        ("9bffffffffffffffff", "too early"),
        ("bb7fffffffffffffff", "too early"),
        ("9a00010000" + "00", "too early"),
        ("a200010001", "repeats"),
        ("a1f500", "neither"),
        ("a1410000", "neither"),
        ("c11a514b67b0", "tag"),
        ("d8230161", "tag"),
        ("81818181818100", "deeply"),
        ("61ff", "UTF-8"),
        ("f7", "simple"),
        ("f818", "simple"),
        ("fb3ff0", "too early"),
        ("0000", "followed"),
    ],
)
def test_refuses_each_odd_form(data: str, why: str) -> None:
    with pytest.raises(FormatError, match=why):
        decode(bytes.fromhex(data))


def test_deep_nesting_ends_at_once() -> None:
    with pytest.raises(FormatError, match="deeply"):
        decode(b"\x81" * 1_000_000)


def test_head_past_the_end() -> None:
    with pytest.raises(FormatError):
        read_head(b"\x00", 1)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65535, 65536])
def test_byte_strings_are_written_as_cbor2_writes_them(size: int) -> None:
    assert byte_string(bytes(size)) == cbor2.dumps(bytes(size))
