"""How the demo tells what happens: for people as it goes, in both languages; for programs as one object at the end."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from audit.findings import Finding
from scripts.cli.printing import say, tabulate
from scripts.demo.attacks.catalogue import Caught
from scripts.demo.trip import TITLES, Trip
from scripts.demo.world import World

__all__ = ["Teller", "caught_json", "trip_json", "world_json"]


@dataclass(frozen=True, slots=True)
class Teller:
    """Says each step on standard output as it happens, or keeps silent."""

    shows: bool

    def say(self, text: str) -> None:
        if self.shows:
            for line in text.split("\n"):
                say(line)

    @contextmanager
    def step(self, number: int) -> Iterator[Callable[[str], None]]:
        """One of the eight steps: its title first, then what it did."""
        english, chinese = TITLES[number - 1]
        self.say(f"\n{number}. {english}\n   {chinese}")
        yield lambda line: self.say(f"   {line}")

    def result(self, document: bytes, most: int = 30) -> None:
        """The result as a table; only the buyer sees it."""
        if not self.shows:
            return
        content = json.loads(document)
        rows = [["all 合计" if first is None else first, *map(_cell, rest)] for first, *rest in content["rows"][:most]]
        tabulate([column["name"] for column in content["columns"]], rows, "result 结果")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)


def world_json(world: World) -> dict[str, Any]:
    """Where a trip takes place and who takes part, however far it got."""
    return {
        "home": str(world.home),
        "chain": {
            "kind": "embedded",
            "chain_id": world.operator.domain.chain_id,
            "directory": str(world.directory),
            "block": world.chain.head().number,
        },
        "participants": [
            {"name": member.name, "account": str(member.account), "uscc": str(member.uscc)}
            for member in world.members.values()
        ],
    }


def trip_json(trip: Trip) -> dict[str, Any]:
    """The object that `dataspace demo --json` prints."""
    report = trip.inspection.report
    provider = trip.world["provider"]
    receipt = trip.collected.receipt
    return {
        "ok": not report.findings,
        **world_json(trip.world),
        "device": {
            "id": str(trip.recorded.device),
            "frames": trip.recorded.frames,
            "rows": trip.recorded.rows,
            "readings": trip.recorded.readings,
            "simulated": trip.readings.simulated,
        },
        "anchors": [
            {
                "gateway": str(anchor.batch.gateway),
                "number": anchor.batch.number,
                "size": anchor.batch.size,
                "frames_root": str(anchor.batch.frames_root),
                "transaction": str(anchor.transaction),
            }
            for anchor in trip.recorded.anchors
        ],
        "capsule": {
            "path": str(trip.offering.capsule),
            "bytes": trip.offering.capsule_size,
            "root": str(trip.offering.capsule_root),
            "policy_hash": str(trip.offering.policy_hash),
            "deal": str(trip.offering.deal_hash),
            "provider": str(provider.account),
        },
        "asset": str(trip.asset),
        "request": str(trip.requested.request),
        "grant": str(trip.granted.grant),
        "use": str(trip.collected.closed.use),
        "query": trip.question.sql,
        "parameters": trip.question.parameters,
        "result": {"path": str(trip.result_path), "rows": trip.collected.closed.rows_out},
        "receipt": {
            "path": str(trip.receipt_path),
            "hash": str(receipt.hash),
            "source": {"level": receipt.source.level, "verified": receipt.source.verified, "of": receipt.source.of},
            "protected": receipt.protected,
        },
        "audit": {
            "events": report.summary.events,
            "findings": [finding.to_json() for finding in report.findings],
            "digest": str(report.summary.digest),
            "completeness": report.completeness,
            "rules": len(report.rules),
            "bundle": str(trip.inspection.bundle),
            "trust": str(trip.inspection.trust),
            "checkpoint": str(trip.inspection.checkpoint),
            "documents": str(trip.inspection.documents),
        },
    }


def caught_json(caught: Caught) -> dict[str, Any]:
    """Who stopped an attack, or which rule found it."""
    content: dict[str, Any] = {}
    if caught.stopped_at is not None:
        stopped = caught.stopped_at
        content["stopped_at"] = {"step": stopped.step, "who": stopped.who, "reason": stopped.reason}
    if caught.finding is not None:
        content["finding"] = _finding(caught.finding)
    return content


def _finding(finding: Finding) -> dict[str, Any]:
    evidence = {exhibit.name: exhibit.value for exhibit in finding.evidence}
    return {"rule": finding.rule, "subject": str(finding.subject), "evidence": evidence}
