"""Which rows of a capsule stand behind each row of a result: the statement that says it, and how it is remembered.

`numbered` rewrites the engine's own reading of a checked statement, so that one statement gives both the result and, in
further columns at its end, the numbers of the rows behind each of its rows: nothing has to be matched afterwards.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from capsule.canonical import Json, decode, encode
from capsule.document import Fields
from capsule.errors import FormatError
from node.errors import RuntimeRefusedError
from node.runtime.shape import Tree, branches, nodes, source_of, views_of

__all__ = [
    "MEMBER_COLUMNS",
    "Group",
    "Partition",
    "free_name",
    "numbered",
    "read_members",
    "read_rows",
    "with_numbers",
    "write_members",
]

MEMBER_COLUMNS: Final = 3
"""What `numbered` adds to a result: the rows behind it, its place in GROUPING SETS, its place in a UNION ALL."""

_KIND: Final = "dataspace/members"
_MAX_GROUPS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Group:
    """The rows behind one row of a result. `table` is the capsule's; `part` is the place of its SELECT and of its
    grouping set, and groups of one part have no row in common."""

    table: str
    part: tuple[int, int]
    rows: BitMap


@dataclass(frozen=True)
class Partition:
    """Groups of a capsule's rows that were told together and have no row in common."""

    groups: tuple[BitMap, ...]

    @cached_property
    def union(self) -> BitMap:
        return BitMap.union(*self.groups) if self.groups else BitMap()

    @cached_property
    def by_key(self) -> dict[bytes, BitMap]:
        """The groups by bytes that equal groups share."""
        return {group.serialize(): group for group in self.groups}

    @cached_property
    def key(self) -> frozenset[bytes]:
        """Equal for partitions of the same groups, in whatever order they were told."""
        return frozenset(self.by_key)


def free_name(text: str, tables: Sequence[pa.Table]) -> str:
    """A column name that neither a statement nor a table uses."""
    used = [text.lower(), *(name.lower() for table in tables for name in table.column_names)]
    name = "row_of_capsule"
    while any(name in one for one in used):
        name += "_"
    return name


def with_numbers(table: pa.Table, name: str) -> pa.Table:
    """A table whose rows are numbered from 0."""
    ones = pa.repeat(pa.scalar(1, pa.int32()), table.num_rows)
    return table.append_column(name, pc.cumulative_sum(ones, start=-1))


def numbered(tree: Tree, tables: Collection[str], row: str) -> tuple[str, ...]:
    """Changes the tree to give MEMBER_COLUMNS more; returns the capsule's table that each branch counts.

    `tree` passed `shape.check_groups`, and its tables have the column `row`. What would see that column is refused:
    RuntimeRefusedError ("algorithm", "groups").
    """
    if _sees_whole_rows(tree, tables):
        raise RuntimeRefusedError("algorithm", "groups")
    bases, views = {name.lower() for name in tables}, views_of(tree)
    passed: list[Tree] = []
    counted = []
    for place, branch in enumerate(branches(tree)):
        base, inner = source_of(branch, bases, views)
        passed += [select for select in inner if not any(select is known for known in passed)]
        branch["select_list"] += [_joined(row), _grouping(branch), _constant("INTEGER", str(place))]
        counted.append(base)
    for select in passed:
        _pass_on(select, row)
    return tuple(counted)


def read_rows(text: str | None, count: object) -> BitMap:
    """The rows of one group, which are as many as its count says; RuntimeRefusedError ("algorithm", "groups") else."""
    rows = BitMap()
    if text:
        numbers = pc.split_pattern(pa.array([text], pa.large_string()), ",").values.cast(pa.uint32())
        rows = BitMap(array("I", memoryview(numbers.buffers()[1])[: 4 * len(numbers)].tobytes()))
    if len(rows) != count:
        raise RuntimeRefusedError("algorithm", "groups")
    # one form for equal groups, and the smallest
    rows.run_optimize()
    return rows


def write_members(partitions: Sequence[Partition]) -> bytes:
    """Partitions as they are remembered: two lengths, a JSON document, and the groups as portable Roaring bitmaps."""
    if not partitions:
        return b""
    groups = [[group.serialize() for group in one.groups] for one in partitions]
    document: Json = {
        "kind": _KIND,
        "version": 1,
        "partitions": [{"group_bytes": [len(data) for data in each]} for each in groups],
    }
    header = encode(document)
    return len(header).to_bytes(4, "big") + header + b"".join(data for each in groups for data in each)


def read_members(data: bytes) -> tuple[Partition, ...]:
    """Reads what `write_members` wrote; FormatError for anything else."""
    if not data:
        return ()
    size = int.from_bytes(data[:4], "big")
    fields = Fields.of(decode(data[4 : 4 + size]), _KIND)
    lengths = fields.objects("partitions", _MAX_GROUPS, lambda one: one.integers("group_bytes", _MAX_GROUPS))
    at = 4 + size
    partitions = []
    for each in lengths:
        groups = []
        for length in each:
            try:
                groups.append(BitMap.deserialize(data[at : at + length]))
            except ValueError as exc:
                raise FormatError("a group is no bitmap") from exc
            at += length
        partitions.append(Partition(tuple(groups)))
    if at != len(data):
        raise FormatError("members are not of the lengths that they tell of")
    return tuple(partitions)


def _pass_on(select: Tree, row: str) -> None:
    """A SELECT under the counted one hands the row's number up, and no star of it does."""
    for node in nodes(select["select_list"]):
        if node.get("class") == "STAR":
            if node["columns"] or node["expr"] is not None:
                raise RuntimeRefusedError("algorithm", "groups")
            node["exclude_list"].append(row)
    select["select_list"].append(_column(row))


def _sees_whole_rows(tree: Tree, tables: Collection[str]) -> bool:
    """Whether a name may stand for a table's rows as values, with all of their columns."""
    names = {*map(str.lower, tables), *views_of(tree)}
    names |= {str(node["alias"]).lower() for node in nodes(tree) if node.get("type") in ("BASE_TABLE", "SUBQUERY")}
    return any(node["column_names"][-1].lower() in names for node in nodes(tree) if node.get("class") == "COLUMN_REF")


def _grouping(branch: Tree) -> Tree:
    """Which of several grouping sets a row belongs to."""
    if len(branch["group_sets"]) < 2:
        return _constant("INTEGER", "0")
    children = []
    for key in branch["group_expressions"]:
        if key["class"] == "CONSTANT" and key["literal"]["kind"] == "INTEGER":
            # the place of a column
            place, selected = int(key["literal"]["text"]), branch["select_list"]
            if not 1 <= place <= len(selected):
                raise RuntimeRefusedError("algorithm", "groups")
            key = selected[place - 1] | {"alias": ""}  # noqa: PLW2901
        children.append(key)
    return {"class": "OPERATOR", "type": "GROUPING_FUNCTION", "alias": "", "children": children}


def _column(name: str) -> Tree:
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "column_names": [name]}


def _constant(kind: str, text: str) -> Tree:
    return {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "literal": {"kind": kind, "text": text}}


def _texts(child: Tree) -> Tree:
    kind = {
        "class": "TYPE",
        "type": "TYPE",
        "alias": "",
        "catalog": "",
        "schema": "",
        "type_name": "VARCHAR",
        "children": [],
        "qualified_name": {"path": ["VARCHAR"]},
    }
    return {
        "class": "CAST",
        "type": "OPERATOR_CAST",
        "alias": "",
        "child": child,
        "try_cast": False,
        "type_expr": kind,
    }


def _joined(column: str) -> Tree:
    return {
        "class": "FUNCTION",
        "type": "FUNCTION",
        "alias": "",
        "function_name": "string_agg",
        "schema": "",
        "filter": None,
        "order_bys": {"type": "ORDER_MODIFIER", "orders": []},
        "distinct": False,
        "is_operator": False,
        "export_state": False,
        "catalog": "",
        "arguments": [
            {"name": "", "expression": _texts(_column(column))},
            {"name": "", "expression": _constant("STRING", ",")},
        ],
        "qualified_name": {"path": ["string_agg"]},
    }
