"""Manifests of private algorithms: what they may promise, and that a budget's arithmetic is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.algorithm import Algorithm, Column, ColumnType
from capsule.canonical import Json, decode, encode
from capsule.errors import FormatError, InputError
from capsule.privacy import MAX_DELTA, NO_EPSILON, BoundedSum, Epsilon, Privacy
from tests.capsule.samples import digest

TOTAL = BoundedSum(name="total", lower=-5, upper=20_000, decimals=2)
LISTED = Privacy(epsilon=Epsilon.parse("0.5"), count="n", sums=(TOTAL,), keys=(("A",), ("B",), (None,)))
PAST = Privacy(epsilon=Epsilon.parse("0.5"), count="n", sums=(TOTAL,), delta=1e-9)
ALGORITHM = Algorithm(
    kind="sql",
    code_hash=digest(1),
    parameters=(),
    output=(Column("band", ColumnType.TEXT), Column("n", ColumnType.INTEGER), Column("total", ColumnType.NUMBER)),
    group_column="n",
    privacy=LISTED,
)

amounts = st.integers(0, 10**12).map(Epsilon)


@given(amounts, amounts)
def test_epsilons_add_up_exactly_and_have_one_form(one: Epsilon, other: Epsilon) -> None:
    assert (one + other).millionths == one.millionths + other.millionths
    assert (one + other).less(other) == one
    assert one.less(one + other) == NO_EPSILON
    assert Epsilon.parse(str(one)) == one


@pytest.mark.parametrize("text", ["", "1.0", "01", ".5", "1e3", "-1", "0.0000001", "nan", "inf", " 1", "1,5", "9" * 11])
def test_epsilon_in_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Epsilon.parse(text)


def test_a_thousand_tenths_are_a_hundred() -> None:
    """In doubles they are not."""
    assert sum([Epsilon.parse("0.1")] * 1000, NO_EPSILON) == Epsilon.parse("100")


def test_private_manifest_survives_json_and_counts_in_the_hash() -> None:
    for privacy in (LISTED, PAST, replace(LISTED, sums=(), keys=(("A",), ("total",)))):
        output = ALGORITHM.output if privacy.sums else ALGORITHM.output[:2]
        algorithm = replace(ALGORITHM, privacy=privacy, output=output)
        assert Algorithm.from_json(decode(encode(algorithm.to_json()))) == algorithm
        assert algorithm.hash != replace(algorithm, privacy=None).hash
    assert len({replace(ALGORITHM, privacy=each).hash for each in (LISTED, PAST)}) == 2


def test_sensitivity_is_of_the_farther_bound_in_steps() -> None:
    assert TOTAL.sensitivity == 2_000_000
    assert BoundedSum(name="x", lower=-7, upper=3).sensitivity == 7


def test_epsilon_is_shared_by_the_columns_with_noise() -> None:
    assert LISTED.share == Epsilon.parse("0.25")
    three = replace(LISTED, sums=(TOTAL, replace(TOTAL, name="other")))
    assert three.share.millionths * 3 <= three.epsilon.millionths


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": NO_EPSILON},
        {"epsilon": Epsilon(1)},
        {"epsilon": Epsilon.parse("1000.000001")},
        {"count": None, "sums": ()},
        {"count": "total"},
        {"sums": (TOTAL, TOTAL)},
        {"delta": 1e-9},
        {"keys": ()},
        {"keys": (("A",), ("A",))},
        {"keys": ((2**53,),)},
        {"keys": None, "delta": 0.0},
        {"keys": None, "delta": MAX_DELTA * 1.01},
        {"keys": None, "delta": float("nan")},
        {"keys": None, "delta": 1e-9, "count": None},
    ],
)
def test_promise_that_is_none_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(LISTED, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"lower": 5, "upper": 5}, {"upper": 2**31}, {"decimals": 7}, {"decimals": -1}])
def test_bounds_that_bound_nothing_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InputError):
        replace(TOTAL, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "wasm"},
        {"deterministic": True},
        {"group_column": "total", "output": tuple(replace(each, type=ColumnType.INTEGER) for each in ALGORITHM.output)},
        {"privacy": replace(LISTED, count="missing")},
        {"privacy": replace(LISTED, count="band")},
        {"privacy": replace(LISTED, sums=(replace(TOTAL, name="missing"),))},
        {"privacy": replace(LISTED, sums=(replace(TOTAL, name="band"),))},
        # decimals of an integer
        {"output": (*ALGORITHM.output[:2], Column("total", ColumnType.INTEGER))},
        # keys that nothing lists, and a list without keys
        {"privacy": replace(LISTED, keys=None)},
        {"output": ALGORITHM.output[1:]},
        {"privacy": replace(LISTED, keys=(("A", "B"),))},
        {"privacy": replace(LISTED, keys=((1,),))},
        # one time can be written in many ways, a double too
        {"output": (Column("band", ColumnType.TIME), *ALGORITHM.output[1:]), "privacy": replace(LISTED, keys=((1,),))},
    ],
)
def test_manifest_whose_columns_are_not_those_of_its_promise_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(ALGORITHM, **changes)  # type: ignore[arg-type]


junk: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(LISTED.to_json())), junk)
def test_malformed_promise_is_refused_or_is_what_it_says(member: str, value: Json) -> None:
    """Whatever stands in one member: a manifest that is read writes the same promise again."""
    document = {**ALGORITHM.to_json(), "privacy": {**LISTED.to_json(), member: value}}
    try:
        read = Algorithm.from_json(document)
    except FormatError:
        return
    assert read.privacy is not None
    assert encode(read.to_json()) == encode(document)


@given(st.text(max_size=9).filter(lambda name: name not in LISTED.to_json()), junk)
def test_promise_with_an_unknown_member_is_refused(name: str, value: Json) -> None:
    with pytest.raises(FormatError):
        Algorithm.from_json({**ALGORITHM.to_json(), "privacy": {**LISTED.to_json(), name: value}})
