"""From a raw log to its row in the index.

A regular log is written straight from its bytes (`contracts.records`), some ten times as fast as through an event.
Whatever is irregular goes through the strict readers, which give the same row, or say what is wrong. Invariant: the row
of a log does not depend on which of the two wrote it; a test holds them to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from audit.record import body
from audit.store import LogRow
from capsule.errors import InputError
from capsule.ids import Address
from contracts.chain import Block, RawLog
from contracts.decode import EventDecoder
from contracts.errors import ChainIntegrityError
from contracts.events import AssetEvent, DeviceEvent, SequencedEvent
from contracts.records import RECORDS, Record

__all__ = ["RowReader"]


class RowReader:
    """Rows of one contract set: contract names (as in the Directory) by address."""

    def __init__(self, contracts: Mapping[Address, str]) -> None:
        self._names = dict(contracts)
        self._decoder = EventDecoder(contracts)
        self._records = {address: (name, RECORDS[name]) for address, name in contracts.items()}

    def rows(self, logs: Iterable[RawLog], headers: Mapping[int, Block]) -> list[LogRow]:
        """Rows of logs under the headers of their blocks; logs of libraries, which carry no number, have none.

        Raises ChainIntegrityError for what our contracts can't have emitted.
        """
        rows = []
        number, time, hashed = -1, 0, ""
        for log in logs:
            if log.block_number != number:
                number = log.block_number
                time, hashed = headers[number].timestamp, str(log.block_hash)
            row = self._row(log, time, hashed)
            if row is not None:
                rows.append(row)
        return rows

    def row(self, log: RawLog, time: int) -> LogRow | None:
        """The row of one log, whose block is of `time`."""
        return self._row(log, time, str(log.block_hash))

    def _row(self, log: RawLog, time: int, block_hash: str) -> LogRow | None:
        address, topics, data, block_number, _, transaction_hash, log_index = (
            log.address,
            log.topics,
            log.data,
            log.block_number,
            log.block_hash,
            log.transaction_hash,
            log.log_index,
        )
        try:
            contract, records = self._records[address]
            event, record = records[topics[0]]
            seq, subject, subject_seq, text = record(topics, data)
        except (KeyError, IndexError, ChainIntegrityError, InputError):
            found = self._strictly(log)
            if found is None:
                return None
            contract, event, (seq, subject, subject_seq, text) = found
        return LogRow(
            block_number,
            log_index,
            block_hash,
            time,
            "0x" + transaction_hash.hex(),
            contract,
            event,
            seq,
            subject,
            subject_seq,
            b"".join(topics),
            data,
            text,
        )

    def _strictly(self, log: RawLog) -> tuple[str, str, Record] | None:
        event = self._decoder.decode(log)
        match event:
            case AssetEvent(asset=subject, asset_seq=number) | DeviceEvent(device=subject, device_seq=number):
                about = str(subject), number
            case SequencedEvent():
                about = "", 0
            case _:
                return None
        return self._names[log.address], type(event).__name__, (event.seq, *about, body(event).decode())
