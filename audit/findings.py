"""Findings: one rule broken by one subject, with the values to see it by.

The rules, with their texts, stand in the catalogue; no finding is made without the evidence that they name.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.catalogue import RULES, Label, Rule, Severity
from capsule.canonical import Json
from capsule.ids import Address

__all__ = ["RULES", "Exhibit", "Finding", "Label", "Rule", "Severity", "Subject", "found"]


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What a finding or a trail is about.

    Kinds: ledger, contract, participant, asset, opening, request, grant, use, device, gateway.
    """

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True, order=True)
class Exhibit:
    """One named value of the evidence."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule. `accused` is the account that must answer for it, None where the record does not say."""

    rule: str
    severity: Severity
    label: Label
    subject: Subject
    accused: Address | None
    message_en: str
    message_zh: str
    evidence: tuple[Exhibit, ...]

    def to_json(self) -> dict[str, Json]:
        """For `--json` and bundles."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "label": self.label.value,
            "subject": {"kind": self.subject.kind, "id": self.subject.id},
            "accused": None if self.accused is None else str(self.accused),
            "message_en": self.message_en,
            "message_zh": self.message_zh,
            "evidence": {exhibit.name: exhibit.value for exhibit in self.evidence},
        }


def found(rule: str, subject: Subject, accused: Address | None = None, /, **evidence: object) -> Finding:
    """A finding of a rule. `evidence` fills the rule's texts and stays with the finding, in the order given.

    Raises KeyError where the rule names evidence that is not given.
    """
    breach = RULES[rule]
    missing = [name for name in breach.evidence if name not in evidence]
    if missing:
        raise KeyError(f"a finding of {rule} names {', '.join(missing)}")
    values = {name: str(value) for name, value in evidence.items()}
    return Finding(
        rule=rule,
        severity=breach.severity,
        label=breach.label,
        subject=subject,
        accused=accused,
        message_en=breach.text_en.format_map(values),
        message_zh=breach.text_zh.format_map(values),
        evidence=tuple(Exhibit(name, value) for name, value in values.items()),
    )
