"""Reading and writing the JSON documents of this package: strict on write, tolerant on read.

Every document starts with `kind` and `version`. Members that a reader does not know are kept and written again, so
that reading never changes a digest. Bytes are 0x and lower-case hex; numbers that may pass 2^53 - 1 are decimal text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from types import MappingProxyType
from typing import Final, Protocol, Self, TypeVar

from capsule.canonical import Json
from capsule.errors import FormatError, InputError

__all__ = ["Fields", "hexed", "no_unknown", "read_as"]

_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,77}")
_MAX_TEXT: Final = 4096
_T = TypeVar("_T")


class _Parsed(Protocol):
    @classmethod
    def parse(cls, text: str) -> Self: ...


_P = TypeVar("_P", bound=_Parsed)


def no_unknown() -> Mapping[str, Json]:
    """What a document made here holds beside its known members."""
    return MappingProxyType({})


def hexed(value: bytes) -> str:
    """0x and lower-case hex."""
    return "0x" + value.hex()


@contextmanager
def read_as(kind: str) -> Iterator[None]:
    """While a document is read, a value that its type refuses is a fault of the document, not of the caller."""
    try:
        yield
    except InputError as exc:
        raise FormatError(f"{kind}: {exc}") from exc


class Fields:
    """Typed access to a JSON object's members; each raises FormatError naming the member. Remembers what was read."""

    __slots__ = ("_kind", "_members", "_read")

    def __init__(self, document: Json, kind: str) -> None:
        if not isinstance(document, Mapping):
            raise FormatError(f"{kind}: not a JSON object")
        self._members = document
        self._kind = kind
        self._read: set[str] = set()

    @classmethod
    def of(cls, document: Json, kind: str, version: int | str = 1) -> Fields:
        """Members of a document that must say this kind and version."""
        fields = cls(document, kind)
        if fields.value("kind") != kind:
            raise FormatError(f"{kind}: the document says another kind")
        if fields.value("version") != version:
            raise FormatError(f"{kind}: the document says another version than {version}")
        return fields

    def value(self, name: str) -> Json:
        if name not in self._members:
            raise FormatError(f"{self._kind}: {name} is missing")
        self._read.add(name)
        return self._members[name]

    def has(self, name: str) -> bool:
        return name in self._members

    def text(self, name: str, limit: int = _MAX_TEXT) -> str:
        value = self.value(name)
        if not isinstance(value, str) or len(value) > limit:
            raise FormatError(f"{self._kind}: {name} is not text of at most {limit} characters")
        return value

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise FormatError(f"{self._kind}: {name} is not one of {', '.join(allowed)}")
        return value

    def flag(self, name: str) -> bool:
        value = self.value(name)
        if not isinstance(value, bool):
            raise FormatError(f"{self._kind}: {name} is not true or false")
        return value

    def integer(self, name: str, low: int = 0, high: int = 2**53 - 1) -> int:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise FormatError(f"{self._kind}: {name} is not an integer from {low} to {high}")
        return value

    def number(self, name: str, low: float = -inf, high: float = inf) -> int | float:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise FormatError(f"{self._kind}: {name} is not a number from {low:g} to {high:g}")
        return value

    def integers(self, name: str, limit: int) -> tuple[int, ...]:
        """A list of at most `limit` integers."""
        items = self._list(name, limit)
        numbers = tuple(item for item in items if isinstance(item, int) and not isinstance(item, bool))
        if len(numbers) != len(items):
            raise FormatError(f"{self._kind}: {name} is not a list of integers")
        return numbers

    def texts(self, name: str, limit: int) -> tuple[str, ...]:
        """A list of at most `limit` texts."""
        items = self._list(name, limit)
        texts = tuple(item for item in items if isinstance(item, str) and len(item) <= _MAX_TEXT)
        if len(texts) != len(items):
            raise FormatError(f"{self._kind}: {name} is not a list of texts")
        return texts

    def decimal(self, name: str) -> int:
        """An unsigned number of up to 256 bits in decimal text."""
        value = self.text(name, 78)
        if _DECIMAL.fullmatch(value) is None or int(value) >= 2**256:
            raise FormatError(f"{self._kind}: {name} is not a number in decimal text")
        return int(value)

    def raw(self, name: str, length: int | None = None, limit: int = _MAX_TEXT) -> bytes:
        """Bytes of an exact length, or of at most `limit`."""
        value = self.value(name)
        most = limit if length is None else length
        if not isinstance(value, str) or len(value) > 2 + 2 * most or _HEX.fullmatch(value) is None:
            raise FormatError(f"{self._kind}: {name} is not 0x and lower-case hex of at most {most} bytes")
        data = bytes.fromhex(value[2:])
        if length is not None and len(data) != length:
            raise FormatError(f"{self._kind}: {name} has not {length} bytes")
        return data

    def id(self, name: str, as_type: type[_P]) -> _P:
        return self._parsed(name, self.value(name), as_type)

    def ids(self, name: str, as_type: type[_P], limit: int) -> tuple[_P, ...]:
        return tuple(self._parsed(name, item, as_type) for item in self._list(name, limit))

    def objects(self, name: str, limit: int, read: Callable[[Fields], _T]) -> tuple[_T, ...]:
        return tuple(read(Fields(item, f"{self._kind} {name}")) for item in self._list(name, limit))

    def object(self, name: str) -> Fields:
        return Fields(self.value(name), f"{self._kind} {name}")

    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def unknown(self) -> Mapping[str, Json]:
        """Members that nobody asked for, to be kept."""
        return MappingProxyType({name: value for name, value in self._members.items() if name not in self._read})

    def _list(self, name: str, limit: int) -> list[Json]:
        value = self.value(name)
        if not isinstance(value, list | tuple) or len(value) > limit:
            raise FormatError(f"{self._kind}: {name} is not a list of at most {limit}")
        return list(value)

    def _parsed(self, name: str, value: Json, as_type: type[_P]) -> _P:
        if not isinstance(value, str):
            raise FormatError(f"{self._kind}: {name} is not text")
        with read_as(f"{self._kind}: {name}"):
            parsed = as_type.parse(value)
        if str(parsed) != value:  # written back, it would change the digest
            raise FormatError(f"{self._kind}: {name} is not written in its one form, {parsed}")
        return parsed
