"""Checking an evidence bundle: numbered steps that a court expert can follow, and what each relied on.

Pure: the bundle's bytes and T in, a verdict out; no network, no database, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from audit.bundle import Contents, documents_of, read_bundle
from audit.entries import Claim
from audit.errors import RequestError
from audit.findings import Finding, Subject
from audit.ledger_state import fold
from audit.papers import Papers, Patience
from audit.picture import State
from audit.rulebook import apply
from audit.trail import Trail, trail_of
from audit.trust import Trust, claim_of, verify_signed
from capsule.canonical import Json
from capsule.errors import VerificationError
from capsule.ids import Address
from contracts.events import EntrySet

__all__ = ["Step", "Verdict", "check"]

Anchor = Literal["checkpoint", "unanchored"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was checked, whether it holds, and what its outcome relies on."""

    number: int
    title: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a bundle shows.

    `holds`: every step held, so the record is as it was when it was bundled; `anchor` says on whose word it was
    complete then. Findings about the subject are part of what is shown, not faults of the bundle.
    """

    subject: Subject
    anchor: Anchor
    holds: bool
    steps: tuple[Step, ...]
    relied_on: tuple[str, ...]
    findings: tuple[Finding, ...]
    trail: Trail | None

    def lines(self) -> tuple[str, ...]:
        """For people, step by step."""
        steps = (
            f"{step.number}. {step.title}: {'holds' if step.holds else 'FAILS'}. {step.detail}" for step in self.steps
        )
        relied = (f"relied on: {word}" for word in self.relied_on)
        found = (f"finding {finding.rule} ({finding.label}): {finding.message_en}" for finding in self.findings)
        end = f"verdict on {self.subject}: {'holds' if self.holds else 'does not hold'}, {self.anchor}"
        return (*steps, *relied, *found, end)

    def to_json(self) -> dict[str, Json]:
        return {
            "subject": {"kind": self.subject.kind, "id": self.subject.id},
            "anchor": self.anchor,
            "holds": self.holds,
            "steps": [
                {"number": step.number, "title": step.title, "holds": step.holds, "detail": step.detail}
                for step in self.steps
            ],
            "relied_on": list(self.relied_on),
            "findings": [finding.to_json() for finding in self.findings],
            "trail": None if self.trail is None else self.trail.to_json(),
        }


def check(data: bytes, trust: Trust | None = None, *, patience: Patience | None = None) -> Verdict:
    """Checks a bundle against T. Raises BundleError for bytes that are no whole bundle.

    Without T (or without a checkpoint in the bundle) the verdict is `unanchored`: it shows that the file agrees with
    itself, not that it is the ledger's.
    """
    return _Checking(data, trust, patience).verdict()


class _Checking:
    """The steps of one check, in order; a step that fails does not stop the next."""

    def __init__(self, data: bytes, trust: Trust | None, patience: Patience | None) -> None:
        self._steps: list[Step] = []
        self._relied: list[str] = []
        # 1. The file is whole and reads.
        self._contents: Contents = read_bundle(data)
        self._note("the file", True, f"{len(data)} bytes, written canonically, with the digest that it states")
        # 2. The checkpoint is signed by keys of T.
        self._claim = self._anchored(trust)
        # 3. to 5. are the state's: addresses, re-hashing, places.
        claims = () if self._claim is None else (self._claim,)
        self._state: State = fold(self._contents.entries, self._contents.identity, self._contents.tip, claims)
        self._patience = patience

    def verdict(self) -> Verdict:
        contents, state = self._contents, self._state
        # 3. Contracts are those of the Directory.
        self._addresses()
        # 4. Events have no gap and re-hash to the checkpoint's heads; 5. they stand where it says.
        self._events()
        # 6. The rules, again, over events and documents.
        papers = Papers(state, documents_of(contents), self._patience)
        findings, tentative = apply(state, papers)
        # 7. Every document is one that the events name, and has its digest.
        self._documents(papers)
        trail = self._trail(papers)
        about = tuple(finding for finding in (*findings, *tentative) if self._concerns(finding, trail))
        self._note(
            "the rules", True, f"applied again: {len(findings)} findings, {len(about)} of them about the subject"
        )
        return Verdict(
            subject=contents.subject,
            anchor="unanchored" if self._claim is None else "checkpoint",
            holds=all(step.holds for step in self._steps),
            steps=tuple(self._steps),
            relied_on=tuple(self._relied),
            findings=about,
            trail=trail,
        )

    def _note(self, title: str, holds: bool, detail: str) -> None:
        self._steps.append(Step(len(self._steps) + 1, title, holds, detail))

    def _anchored(self, trust: Trust | None) -> Claim | None:
        signed = self._contents.checkpoint
        if trust is None or signed is None:
            missing = "T was not given" if trust is None else "the bundle has no checkpoint"
            self._note("the anchor", True, f"{missing}: unanchored")
            self._relied.append("the maker of the bundle, for everything: no trusted signature stands behind it")
            return None
        try:
            checkpoint = verify_signed(signed, trust)
        except VerificationError as exc:
            self._note("the anchor", False, str(exc))
            return None
        signers = [one.account for one in signed.signatures if one.account in trust.keys]
        names = ", ".join(f"{account}{' (regulator)' if account in trust.regulators else ''}" for account in signers)
        self._note(
            "the anchor",
            (checkpoint.block_number, checkpoint.block_hash, checkpoint.domain)
            == (self._contents.tip.number, self._contents.tip.hash, self._contents.identity.domain),
            f"checkpoint {checkpoint.hash} of block {checkpoint.block_number}, signed by {names}",
        )
        self._relied.append(f"the signatures of {names} under the keys in T")
        return claim_of(checkpoint)

    def _addresses(self) -> None:
        named = {
            entry.event.name: entry.event.entry for entry in self._contents.entries if isinstance(entry.event, EntrySet)
        }
        known: dict[str, Address] = {**named, "Directory": self._contents.identity.domain.directory}
        wrong = [name for name, address in self._contents.identity.contracts.items() if known.get(name) != address]
        detail = (
            f"not as the Directory names them: {', '.join(wrong)}" if wrong else "as the Directory's events name them"
        )
        self._note("the contracts", not wrong, detail)

    def _events(self) -> None:
        broken, elsewhere, unplaced = [], [], []
        for name, running in self._state.running.items():
            if running.breaks:
                broken.append(f"{name} has gaps")
            elif self._claim is not None:
                if self._claim.heads.get(name) != (running.now.head, running.now.seq):
                    broken.append(f"{name} does not re-hash to the checkpoint's head")
                if name not in self._claim.places:
                    unplaced.append(name)
                elif self._claim.places[name] != running.now.places:
                    elsewhere.append(name)
        count = self._state.events
        whole = "re-hash to the checkpoint's heads" if self._claim is not None else "count without gaps"
        self._note("the events", not broken, "; ".join(broken) or f"{count} events {whole}")
        detail = f"moved: {', '.join(elsewhere)}" if elsewhere else "blocks, times and transactions as signed"
        if self._claim is None or unplaced or self._claim.time is None:
            self._relied.append("the maker of the bundle, for blocks, times and transactions of the events")
            detail = "not fixed by a checkpoint"
        elif self._claim.time != self._contents.tip.time:
            elsewhere.append("the last block's time")
        self._note("the places", not elsewhere, detail)

    def _documents(self, papers: Papers) -> None:
        strange = sorted(kind for kind, key in self._contents.documents if (kind, key) not in papers.served)
        detail = f"{len(papers.served)} documents have the digests that the events name"
        if strange:
            detail = f"named by no event, or not what it says: {', '.join(strange)}"
        self._note("the documents", not strange, f"{detail}; {papers.absent} named ones are not in the bundle")

    def _trail(self, papers: Papers) -> Trail | None:
        try:
            found = trail_of(self._state, self._contents.entries, self._contents.subject, papers)
        except RequestError as exc:
            self._note("the trail", False, str(exc))
            return None
        self._note("the trail", True, f"{len(found.rows)} events of {found.subject}")
        return found

    def _concerns(self, finding: Finding, trail: Trail | None) -> bool:
        """Whether a finding is about the subject, about something on its trail, or about the record."""
        if finding.subject.kind in ("ledger", "contract") or finding.subject == self._contents.subject:
            return True
        return trail is not None and finding.subject.id in _ids(trail)


def _ids(trail: Trail) -> Iterator[str]:
    for row in trail.rows:
        if row.who is not None:
            yield str(row.who)
        for value in row.body.values():
            if isinstance(value, str):
                yield value
