"""What a rule means: the part of the catalogue that no finding is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from audit.remedies import Accused, Remedy

__all__ = ["Meaning", "Table", "meanings"]

Table: TypeAlias = Mapping[str, tuple[Accused, str, Remedy, str, str]]
"""By rule: who is accused, the names of its evidence, what to do, what it means in English and in Chinese."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a breach of a rule means, in both languages; who is accused; the evidence; what to do.

    `evidence` are the names that every finding of the rule carries; some carry more.
    """

    accused: Accused
    evidence: tuple[str, ...]
    remedy: Remedy
    en: str
    zh: str


def meanings(table: Table) -> Mapping[str, Meaning]:
    """The meanings of a table, by rule."""
    return MappingProxyType(
        {
            rule: Meaning(accused, tuple(names.split()), remedy, en, zh)
            for rule, (accused, names, remedy, en, zh) in table.items()
        }
    )
