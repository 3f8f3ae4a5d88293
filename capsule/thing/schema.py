"""A thing model's quantities as a JSON Schema (2020-12) of one row, and which quantity a column is.

A column is a quantity by its name, or by its name and that of a unit of the plant: "P_AC_batt10" is "P_AC". The longest
name counts, so the schema's patterns leave to a longer name what is its own. In a name, # stands for a number or none:
"pack2_cell17_V" is "pack#_cell#_V"; such a name is followed by nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from capsule.canonical import Json
from capsule.document import Fields
from capsule.errors import FormatError

__all__ = ["Quantity", "quantities_of", "schema_of", "split_column"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_UNIT: Final = "_?[A-Za-z]*[0-9]+"
_NUMBER: Final = "#"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_#]*")
_MAX_QUANTITIES: Final = 1_024
_MAX_VALUES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a column can hold: its unit, and its least and greatest possible value in that unit.

    `whole`: only whole numbers; `values`, where there are any: only these, all of them within the range.
    """

    name: str
    unit: str
    low: float
    high: float
    whole: bool = False
    values: tuple[int, ...] = ()

    def to_json(self) -> Json:
        schema: dict[str, Json] = {
            "type": "integer" if self.whole else "number",
            "minimum": self.low,
            "maximum": self.high,
            "unit": self.unit,
        }
        return {**schema, "enum": list(self.values)} if self.values else schema


def split_column(names: tuple[str, ...], column: str) -> tuple[str, str] | None:
    """The quantity of a column and its unit's name, "" where it has none; None where the column is none of `names`."""
    found = _reader(names).fullmatch(column)
    if found is None or found.lastgroup is None:
        return None
    name = names[int(found.lastgroup[1:])]
    if _NUMBER in name:
        numbered = re.fullmatch(_numbered(name, "([0-9]*)"), column)
        return None if numbered is None else (name, "/".join(numbered.groups()).strip("/"))
    return name, column[len(name) :]


def schema_of(quantities: Sequence[Quantity]) -> Json:
    """The schema of a row: one definition for each quantity, and the pattern of its columns. Other columns pass."""
    return {
        "$schema": _DIALECT,
        "type": "object",
        "$defs": {quantity.name: quantity.to_json() for quantity in quantities},
        "patternProperties": {
            _pattern(quantity.name, quantities): {"$ref": f"#/$defs/{quantity.name.replace(_NUMBER, '%23')}"}
            for quantity in quantities
        },
    }


def quantities_of(fields: Fields) -> tuple[Quantity, ...]:
    """The quantities that a schema defines, by name. Raises FormatError where one is not of the form written here."""
    defined = fields.object("$defs")
    if len(defined.names()) > _MAX_QUANTITIES:
        raise FormatError(f"a thing model has at most {_MAX_QUANTITIES} quantities")
    return tuple(_quantity(name, defined.object(name)) for name in defined.names())


def _quantity(name: str, fields: Fields) -> Quantity:
    if _NAME.fullmatch(name) is None:
        raise FormatError(f"{name!r:.80} is no name of a quantity; use letters, digits and _")
    values = fields.integers("enum", _MAX_VALUES) if fields.has("enum") else ()
    return Quantity(
        name,
        fields.text("unit"),
        fields.number("minimum"),
        fields.number("maximum"),
        fields.one_of("type", ("integer", "number")) == "integer",
        values,
    )


@lru_cache(maxsize=64)
def _reader(names: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all names, the longest first; the group that matches says which."""
    longest = sorted(range(len(names)), key=lambda place: -len(names[place]))
    return re.compile("|".join(f"(?P<n{place}>{_column(names[place])})" for place in longest))


def _column(name: str) -> str:
    return _numbered(name, "[0-9]*") if _NUMBER in name else f"{re.escape(name)}(?:{_UNIT})?"


def _numbered(name: str, number: str) -> str:
    return number.join(re.escape(part) for part in name.split(_NUMBER))


def _pattern(name: str, quantities: Iterable[Quantity]) -> str:
    longer = sorted(
        re.escape(other.name[len(name) :]) for other in quantities if other.name != name and other.name.startswith(name)
    )
    if _NUMBER in name or not longer:
        return f"^{_column(name)}$"
    return f"^{re.escape(name)}(?!(?:{'|'.join(longer)})(?:{_UNIT})?$)(?:{_UNIT})?$"
