"""What SQL text may be run at all: one SELECT over the tables of the capsules, with named parameters.

`check` reads the text with sqlglot, which knows the language and nothing of the engine: it can be called before any key
is asked for. `shape` then reads it again through the engine's own parser, so that a text which two parsers understand
differently is refused by the stricter one. Invariant: nothing is let through because it was not recognised.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from node.errors import RuntimeRefusedError

__all__ = ["DIALECT", "MAX_SQL_BYTES", "Statement", "check", "table_names"]

MAX_SQL_BYTES: Final = 65_536

# found now, since a dialect's module is otherwise loaded when it is first used
DIALECT: Final = sqlglot.Dialect.get_or_raise("duckdb")
# sqlglot reports text that it gives up on through its logger, and quotes it
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_FORBIDDEN: Final = (
    exp.Command,
    exp.DDL,
    exp.DML,
    exp.Into,
    exp.Lateral,
    exp.Lock,
    exp.Parameter,
    exp.Pivot,
    exp.TableSample,
    exp.Unnest,
    exp.Values,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that may run: its text as it came, the tables it reads and the parameters it takes."""

    text: str
    tables: frozenset[str]
    parameters: frozenset[str]


def table_names(capsules: int) -> tuple[tuple[str, ...], ...]:
    """Each capsule's names as a table: `readings` and `data` where there is one, `readings_1` and so on for several."""
    if capsules == 1:
        return (("readings", "data"),)
    return tuple((f"readings_{number}",) for number in range(1, capsules + 1))


def check(text: str, tables: Collection[str]) -> Statement:
    """Reads SQL text and returns it as a statement over `tables`.

    Raises RuntimeRefusedError of kind "algorithm": "statement" for anything but one SELECT (with or without CTEs and
    set operations), "table" for a table that is no capsule's, "parameter" for one without a name.
    """
    if len(text.encode()) > MAX_SQL_BYTES:
        raise RuntimeRefusedError("algorithm", "statement")
    try:
        parsed = sqlglot.parse(text, read=DIALECT)
    except (
        SqlglotError,
        RecursionError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
    ):  # it trips over some text
        raise RuntimeRefusedError("algorithm", "statement") from None
    # a comment after the last semicolon counts as a statement of nothing
    statements = [one for one in parsed if one is not None and not isinstance(one, exp.Semicolon)]
    statement = statements[0] if len(statements) == 1 else None
    if not isinstance(statement, exp.Select | exp.SetOperation):
        raise RuntimeRefusedError("algorithm", "statement")
    parameters = set()
    local: set[str] = set()
    named: set[str] = set()
    for node in statement.walk():
        if isinstance(node, _FORBIDDEN) or (isinstance(node, exp.With) and node.recursive):
            raise RuntimeRefusedError("algorithm", "statement")
        if isinstance(node, exp.CTE):
            local.add(node.alias.lower())
        elif isinstance(node, exp.Placeholder):
            if not node.name:
                raise RuntimeRefusedError("algorithm", "parameter")
            parameters.add(node.name)
        elif isinstance(node, exp.Table):
            named.add(_table(node))
    # a name of its own may not hide a capsule's table
    if not named <= local | set(tables) or local & set(tables):
        raise RuntimeRefusedError("algorithm", "table")
    return Statement(text, frozenset(named - local), frozenset(parameters))


def _table(node: exp.Table) -> str:
    """The name of a plain table; a table function, a schema or a version of one has none."""
    if not isinstance(node.this, exp.Identifier) or node.db or node.catalog or node.args.get("when"):
        raise RuntimeRefusedError("algorithm", "table")
    return str(node.name).lower()
