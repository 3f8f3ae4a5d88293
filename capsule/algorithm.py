"""What a use runs: the algorithm's manifest, which policies name by its hash, and the parameters of one run.

The manifest binds the code by its digest, the parameters it takes and the columns it lets out, in order.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from capsule.canonical import Json
from capsule.digest import document_digest, tagged
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import Digest
from capsule.privacy import NO_EPSILON, Epsilon, Privacy

__all__ = ["KIND", "KINDS", "SALT_SIZE", "Algorithm", "Column", "ColumnType", "Parameters", "code_digest"]

KIND: Final = "dataspace/algorithm"
KINDS: Final = ("sql", "wasm")
SALT_SIZE: Final = 32
MAX_COLUMNS: Final = 256

_PARAMETERS: Final = "dataspace/parameters"


class ColumnType(StrEnum):
    """Types of parameters and output columns. A `time` is unix seconds."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"

    def takes(self, value: Json) -> bool:
        if isinstance(value, bool):
            return self is ColumnType.BOOLEAN
        if isinstance(value, int):
            return self in (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.TIME)
        if isinstance(value, float):
            return self in (ColumnType.NUMBER, ColumnType.TIME) and math.isfinite(value)
        return isinstance(value, str) and self is ColumnType.TEXT


# Types whose values are written in one way only, so that a manifest can list them.
_LISTED: Final = (ColumnType.INTEGER, ColumnType.TEXT, ColumnType.BOOLEAN)


@dataclass(frozen=True, slots=True)
class Column:
    """A named, typed parameter or output column."""

    name: str
    type: ColumnType

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or len(self.name) > 63:
            raise InputError(f"{self.name!r:.80} is no column name")


def code_digest(code: bytes) -> Digest:
    """Digest of an algorithm's code as it is run: SQL text in UTF-8, or a WebAssembly module."""
    return tagged("code", code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """The manifest of a SQL statement or a WebAssembly module.

    `group_column` names the output column that counts each row's group, for the least group size. `deterministic`
    claims that the same capsules and parameters give the same result again, byte by byte, so that a use can be
    re-executed; runtimes refuse code that can't keep it. `privacy` promises an answer with noise, which no run repeats;
    the runtime draws it, and refuses SQL that it can't draw it for. Output columns that it does not name are keys.
    """

    kind: str
    code_hash: Digest
    parameters: tuple[Column, ...]
    output: tuple[Column, ...]
    group_column: str | None = None
    deterministic: bool = False
    privacy: Privacy | None = None
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"algorithm kind {self.kind!r:.40} is not one of {', '.join(KINDS)}")
        for columns in (self.parameters, self.output):
            if len({column.name for column in columns}) != len(columns) or len(columns) > MAX_COLUMNS:
                raise InputError(f"an algorithm's columns are at most {MAX_COLUMNS}, each named once")
        if not self.output:
            raise InputError("an algorithm has at least one output column")
        if self.group_column is not None and Column(self.group_column, ColumnType.INTEGER) not in self.output:
            raise InputError(f"group column {self.group_column} is not an integer column of the output")
        if self.privacy is not None:
            self._check_privacy(self.privacy)

    def _check_privacy(self, privacy: Privacy) -> None:
        if self.kind != "sql" or self.deterministic:
            raise InputError("only SQL can be private, and what draws noise is not deterministic")
        types = {column.name: column.type for column in self.output}
        sums = {each.name: each for each in privacy.sums}
        if privacy.count is not None and types.get(privacy.count) is not ColumnType.INTEGER:
            raise InputError(f"count {privacy.count} is not an integer column of the output")
        if self.group_column not in (None, privacy.count):
            raise InputError("a private algorithm's group column is its count")
        for name, each in sums.items():
            if types.get(name) is not ColumnType.NUMBER and (types.get(name), each.decimals) != (ColumnType.INTEGER, 0):
                raise InputError(f"sum {name} is not a number column of the output, or an integer one without decimals")
        keys = self.key_columns
        if bool(keys) != (privacy.keys is not None or privacy.delta is not None):
            raise InputError("a private algorithm with key columns, and no other, lists its groups or has a delta")
        for key in privacy.keys or ():
            if len(key) != len(keys) or not all(
                cell is None or (column.type.takes(cell) and column.type in _LISTED)
                for cell, column in zip(key, keys, strict=True)
            ):
                raise InputError("a listed group has an integer, a text or a boolean, or null, for each key column")

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of a private algorithm's output that name its groups; none for any other algorithm."""
        if self.privacy is None:
            return ()
        return tuple(column for column in self.output if column.name not in self.privacy.noised)

    @property
    def epsilon(self) -> Epsilon:
        """What one answer spends of a privacy budget; nothing where it promises no privacy."""
        return NO_EPSILON if self.privacy is None else self.privacy.epsilon

    @property
    def hash(self) -> Digest:
        return document_digest("algorithm", self.to_json())

    def verify_code(self, code: bytes) -> bytes:
        """Returns the code when it is the manifest's; VerificationError otherwise."""
        if code_digest(code) != self.code_hash:
            raise VerificationError(
                "code is not the algorithm's", f"digest {code_digest(code)}, manifest says {self.code_hash}"
            )
        return code

    def code_text(self, code: bytes) -> str:
        """The code as documents carry it: SQL as it is, a module in base64; VerificationError for other code."""
        self.verify_code(code)
        return base64.b64encode(code).decode() if self.kind == "wasm" else _utf8(code)

    def read_code(self, text: str) -> bytes:
        """The code of such a text; VerificationError unless it is the manifest's."""
        if self.kind != "wasm":
            return self.verify_code(text.encode("utf-8", "surrogatepass"))
        try:
            return self.verify_code(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as exc:
            raise VerificationError("code is not the algorithm's", "it is not base64") from exc

    def accept(self, parameters: Parameters) -> Parameters:
        """Returns the parameters when they are exactly those that the manifest declares; InputError otherwise."""
        declared = {column.name: column.type for column in self.parameters}
        if set(parameters.values) != set(declared):
            raise InputError(f"the algorithm takes the parameters {', '.join(sorted(declared)) or 'none'}")
        for name, kind in declared.items():
            if not kind.takes(parameters.values[name]):
                raise InputError(f"parameter {name} is not of type {kind}")
        return parameters

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "runs": self.kind,
            "code_hash": str(self.code_hash),
            "parameters": [{"name": column.name, "type": str(column.type)} for column in self.parameters],
            "output": [{"name": column.name, "type": str(column.type)} for column in self.output],
            "group_column": self.group_column,
            **({"deterministic": True} if self.deterministic else {}),
            **({} if self.privacy is None else {"privacy": self.privacy.to_json()}),
        }

    @classmethod
    def from_json(cls, document: Json) -> Algorithm:
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            return cls(
                kind=fields.text("runs"),
                code_hash=fields.id("code_hash", Digest),
                parameters=fields.objects("parameters", MAX_COLUMNS, _column),
                output=fields.objects("output", MAX_COLUMNS, _column),
                group_column=None if fields.value("group_column") is None else fields.text("group_column"),
                deterministic=fields.has("deterministic") and _claimed(fields),
                privacy=Privacy.from_json(fields.value("privacy")) if fields.has("privacy") else None,
                unknown=fields.unknown(),
            )


def _claimed(fields: Fields) -> bool:
    """Only the claim is written: two ways to claim nothing would be two hashes."""
    if not fields.flag("deterministic"):
        raise FormatError(f"{KIND}: deterministic is left out where it is not claimed")
    return True


def _utf8(code: bytes) -> str:
    try:
        return code.decode()
    except UnicodeDecodeError as exc:
        raise VerificationError("code is not the algorithm's", "SQL text is UTF-8") from exc


def _column(fields: Fields) -> Column:
    return Column(fields.text("name"), ColumnType(fields.one_of("type", tuple(ColumnType))))


@dataclass(frozen=True, slots=True)
class Parameters:
    """The values of one run, salted, since they could be guessed from a bare hash. Disclosed with their salt."""

    values: Mapping[str, Json]
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_SIZE:
            raise InputError(f"a salt has {SALT_SIZE} bytes")
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    @property
    def hash(self) -> Digest:
        return document_digest("parameters", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {"kind": _PARAMETERS, "version": 1, "values": dict(self.values), "salt": hexed(self.salt)}

    @classmethod
    def from_json(cls, document: Json) -> Parameters:
        fields = Fields.of(document, _PARAMETERS)
        values = fields.value("values")
        if not isinstance(values, Mapping):
            raise FormatError(f"{_PARAMETERS}: values is not an object")
        return cls(values, fields.raw("salt", SALT_SIZE))
