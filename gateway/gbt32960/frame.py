"""The envelope of GB/T 32960.3 (clause 6.2, table 2), and its cutting out of a TCP stream.

start (2) | command (1) | answer flag (1) | VIN (17) | encryption (1) | length (2) | data | check (1)

Both editions share it and differ in the start symbol. The check is the XOR from command to data: it finds line faults,
and protects nothing. Invariant: a splitter never holds more than one message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import reduce
from operator import xor
from typing import Final

from gateway.gbt32960.errors import Answer, EnvelopeError

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Command",
    "Edition",
    "Encryption",
    "Message",
    "Splitter",
    "answer",
    "read_head",
    "read_message",
    "write_message",
]

_HEAD_BYTES: Final = 24
_VIN: Final = slice(4, 21)
_MAX_DATA_BYTES: Final = 65_531
MAX_MESSAGE_BYTES: Final = _HEAD_BYTES + _MAX_DATA_BYTES + 1
_TIME_BYTES: Final = 6


class Edition(Enum):
    """The standard's editions, by their start symbol."""

    E2016 = b"##"
    E2025 = b"$$"


class Command(IntEnum):
    """Commands from the vehicle (tables 3 and B.2)."""

    LOGIN = 0x01
    REALTIME = 0x02
    RESENT = 0x03
    LOGOUT = 0x04
    PLATFORM_LOGIN = 0x05
    PLATFORM_LOGOUT = 0x06
    HEARTBEAT = 0x07
    TIME = 0x08
    ACTIVATION = 0x09
    ACTIVATION_ANSWER = 0x0A
    KEY_EXCHANGE = 0x0B


class Encryption(IntEnum):
    """How the data unit is encrypted; the last two in the edition of 2025."""

    NONE = 0x01
    RSA = 0x02
    AES = 0x03
    SM2 = 0x04
    SM4 = 0x05


@dataclass(frozen=True, slots=True)
class Message:
    """An envelope whose length and check hold. `vin` is 17 bytes as sent. VIN and data are personal: not in `repr`."""

    edition: Edition
    command: int
    answer: int
    vin: bytes = field(repr=False)
    encryption: int
    data: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def is_command(self) -> bool:
        """Not itself an answer; answers are never answered (clause 6.3.2)."""
        return self.answer == Answer.COMMAND


def read_message(raw: bytes) -> Message:
    """Reads exactly one message. Raises EnvelopeError with the reason."""
    _edition(raw)
    if len(raw) < _HEAD_BYTES:
        raise EnvelopeError(f"the message ends after {len(raw)} bytes, within its head of {_HEAD_BYTES}")
    size = _size(raw)
    if len(raw) != size:
        raise EnvelopeError(f"the message has {len(raw)} bytes, its length field says {size}")
    check = _check(raw[2:-1])
    if raw[-1] != check:
        raise EnvelopeError(f"the check byte is {raw[-1]:02X}, the message's is {check:02X}")
    return read_head(raw)


def read_head(raw: bytes) -> Message:
    """A whole message without its check looked at: only good for refusing it. Raises EnvelopeError without a start."""
    return Message(_edition(raw), raw[2], raw[3], raw[_VIN], raw[21], raw[_HEAD_BYTES:-1], raw)


def write_message(
    edition: Edition,
    command: int,
    vin: bytes,
    data: bytes,
    *,
    flag: int = Answer.COMMAND,
    encryption: int = Encryption.NONE,
) -> bytes:
    """A message's bytes. `vin` has at most 17 bytes and is filled up with zeros."""
    if len(vin) > 17 or len(data) > _MAX_DATA_BYTES:
        raise EnvelopeError(f"a VIN has at most 17 bytes and a data unit {_MAX_DATA_BYTES}")
    body = bytes((command, flag)) + vin.ljust(17, b"\0") + bytes((encryption,)) + len(data).to_bytes(2, "big") + data
    return edition.value + body + bytes((_check(body),))


def answer(message: Message, flag: Answer, time: bytes | None = None) -> bytes:
    """The answer to a message: another flag, the message's own time or the given one, and nothing else (clause 6.3.2).

    In the edition of 2016, flags that it does not know become ERROR.
    """
    if message.edition is Edition.E2016 and flag > Answer.VIN_REPEATED:
        flag = Answer.ERROR
    kept = message.data[:_TIME_BYTES] if len(message.data) >= _TIME_BYTES else b""
    return write_message(message.edition, message.command, message.vin, kept if time is None else time, flag=flag)


class Splitter:
    """Cuts messages out of reads, however these are split or glued."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Adds what was read. Take all messages out with `next` before the next read."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole message, checked for start and length only; None when it is yet to come.

        Raises EnvelopeError where no message starts: the stream has lost its place, and can't be read on.
        """
        if not self._buffer:
            return None
        _edition(self._buffer)
        if len(self._buffer) < _HEAD_BYTES:
            return None
        size = _size(self._buffer)
        if len(self._buffer) < size:
            return None
        message = bytes(self._buffer[:size])
        del self._buffer[:size]
        return message


def _edition(data: bytes | bytearray) -> Edition:
    for edition in Edition:
        if edition.value.startswith(bytes(data[:2])) and data:
            return edition
    raise EnvelopeError(f"a message starts with ## or $$, not with {bytes(data[:2]).hex().upper() or 'nothing'}")


def _size(data: bytes | bytearray) -> int:
    length = int.from_bytes(data[22:24], "big")
    if length > _MAX_DATA_BYTES:
        raise EnvelopeError(f"the length field says {length}, more than the {_MAX_DATA_BYTES} of the standard")
    return _HEAD_BYTES + length + 1


def _check(data: bytes) -> int:
    return reduce(xor, data, 0)
