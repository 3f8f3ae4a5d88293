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
Value: TypeAlias = "Reading | str | bool | bytes | None"

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
    value: Value
    opens: bool


class _Base:
    """Base values in force (RFC 8428, section 4.1), and the names already resolved under the base name."""

    __slots__ = ("is_plain", "name", "names", "time", "unit", "value")

    def __init__(self) -> None:
        self.name = ""
        self.names: dict[bytes, str] = {}
        self.time: Reading = 0
        self.unit: str | None = None
        self.value: Reading | None = None
        self.is_plain = True
        """nothing but name and time has a base"""

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
        self.is_plain = self.unit is None and self.value is None


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
    count, at = _open_pack(payload)
    base, table = _Base(), _Table(device)
    names, columns, values = base.names, table.columns, table.values
    padded = payload + bytes(16)  # the short way may read past the end once; the next step or the last check sees it
    for _ in range(count):
        # Nearly all records are {name, value} with a name seen before and a number, in the row of the one before.
        if padded[at] == 0xA2 and padded[at + 1] == _NAME and base.is_plain:
            stop = at + padded[at + 2] - 0x5D  # 0x60 + length, after three bytes of heads
            name = names.get(padded[at + 3 : stop])
            if name is not None and padded[stop] == _VALUE:
                kind = padded[stop + 1]
                width, least = _SHORT_FORMS.get(kind, _NO_FORM)
                content = padded[stop + 2 : stop + 2 + width]
                column = columns[name]
                if content >= least and column not in values and table.time == base.time:
                    if kind == 0xFB:
                        (number,) = _DOUBLE.unpack(content)
                        if not isfinite(number):
                            raise FormatError("reading is not a finite number")
                        values[column] = number
                    elif kind < 0x20:
                        values[column] = int.from_bytes(content, "big") if width else kind
                    else:
                        values[column] = ~int.from_bytes(content, "big") if width else 0x1F - kind
                    at = stop + 2 + width
                    continue
        record, at = _record(payload, at, base)
        table.add(record)
        values = table.values
    if at != len(payload):
        raise FormatError("SenML pack is cut off or followed by other bytes")
    return tuple(table.rows), table.units


def resolve(payload: bytes) -> tuple[Record, ...]:
    """The resolved records (RFC 8428, section 4.6) of a pack, absolute times or not. Raises FormatError."""
    count, at = _open_pack(payload)
    base = _Base()
    records = []
    for _ in range(count):
        record, at = _record(payload, at, base)
        records.append(record)
    if at != len(payload):
        raise FormatError("SenML pack is followed by other bytes")
    return tuple(records)


def _open_pack(payload: bytes) -> tuple[int, int]:
    """How many records there are, and where the first one starts."""
    major, count, at = read_head(payload, 0)
    if major != ARRAY or not 1 <= count <= MAX_RECORDS:
        raise FormatError(f"SenML pack is not an array of 1 to {MAX_RECORDS} records")
    return count, at


class _Table:
    """Rows as resolved records fill them; `time` and `values` are those of the last row."""

    __slots__ = ("_base", "_device", "columns", "rows", "time", "units", "values")

    def __init__(self, device: DeviceId) -> None:
        self._device = device
        self._base = _base_name(device)
        self.columns: dict[str, str] = {}
        self.rows: list[Row] = []
        self.time: Reading | None = None
        self.units: dict[str, str] = {}
        self.values: dict[str, Reading] = {}

    def add(self, record: Record) -> None:
        column = None if record.name is None else self._column(record.name)
        if record.opens or record.time != self.time or column in self.values:
            if not EARLIEST_TIME <= record.time < LATEST_TIME:
                raise FormatError(f"time {record.time!r:.40} is not absolute unix seconds")
            self.time, self.values = record.time, {}
            self.rows.append(Row(record.time, self.values))
        if column is None:
            return
        if type(record.value) is not int and type(record.value) is not float:
            raise FormatError(f"reading {column} is not a number")
        if record.unit is not None and self.units.setdefault(column, record.unit) != record.unit:
            raise FormatError(f"column {column} has two units in one frame")
        self.values[column] = record.value

    def _column(self, name: str) -> str:
        column = self.columns.get(name)
        if column is None:
            if not name.startswith(self._base):
                raise FormatError(f"record {name!r:.120} is not about device {self._device}")
            column = self.columns[name] = _column(name[len(self._base) :])
            if len(self.columns) > MAX_COLUMNS:
                raise FormatError(f"frame has more than {MAX_COLUMNS} columns")
        return column


def _record(data: bytes, at: int, base: _Base) -> tuple[Record, int]:
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
        return Record(None, None, base.time, None, opens), after
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
    return Record(name, unit, time, _value(fields, values[0], base), opens), after


def _value(fields: Mapping[int | str, Cbor], label: int, base: _Base) -> Value:
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
