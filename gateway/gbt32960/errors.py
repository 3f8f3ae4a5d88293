"""What a GB/T 32960 message is refused for: the reason, and the answer flag (table 4)."""

from __future__ import annotations

from enum import IntEnum

from gateway.errors import GatewayError

__all__ = ["Answer", "EnvelopeError", "LayoutError", "MessageError", "RefusedError"]


class Answer(IntEnum):
    """Answer flags, table 4. The edition of 2016 knows only the first three and COMMAND."""

    OK = 0x01
    ERROR = 0x02
    VIN_REPEATED = 0x03
    VIN_UNKNOWN = 0x04
    SIGNATURE = 0x05
    STRUCTURE = 0x06
    DECRYPTION = 0x07
    COMMAND = 0xFE


class MessageError(GatewayError):
    """A message is not taken; nothing of it was stored."""

    def __init__(self, why: str, answer: Answer = Answer.ERROR) -> None:
        super().__init__(why)
        self.answer = answer


class EnvelopeError(MessageError):
    """The bytes are no message: start symbol, length or check byte."""


class LayoutError(MessageError):
    """The data unit does not have the layout of its command and edition."""

    def __init__(self, why: str) -> None:
        super().__init__(why, Answer.STRUCTURE)


class RefusedError(MessageError):
    """A well-formed message that this gateway does not take: unknown vehicle, no login, encryption, signature."""
