"""The output guard: what must hold of a result before it leaves, and the document it leaves in.

A refused result leaves nothing but the reason. The document is canonical JSON, so that one result has one digest:
{"kind": "dataspace/result", "version": 1, "columns": [{"name", "type"}], "rows": [[...]], "salt"}. Integers past
2^53 - 1 are decimal text; numbers keep every bit of their double, NaN and infinities are text; times are ISO 8601 text
without a zone, as the engine's TIMESTAMP has none; a DECIMAL is given as the nearest double.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeVar

from capsule.algorithm import Algorithm, ColumnType
from capsule.canonical import Json, encode
from capsule.document import hexed
from capsule.privacy import Epsilon
from node.errors import GuardError, RuntimeRefusedError
from node.runtime.engine import Answer, Cell

__all__ = ["KIND", "Bounds", "least", "result_document", "verify_bytes", "verify_output", "verify_spending"]

KIND: Final = "dataspace/result"

_SAFE_INTEGER: Final = 2**53 - 1

_Bound = TypeVar("_Bound", int, Epsilon)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What policies and budgets let out. `max_rows` and `rows_left` (the buyer's budget) are None when without limit;
    `min_group` is the least number of rows behind each row of a result, 1 for no such rule; `suppress_groups`: rows
    behind which there are fewer are left out. `max_bytes` is of the document, None when without limit. `most_epsilon`
    is the most that the answer may spend, None where it needs no noise."""

    max_rows: int | None
    rows_left: int | None
    min_group: int
    max_bytes: int | None = None
    suppress_groups: bool = False
    most_epsilon: Epsilon | None = None

    @property
    def most_rows(self) -> int | None:
        return least((self.max_rows, self.rows_left))


def least(bounds: Iterable[_Bound | None]) -> _Bound | None:
    """The strictest of some bounds, of which None is without limit."""
    return min((bound for bound in bounds if bound is not None), default=None)


def verify_spending(algorithm: Algorithm, bounds: Bounds) -> Algorithm:
    """Returns the algorithm when what it would spend may be spent, before anything is computed. RuntimeRefusedError
    ("algorithm", "noiseless") or GuardError ("epsilon") otherwise."""
    if bounds.most_epsilon is None:
        return algorithm
    if algorithm.privacy is None:
        raise RuntimeRefusedError("algorithm", "noiseless")
    if algorithm.privacy.epsilon > bounds.most_epsilon:
        raise GuardError("epsilon")
    return algorithm


def verify_output(answer: Answer, algorithm: Algorithm, bounds: Bounds) -> Answer:
    """Returns the result when it may leave; GuardError ("schema", "rows", "budget" or "group") otherwise."""
    if answer.columns != tuple((column.name, column.type) for column in algorithm.output):
        raise GuardError("schema")
    if bounds.max_rows is not None and len(answer.rows) > bounds.max_rows:
        raise GuardError("rows")
    if bounds.rows_left is not None and len(answer.rows) > bounds.rows_left:
        raise GuardError("budget")
    if bounds.min_group > 1:
        place = [column.name for column in algorithm.output].index(str(algorithm.group_column))
        sizes = [row[place] for row in answer.rows]
        if any(not isinstance(size, int) or size < bounds.min_group for size in sizes):
            raise GuardError("group")
    return answer


def result_document(answer: Answer, algorithm: Algorithm, salt: bytes) -> bytes:
    """The result's bytes, as the buyer reads them. `answer` has passed `verify_output`."""
    return encode(
        {
            "kind": KIND,
            "version": 1,
            "columns": [{"name": column.name, "type": str(column.type)} for column in algorithm.output],
            "rows": [
                [_value(cell, column.type) for cell, column in zip(row, algorithm.output, strict=True)]
                for row in answer.rows
            ],
            "salt": hexed(salt),
        }
    )


def verify_bytes(document: bytes, bounds: Bounds) -> bytes:
    """Returns the result's bytes when they are not too many; GuardError ("bytes") otherwise."""
    if bounds.max_bytes is not None and len(document) > bounds.max_bytes:
        raise GuardError("bytes")
    return document


def _value(cell: Cell | date | Decimal, kind: ColumnType) -> Json:
    if cell is None or isinstance(cell, bool | str):
        return cell
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if kind is ColumnType.INTEGER:
        number = int(cell)
        return number if abs(number) <= _SAFE_INTEGER else str(number)
    double = float(cell)
    return double if math.isfinite(double) else str(double)
