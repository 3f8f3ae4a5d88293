"""What is named on chain and served by nobody: how many documents and operation logs, and who must have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from audit.documents import Reference
from audit.papers import Papers
from audit.picture import Participant
from capsule.canonical import Json
from capsule.ids import Address

__all__ = ["Missing", "Owed", "missing_of"]

_LOG_KIND: Final = "log-segment"


@dataclass(frozen=True, slots=True)
class Owed:
    """What one account does not serve. `account` None: the record names nobody; `endpoint` empty: none on chain."""

    account: Address | None
    endpoint: str
    documents: int
    logs: int

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {
            "account": None if self.account is None else str(self.account),
            "endpoint": self.endpoint or None,
            "documents": self.documents,
            "logs": self.logs,
        }


@dataclass(frozen=True, slots=True)
class Missing:
    """All that is owed, by whom; of several who must have a document, the one most answerable."""

    owed: tuple[Owed, ...]

    @property
    def documents(self) -> int:
        return sum(one.documents for one in self.owed)

    @property
    def logs(self) -> int:
        """Parts of operation logs, each from one anchored head to the next."""
        return sum(one.logs for one in self.owed)

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {"documents": self.documents, "logs": self.logs, "from": [one.to_json() for one in self.owed]}

    def sentence_en(self) -> str:
        if not self.owed:
            return "Every document and log that it names is in the bundle."
        whose = "; ".join(
            f"{_counted_en(one.documents, one.logs)} of {one.account or 'nobody on record'} "
            f"({one.endpoint or 'no endpoint on chain'})"
            for one in self.owed
        )
        return f"Missing from the bundle: {_counted_en(self.documents, self.logs)} that it names: {whose}."

    def sentence_zh(self) -> str:
        if not self.owed:
            return "证据包所引用的文书与日志均在包内。"
        whose = ";".join(
            f"{one.account or '无记录主体'}({one.endpoint or '链上无服务地址'}){_counted_zh(one.documents, one.logs)}"
            for one in self.owed
        )
        return f"证据包所引用的材料中缺少{_counted_zh(self.documents, self.logs)}:{whose}。"


def missing_of(papers: Papers, participants: Mapping[Address, Participant]) -> Missing:
    """What `papers` were asked for and nobody served, grouped by who must have it, in the order of accounts."""
    by_owner: dict[Address | None, list[Reference]] = {}
    for reference in papers.absent:
        owner = reference.owners[0] if reference.owners else None
        by_owner.setdefault(owner, []).append(reference)
    owed = []
    for account, references in sorted(by_owner.items(), key=lambda item: str(item[0])):
        who = None if account is None else participants.get(account)
        logs = sum(reference.kind == _LOG_KIND for reference in references)
        owed.append(Owed(account, "" if who is None else who.endpoint, len(references) - logs, logs))
    return Missing(tuple(owed))


def _counted_en(documents: int, logs: int) -> str:
    parts = [_plural(documents, "document"), _plural(logs, "log segment")]
    return " and ".join(part for part in parts if part)


def _plural(number: int, noun: str) -> str:
    return "" if not number else f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _counted_zh(documents: int, logs: int) -> str:
    parts = [f"文书{documents}份" if documents else "", f"日志{logs}段" if logs else ""]
    return "、".join(part for part in parts if part)
