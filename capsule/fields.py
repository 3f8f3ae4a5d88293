"""Reading the members of a JSON document by name and type; every doubt is a FormatError that names the member.

Members that nobody asks for are left alone: what is read stays readable when a later version adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from capsule.canonical import Json, decode
from capsule.errors import FormatError, InputError
from capsule.ids import Address, DeviceId, Digest

__all__ = ["Fields", "opened"]

_UINT53: Final = 2**53 - 1


class Fields:
    """The members of one JSON object; `what` names the object in errors."""

    __slots__ = ("_members", "_what")

    def __init__(self, value: Json, what: str) -> None:
        if not isinstance(value, Mapping):
            raise FormatError(f"{what} is not a JSON object")
        self._members = value
        self._what = what

    def value(self, name: str) -> Json:
        if name not in self._members:
            raise FormatError(f"{self._what} has no {name}")
        return self._members[name]

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str):
            raise FormatError(f"{self._what}: {name} is no text")
        return value

    def count(self, name: str) -> int:
        """A whole number from 0 to 2^53 - 1."""
        value = self.value(name)
        if type(value) is not int or not 0 <= value <= _UINT53:
            raise FormatError(f"{self._what}: {name} is no whole number from 0 to 2^53 - 1")
        return value

    def items(self, name: str) -> tuple[Json, ...]:
        value = self.value(name)
        if not isinstance(value, list):
            raise FormatError(f"{self._what}: {name} is no list")
        return tuple(value)

    def digest(self, name: str) -> Digest:
        return self._digest(name, self.value(name))

    def digests(self, name: str) -> tuple[Digest, ...]:
        return tuple(self._digest(name, item) for item in self.items(name))

    def _digest(self, name: str, value: Json) -> Digest:
        if not isinstance(value, str):
            raise FormatError(f"{self._what}: {name} is no text")
        try:
            return Digest.parse(value)
        except InputError as exc:
            raise FormatError(f"{self._what}: {name}: {exc}") from exc

    def device(self, name: str) -> DeviceId:
        return DeviceId(self.digest(name))

    def address(self, name: str) -> Address:
        try:
            return Address.parse(self.text(name))
        except InputError as exc:
            raise FormatError(f"{self._what}: {name}: {exc}") from exc

    def hexadecimal(self, name: str, size: int) -> bytes:
        """0x and `size` bytes in hex."""
        value = self.text(name)
        try:
            content = bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            content = b""
        if len(content) != size or value != "0x" + content.hex():
            raise FormatError(f"{self._what}: {name} is not 0x and {size} bytes in lower-case hex")
        return content


def opened(document: bytes | Json, kind: str, version: int = 1) -> Fields:
    """The members of a document (JSON bytes or value) that says it is of this kind ("dataspace/<kind>") and version."""
    fields = Fields(decode(document) if isinstance(document, bytes) else document, kind)
    if fields.text("kind") != f"dataspace/{kind}" or fields.count("version") != version:
        raise FormatError(f"not a dataspace/{kind} of version {version}")
    return fields
