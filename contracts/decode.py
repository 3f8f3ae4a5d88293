"""From what the chain holds to typed values: logs to events, revert data to errors.

Only the generated readers interpret bytes. A log of our contracts that no interface declares is an integrity error:
the address is not the contract that we think, or the endpoint makes logs up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from capsule.errors import InputError
from capsule.ids import Address
from contracts.chain import RawLog
from contracts.errors import ChainIntegrityError, RevertedError
from contracts.events import DECODERS, Event
from contracts.reverts import REVERTS
from contracts.words import tail, text, uint

__all__ = ["EventDecoder", "decode_revert"]

_ERROR_STRING: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")


class EventDecoder:
    """Decodes the logs of one contract set: contract names (as in the Directory) by address."""

    def __init__(self, contracts: Mapping[Address, str]) -> None:
        self._decoders = {address: DECODERS[name] for address, name in contracts.items()}
        self._names = dict(contracts)

    def knows(self, address: Address) -> bool:
        """Whether the address is one of the set."""
        return address in self._decoders

    def decode(self, log: RawLog) -> Event:
        """One event; raises ChainIntegrityError for what our contracts can't have emitted."""
        decoders = self._decoders.get(log.address)
        if decoders is None:
            raise ChainIntegrityError(f"{_place(log)} is of {log.address}, which is none of our contracts")
        decoder = decoders.get(log.topics[0]) if log.topics else None
        if decoder is None:
            topic = log.topics[0].hex() if log.topics else "none"
            raise ChainIntegrityError(f"{_place(log)}: {self._names[log.address]} has no event with topic {topic}")
        try:
            return decoder(log)
        except (InputError, ChainIntegrityError, ValueError) as error:
            raise ChainIntegrityError(f"{_place(log)} can't be read: {error}") from error

    def decode_all(self, logs: Iterable[RawLog]) -> tuple[Event, ...]:
        """All of them, in order."""
        return tuple(self.decode(log) for log in logs)


def decode_revert(data: bytes) -> RevertedError:
    """The error behind revert data: a custom error by name, else "Error", "Panic", "Empty" or "Unknown"."""
    if not data:
        return RevertedError("Empty")
    selector, arguments = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return RevertedError("Error", (text(arguments, tail(arguments, 0, 0)),))
        if selector == _PANIC:
            return RevertedError("Panic", (uint(arguments, 0, 256),))
        if selector in REVERTS:
            name, read = REVERTS[selector]
            return RevertedError(name, read(arguments))
    except (InputError, ChainIntegrityError):
        return RevertedError("Unknown", (data,))
    return RevertedError("Unknown", (data,))


def _place(log: RawLog) -> str:
    return f"log {log.log_index} of block {log.block_number}"
