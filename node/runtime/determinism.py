"""Whether a statement may call itself deterministic: the same capsules and parameters give the same bytes again.

What the check asks for: the result's rows stand in one order only (one row, or ORDER BY over every output column, so
that rows which tie are the same bytes); nothing picks rows by their place (LIMIT, windows, DISTINCT ON, `mode`); every
function is exact. Sums of doubles depend on the order of their rows, which is why the runtime runs such an algorithm
on one thread. Functions of the machine's mathematical library (`ln`, `pow`, `sin`) may differ in the last bit from
one machine to another, and are refused. Invariant: as in `sql`, nothing is let through because it was not recognised.
"""

from __future__ import annotations

from typing import Final

import sqlglot
from sqlglot import exp

from capsule.algorithm import Algorithm
from node.errors import RuntimeRefusedError
from node.runtime.sql import DIALECT, Statement

__all__ = ["check_deterministic"]

_BY_PLACE: Final = (exp.Limit, exp.Offset, exp.Fetch, exp.Window, exp.Qualify)
_STEADY_NAMES: Final = """
    Abs And Avg Case Cast Ceil Coalesce Concat Count CountIf DateTrunc Day Exists Extract Floor Greatest Hour If Least
    Length LogicalAnd LogicalOr Lower Max Median Min Minute Month Nullif Or PercentileCont PercentileDisc Quantile Round
    Second Sign Sqrt Substring Sum TimestampTrunc Trim TryCast Upper Year
"""
_STEADY: Final = frozenset(_STEADY_NAMES.split())


def check_deterministic(statement: Statement, algorithm: Algorithm) -> Statement:
    """Returns a checked statement that may bear the manifest's word; RuntimeRefusedError ("algorithm", "deterministic")
    otherwise. A manifest that claims nothing passes."""
    if not algorithm.deterministic:
        return statement
    tree = sqlglot.parse_one(statement.text, read=DIALECT)
    steady = all(_is_steady(node) for node in tree.walk())
    if not steady or not (_is_one_row(tree) or _is_ordered(tree, [column.name for column in algorithm.output])):
        raise RuntimeRefusedError("algorithm", "deterministic")
    return statement


def _is_steady(node: exp.Expr) -> bool:
    if isinstance(node, _BY_PLACE) or (isinstance(node, exp.Distinct) and node.args.get("on") is not None):
        return False
    return not isinstance(node, exp.Func) or type(node).__name__ in _STEADY


def _is_one_row(tree: exp.Expr) -> bool:
    """An aggregate over everything: the engine refuses it beside a bare column."""
    if not isinstance(tree, exp.Select) or tree.args.get("group") is not None:
        return False
    return any(
        found.parent_select is tree for projection in tree.expressions for found in projection.find_all(exp.AggFunc)
    )


def _is_ordered(tree: exp.Expr, columns: list[str]) -> bool:
    """ORDER BY ALL, or over each output column by its name or its place."""
    order = tree.args.get("order")
    keys = [ordered.this for ordered in order.expressions] if order is not None else []
    if len(keys) == 1 and isinstance(keys[0], exp.Var) and keys[0].name.upper() == "ALL":
        return True
    named = {key.name.lower() for key in keys if isinstance(key, exp.Column) and not key.table}
    placed = {key.name for key in keys if isinstance(key, exp.Literal) and not key.is_string}
    return all(column.lower() in named or str(place) in placed for place, column in enumerate(columns, 1))
