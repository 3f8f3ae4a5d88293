"""The main job on the embedded chain: real data in, an audited result out; every attack caught for its own reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from scripts.demo.run import ATTACKS, run_attack, run_trip
from scripts.demo.telling import Teller

M5BAT = Path(__file__).parents[2].parent / "shared/data/m5bat-20230407/station_and_2_units_10s.csv"
ROWS = 8_640
COLUMNS = 35
SILENT = Teller(shows=False)
STOPPED = {
    "tampered-capsule": (7, "capsule_wrong"),
    "custodian-collusion": (7, "data key"),
    "borrowed-deal": (5, "AccessDealNotReady"),
    "swapped-version": (6, "AccessDealReplaced"),
    "unregistered-buyer": (5, "AccessParticipantNotActive"),
    "wrong-purpose": (5, "AccessPurposeNotAllowed"),
    "wrong-algorithm": (5, "AccessAlgorithmNotAllowed"),
    "expired-grant": (6, "AccessTooLate"),
    "revoked-grant": (6, "AccessGrantRevoked"),
    "overuse": (6, "AccessUsesSpent"),
    "regrant": (6, "AccessUsesSpent"),
    "unordered-use": (6, "AccessOrderUsed"),
    "forged-frame": (3, "not signed by its enrolled key"),
    "replayed-frame": (3, "replayed frame"),
    "fake-chain": (6, "endpoints disagree"),
}
FOUND = {
    "forged-share": "share-wrong",
    "false-result": "result-not-reproduced",
    "false-accusation": "false-accusation",
    "unclosed-use": "use-unclosed",
    "silent-custodian": "silent-holder",
    "dropped-frame": "device-gap",
    "split-fork": "device-fork",
    "omitted-event": "seq-gap",
    "stale-rpc": "checkpoint-behind",
}


def test_buyer_gets_from_the_capsule_what_the_same_sql_gives_on_the_plain_csv(tmp_path: Path) -> None:
    if not M5BAT.exists():
        pytest.skip("the public readings of m5bat-20230407 are not beside the project")
    outcome = run_trip(tmp_path, M5BAT, SILENT)
    content = outcome.content
    assert outcome.ok
    assert content["audit"]["findings"] == []
    assert content["audit"]["completeness"] == "checkpoint"
    assert (content["device"]["rows"], content["device"]["readings"]) == (ROWS, ROWS * COLUMNS)
    assert sum(anchor["size"] for anchor in content["anchors"]) == content["device"]["frames"]
    assert content["receipt"]["source"] == {"level": "verified", "verified": ROWS, "of": ROWS}
    assert content["receipt"]["protected"] is True
    result = json.loads(Path(content["result"]["path"]).read_text())
    assert result["rows"] == _on_plain_csv(content)
    assert content["result"]["rows"] == len(result["rows"])


def test_simulated_station_says_that_it_is_one(tmp_path: Path) -> None:
    outcome = run_trip(tmp_path, None, SILENT)
    assert outcome.ok
    assert outcome.content["device"]["simulated"] is True
    assert outcome.content["audit"]["findings"] == []
    for name in ("asset", "request", "grant", "use"):
        assert isinstance(outcome.content[name], str)


def test_regulator_repeats_the_audit_of_a_demo_that_is_over(tmp_path: Path) -> None:
    content = run_trip(tmp_path, None, SILENT).content
    audit = content["audit"]
    home = Path(audit["documents"]).parent
    given = ("--documents", audit["documents"], "--checkpoint", audit["checkpoint"], "--trust", audit["trust"])

    command = [sys.executable, "-m", "scripts.main", "audit", "verify", "--home", str(home), *given, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["findings"] == report["tentative"] == []
    assert (report["digest"], report["completeness"]) == (audit["digest"], "checkpoint")
    kept = {path.parent.name for path in Path(audit["documents"]).glob("*/*")}
    assert {"policy", "deal", "agreement", "receipt", "decision", "batch", "log-segment"} <= kept


def test_every_attack_has_an_expectation() -> None:
    assert set(ATTACKS) == set(STOPPED) | set(FOUND)
    assert len(ATTACKS) == 24


@pytest.mark.parametrize("name", sorted(STOPPED))
def test_attack_is_stopped_for_its_own_reason(name: str, tmp_path: Path) -> None:
    content = run_attack(ATTACKS[name], tmp_path, None, SILENT).content
    step, reason = STOPPED[name]
    assert content["ok"], content
    assert content["attack"] == name
    assert content["stopped_at"]["step"] == step
    assert reason in content["stopped_at"]["reason"]
    assert content["stopped_at"]["who"]


@pytest.mark.parametrize("name", sorted(FOUND))
def test_attack_is_found_by_its_own_rule(name: str, tmp_path: Path) -> None:
    content = run_attack(ATTACKS[name], tmp_path, None, SILENT).content
    assert content["ok"], content
    assert content["finding"]["rule"] == FOUND[name]
    assert content["finding"]["subject"]
    assert content["finding"]["evidence"]


def _on_plain_csv(content: dict[str, Any]) -> list[list[Any]]:
    """The buyer's SQL on the CSV as DuckDB reads it."""
    database = duckdb.connect()
    database.execute("CREATE TABLE readings AS SELECT * FROM read_csv(?)", [str(M5BAT)])
    rows = database.execute(content["query"], content["parameters"]).fetchall()
    return [[cell.isoformat() if hasattr(cell, "isoformat") else cell for cell in row] for row in rows]
