"""Manifests bind code, parameters and output; parameters are salted and typed."""

from dataclasses import replace

import pytest

from capsule.algorithm import Algorithm, Column, ColumnType, Parameters, code_digest
from capsule.canonical import Json
from capsule.errors import FormatError, InputError, VerificationError
from tests.capsule.samples import digest

CODE = b"select day, avg(soc) as soc, count(*) as rows from capsule where soc > $least group by day"
ALGORITHM = Algorithm(
    kind="sql",
    code_hash=code_digest(CODE),
    parameters=(Column("least", ColumnType.NUMBER), Column("site", ColumnType.TEXT)),
    output=(Column("day", ColumnType.TEXT), Column("soc", ColumnType.NUMBER), Column("rows", ColumnType.INTEGER)),
    group_column="rows",
)
PARAMETERS = Parameters({"least": 2.5, "site": "B"}, bytes(32))


def test_manifest_survives_json() -> None:
    for algorithm in (ALGORITHM, replace(ALGORITHM, group_column=None, parameters=())):
        assert Algorithm.from_json(algorithm.to_json()) == algorithm
        assert Algorithm.from_json({**algorithm.to_json(), "later": 1}).hash != algorithm.hash


@pytest.mark.parametrize(
    "changes",
    [
        {"code_hash": digest(1)},
        {"parameters": ALGORITHM.parameters[::-1]},
        {"output": ALGORITHM.output[::-1]},
        {"group_column": None},
    ],
)
def test_everything_counts_in_the_hash(changes: dict[str, object]) -> None:
    assert replace(ALGORITHM, **changes).hash != ALGORITHM.hash  # type: ignore[arg-type]


def test_only_the_manifests_code_is_taken() -> None:
    assert ALGORITHM.verify_code(CODE) == CODE
    with pytest.raises(VerificationError):
        ALGORITHM.verify_code(CODE + b" ")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "shell"},
        {"output": ()},
        {"output": (*ALGORITHM.output, ALGORITHM.output[0])},
        {"parameters": (Column("a", ColumnType.TEXT), Column("a", ColumnType.NUMBER))},
        {"group_column": "day"},
        {"group_column": "missing"},
    ],
)
def test_impossible_manifests_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(ALGORITHM, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a b", "1a", "a;drop", "a" * 64])
def test_column_names_are_identifiers(name: str) -> None:
    with pytest.raises(InputError):
        Column(name, ColumnType.TEXT)


@pytest.mark.parametrize("changes", [{"runs": "shell"}, {"output": [{"name": "a", "type": "blob"}]}, {"code_hash": 1}])
def test_malformed_manifests_are_format_errors(changes: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        Algorithm.from_json({**ALGORITHM.to_json(), **changes})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ColumnType.INTEGER, [0, -5], [True, 1.5, "1", None]),
        (ColumnType.NUMBER, [0, 1.5], [True, float("nan"), "1"]),
        (ColumnType.TEXT, ["", "长"], [1, None, ["a"]]),
        (ColumnType.BOOLEAN, [True], [1, "true"]),
        (ColumnType.TIME, [1_700_000_000, 1.5], ["2024-01-01", False]),
    ],
)
def test_types_take_their_values_only(kind: ColumnType, good: list[Json], bad: list[Json]) -> None:
    assert all(kind.takes(value) for value in good)
    assert not any(kind.takes(value) for value in bad)


def test_parameters_must_be_those_declared() -> None:
    assert ALGORITHM.accept(PARAMETERS) is PARAMETERS
    for values in ({}, {"least": 1}, {"least": 1, "site": 2}, {"least": 1, "site": "B", "more": 1}):
        with pytest.raises(InputError):
            ALGORITHM.accept(Parameters(values, bytes(32)))


def test_parameters_hash_with_their_salt() -> None:
    assert Parameters.from_json(PARAMETERS.to_json()) == PARAMETERS
    assert Parameters(PARAMETERS.values, b"\x01" * 32).hash != PARAMETERS.hash
    assert Parameters({"least": 2.5, "site": "C"}, bytes(32)).hash != PARAMETERS.hash
    with pytest.raises(InputError):
        Parameters({}, b"")
    with pytest.raises(FormatError):
        Parameters.from_json({**PARAMETERS.to_json(), "values": []})


def test_parameters_do_not_change_with_what_they_were_made_from() -> None:
    values: dict[str, Json] = {"least": 1}
    parameters = Parameters(values, bytes(32))
    before = parameters.hash
    values["least"] = 2
    assert parameters.hash == before


def test_claim_of_determinism_counts_in_the_hash_and_is_written_only_when_made() -> None:
    claimed = replace(ALGORITHM, deterministic=True)
    assert claimed.hash != ALGORITHM.hash
    assert Algorithm.from_json(claimed.to_json()) == claimed
    assert "deterministic" not in ALGORITHM.to_json()
    for odd in (False, None, "yes"):
        with pytest.raises(FormatError):
            Algorithm.from_json({**ALGORITHM.to_json(), "deterministic": odd})


def test_documents_carry_sql_as_it_is_and_a_module_in_base64() -> None:
    module = b"\0asm\x01\0\0\0\xff"
    wasm = replace(ALGORITHM, kind="wasm", code_hash=code_digest(module))
    assert ALGORITHM.code_text(CODE) == CODE.decode()
    assert ALGORITHM.read_code(CODE.decode()) == CODE
    assert wasm.code_text(module) == "AGFzbQEAAAD/"
    assert wasm.read_code("AGFzbQEAAAD/") == module


@pytest.mark.parametrize("text", ["AGFzbQEAAAD_", "AGFzbQEAAAD/\n", "AGFzbQEAAAA=", "密", "\ud800", "AGFzbQ"])
def test_a_text_that_is_not_the_manifests_code_is_refused(text: str) -> None:
    wasm = replace(ALGORITHM, kind="wasm", code_hash=code_digest(b"\0asm\x01\0\0\0\xff"))
    for algorithm in (wasm, ALGORITHM):
        with pytest.raises(VerificationError):
            algorithm.read_code(text)


def test_code_that_is_not_text_is_no_sql() -> None:
    algorithm = replace(ALGORITHM, code_hash=code_digest(b"\xff"))
    with pytest.raises(VerificationError, match="code"):
        algorithm.code_text(b"\xff")
