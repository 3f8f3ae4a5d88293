"""Private statements: their form, what the engine runs in their place, and the answer with noise.

The form: one SELECT over one capsule's table, whose columns are keys that it groups by, at most one COUNT(*), and
SUMs; no joins, views, subqueries, windows or modifiers. So each row is in at most one group, and adding or removing it
changes one count by one and each sum by no more than its bounds. The engine runs the statement with every expression
over a row inside TRY (no row's value makes another row's fail, or the run), and every summand clamped, rounded and made
an integer. What that gives is exact and stays in this process; `noise` makes of it what may leave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from capsule.algorithm import Algorithm, ColumnType
from capsule.privacy import BoundedSum
from node.errors import RuntimeRefusedError
from node.runtime.functions import AGGREGATES
from node.runtime.shape import Tree, is_same, nodes

__all__ = ["rewritten"]

Read = Callable[[str], Tree]
"""Reads SQL text with the engine's parser."""

_HOLE: Final = "hole"
_FIRST: Final = "CAST('0001-01-01 00:00:00' AS TIMESTAMP)"
_LAST: Final = "CAST('9999-12-31 23:59:59.999999' AS TIMESTAMP)"


def rewritten(tree: Tree, algorithm: Algorithm, tables: Collection[str], read: Read) -> Tree:
    """The statement to run in place of a private algorithm's, whose tree has passed `check_tree`.

    Raises RuntimeRefusedError ("algorithm", "privacy") for any other form than the one above, or other columns than
    the manifest's.
    """
    if algorithm.privacy is None:
        raise RuntimeRefusedError("algorithm", "privacy")
    _check_form(tree, tables)
    selected: Sequence[Tree] = tree["select_list"]
    if [_name(item) for item in selected] != [column.name for column in algorithm.output]:
        raise RuntimeRefusedError("algorithm", "privacy")
    sums = {each.name: each for each in algorithm.privacy.sums}
    types = {column.name: column.type for column in algorithm.output}
    keys = [item for item in selected if _name(item) not in algorithm.privacy.noised]
    _check_groups(tree, selected, keys)
    run: list[Tree] = []
    for item in selected:
        name = _name(item)
        if name == algorithm.privacy.count:
            run.append(_counted(item))
        elif name in sums:
            run.append({**_summed(item, sums[name], read), "alias": name})
        else:
            key = _key(_row_only(item), types[name], read)
            run.append({**key, "alias": name})
    where = tree["where_clause"]
    return {
        **tree,
        "select_list": run,
        "where_clause": None if where is None else _tried(_row_only(where)),
        # over all columns that are no aggregates
        "group_expressions": [],
        "group_sets": [],
        "aggregate_handling": "FORCE_AGGREGATES",
    }


def _refuse_unless(fits: bool) -> None:
    if not fits:
        raise RuntimeRefusedError("algorithm", "privacy")


def _check_form(tree: Tree, tables: Collection[str]) -> None:
    source: Tree = tree.get("from_table") or {}
    _refuse_unless(tree.get("type") == "SELECT_NODE" and source.get("type") == "BASE_TABLE")
    _refuse_unless(source["table_name"].lower() in {name.lower() for name in tables})
    _refuse_unless(not source["column_name_alias"])
    _refuse_unless(not tree["modifiers"] and not tree["cte_map"]["map"])
    _refuse_unless(all(tree[part] is None for part in ("having", "qualify", "sample")))


def _check_groups(tree: Tree, selected: Sequence[Tree], keys: Sequence[Tree]) -> None:
    """GROUP BY ALL, or over each key, written as in the SELECT or by its place, and nothing else."""
    if tree["aggregate_handling"] == "FORCE_AGGREGATES":
        return
    grouped = [_placed(expression, selected) for expression in tree["group_expressions"]]
    _refuse_unless(tree["group_sets"] == ([list(range(len(grouped)))] if grouped else []))
    _refuse_unless(all(any(_means(one, key) for key in keys) for one in grouped))
    _refuse_unless(all(any(_means(one, key) for one in grouped) for key in keys))


def _placed(expression: Tree, selected: Sequence[Tree]) -> Tree:
    if expression["class"] != "CONSTANT":
        return expression
    place = str(expression.get("literal", {}).get("text", ""))
    _refuse_unless(place.isascii() and place.isdecimal() and 1 <= int(place[:4]) <= len(selected))
    return selected[int(place) - 1]


def _means(one: Tree, other: Tree) -> bool:
    return is_same({**one, "alias": ""}, {**other, "alias": ""})


def _name(item: Tree) -> str:
    if item["alias"] or item["class"] != "COLUMN_REF":
        return str(item["alias"])
    return str(item["column_names"][-1])


def _counted(item: Tree) -> Tree:
    _refuse_unless(item["class"] == "FUNCTION" and item["function_name"] == "count_star" and _is_plain(item))
    return item


def _key(expression: Tree, kind: ColumnType, read: Read) -> Tree:
    """A key, missing where the row's value fails; also where a time is past those that Python knows, which would fail
    later."""
    if kind is not ColumnType.TIME:
        return _tried(expression)
    time = f"CAST({_HOLE} AS TIMESTAMP)"
    template = read(f"SELECT TRY(CASE WHEN {time} BETWEEN {_FIRST} AND {_LAST} THEN {time} END)")
    filled: Tree = _filled(template["select_list"][0], expression)
    return filled


def _summed(item: Tree, bounds: BoundedSum, read: Read) -> Tree:
    """The sum of integers that stands for a sum: a row without a value, or whose value fails, counts as 0."""
    _refuse_unless(item["class"] == "FUNCTION" and item["function_name"] == "sum" and _is_plain(item))
    _refuse_unless(len(item["arguments"]) == 1)
    summand = _row_only(item["arguments"][0]["expression"])
    # Bounds times scale are whole doubles, and multiplying and rounding keep order: no summand gets past them. Without
    # the CASE a missing value would count as the upper bound, as least() passes over it.
    value = f"TRY(CAST({_HOLE} AS DOUBLE))"
    clamped = f"greatest({bounds.lower}::DOUBLE, least({bounds.upper}::DOUBLE, {value}))"
    steps = f"CAST(round({clamped} * {bounds.scale}::DOUBLE) AS BIGINT)"
    template = read(f"SELECT sum(CASE WHEN {value} IS NULL THEN 0 ELSE {steps} END)")
    filled: Tree = _filled(template["select_list"][0], summand)
    return filled


def _is_plain(item: Tree) -> bool:
    return item["filter"] is None and not item["distinct"] and not item["order_bys"]["orders"]


def _filled(tree: Any, summand: Tree) -> Any:
    if isinstance(tree, Mapping):
        if tree.get("class") == "COLUMN_REF" and tree["column_names"] == [_HOLE]:
            return {**summand, "alias": ""}
        return {name: _filled(value, summand) for name, value in tree.items()}
    return [_filled(value, summand) for value in tree] if isinstance(tree, list) else tree


def _row_only(expression: Tree) -> Tree:
    """An expression that sees one row and nothing else."""
    for node in nodes(expression):
        _refuse_unless(node.get("class") not in ("STAR", "SUBQUERY", "WINDOW"))
        _refuse_unless(node.get("class") != "FUNCTION" or node["function_name"].lower() not in AGGREGATES)
        _refuse_unless(node.get("type") != "GROUPING_FUNCTION")
    return expression


def _tried(expression: Tree) -> Tree:
    return {
        "class": "OPERATOR",
        "type": "OPERATOR_TRY",
        "alias": "",
        "query_location": 0,
        "query_location_length": 0,
        "children": [{**expression, "alias": ""}],
    }
