"""Running the demo: the honest trip, one attack, or all of them."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsule.signature import ED25519
from gateway.station import simulate_station, write_readings
from node.home import write_whole
from scripts.composition import now
from scripts.demo.attacks import access, chain, devices, keys, results
from scripts.demo.attacks.catalogue import Attack, Caught, UnseenError
from scripts.demo.readings import Readings, readings_from_csv
from scripts.demo.telling import Teller, caught_json, trip_json, world_json
from scripts.demo.trip import Trip
from scripts.demo.world import build_world

__all__ = ["ATTACKS", "Outcome", "run_attack", "run_trip"]

ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (*keys.ATTACKS, *access.ATTACKS, *results.ATTACKS, *devices.ATTACKS, *chain.ATTACKS)
}
DEMO_ROWS = 8_640
ATTACK_ROWS = 360
STEP_SECONDS = 10
DAY_SECONDS = 86_400
SEED = 20260101


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether all was as it should be, and the object that `--json` prints."""

    ok: bool
    content: dict[str, Any]


def run_trip(home: Path, csv: Path | None, teller: Teller, suite: int = ED25519) -> Outcome:
    """The eight steps. `csv` None: a simulated day of a storage station. `suite`: what all organisations and the device
    sign under."""
    with _trip(home, csv, DEMO_ROWS, suite) as trip:
        source = "SIMULATED readings 模拟数据" if trip.readings.simulated else "readings 数据"
        teller.say(f"{source}: {trip.readings.path}\nhome 目录: {trip.world.home}")
        _tell(trip, teller)
        content = trip_json(trip)
    return Outcome(bool(content["ok"]), content)


def run_attack(attack: Attack, home: Path, csv: Path | None, teller: Teller, suite: int = ED25519) -> Outcome:
    """The same trip with one dishonest party. `ok` when it was caught for its own reason."""
    teller.say(f"{attack.name}: {attack.english} {attack.chinese}")
    with _trip(home, csv, ATTACK_ROWS, suite) as trip:
        content: dict[str, Any] = {"ok": False, "attack": attack.name}
        try:
            caught = attack.run(trip)
        except UnseenError as error:
            content["unseen"] = str(error)
        else:
            content |= {"ok": True, **caught_json(caught)}
            teller.say(f"   {_caught(caught)}")
        content |= world_json(trip.world)
    return Outcome(bool(content["ok"]), content)


@contextmanager
def _trip(home: Path, csv: Path | None, simulated_rows: int, suite: int) -> Iterator[Trip]:
    """A fresh world under `home`, and a trip through it."""
    folder = home / f"demo-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    readings = _readings(csv) if csv else None
    with build_world(folder, suite=suite) as world:
        trip = Trip(world, readings or _simulated(folder / "station.csv", simulated_rows))
        yield trip


def _readings(csv: Path) -> Readings:
    return readings_from_csv(csv.resolve())


def _simulated(path: Path, rows: int) -> Readings:
    start = now() // DAY_SECONDS * DAY_SECONDS - DAY_SECONDS
    with path.open("w", newline="", encoding="utf-8") as text:
        write_readings(simulate_station(SEED, start, seconds=rows * STEP_SECONDS, step=STEP_SECONDS), text)
    return readings_from_csv(path, title="storage-station simulator", simulated=True)


def _tell(trip: Trip, teller: Teller) -> None:
    """Takes the eight steps and says what each did."""
    with teller.step(1) as say:
        trip.admit()
        say(f"{'operator':12} admits{'':14} {trip.world.operator_account}")
        for member in trip.world.members.values():
            say(f"{member.name:12} {member.uscc}  {member.account}")
    with teller.step(2) as say:
        say(f"provider enrols device {trip.fleet.device} in transaction {trip.enroll()}")
    with teller.step(3) as say:
        trip.record()
        recorded = trip.recorded
        say(f"device signs {recorded.frames} frames: {recorded.rows} rows, {recorded.readings} readings")
        for anchor in recorded.anchors:
            batch = anchor.batch
            say(f"gateway anchors batch {batch.number}: {batch.size} frames, transaction {anchor.transaction}")
    with teller.step(4) as say:
        trip.offer()
        offering = trip.offering
        say(f"provider seals {offering.capsule_size} bytes under root {offering.capsule_root}")
        say(f"asset {offering.asset}, policy {offering.policy_hash}")
        say(f"deal {offering.deal_hash}: 2 of 3 custodians and the provider; all checked and accepted their shares")
    with teller.step(5) as say:
        trip.request()
        say(f"buyer requests {trip.requested.request} in transaction {trip.requested.transaction}")
        trip.grant()
        say(f"provider grants {trip.granted.grant} in transaction {trip.granted.transaction}")
    with teller.step(6) as say:
        trip.order()
        trip.open_use()
        say(f"buyer signs order {trip.placed.order_hash}; compute node opens use {trip.opened.use}")
        for name, decided in trip.release():
            say(f"{name:12} {'releases' if decided.released else 'refuses'} in transaction {decided.transaction}")
    with teller.step(7) as say:
        trip.compute()
        trip.collect()
        receipt = trip.collected.receipt
        write_whole(trip.result_path, trip.collected.result)
        write_whole(trip.receipt_path, trip.receipt_bytes)
        say(
            f"source {receipt.source.level}, {receipt.source.verified} of {receipt.source.of} rows; "
            f"runtime {'confined' if receipt.protected else 'UNPROTECTED'}; receipt {receipt.hash}"
        )
        teller.result(trip.collected.result)
    with teller.step(8) as say:
        report = trip.audit().report
        say(f"{sum(size > 0 for size in trip.logged.values())} operation logs 监管链 anchored and checked")
        say(f"{report.summary.events} events, {len(report.rules)} rules, completeness: {report.completeness}")
        verdict = trip.inspection.verdict
        say(f"evidence bundle {trip.inspection.bundle}: {'holds' if verdict.holds else 'FAILS'}, {verdict.anchor}")
        say(f"verdict 结论: {len(report.findings)} findings")
        say(f"documents as they were served 所调取的文书: {trip.inspection.documents}")
        for finding in report.findings:
            say(f"finding {finding.rule}: {finding.message_en} {finding.message_zh}")


def _caught(caught: Caught) -> str:
    if caught.stopped_at is not None:
        stopped = caught.stopped_at
        return f"stopped at step {stopped.step} by {stopped.who}: {stopped.reason}"
    if caught.finding is None:
        raise AssertionError("caught by nobody")
    return f"found by the audit, rule {caught.finding.rule}: {caught.finding.message_en} {caught.finding.message_zh}"
