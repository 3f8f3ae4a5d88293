"""The two languages of the pages: which one a reader gets, and its words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from audit.pages.words_en import WORDS as ENGLISH
from audit.pages.words_zh import WORDS as CHINESE

__all__ = ["LANGUAGES", "WORDS", "choose"]

LANGUAGES: Final = ("en", "zh")
WORDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({"en": ENGLISH, "zh": CHINESE})

_MAX_PARTS: Final = 20


def choose(asked: str | None, kept: str | None, accepted: str) -> str:
    """`asked` (by the address), else `kept` (by the cookie), else the best of Accept-Language, else English."""
    for one in (asked, kept):
        if one in LANGUAGES:
            return one
    ranked = [ranking for part in accepted.split(",")[:_MAX_PARTS] if (ranking := _ranking(part)) is not None]
    return max(ranked, key=lambda ranking: ranking[0], default=(0.0, "en"))[1]


def _ranking(part: str) -> tuple[float, str] | None:
    """Quality and language of one part, None for a language that is none of ours or is refused."""
    name, _, parameter = part.strip().lower().partition(";")
    language = name.strip().partition("-")[0]
    try:
        quality = float(parameter.partition("=")[2] or 1)
    except ValueError:
        return None
    return (quality, language) if language in LANGUAGES and 0 < quality <= 1 else None
