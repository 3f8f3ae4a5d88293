"""A key-value store for the embedded chain's database: SQLite, durable at each commit.

Writes wait in memory until `commit`, which puts them on disk in one transaction (WAL, synchronous FULL), so that the
file holds whole blocks and nothing else. Not safe to share between threads without a lock; the chain has one.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from pathlib import Path
from typing import Final

from eth.db.backends.base import BaseDB

from contracts.errors import ChainUnreachableError

__all__ = ["BlockStore"]

_CACHED: Final = 50_000


class BlockStore(BaseDB):
    """The database that py-evm writes to."""

    def __init__(self, path: Path) -> None:
        self._unsaved: dict[bytes, bytes | None] = {}
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"
            )
        except sqlite3.Error as error:
            raise ChainUnreachableError(f"the embedded chain's file {path} can't be opened: {error}") from error

    def __getitem__(self, key: bytes) -> bytes:
        if key in self._unsaved:
            value = self._unsaved[key]
            if value is None:
                raise KeyError(key)
            return value
        if key in self._cache:
            return self._cache[key]
        row = self._read(key)
        if row is None:
            raise KeyError(key)
        self._remember(key, row)
        return row

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._unsaved[key] = value

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self._unsaved[key] = None

    def _exists(self, key: bytes) -> bool:
        if key in self._unsaved:
            return self._unsaved[key] is not None
        return key in self._cache or self._read(key) is not None

    def commit(self) -> None:
        """Everything written since the last commit is on disk when this returns."""
        saved = [(key, value) for key, value in self._unsaved.items() if value is not None]
        deleted = [(key,) for key, value in self._unsaved.items() if value is None]
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO pairs (key, value) VALUES (?, ?)", saved)
            self._connection.executemany("DELETE FROM pairs WHERE key = ?", deleted)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise ChainUnreachableError(f"the embedded chain's file can't be written: {error}") from error
        for (key,) in deleted:
            self._cache.pop(key, None)
        for key, value in saved:
            self._remember(key, value)
        self._unsaved.clear()

    def discard(self) -> None:
        """Forgets everything written since the last commit."""
        self._unsaved.clear()

    def close(self) -> None:
        self._connection.close()

    def _read(self, key: bytes) -> bytes | None:
        try:
            row = self._connection.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise ChainUnreachableError(f"the embedded chain's file can't be read: {error}") from error
        return None if row is None else bytes(row[0])

    def _remember(self, key: bytes, value: bytes) -> None:
        self._cache[key] = value
        self._cache.move_to_end(key)
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
