"""Data units of GB/T 32960.3 as typed values: login, logout, report (real-time and re-sent), heartbeat, time sync.

A report is read item by item. An item whose layout this gateway does not know ends the reading: what came before it
counts, and `unread` says what and why. An item of a known layout that does not fit its bytes makes the whole message
refused: then no count in it can be trusted. Nothing is allocated by a count before the bytes are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, TypeAlias

from gateway.gbt32960.errors import Answer, LayoutError, RefusedError
from gateway.gbt32960.fields import Value
from gateway.gbt32960.frame import Command, Edition, Encryption, Message
from gateway.gbt32960.items import SIGNATURE_TYPE, Part, Repeat, item_of, reserved_name
from gateway.gbt32960.signature import SignatureRecord, read_signature

__all__ = [
    "Content",
    "Entry",
    "Heartbeat",
    "Login",
    "Logout",
    "PlatformSession",
    "Report",
    "TimeSync",
    "Unread",
    "UserData",
    "decode",
    "encode_time",
    "read_time",
]

_BEIJING: Final = timezone(timedelta(hours=8))
_TIME_BYTES: Final = 6
_USER_DEFINED: Final = range(0x80, 0xFF)


@dataclass(frozen=True, slots=True)
class Entry:
    """One decoded field: column, unit, value."""

    column: str
    unit: str
    value: Value


@dataclass(frozen=True, slots=True)
class UserData:
    """A user-defined item: its type, and its bytes, which mean what the vehicle's maker says."""

    type: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """Where reading a report ended early, and why."""

    type: int
    bytes_left: int
    why: str


@dataclass(frozen=True, slots=True)
class Login:
    """Vehicle login (table 6). `time` in unix seconds; `packs` are the battery codes. Personal: not in `repr`."""

    time: int
    number: int
    iccid: bytes = field(repr=False)
    packs: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Logout:
    """Vehicle logout."""

    time: int
    number: int


@dataclass(frozen=True, slots=True)
class PlatformSession:
    """Login or logout of a platform that passes on vehicles; user name and password are left unread."""

    time: int
    number: int


@dataclass(frozen=True, slots=True)
class Report:
    """Real-time data, or re-sent (command 03). `signed` is what the signature record is over: time to last item."""

    time: int
    resent: bool
    entries: tuple[Entry, ...] = field(repr=False)
    user_data: tuple[UserData, ...] = ()
    unread: Unread | None = None
    signature: SignatureRecord | None = None
    signed: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The vehicle is there."""


@dataclass(frozen=True, slots=True)
class TimeSync:
    """The vehicle asks for the time."""


Content: TypeAlias = "Login | Logout | PlatformSession | Report | Heartbeat | TimeSync"


class _Cursor:
    """Reads big-endian numbers and bytes off a data unit."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int, what: str) -> bytes:
        if size > self.left:
            raise LayoutError(f"{what} needs {size} bytes, the data unit has {self.left} left")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, width: int, what: str) -> int:
        return int.from_bytes(self.take(width, what), "big")


def decode(message: Message) -> Content:
    """The content of a command. Raises LayoutError where it does not fit, RefusedError for what is not offered here."""
    if message.encryption != Encryption.NONE:
        raise RefusedError(
            f"the data unit is encrypted ({_encryption(message.encryption)}); this gateway holds no key for it",
            Answer.DECRYPTION,
        )
    cursor = _Cursor(message.data)
    match message.command:
        case Command.LOGIN:
            content: Content = _login(cursor, message.edition)
        case Command.LOGOUT:
            content = Logout(read_time(cursor.take(_TIME_BYTES, "the time")), cursor.number(2, "the login number"))
        case Command.PLATFORM_LOGIN | Command.PLATFORM_LOGOUT:
            content = PlatformSession(
                read_time(cursor.take(_TIME_BYTES, "the time")), cursor.number(2, "the login number")
            )
            if message.command == Command.PLATFORM_LOGIN:
                cursor.take(12 + 20 + 1, "user name, password and encryption")
        case Command.REALTIME | Command.RESENT:
            content = _report(cursor, message.edition, message.command == Command.RESENT)
        case Command.HEARTBEAT:
            content = Heartbeat()
        case Command.TIME:
            content = TimeSync()
        case _:
            raise RefusedError(f"command {_command(message.command)} is not offered here")
    if cursor.left:
        raise LayoutError(f"{cursor.left} bytes follow the end of the data unit's content")
    return content


def read_time(data: bytes) -> int:
    """Unix seconds of a time of table 5: Beijing time, years from 2000. Raises LayoutError."""
    year, month, day, hour, minute, second = data
    try:
        moment = datetime(2000 + year, month, day, hour, minute, second, tzinfo=_BEIJING)
    except ValueError as exc:
        raise LayoutError(f"the time {data.hex()} is no date: {exc}") from exc
    return int(moment.timestamp())


def encode_time(seconds: float) -> bytes:
    """A time of table 5 from unix seconds."""
    moment = datetime.fromtimestamp(seconds, UTC).astimezone(_BEIJING)
    return bytes((moment.year % 100, moment.month, moment.day, moment.hour, moment.minute, moment.second))


def _login(cursor: _Cursor, edition: Edition) -> Login:
    time = read_time(cursor.take(_TIME_BYTES, "the time"))
    number = cursor.number(2, "the login number")
    iccid = cursor.take(20, "the ICCID")
    systems = cursor.number(1, "the number of battery systems")
    if edition is Edition.E2016:
        size = cursor.number(1, "the length of battery codes")
        packs = [cursor.take(size, f"battery code {place + 1}") for place in range(systems if size else 0)]
    else:
        counts = cursor.take(systems, "the numbers of battery packs")
        packs = [cursor.take(24, f"battery code {place + 1}") for place in range(sum(counts))]
    return Login(time, number, iccid, tuple(packs))


def _report(cursor: _Cursor, edition: Edition, resent: bool) -> Report:
    time = read_time(cursor.take(_TIME_BYTES, "the time"))
    entries: list[Entry] = []
    user_data: list[UserData] = []
    unread: Unread | None = None
    signature: SignatureRecord | None = None
    end = len(cursor.data)
    while cursor.left:
        start = cursor.at
        kind = cursor.number(1, "an item's type")
        item = item_of(edition, kind)
        if item is not None:
            scope: dict[str, Value] = {}
            entries += _entries(cursor, item.parts, edition, item.name, {"n": "", "m": ""}, scope)
        elif kind == SIGNATURE_TYPE and edition is Edition.E2025:
            signature, end = read_signature(cursor.take(cursor.left, "the signature record")), start
        elif kind in _USER_DEFINED and (size := int.from_bytes(cursor.data[cursor.at : cursor.at + 2], "big")) <= (
            cursor.left - 2
        ):
            cursor.at += 2
            user_data.append(UserData(kind, cursor.take(size, "user-defined data")))
        else:
            why = (
                "its length runs past the data unit"
                if kind in _USER_DEFINED
                else f"the layout of a {reserved_name(edition, kind)} item is not known here"
            )
            unread = Unread(kind, cursor.left, f"item {kind:02X} was not read: {why}")
            cursor.at = len(cursor.data)
    return Report(time, resent, tuple(entries), tuple(user_data), unread, signature, cursor.data[:end])


def _entries(
    cursor: _Cursor,
    parts: Sequence[Part],
    edition: Edition,
    item: str,
    place: dict[str, str],
    scope: dict[str, Value],
) -> Iterator[Entry]:
    """The fields of `parts`. `place` fills the columns' numbers; `scope` keeps what lists refer to."""
    for part in parts:
        line = part.counted if isinstance(part, Repeat) else part
        layout = line.layout(edition)
        if layout is None:
            continue
        column = line.column.format_map(place)
        what = f"{column} of {item}"
        value = layout.read(cursor.number(layout.width, what))
        scope[column] = value
        yield Entry(column, line.unit, value)
        if isinstance(part, Repeat):
            elements = int(value.number or 0)
            least = elements * _least_bytes(part.parts, edition)
            if least > cursor.left:
                raise LayoutError(f"{what} is {elements}, which needs {least} bytes of the {cursor.left} left")
            first = 1
            if part.first_number is not None:
                first = int(scope[part.first_number.format_map(place)].number or 1)
            for at in range(elements):
                number = str(first + at)
                inner = {**place, part.numbered: "" if part.numbered == "n" and at == 0 else number}
                yield from _entries(cursor, part.parts, edition, item, inner, scope)


def _least_bytes(parts: Sequence[Part], edition: Edition) -> int:
    """How many bytes an element has at least."""
    lines = (part.counted if isinstance(part, Repeat) else part for part in parts)
    return sum(layout.width for line in lines if (layout := line.layout(edition)) is not None)


def _encryption(code: int) -> str:
    return Encryption(code).name if code in {one.value for one in Encryption} else f"{code:02X}"


def _command(code: int) -> str:
    known = {one.value: one.name.lower().replace("_", " ") for one in Command}
    return f"{code:02X} ({known[code]})" if code in known else f"{code:02X}"
