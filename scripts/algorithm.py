"""Algorithms as people write them, SQL text or a WebAssembly module and `name:type` columns, turned into a manifest."""

from collections.abc import Iterable

from capsule.algorithm import Algorithm, Column, ColumnType, code_digest
from capsule.errors import InputError
from capsule.privacy import Privacy

__all__ = ["MODULE", "algorithm_of", "sql_algorithm"]

MODULE = b"\0asm"
"""How a WebAssembly module begins."""


def algorithm_of(
    code: bytes,
    output: Iterable[str],
    parameters: Iterable[str] = (),
    group_column: str | None = None,
    *,
    deterministic: bool = False,
    privacy: Privacy | None = None,
) -> Algorithm:
    """The manifest of an algorithm: kind `wasm` where the code begins as a module does, else `sql`.

    Raises InputError for a column that is not `name:type`.
    """
    return Algorithm(
        kind="wasm" if code.startswith(MODULE) else "sql",
        code_hash=code_digest(code),
        parameters=tuple(map(_column, parameters)),
        output=tuple(map(_column, output)),
        group_column=group_column,
        deterministic=deterministic,
        privacy=privacy,
    )


def sql_algorithm(
    code: str,
    output: Iterable[str],
    parameters: Iterable[str] = (),
    group_column: str | None = None,
    *,
    deterministic: bool = False,
    privacy: Privacy | None = None,
) -> Algorithm:
    """The manifest of SQL text; raises InputError for a column that is not `name:type`."""
    return algorithm_of(code.encode(), output, parameters, group_column, deterministic=deterministic, privacy=privacy)


def _column(text: str) -> Column:
    name, _, kind = text.partition(":")
    if kind not in tuple(ColumnType):
        raise InputError(f"a column is written name:type with a type of {', '.join(ColumnType)}, not {text!r:.80}")
    return Column(name, ColumnType(kind))
