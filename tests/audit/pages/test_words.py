"""The pages' words: the same keys in both languages, all that templates and findings ask for, and the best language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audit.catalogue import RULES, Label, Severity
from audit.deeds import words
from audit.deeds_zh import words_zh
from audit.pages import words_en
from audit.pages import words_zh as chinese
from audit.pages.language import WORDS, choose
from capsule.batch import IncidentKind
from tests.sim.histories import History

TEMPLATES = Path(words_en.__file__).parent / "templates"
HOLES = re.compile(r"\{\d\}")


def test_both_languages_have_the_same_keys_and_holes() -> None:
    assert words_en.WORDS.keys() == chinese.WORDS.keys()
    for key, text in words_en.WORDS.items():
        assert sorted(HOLES.findall(text)) == sorted(HOLES.findall(chinese.WORDS[key])), key
        assert text
        assert chinese.WORDS[key]


def test_every_word_that_a_template_names_is_there() -> None:
    named = {key for page in TEMPLATES.glob("*.html") for key in re.findall(r'\bt\("([^"]+)"[,)]', page.read_text())}

    assert len(named) > 100
    assert named <= words_en.WORDS.keys()


def test_catalogue_and_incidents_have_words() -> None:
    needed = {f"section.{rule.section}" for rule in RULES.values()}
    needed |= {f"severity.{one.value}{more}" for one in Severity for more in ("", ".means")}
    needed |= {f"label.{one.value}{more}" for one in Label for more in ("", ".means")}
    needed |= {f"incident.{kind.value}" for kind in IncidentKind}

    assert needed <= words_en.WORDS.keys()


def test_every_event_is_said_in_both_languages(honest: History) -> None:
    kinds = {type(entry.event): entry.event for entry in honest.entries}

    assert len(kinds) > 25
    for kind, event in kinds.items():
        assert words(event) != kind.__name__
        assert re.search(r"[\u4e00-\u9fff]", words_zh(event)), kind


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "chosen"),
    [
        ("zh", "en", "en", "zh"),
        ("fr", "zh", "en", "zh"),
        (None, None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, None, "en;q=0.2, zh-Hant;q=0.4", "zh"),
        (None, None, "fr, de;q=0.5", "en"),
        (None, None, "zh;q=0, en;q=0.1", "en"),
        (None, None, "zh;q=nan", "en"),
        (None, None, "", "en"),
        (None, "<script>", ",;;q=,zh" * 5_000, "zh"),
    ],
)
def test_language_is_the_best_that_the_reader_names(
    asked: str | None, kept: str | None, accepted: str, chosen: str
) -> None:
    assert choose(asked, kept, accepted) == chosen
    assert chosen in WORDS
