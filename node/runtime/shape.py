"""The engine's own reading of a statement, checked against what may run and what its group sizes mean.

DuckDB hands out the parse tree it would run. `check_tree` lets through only listed kinds of nodes and listed functions,
which are pure, so that two runs give one result, and none reaches past its arguments. `check_groups` asks that each row
of the result says how many different rows of a capsule it stands for. It does not see who is in a group, which
`members` finds out, nor what an expression picks out of it (`CASE`, `FILTER`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from node.errors import RuntimeRefusedError
from node.runtime.functions import FUNCTIONS, TYPES

__all__ = ["Tree", "branches", "check_groups", "check_tree", "is_same", "nodes", "source_of", "views_of"]

Tree = dict[str, Any]

_CLASSES: Final = frozenset(
    (
        "BETWEEN",
        "CASE",
        "CAST",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "OPERATOR",
        "PARAMETER",
        "STAR",
        "SUBQUERY",
        "TYPE",
        "WINDOW",
    )
)
_OPERATORS: Final = frozenset(
    (
        "COMPARE_IN",
        "COMPARE_NOT_IN",
        "GROUPING_FUNCTION",
        "OPERATOR_COALESCE",
        "OPERATOR_IS_NOT_NULL",
        "OPERATOR_IS_NULL",
        "OPERATOR_NOT",
        "OPERATOR_TRY",
    )
)
_NODES: Final = frozenset(
    (
        "ASCENDING",
        "BASE_TABLE",
        "DESCENDING",
        "DISTINCT_MODIFIER",
        "EMPTY",
        "JOIN",
        "LIMIT_MODIFIER",
        "ORDER_DEFAULT",
        "ORDER_MODIFIER",
        "SELECT_NODE",
        "SET_OPERATION_NODE",
        "SUBQUERY",
    )
)
_AGE_OF_TWO: Final = 2
# columns that the engine reads as calls when no table has them
_VALUE_NAMES: Final = frozenset(["localtime", "localtimestamp", "session_user", "user"])


def check_tree(tree: Tree, tables: Collection[str]) -> None:
    """Raises RuntimeRefusedError of kind "algorithm" unless every node of the engine's parse tree is let in.

    Reason "table" for a table that is neither one of `tables` nor the statement's own, "function" for a function or
    type that is not on its list, "statement" otherwise.
    """
    known = {name.lower() for name in tables} | {entry["key"].lower() for entry in _entries(tree)}
    for node in nodes(tree):
        if "class" in node:
            _expression(node)
        elif "function_name" in node:
            raise RuntimeRefusedError("algorithm", "function")
        elif isinstance(node.get("type"), str) and node["type"] not in _NODES:
            raise RuntimeRefusedError("algorithm", "statement")
        if node.get("sample") is not None or node.get("at_clause") is not None:
            raise RuntimeRefusedError("algorithm", "statement")
        if node.get("type") == "BASE_TABLE" and (
            node["table_name"].lower() not in known or node.get("schema_name") or node.get("catalog_name")
        ):
            raise RuntimeRefusedError("algorithm", "table")


def check_groups(tree: Tree, tables: Collection[str], group_column: str) -> None:
    """Raises RuntimeRefusedError ("algorithm", "groups") unless `group_column` is COUNT(*) over rows of one capsule.

    The outermost SELECT aggregates rows that come from one table of `tables`, directly or through SELECTs that keep
    rows apart; nothing joins, unites or repeats rows, so none is counted twice; nothing hides a group (HAVING, LIMIT,
    QUALIFY, DISTINCT); no expression reads a table of its own, or rows of other groups (window functions). Several
    such SELECTs may stand in one UNION ALL, each over its own capsule, with the group column at the same place.
    """
    bases = {name.lower() for name in tables}
    views = views_of(tree)
    # where a name stands for two things, only the engine knows which one a place means
    if len(views) != len([*_entries(tree)]) or bases & set(views):
        raise RuntimeRefusedError("algorithm", "groups")
    ordering = [order["expression"] for node in nodes(tree) for order in node.get("orders", ())]
    by_all = [one for one in ordering if one["class"] == "STAR" and one["expr"] is None]
    if any(_reads_others(node) for node in nodes(tree) if not any(node is one for one in by_all)):
        raise RuntimeRefusedError("algorithm", "groups")
    places = {_group_place(branch, bases, views, group_column) for branch in branches(tree)}
    if len(places) != 1:
        raise RuntimeRefusedError("algorithm", "groups")


def views_of(tree: Tree) -> dict[str, Tree]:
    """The statement's CTEs by name, in lower case."""
    return {entry["key"].lower(): entry["value"]["query_node"] for entry in _entries(tree)}


def branches(tree: Tree) -> Sequence[Tree]:
    """The SELECTs whose rows make up the result: those of a UNION ALL, or the one."""
    if tree.get("type") != "SET_OPERATION_NODE":
        return (tree,)
    if tree["setop_type"] != "UNION" or not tree["setop_all"] or _modifiers(tree) - {"ORDER_MODIFIER"}:
        raise RuntimeRefusedError("algorithm", "groups")
    children: list[Tree] = tree["children"]
    return children


def _group_place(tree: Tree, bases: set[str], views: Mapping[str, Tree], group_column: str) -> int:
    """Where a SELECT's group column stands; refused unless it is COUNT(*) over rows of one capsule."""
    selected = tree.get("select_list", ())
    named = [(place, item) for place, item in enumerate(selected) if item.get("alias") == group_column]
    if len(named) != 1:
        raise RuntimeRefusedError("algorithm", "groups")
    ((place, item),) = named
    if item["class"] != "FUNCTION" or item["function_name"] != "count_star" or item["distinct"]:
        raise RuntimeRefusedError("algorithm", "groups")
    hidden = item["filter"] is not None or tree["having"] or tree["qualify"] or _modifiers(tree) - {"ORDER_MODIFIER"}
    # a star in a projection stands for columns that nobody named
    starred = any(node.get("class") == "STAR" for item in selected for node in nodes(item))
    if hidden or starred:
        raise RuntimeRefusedError("algorithm", "groups")
    source_of(tree, bases, views)
    return place


def source_of(tree: Tree, bases: Collection[str], views: Mapping[str, Tree]) -> tuple[str, Sequence[Tree]]:
    """Follows FROM down to a capsule's table; every SELECT on the way gives each row at most once.

    Returns the table and those SELECTs. Raises RuntimeRefusedError ("algorithm", "groups") where there is another way.
    """
    source = tree.get("from_table")
    passed: list[Tree] = []
    while source is not None:
        inner: Tree | None = None
        if source["type"] == "BASE_TABLE":
            name = source["table_name"].lower()
            if name in bases:
                return name, passed
            # a view is taken out when it is entered, so that no chain of names runs in a circle
            inner, views = views.get(name), {other: view for other, view in views.items() if other != name}
        elif source["type"] == "SUBQUERY":
            inner = source["subquery"]["node"]
        if inner is None or inner["type"] != "SELECT_NODE" or inner["group_sets"] or inner["group_expressions"]:
            break
        if inner["qualify"] or inner["having"] or _modifiers(inner) - {"ORDER_MODIFIER"}:
            break
        passed.append(inner)
        source = inner["from_table"]
    raise RuntimeRefusedError("algorithm", "groups")


def is_same(one: Tree, other: Tree) -> bool:
    """Whether two trees mean the same: all but where their text stood, and the order in which grouping sets stand."""
    return bool(_canonical(one) == _canonical(other))


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        plain = {name: _canonical(item) for name, item in value.items() if not name.startswith("query_location")}
        if "group_sets" in plain:
            keys = plain.pop("group_expressions")
            plain["group_sets"] = sorted(
                sorted(json.dumps(keys[at], sort_keys=True) for at in each) for each in plain["group_sets"]
            )
        return plain
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def _reads_others(node: Tree) -> bool:
    """A subquery, a window function, or COLUMNS(...), which may mean columns that nobody named; so may ORDER BY ALL,
    which is told apart by its place."""
    chosen = node.get("class") == "STAR" and (node["columns"] or node["expr"] is not None)
    return chosen or node.get("class") in ("SUBQUERY", "WINDOW")


def _expression(node: Tree) -> None:
    if node["class"] not in _CLASSES or (node["class"] == "OPERATOR" and node["type"] not in _OPERATORS):
        raise RuntimeRefusedError("algorithm", "statement")
    if node["class"] in ("FUNCTION", "WINDOW") and (
        node["function_name"].lower() not in FUNCTIONS or node.get("schema") or node.get("catalog")
    ):
        raise RuntimeRefusedError("algorithm", "function")
    # of one moment alone it asks the clock
    if node["class"] == "FUNCTION" and node["function_name"].lower() == "age" and len(node["arguments"]) < _AGE_OF_TWO:
        raise RuntimeRefusedError("algorithm", "function")
    if node["class"] == "TYPE" and node["type_name"].upper() not in TYPES:
        raise RuntimeRefusedError("algorithm", "function")
    if node["class"] == "COLUMN_REF":
        name = node["column_names"][-1].lower()
        if name.startswith("current_") or name in _VALUE_NAMES:
            raise RuntimeRefusedError("algorithm", "function")


def _modifiers(tree: Tree) -> set[str]:
    return {modifier["type"] for modifier in tree.get("modifiers", ())}


def _entries(tree: Tree) -> Iterator[Tree]:
    """Every CTE of the statement, wherever it stands."""
    for node in nodes(tree):
        if isinstance(node.get("map"), list):
            yield from node["map"]


def nodes(tree: Any) -> Iterator[Tree]:
    """Every object of the tree, without recursion: its depth is the statement's author's choice."""
    waiting: list[Any] = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
