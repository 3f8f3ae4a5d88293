"""RFC 8785 bytes, and reading that no two readers understand differently."""

import math
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from capsule import canonical
from capsule.errors import FormatError, InputError

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "jcs"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.skipif(not VECTORS.is_dir(), reason="published RFC 8785 vectors are not beside the repository")
@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_published_vectors_encode_to_their_bytes(name: str) -> None:
    value = canonical.decode((VECTORS / "input" / f"{name}.json").read_bytes())
    assert canonical.encode(value) == (VECTORS / "output" / f"{name}.json").read_bytes().rstrip(b"\n")


@given(json_values)
def test_encoding_is_a_fixed_point(value: canonical.Json) -> None:
    once = canonical.encode(value)
    assert canonical.encode(canonical.decode(once)) == once


simple_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(simple_values)
def test_the_quick_encoder_writes_what_the_other_writes(value: canonical.Json) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [{"\ue000": 1, "\U0001f600": 2}, {"a": 1e21}, [1.0], {"a": {"b": [5e-324]}}])
def test_what_the_quick_encoder_writes_otherwise_is_left_to_the_other(value: canonical.Json) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"9007199254740993",
        b"-9007199254740993",
        b"1" * 5000,
        b"\xff",
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b"\xef\xbb\xbf1",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'["]",' * 100_000,
        b'["' + b'\\"[' * 100_000,
        b"[" * 129 + b"]" * 129,
        b"1 2",
        b"01",
    ],
)
def test_reader_refuses_what_is_ambiguous(data: bytes) -> None:
    with pytest.raises(FormatError):
        canonical.decode(data)


@given(st.binary(max_size=60))
def test_fuzz_reader_raises_nothing_else(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except FormatError:
        return
    canonical.encode(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, "\ud800", {"a": object()}, {1: 2}, b"bytes"])
def test_encoder_refuses_what_json_cannot_hold(value: object) -> None:
    with pytest.raises(InputError):
        canonical.encode(value)  # type: ignore[arg-type]


def test_depth_is_counted_outside_strings_only() -> None:
    assert canonical.decode(b"[" * 128 + b"]" * 128)
    wide = [["[" * 200, {"a": '"{[\\'}] for _ in range(200)]
    assert canonical.decode(canonical.encode(wide)) == wide


def test_surrogate_pairs_are_one_character() -> None:
    assert canonical.decode(b'"\\ud83d\\ude00"') == "\U0001f600"
