"""What checking a bundle says, in both languages: numbered steps, what was relied on, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from audit.findings import Finding, Subject
from audit.trail import Trail
from capsule.canonical import Json

__all__ = ["TITLES", "Anchor", "Step", "Verdict", "Words"]

Anchor = Literal["proven", "checkpoint", "unanchored"]

# Titles of the steps, in the order in which they are taken.
TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "the file": "文件",
        "the anchor": "锚定",
        "the header": "区块头",
        "the heads": "合约状态证明",
        "the contracts": "合约地址",
        "the events": "事件完整性",
        "the places": "事件位置",
        "the documents": "文书",
        "the trail": "轨迹",
        "the receipts": "交易收据证明",
        "the rules": "规则复核",
    }
)
_ANCHORS: Final[Mapping[Anchor, str]] = MappingProxyType(
    {"proven": "已证明(proven)", "checkpoint": "以检查点为锚(checkpoint)", "unanchored": "无锚定(unanchored)"}
)


@dataclass(frozen=True, slots=True)
class Words:
    """One sentence in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was checked (`title`, one of `TITLES`), whether it holds, and what came out.

    Not `checked`: there was nothing to hold it against, so that nothing speaks for it or against it.
    """

    number: int
    title: str
    holds: bool
    words: Words
    checked: bool = True

    @property
    def outcome(self) -> Words:
        if not self.checked:
            return Words("not checked", "未核验")
        return Words("holds", "成立") if self.holds else Words("FAILS", "不成立")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a bundle shows.

    `holds`: every step held, so the record is as it was when it was bundled; `anchor` says on what it rests that it was
    complete then. Findings about the subject are part of what is shown, not faults of the bundle.
    """

    subject: Subject
    anchor: Anchor
    holds: bool
    steps: tuple[Step, ...]
    relied_on: tuple[Words, ...]
    findings: tuple[Finding, ...]
    trail: Trail | None

    def lines(self) -> tuple[str, ...]:
        """For people, step by step, each in English and in Chinese."""
        told = []
        for step in self.steps:
            told.append(f"{step.number}. {step.title}: {step.outcome.en}. {step.words.en}")
            told.append(f"   {TITLES[step.title]}:{step.outcome.zh}。{step.words.zh}")
        for words in self.relied_on:
            told += (f"relied on: {words.en}", f"   依据:{words.zh}")
        for finding in self.findings:
            told.append(f"finding {finding.rule} ({finding.label}): {finding.message_en}")
            told.append(f"   发现:{finding.message_zh}")
        told.append(f"   结论:{'成立' if self.holds else '不成立'},{_ANCHORS[self.anchor]}")
        told.append(f"verdict on {self.subject}: {'holds' if self.holds else 'does not hold'}, {self.anchor}")
        return tuple(told)

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {
            "subject": {"kind": self.subject.kind, "id": self.subject.id},
            "anchor": self.anchor,
            "holds": self.holds,
            "steps": [
                {
                    "number": step.number,
                    "title": step.title,
                    "title_zh": TITLES[step.title],
                    "holds": step.holds,
                    "checked": step.checked,
                    "detail": step.words.en,
                    "detail_zh": step.words.zh,
                }
                for step in self.steps
            ],
            "relied_on": [{"en": words.en, "zh": words.zh} for words in self.relied_on],
            "findings": [finding.to_json() for finding in self.findings],
            "trail": None if self.trail is None else self.trail.to_json(),
        }
