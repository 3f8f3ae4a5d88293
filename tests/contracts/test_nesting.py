"""RLP from strangers: read as deep as it is meant to be, and no deeper."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from rlp.exceptions import RLPException

from contracts.nesting import read_nested

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=4), max_leaves=20
)


def depth(value: Any) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_what_nests_as_deep_as_allowed_is_read_and_no_deeper(value: Any) -> None:
    encoded, deep = rlp.encode(value), depth(value)

    assert read_nested(encoded, deep) == value
    if deep:
        with pytest.raises(RLPException):
            read_nested(encoded, deep - 1)


@given(st.binary(max_size=200), st.integers(0, 4))
def test_bytes_that_are_no_rlp_are_refused_or_read_within_depth(data: bytes, deep: int) -> None:
    try:
        value = read_nested(data, deep)
    except RLPException:
        return
    assert depth(value) <= deep
