"""Rows of readings as a SenML pack in CBOR (RFC 8428), the payload of a device's frame.

Written so: the first record carries the base name, which is the device's id and "/"; every row opens with a record that
carries the row's time as base time; integers stay integers and floats stay 64 bits wide, so that every value comes back
as it went in; a missing reading has no record. Read more widely: any pack of numeric records about that one device
whose times are absolute. A new row starts at each base time, at each change of time, and when a name repeats.

SenML names know few letters. A column name is written as its UTF-8 bytes, with every byte outside A-Z a-z 0-9 - . / _
as ":" and two hexadecimal digits.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, TypeAlias

import cbor2

from capsule.cbor import ARRAY, Cbor, read_head, read_item
from capsule.errors import FormatError, InputError
from capsule.ids import DeviceId

__all__ = [
    "EARLIEST_TIME",
    "LATEST_TIME",
    "MAX_COLUMNS",
    "MAX_RECORDS",
    "Reading",
    "Record",
    "Row",
    "pack_rows",
    "resolve",
    "unpack_rows",
]

Reading: TypeAlias = int | float

EARLIEST_TIME: Final = 2**28
"""Unix seconds. SenML reads smaller numbers as relative to now (RFC 8428, section 4.5.3)."""
LATEST_TIME: Final = 253_402_300_800
"""Unix seconds, exclusive: the end of the year 9999."""
MAX_RECORDS: Final = 65_536
MAX_COLUMNS: Final = 1_024
_MAX_NAME: Final = 512  # bytes of a name as written
_MAX_VERSION: Final = 10  # of SenML
_INT64: Final = 2**63

# Labels of RFC 8428, table 4.
_BASE_VERSION, _BASE_NAME, _BASE_TIME, _BASE_UNIT, _BASE_VALUE, _BASE_SUM = -1, -2, -3, -4, -5, -6
_NAME, _UNIT, _VALUE, _TEXT, _BOOLEAN, _SUM, _TIME, _UPDATE, _DATA = 0, 1, 2, 3, 4, 5, 6, 7, 8

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-./_")
_SENML_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
_ESCAPE: Final = re.compile(r":(..)?", re.DOTALL)
_HEX_PAIR: Final = re.compile(r"[0-9A-F]{2}")
_DOUBLE: Final = struct.Struct(">d")
_VALUES: Final[dict[int, type[float | str | bool | bytes]]] = {_VALUE: float, _TEXT: str, _BOOLEAN: bool, _DATA: bytes}

# By the first byte of a number: how many bytes follow, and the least of them in its shortest form. Integers of 8 bytes,
# which may pass 64 bits, and shorter floats are left to the long way.
_SHORT_FORMS: Final[dict[int, tuple[int, bytes]]] = (
    {sign + small: (0, b"") for sign in (0x00, 0x20) for small in range(24)}
    | {sign + 0x18: (1, b"\x18") for sign in (0x00, 0x20)}
    | {sign + 0x19: (2, b"\x01\x00") for sign in (0x00, 0x20)}
    | {sign + 0x1A: (4, b"\x00\x01\x00\x00") for sign in (0x00, 0x20)}
    | {0xFB: (8, b"")}
)
_NO_FORM: Final = (0, b"\xff")


@dataclass(frozen=True, slots=True)
class Row:
    """One moment of a device: time in unix seconds, and its readings by column name. Missing readings are absent."""

    time: Reading
    values: Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class Record:
    """A resolved SenML record. `opens`: it carried a base time. `name` is None where it held base values only."""

    name: str | None
    unit: str | None
    time: Reading
    value: Reading | str | bool | bytes | None
    opens: bool


class _Base:
    """Base values in force (RFC 8428, section 4.1), and the names already resolved under the base name."""

    __slots__ = ("name", "names", "time", "unit", "value")

    def __init__(self) -> None:
        self.name = ""
        self.names: dict[bytes, str] = {}
        self.time: Reading = 0
        self.unit: str | None = None
        self.value: Reading | None = None

    def adopt(self, fields: Mapping[int | str, Cbor]) -> None:
        version = fields.get(_BASE_VERSION, _MAX_VERSION)
        if not isinstance(version, int) or not 1 <= version <= _MAX_VERSION:
            raise FormatError(f"SenML version {version!r:.40} is not known")
        if _BASE_NAME in fields:
            self.name = _text(fields, _BASE_NAME, "")
            self.names.clear()
        if _BASE_TIME in fields:
            self.time = _number(fields, _BASE_TIME)
        if _BASE_UNIT in fields:
            self.unit = _text(fields, _BASE_UNIT, "") or None
        if _BASE_VALUE in fields:
            self.value = _number(fields, _BASE_VALUE)


# ---------------------------------------------------------------------------------------------------------- names


def _written_name(column: str) -> str:
    if not isinstance(column, str) or not column or column != column.strip() or not column.isprintable():
        raise InputError(f"a column name is printable text without blanks around it, not {column!r:.80}")
    try:
        letters = column.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InputError(f"column name {column!r:.80} holds half of a surrogate pair") from exc
    written = "".join(chr(letter) if letter in _PLAIN else f":{letter:02X}" for letter in letters)
    if len(written) > _MAX_NAME:
        raise InputError(f"column name {column!r:.80} is too long")
    return written


def _column(written: str) -> str:
    """The column that a name stands for."""
    if ":" in written:
        if any(_HEX_PAIR.fullmatch(pair or "") is None for pair in _ESCAPE.findall(written)):
            raise FormatError(f"name {written!r:.80} holds a colon that is no escape")
        letters = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), written).encode("latin-1")
    else:
        letters = written.encode("ascii")
    try:
        column = letters.decode("utf-8")
        again = _written_name(column)
    except (UnicodeDecodeError, InputError) as exc:
        raise FormatError(f"name {written!r:.80} stands for no column") from exc
    if again != written:
        raise FormatError(f"name {written!r:.80} escapes what needs no escape")
    return column


def _base_name(device: DeviceId) -> str:
    return device.hex() + "/"


# -------------------------------------------------------------------------------------------------------- writing


def pack_rows(device: DeviceId, rows: Sequence[Row], units: Mapping[str, str]) -> bytes:
    """The SenML pack of `rows`; `units` are written beside the readings of the columns that they name.

    Raises InputError for what can't come back unchanged: no rows, times before 1978-07-04 or not finite, values that
    are neither int64 nor finite floats, names that are no text, more than MAX_RECORDS records or MAX_COLUMNS columns.
    """
    if not rows:
        raise InputError("a frame has at least one row")
    names: dict[str, str] = {}
    records: list[dict[int, int | float | str]] = []
    for row in rows:
        opening: dict[int, int | float | str] = {} if records else {_BASE_NAME: _base_name(device)}
        opening[_BASE_TIME] = _checked_time(row.time)
        for column, value in row.values.items():
            if column not in names:
                names[column] = _written_name(column)
            record: dict[int, int | float | str] = {_NAME: names[column]}
            if column in units:
                record[_UNIT] = units[column]
            record[_VALUE] = _checked_value(column, value)
            records.append(record | opening)
            opening = {}
        if opening:  # a row without readings is still a row
            records.append(opening)
        if len(records) > MAX_RECORDS or len(names) > MAX_COLUMNS:
            raise InputError(f"a frame holds at most {MAX_RECORDS} readings in {MAX_COLUMNS} columns")
    return cbor2.dumps(records)


def _checked_time(time: Reading) -> Reading:
    if type(time) not in (int, float) or not EARLIEST_TIME <= time < LATEST_TIME:
        raise InputError(f"time {time!r:.40} is not unix seconds from 1978-07-04 to the year 9999")
    return time


def _checked_value(column: str, value: Reading) -> Reading:
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    if type(value) is float and isfinite(value):
        return value
    raise InputError(f"reading {column} = {value!r:.40} is neither a 64-bit integer nor a finite float")


# -------------------------------------------------------------------------------------------------------- reading


def unpack_rows(payload: bytes, device: DeviceId) -> tuple[tuple[Row, ...], dict[str, str]]:
    """Rows and units of a SenML pack about `device`. Raises FormatError for everything that is not one."""
    base = _base_name(device)
    columns: dict[str, str] = {}
    units: dict[str, str] = {}
    rows: list[Row] = []
    values: dict[str, Reading] = {}
    time: Reading | None = None
    for name, unit, moment, value, opens in _records(payload):
        column = None
        if name is not None:
            column = columns.get(name)
            if column is None:
                if not name.startswith(base):
                    raise FormatError(f"record {name!r:.120} is not about device {device}")
                column = columns[name] = _column(name[len(base) :])
                if len(columns) > MAX_COLUMNS:
                    raise FormatError(f"frame has more than {MAX_COLUMNS} columns")
        if opens or moment != time or column in values:
            if not EARLIEST_TIME <= moment < LATEST_TIME:
                raise FormatError(f"time {moment!r:.40} is not absolute unix seconds")
            time, values = moment, {}
            rows.append(Row(moment, values))
        if column is None:
            continue
        if type(value) is not int and type(value) is not float:
            raise FormatError(f"reading {column} is not a number")
        if unit is not None and units.setdefault(column, unit) != unit:
            raise FormatError(f"column {column} has two units in one frame")
        values[column] = value
    return tuple(rows), units


def resolve(payload: bytes) -> tuple[Record, ...]:
    """The resolved records (RFC 8428, section 4.6) of a pack, absolute times or not."""
    return tuple(Record(*fields) for fields in _records(payload))


_Value: TypeAlias = "Reading | str | bool | bytes | None"
_Fields: TypeAlias = "tuple[str | None, str | None, Reading, _Value, bool]"


def _records(data: bytes) -> list[_Fields]:
    """Resolves record by record. Nearly all are {name, value} with a name seen before and a number: the short way."""
    major, count, at = read_head(data, 0)
    if major != ARRAY or not 1 <= count <= MAX_RECORDS:
        raise FormatError(f"SenML pack is not an array of 1 to {MAX_RECORDS} records")
    base = _Base()
    names = base.names
    found: list[_Fields] = []
    padded = data + bytes(16)  # the short way may read past the end once; the next step or the last check sees it
    for _ in range(count):
        if padded[at] == 0xA2 and padded[at + 1] == _NAME and base.value is None:
            stop = at + padded[at + 2] - 0x5D  # 0x60 + length, after three bytes of heads
            name = names.get(padded[at + 3 : stop])
            if name is not None and padded[stop] == _VALUE:
                kind = padded[stop + 1]
                width, least = _SHORT_FORMS.get(kind, _NO_FORM)
                content = padded[stop + 2 : stop + 2 + width]
                if content >= least:
                    number: Reading
                    if kind == 0xFB:
                        (number,) = _DOUBLE.unpack(content)
                        if not isfinite(number):
                            raise FormatError("reading is not a finite number")
                    elif kind < 0x20:
                        number = int.from_bytes(content, "big") if width else kind
                    else:
                        number = ~int.from_bytes(content, "big") if width else 0x1F - kind
                    found.append((name, base.unit, base.time, number, False))
                    at = stop + 2 + width
                    continue
        fields, at = _record(data, at, base)
        found.append(fields)
    if at != len(data):
        raise FormatError("SenML pack is cut off or followed by other bytes")
    return found


def _record(data: bytes, at: int, base: _Base) -> tuple[_Fields, int]:
    """Reads and resolves any one record; base values that it carries come into force."""
    fields, after = read_item(data, at, 1)
    if not isinstance(fields, dict):
        raise FormatError("SenML record is not a map")
    for label in fields:
        if label in (_BASE_SUM, _SUM):
            raise FormatError("SenML sums have no meaning in a row")
        if isinstance(label, str) and label.endswith("_"):
            raise FormatError(f"SenML label {label!r:.40} must be understood, and is not")
    base.adopt(fields)
    opens = _BASE_TIME in fields
    values = [label for label in _VALUES if label in fields]
    if not values and not any(label in fields for label in (_NAME, _UNIT, _TIME)):
        return (None, None, base.time, None, opens), after
    if len(values) != 1:
        raise FormatError("SenML record has not exactly one value")
    own = _text(fields, _NAME, "")
    name = base.name + own
    if _SENML_NAME.fullmatch(name) is None or len(own) > _MAX_NAME:
        raise FormatError(f"{name!r:.80} is no SenML name")
    if 0 < len(own) < 24:
        base.names[own.encode("ascii")] = name
    time = base.time + _number(fields, _TIME) if _TIME in fields else base.time
    unit = _text(fields, _UNIT, base.unit or "") or None
    return (name, unit, time, _value(fields, values[0], base), opens), after


def _value(fields: Mapping[int | str, Cbor], label: int, base: _Base) -> _Value:
    if label == _VALUE:
        value = _number(fields, _VALUE)
        return value if base.value is None else _checked(base.value + value, _VALUE)
    value_of_kind = fields[label]
    if not isinstance(value_of_kind, _VALUES[label]):
        raise FormatError(f"SenML field {label} is of another type")
    return value_of_kind


def _number(fields: Mapping[int | str, Cbor], label: int) -> Reading:
    return _checked(fields[label], label)


def _checked(value: Cbor, label: int) -> Reading:
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    if type(value) is float and isfinite(value):
        return value
    raise FormatError(f"SenML field {label} is neither a 64-bit integer nor a finite float")


def _text(fields: Mapping[int | str, Cbor], label: int, absent: str) -> str:
    value = fields.get(label, absent)
    if not isinstance(value, str):
        raise FormatError(f"SenML field {label} is no text")
    return value
