"""Findings as pages show them: each with a name of its own, filed under the subjects whose trails they belong to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from audit.catalogue import RULES, Severity
from audit.findings import Finding, Subject
from audit.picture import State
from audit.verify import Report
from capsule import canonical
from capsule.ids import AssetId, Bytes32, GrantId, OpeningId, RequestId, UseId

__all__ = ["FILTERS", "TRAILED", "Filed", "Filing", "file_report"]

FILTERS: Final = ("rule", "severity", "label", "subject")
TRAILED: Final = ("participant", "asset", "request", "grant", "use", "device")
"""Kinds of subjects that have a trail."""

_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Filed:
    """One finding. `key` stays the same as long as the finding does; `tentative` ones accuse nobody yet.

    `names`: kind and ids that it is looked up by, lower case, each on a line of its own.
    """

    key: str
    finding: Finding
    tentative: bool
    trails: tuple[Subject, ...]
    names: str

    @property
    def section(self) -> str:
        return RULES[self.finding.rule].section

    def message(self, language: str) -> str:
        return self.finding.message_zh if language == "zh" else self.finding.message_en


@dataclass(frozen=True, slots=True)
class Filing:
    """All findings of a report, the worst first."""

    all: tuple[Filed, ...]
    by_key: Mapping[str, Filed]
    by_trail: Mapping[Subject, tuple[Filed, ...]]
    by_subject: Mapping[Subject, tuple[Filed, ...]]
    severities: Mapping[str, int]
    rules: Mapping[str, int]

    def chosen(self, filters: Mapping[str, str]) -> Sequence[Filed]:
        """Those that fit every filter that is not empty. `subject` is the beginning of an id, or of "kind id"."""
        rule, severity, label, about = (filters.get(name, "") for name in FILTERS)
        line = f"\n{about.lower()}"
        return [
            one
            for one in self.all
            if (not rule or one.finding.rule == rule)
            and (not severity or one.finding.severity == severity)
            and (not label or one.finding.label == label)
            and (not about or line in one.names)
        ]


def file_report(report: Report, state: State) -> Filing:
    """Files a report's findings."""
    filed = [_filed(finding, state, False) for finding in report.findings]
    filed += [_filed(finding, state, True) for finding in report.tentative]
    filed.sort(key=lambda one: (one.tentative, _RANK[one.finding.severity], one.finding.rule, one.key))
    by_trail: dict[Subject, list[Filed]] = {}
    by_subject: dict[Subject, list[Filed]] = {}
    for one in filed:
        by_subject.setdefault(one.finding.subject, []).append(one)
        for trail in one.trails:
            by_trail.setdefault(trail, []).append(one)
    return Filing(
        all=tuple(filed),
        by_key={one.key: one for one in filed},
        by_trail={trail: tuple(some) for trail, some in by_trail.items()},
        by_subject={subject: tuple(some) for subject, some in by_subject.items()},
        severities=Counter(one.finding.severity.value for one in filed if not one.tentative),
        rules=Counter(one.finding.rule for one in filed),
    )


def _filed(finding: Finding, state: State, tentative: bool) -> Filed:
    key = hashlib.sha256(canonical.encode(finding.to_json())).hexdigest()[:24]
    trails = tuple(dict.fromkeys(_trails(finding, state)))
    lines = (str(finding.subject), finding.subject.id, *(line for one in trails for line in (str(one), one.id)))
    return Filed(key, finding, tentative, trails, "\n".join(("", *lines)).lower())


def _trails(finding: Finding, state: State) -> Iterable[Subject]:
    """The trails that a finding belongs to: its subject, whatever that hangs on, and whoever is accused."""
    about = finding.subject
    match about.kind:
        case "use":
            yield about
            use = state.uses.get(UseId.parse(about.id))
            yield from () if use is None else _above_use(state, use.grant, use.asset)
        case "grant":
            yield from _above_use(state, GrantId.parse(about.id), None)
        case "request":
            yield about
            request = state.requests.get(RequestId.parse(about.id))
            yield from () if request is None else (Subject("asset", str(request.asset)),)
        case "opening":
            opening = state.openings.get(OpeningId.parse(about.id))
            yield from () if opening is None else (Subject("asset", str(opening.asset)),)
        case "gateway":
            yield Subject("participant", about.id)
        case kind if kind in TRAILED:
            yield about
        case _:
            pass
    if finding.accused is not None:
        yield Subject("participant", str(finding.accused))


def _above_use(state: State, named: GrantId, asset: AssetId | None) -> Iterable[Subject]:
    yield Subject("grant", str(named))
    grant = state.grants.get(named)
    if grant is not None:
        yield Subject("request", str(grant.request))
    known: Bytes32 | None = asset if grant is None else grant.asset
    if known is not None:
        yield Subject("asset", str(known))
