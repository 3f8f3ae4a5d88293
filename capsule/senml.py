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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Final, TypeAlias

import cbor2

from capsule.cbor import ARRAY, Cbor, read_head, read_item
from capsule.errors import FormatError, InputError
from capsule.ids import DeviceId
from capsule.rows import Reading, RegularRows, Row
from capsule.senml_form import PlainRecord, PlainRows, read_plain, read_plain_rows

__all__ = [
    "EARLIEST_TIME",
    "LATEST_TIME",
    "MAX_COLUMNS",
    "MAX_RECORDS",
    "Record",
    "pack_rows",
    "resolve",
    "unpack_rows",
]

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
_VALUES: Final[dict[int, type[float | str | bool | bytes]]] = {_VALUE: float, _TEXT: str, _BOOLEAN: bool, _DATA: bytes}


@dataclass(frozen=True, slots=True)
class Record:
    """A resolved SenML record. `opens`: it carried a base time. `name` is None where it held base values only."""

    name: str | None
    unit: str | None
    time: Reading
    value: Value
    opens: bool


class _Base:
    """Base values in force (RFC 8428, section 4.1)."""

    __slots__ = ("name", "time", "unit", "value")

    def __init__(self) -> None:
        self.name = ""
        self.time: Reading = 0
        self.unit: str | None = None
        self.value: Reading | None = None

    def adopt(self, fields: Mapping[int | str, Cbor]) -> None:
        version = fields.get(_BASE_VERSION, _MAX_VERSION)
        if not isinstance(version, int) or not 1 <= version <= _MAX_VERSION:
            raise FormatError(f"SenML version {version!r:.40} is not known")
        if _BASE_NAME in fields:
            self.name = _text(fields, _BASE_NAME, "")
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


@lru_cache(maxsize=4096)
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


def unpack_rows(payload: bytes, device: DeviceId) -> tuple[Sequence[Row], dict[str, str]]:
    """Rows and units of a SenML pack about `device`. Raises FormatError for everything that is not one."""
    count, at = _open_pack(payload)
    table = _Table(device)
    records = payload[at:]
    if (regular := read_plain_rows(records, count)) is not None:
        return table.regular(regular), table.units
    plain = read_plain(records)
    if plain is not None and len(plain) == count:
        table.add_plain(plain)
        return tuple(table.rows), table.units
    base = _Base()
    for _ in range(count):
        record, at = _record(payload, at, base)
        table.add(record)
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
            self._open_row(record.time)
        if column is None:
            return
        if type(record.value) is not int and type(record.value) is not float:
            raise FormatError(f"reading {column} is not a number")
        if record.unit is not None:
            self._set_unit(column, record.unit)
        self.values[column] = record.value

    def regular(self, plain: PlainRows) -> RegularRows:
        """The rows of a pack in the written form whose rows are all alike."""
        opening = plain.first
        base = opening[0][_BASE_NAME]
        times = (opening[0][_BASE_TIME], *plain.times)
        for time in (min(times), max(times)):
            if not EARLIEST_TIME <= time < LATEST_TIME:
                raise _not_absolute(time)
        columns = [self._column(_full_name(base, record[_NAME])) for record in opening]
        for column, record in zip(columns, opening, strict=True):
            if _UNIT in record:
                self._set_unit(column, record[_UNIT])
        readings = zip(opening, plain.readings, strict=True)
        return RegularRows(
            times,
            dict(zip(columns, ((record[_VALUE], *rest) for record, rest in readings), strict=True)),
        )

    def add_plain(self, records: Sequence[PlainRecord]) -> None:
        """All records of a pack in the written form, without a call for each."""
        base: str = records[0][_BASE_NAME]
        columns: dict[str, str] = {}
        rows, values = self.rows, self.values
        now: Reading = 0
        for record in records:
            if _BASE_TIME in record:
                now = record[_BASE_TIME]
                if not EARLIEST_TIME <= now < LATEST_TIME:
                    raise _not_absolute(now)
                values = {}
                rows.append(Row(now, values))
                if _NAME not in record:
                    continue
            name = record[_NAME]
            column = columns.get(name)
            if column is None:
                column = columns[name] = self._column(_full_name(base, name))
            if column in values:
                values = {}
                rows.append(Row(now, values))
            if _UNIT in record:
                self._set_unit(column, record[_UNIT])
            values[column] = record[_VALUE]

    def _open_row(self, time: Reading) -> None:
        if not EARLIEST_TIME <= time < LATEST_TIME:
            raise _not_absolute(time)
        self.time, self.values = time, {}
        self.rows.append(Row(time, self.values))

    def _set_unit(self, column: str, unit: str) -> None:
        if self.units.setdefault(column, unit) != unit:
            raise FormatError(f"column {column} has two units in one frame")

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
    name = _full_name(base.name, _text(fields, _NAME, ""))
    time = base.time + _number(fields, _TIME) if _TIME in fields else base.time
    unit = _text(fields, _UNIT, base.unit or "") or None
    return Record(name, unit, time, _value(fields, values[0], base), opens), after


def _not_absolute(time: Reading) -> FormatError:
    return FormatError(f"time {time!r:.40} is not absolute unix seconds")


def _full_name(base: str, own: str) -> str:
    name = base + own
    if _SENML_NAME.fullmatch(name) is None or len(own) > _MAX_NAME:
        raise FormatError(f"{name!r:.80} is no SenML name")
    return name


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
