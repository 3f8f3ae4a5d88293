"""DuckDB, locked: tables held in memory, no files, no extensions, no settings, a bounded share of memory.

Invariant: an engine's error message never leaves this module, since it may quote the data; only reason codes do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb
import pyarrow as pa

from capsule.algorithm import Algorithm, ColumnType, Parameters
from capsule.canonical import Json
from node.errors import RuntimeRefusedError
from node.runtime.private import bare, rewritten
from node.runtime.shape import Tree, check_groups, check_tree
from node.runtime.sql import Statement

__all__ = ["CONFIGURATION", "Answer", "Cell", "Engine"]

_BATCH_ROWS: Final = 4096

Cell = bool | int | float | str | datetime | None

# Set once when the engine opens and locked; the measurement covers it.
CONFIGURATION: Final[dict[str, str]] = {
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "async_threads": "1",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
    "max_temp_directory_size": "0B",
    "python_enable_replacements": "false",
    "temp_directory": "",
}

# Beside it for private statements: what a row gives must not depend on what the engine knows of the others.
_PRIVATE: Final[dict[str, str]] = {"disabled_optimizers": "expression_rewriter,filter_pushdown,statistics_propagation"}

_TYPES: Final[dict[str, ColumnType]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), ColumnType.INTEGER),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), ColumnType.INTEGER),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), ColumnType.NUMBER),
    **dict.fromkeys(("DATE", "TIMESTAMP"), ColumnType.TIME),
    "VARCHAR": ColumnType.TEXT,
    "BOOLEAN": ColumnType.BOOLEAN,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A result: column names with their types (None for a type that no manifest knows), and rows in order.

    No more rows were fetched than asked for, so their number says "that many or more".
    """

    columns: tuple[tuple[str, ColumnType | None], ...]
    rows: tuple[tuple[Cell, ...], ...]


class Engine:
    """One connection over the tables of one run; `private` for one whose answer gets noise."""

    def __init__(
        self, tables: Mapping[str, pa.Table], *, memory_bytes: int, threads: int, private: bool = False
    ) -> None:
        # disabled_optimizers can't be set together with the lock, which therefore closes last
        settings: dict[str, str | bool | int | float | list[str]] = {
            **{name: value for name, value in CONFIGURATION.items() if name != "lock_configuration"},
            **(_PRIVATE if private else {}),
            "memory_limit": f"{memory_bytes}B",
            "threads": str(threads),
        }
        with _translated():
            self._connection = duckdb.connect(":memory:", config=settings)
            self._connection.execute(f"SET lock_configuration = {CONFIGURATION['lock_configuration']}")
            for name, table in tables.items():
                self._connection.register(name, table)
        self._tables = tuple(tables)

    def check(self, statement: Statement, algorithm: Algorithm, min_group: int) -> Statement:
        """Reads the statement with the engine's parser and checks what it would run; RuntimeRefusedError otherwise.

        Returns what to run: the statement, or what stands for it where the algorithm is private. `min_group` above 1
        asks for a group column that counts rows.
        """
        tree = self._tree(statement.text)
        check_tree(tree, self._tables)
        if min_group > 1 and algorithm.group_column is None:
            raise RuntimeRefusedError("algorithm", "groups")
        if algorithm.privacy is not None:
            return replace(statement, text=self._text(rewritten(tree, algorithm, self._tables, self._tree)))
        if algorithm.group_column is not None and min_group > 1:
            check_groups(tree, self._tables, algorithm.group_column)
        return statement

    def run(
        self, statement: Statement, algorithm: Algorithm, parameters: Parameters, *, most_rows: int, most_bytes: int
    ) -> Answer:
        """Runs a checked statement and fetches at most `most_rows` rows.

        Raises RuntimeRefusedError: "failed" or "parameter" of kind "algorithm", "memory" or "output" of kind "limits",
        the last as soon as the rows can't be written in `most_bytes` any more.
        """
        if statement.parameters != {column.name for column in algorithm.parameters}:
            raise RuntimeRefusedError("algorithm", "parameter")
        values = {column.name: _bound(parameters.values[column.name], column.type) for column in algorithm.parameters}
        with _translated():
            cursor = self._connection.execute(statement.text, values or None)
            columns = tuple((str(entry[0]), _column_type(str(entry[1]))) for entry in cursor.description or ())
            rows: list[tuple[Cell, ...]] = []
            size = 0
            while len(rows) < most_rows and (part := cursor.fetchmany(min(_BATCH_ROWS, most_rows - len(rows)))):
                rows += part
                # a cell takes a digit and a comma at least, a row its brackets
                size += len(part) * (2 * len(columns) + 2)
                size += sum(len(cell) for row in part for cell in row if isinstance(cell, str))
                if size > most_bytes:
                    raise RuntimeRefusedError("limits", "output")
        return Answer(columns, tuple(rows))

    def _tree(self, text: str) -> Tree:
        with _translated():
            found = self._connection.execute("SELECT json_serialize_sql($1::VARCHAR)", [text]).fetchone()
        try:
            document = json.loads(found[0]) if found else {}
        except RecursionError:
            raise RuntimeRefusedError("algorithm", "statement") from None
        statements: Sequence[Mapping[str, Any]] = document.get("statements", ())
        if document.get("error", True) or len(statements) != 1:
            raise RuntimeRefusedError("algorithm", "statement")
        tree: Tree = statements[0]["node"]
        return tree

    def _text(self, tree: Tree) -> str:
        """A tree as text, which the engine reads as that tree again; refused where it does not."""
        document = json.dumps({"error": False, "statements": [{"node": tree}]})
        with _translated():
            found = self._connection.execute("SELECT json_deserialize_sql($1::JSON)", [document]).fetchone()
        text = str(found[0]) if found else ""
        if bare(self._tree(text)) != bare(tree):
            raise RuntimeRefusedError("algorithm", "privacy")
        return text


@contextmanager
def _translated() -> Iterator[None]:
    """The engine's errors as reason codes; their text stays here."""
    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError):
        raise RuntimeRefusedError("limits", "memory") from None
    except (duckdb.Error, RuntimeError, ValueError, OverflowError):
        raise RuntimeRefusedError("algorithm", "failed") from None


def _column_type(name: str) -> ColumnType | None:
    return _TYPES.get(name.partition("(")[0])


def _bound(value: Json, kind: ColumnType) -> Cell:
    """A parameter as the engine takes it: a time, in unix seconds, becomes a TIMESTAMP."""
    if kind is ColumnType.TIME and isinstance(value, int | float):
        try:
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)).replace(tzinfo=None)
        except OverflowError:
            raise RuntimeRefusedError("algorithm", "parameter") from None
    if isinstance(value, bool | int | float | str):
        return value
    raise RuntimeRefusedError("algorithm", "parameter")
