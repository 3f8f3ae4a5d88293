"""Thing models as documents: units of columns, a JSON Schema that others can use, nothing lost between the two."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from capsule.canonical import Json
from capsule.errors import FormatError
from capsule.rows import Reading, Row
from capsule.thing import ELECTRIC_VEHICLE, MODELS, STORAGE_STATION, STORAGE_STATION_SIMULATOR, ThingModel
from capsule.thing.checks import Checker, Memory
from capsule.thing.physics import NO_PHYSICS

NAMES = sorted({quantity.name for model in MODELS.values() for quantity in model.quantities})
UNITS = ("", "1", "_1", "_batt10", "_Set_batt1", "_Set", "_batt", "_x", "batt2", "_mean", "\n")
COLUMNS = st.one_of(
    st.builds(
        lambda name, unit, number: name.replace("#", number) + unit,
        st.sampled_from(NAMES),
        st.sampled_from(UNITS),
        st.sampled_from(["", "2", "17", "x"]),
    ),
    st.text(max_size=8),
)
VALUES = st.one_of(
    st.integers(-10, 10),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(-1000, 1000, allow_nan=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 1, 2, 3, 4, 5, 1.0, 0.5, 100, 100.5, 1e12, -40]),
)
VALIDATORS = {model.name: Draft202012Validator(model.schema) for model in MODELS.values()}
CHECKERS = {model.name: Checker(replace(model, physics=NO_PHYSICS)) for model in MODELS.values()}


def test_models_are_told_apart_by_hash() -> None:
    assert MODELS[STORAGE_STATION.hash] is STORAGE_STATION
    assert len({STORAGE_STATION.hash, STORAGE_STATION_SIMULATOR.hash, ELECTRIC_VEHICLE.hash}) == 3
    assert "simulator" in STORAGE_STATION_SIMULATOR.name


@pytest.mark.parametrize(
    ("model", "column", "unit"),
    [
        (STORAGE_STATION, "P_AC", "kW"),
        (STORAGE_STATION, "P_AC_batt10", "kW"),
        (STORAGE_STATION, "P_AC_Set_batt1", "kW"),
        (STORAGE_STATION, "SOC", "%"),
        (STORAGE_STATION, "SOC_batt1", "0.1 %"),
        (STORAGE_STATION, "U_DC_Batt_batt1", "0.1 V"),
        (STORAGE_STATION, "Grid_frequency", "mHz"),
        (STORAGE_STATION, "Grid_frequency_mean", ""),
        (STORAGE_STATION, "DateAndTime", ""),
        (STORAGE_STATION, "", ""),
        (ELECTRIC_VEHICLE, "pack_cell17_V", "V"),
        (ELECTRIC_VEHICLE, "pack2_cell17_V", "V"),
        (ELECTRIC_VEHICLE, "motor2_rpm", "r/min"),
        (ELECTRIC_VEHICLE, "pack_cell17_V_1", ""),
    ],
)
def test_units_of_columns(model: ThingModel, column: str, unit: str) -> None:
    assert model.unit(column) == unit


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_model_is_a_document_that_comes_back_with_its_hash(model: ThingModel) -> None:
    Draft202012Validator.check_schema(model.schema)
    again = ThingModel.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes()
    assert again.hash == model.hash
    assert {item.name: item for item in again.quantities} == {item.name: item for item in model.quantities}


def _edited(path: tuple[str | int, ...], value: Json) -> bytes:
    document: Any = json.loads(STORAGE_STATION.to_bytes())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 1),
        (("name",), 7),
        (("more",), 1),
        (("physics", "newer_rule"), []),
        (("physics", "rates", 0, "per_second"), "fast"),
        (("physics", "rates", 0, "per_second"), -1),
        (("roles", "voltage"), ["U_cell_max"]),
        (("roles", "stopped"), [1]),
        (("schema", "$defs", "SOC", "maximum"), True),
        (("schema", "$defs", "SOC", "type"), "string"),
        (("schema", "$defs", "SOC", "multipleOf"), 2),
        (("schema", "$defs", "S O C"), {"type": "number", "minimum": 0, "maximum": 1, "unit": "1"}),
        (("schema", "patternProperties"), {}),
        (("schema", "$defs", "State", "enum"), [1.5]),
        (("capacity_kwh",), "large"),
    ],
)
def test_a_document_that_says_what_is_not_checked_is_refused(path: tuple[str | int, ...], value: Json) -> None:
    with pytest.raises(FormatError):
        ThingModel.from_bytes(_edited(path, value))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(VALIDATORS)), st.dictionaries(COLUMNS, VALUES, max_size=6))
def test_the_fast_checks_and_a_json_schema_validator_agree(name: str, values: dict[str, Reading]) -> None:
    values = {column: value for column, value in values.items() if column.isprintable()}
    marked = {mark.column for mark in CHECKERS[name].judge([Row(1_700_000_000, values)], Memory())}
    refused = {str(error.absolute_path[0]) for error in VALIDATORS[name].iter_errors(values)}
    assert marked == refused
