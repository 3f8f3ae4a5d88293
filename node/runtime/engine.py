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
from node.runtime.members import MEMBER_COLUMNS, Group, numbered, read_rows
from node.runtime.private import rewritten
from node.runtime.shape import Tree, check_groups, check_tree, is_same
from node.runtime.sql import Statement

__all__ = ["CONFIGURATION", "Answer", "Cell", "Counted", "Engine"]

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


@dataclass(frozen=True, slots=True)
class Counted:
    """A result, and the group behind each of its rows."""

    answer: Answer
    groups: tuple[Group, ...]


class Engine:
    """One connection over the tables of one run. `row` is the column of their rows' numbers, where they have one;
    `private` for statements whose answer gets noise."""

    def __init__(
        self,
        tables: Mapping[str, pa.Table],
        *,
        memory_bytes: int,
        threads: int,
        row: str | None = None,
        private: bool = False,
    ) -> None:
        settings: dict[str, str | bool | int | float | list[str]] = {
            **{name: value for name, value in CONFIGURATION.items() if name != "lock_configuration"},
            "memory_limit": f"{memory_bytes}B",
            "threads": str(threads),
        }
        with _translated():
            self._connection = duckdb.connect(":memory:", config=settings)
            if private:
                self._as_written()
            self._connection.execute(f"SET lock_configuration = {CONFIGURATION['lock_configuration']}")
            for name, table in tables.items():
                self._connection.register(name, table)
        self._tables = tuple(tables)
        self._row = row

    def _as_written(self) -> None:
        """Switches every optimiser off: what a row gives must not depend on what the engine knows of the others, and no
        part of an expression may be taken out of its TRY, as the engine does to compute it once."""
        found = self._connection.execute("SELECT string_agg(name, ',') FROM duckdb_optimizers()").fetchone()
        self._connection.execute(f"SET disabled_optimizers = '{found[0] if found else ''}'")

    def check(self, statement: Statement, algorithm: Algorithm, min_group: int) -> None:
        """Reads the statement with the engine's parser and checks what it would run; RuntimeRefusedError otherwise.

        `min_group` above 1 asks for a group column that counts rows.
        """
        tree = self._tree(statement.text)
        check_tree(tree, self._tables)
        if min_group > 1:
            if algorithm.group_column is None:
                raise RuntimeRefusedError("algorithm", "groups")
            check_groups(tree, self._tables, algorithm.group_column)

    def exact(self, statement: Statement, algorithm: Algorithm) -> Statement:
        """Checks a private algorithm's statement as `check` does, and for its form; returns what runs in its place.

        What that gives are exact counts and sums of integers, for `add_noise` alone.
        """
        tree = self._tree(statement.text)
        check_tree(tree, self._tables)
        with _not_too_deep():
            exact = rewritten(tree, algorithm, self._tables, self._tree)
        return replace(statement, text=self._text(exact, "privacy"))

    def run(
        self, statement: Statement, algorithm: Algorithm, parameters: Parameters, *, most_rows: int, most_bytes: int
    ) -> Answer:
        """Runs a checked statement and fetches at most `most_rows` rows.

        Raises RuntimeRefusedError: "failed" or "parameter" of kind "algorithm", "memory" or "output" of kind "limits",
        the last as soon as the rows can't be written in `most_bytes` any more.
        """
        answer, _ = self._fetch(statement.text, _values(statement, algorithm, parameters), most_rows, most_bytes, 0)
        return answer

    def count(
        self, statement: Statement, algorithm: Algorithm, parameters: Parameters, *, most_rows: int, most_bytes: int
    ) -> Counted:
        """As `run`, for a statement that was checked for groups over tables with numbered rows: one run of one
        statement gives both the result and who is behind it.

        Raises RuntimeRefusedError ("algorithm", "groups") too, where the count of a row is not that of its members.
        """
        values = _values(statement, algorithm, parameters)
        tree = self._tree(statement.text)
        tables = numbered(tree, self._tables, str(self._row))
        with _translated():
            # the columns' names, which the engine makes from the text as it was written
            described = self._connection.execute(f"DESCRIBE {statement.text}", values or None).fetchall()
        text = self._text(tree, "groups")
        answer, members = self._fetch(text, values, most_rows, most_bytes, MEMBER_COLUMNS)
        columns = tuple((str(name[0]), kind) for name, (_, kind) in zip(described, answer.columns, strict=True))
        place = [name for name, _ in columns].index(str(algorithm.group_column))
        groups = tuple(
            Group(tables[int(branch)], (int(branch), int(grouping)), read_rows(rows, row[place]))
            for row, (rows, grouping, branch) in zip(answer.rows, members, strict=True)
        )
        return Counted(Answer(columns, answer.rows), groups)

    def _fetch(
        self, text: str, values: Mapping[str, Cell], most_rows: int, most_bytes: int, beside: int
    ) -> tuple[Answer, Sequence[tuple[Any, ...]]]:
        """The result of a text, and its last columns, `beside` in number, apart."""
        with _translated():
            cursor = self._connection.execute(text, dict(values) or None)
            columns = tuple((str(entry[0]), _column_type(str(entry[1]))) for entry in cursor.description or ())
            width = len(columns) - beside
            rows: list[tuple[Cell, ...]] = []
            apart: list[tuple[Any, ...]] = []
            size = 0
            while len(rows) < most_rows and (part := cursor.fetchmany(min(_BATCH_ROWS, most_rows - len(rows)))):
                apart += (row[width:] for row in part)
                part = [row[:width] for row in part] if beside else part
                rows += part
                # a cell takes a digit and a comma at least, a row its brackets
                size += len(part) * (2 * width + 2)
                size += sum(len(cell) for row in part for cell in row if isinstance(cell, str))
                if size > most_bytes:
                    raise RuntimeRefusedError("limits", "output")
        return Answer(columns[:width], tuple(rows)), apart

    def _text(self, tree: Tree, reason: str) -> str:
        """The text of a tree, which reads back as that tree; RuntimeRefusedError ("algorithm", `reason`) otherwise."""
        document = {"error": False, "statements": [{"node": tree, "named_param_map": []}]}
        with _translated(), _not_too_deep():
            found = self._connection.execute("SELECT json_deserialize_sql($1::JSON)", [json.dumps(document)]).fetchone()
        text = str(found[0]) if found else ""
        with _not_too_deep():
            if not is_same(self._tree(text), tree):
                raise RuntimeRefusedError("algorithm", reason)
        return text

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


@contextmanager
def _not_too_deep() -> Iterator[None]:
    """A statement that is nested deeper than this program follows is not one that may run."""
    try:
        yield
    except RecursionError:
        raise RuntimeRefusedError("algorithm", "statement") from None


@contextmanager
def _translated() -> Iterator[None]:
    """The engine's errors as reason codes; their text stays here."""
    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError):
        raise RuntimeRefusedError("limits", "memory") from None
    except (duckdb.Error, RuntimeError, ValueError, OverflowError):
        raise RuntimeRefusedError("algorithm", "failed") from None


def _values(statement: Statement, algorithm: Algorithm, parameters: Parameters) -> dict[str, Cell]:
    if statement.parameters != {column.name for column in algorithm.parameters}:
        raise RuntimeRefusedError("algorithm", "parameter")
    return {column.name: _bound(parameters.values[column.name], column.type) for column in algorithm.parameters}


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
