"""The eight steps with every organisation as a process of its own, against one anvil."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.e2e.organisations import Organisation, code, wait_until
from tests.sim.anvil import anvil, ask_anvil

pytestmark = pytest.mark.timeout(1800)  # some forty commands each, every one a process

FUNDS = 10**20
ROWS = 240
CUSTODIANS = ("custodian-1", "custodian-2", "custodian-3")
ROLES = {
    "provider": "provider",
    "buyer": "buyer",
    **dict.fromkeys(CUSTODIANS, "custodian"),
    "compute": "compute",
    "gateway": "gateway",
    "regulator": "regulator buyer compute",
}
SQL = """SELECT date_trunc('hour', moment) AS hour, sum(greatest(power, 0)) * 10 / 3600 AS discharged_kwh,
sum(greatest(-power, 0)) * 10 / 3600 AS charged_kwh, count(*) AS group_size
FROM readings GROUP BY ROLLUP (date_trunc('hour', moment)) ORDER BY ALL NULLS LAST"""


@dataclass
class Consortium:
    """All organisations, and what the trip has learnt so far."""

    root: Path
    members: dict[str, Organisation]
    device: Organisation
    csv: Path
    algorithm: Path
    policy: Path
    url: str

    def __getitem__(self, name: str) -> Organisation:
        return self.members[name]

    def order(self, *, seconds: int) -> tuple[str, str]:
        """Steps 5 and 6 up to the order; returns grant and order."""
        asked = self["buyer"].run(
            "access", "request", self.asset, "--purpose", "benchmark", "--algorithm", str(self.algorithm),
            "--compute-node", self["compute"].account,
        )  # fmt: skip
        request = asked["request"]
        wait_until("request final", lambda: request in json.dumps(self["provider"].run("access", "pending")))
        grant = self["provider"].run("access", "grant", request)["grant"]

        def placed() -> Any:
            # the grant is not final at once; the buyer's node says so with exit status 2
            return _try(self["buyer"], "use", "order", grant, "--seconds", str(seconds))

        return grant, wait_until("order placed", placed)["order"]

    asset: str = ""


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """Steps 1 to 4: everyone admitted and served, readings signed and anchored, an asset on offer."""
    root = tmp_path_factory.mktemp("consortium")
    with anvil() as url:
        operator = Organisation("operator", root / "operator")
        operator.init(url)
        ask_anvil(url, "anvil_setBalance", operator.account, hex(FUNDS))
        pin = root / "pin.json"
        operator.run("org", "deploy", "--pin", str(pin), "--confirmations", "1")
        members = {name: Organisation(name, root / name) for name in ROLES}
        members["operator"] = operator
        for name, role in ROLES.items():
            members[name].init(url, "--pin", str(pin))
            roles = [word for one in role.split() for word in ("--role", one)]
            operator.run("org", "admit", members[name].account, "--uscc", code(), *roles)
            members[name].run("org", "announce")
        device = Organisation("device", root / "device")
        enrolled = device.run("device", "init", "--chain-url", url)
        device.run("org", "join", str(pin))
        space = Consortium(root, members, device, _readings(root), root / "algorithm.json", root / "policy.json", url)
        try:
            for name in ("provider", "buyer", *CUSTODIANS, "compute"):
                members[name].serve()
            members["gateway"].serve("gateway")
            _offer(space, enrolled)
            yield space
        finally:
            for member in members.values():
                member.stop()


def _readings(root: Path) -> Path:
    path = root / "station.csv"
    rows = [f"2026-01-01 00:{second // 60:02}:{second % 60:02},{(second * 37) % 500 - 200},{50 + second / 100}"
            for second in range(ROWS)]  # fmt: skip
    path.write_text("moment,power,soc\n" + "\n".join(rows) + "\n")
    return path


def _offer(space: Consortium, enrolled: dict[str, Any]) -> None:
    provider, gateway = space["provider"], space["gateway"]
    device = enrolled["device"]
    provider.run("device", "enroll", device, "--public-key", enrolled["public_key"])
    sent = wait_until(
        "frames taken",
        lambda: _try(
            space.device, "device", "run", "--csv", str(space.csv), "--gateway", gateway.endpoint,
            "--gateway-account", gateway.account,
        ),
    )  # fmt: skip
    assert sent["rows"] == ROWS
    provider.run("device", "state", str(space.device.home / "statement.json"))
    anchored = gateway.run("gateway", "anchor")
    assert anchored["unanchored_batches"] == 0
    frames = space.root / "station.frames"
    assert gateway.run("gateway", "export", device, "--out", str(frames))["rows"] == ROWS

    sql = space.root / "energy.sql"
    sql.write_text(SQL)
    made = space["buyer"].run_offline(
        "use", "algorithm", str(sql), "--out", str(space.algorithm), "--group-column", "group_size", "--deterministic",
        "--output", "hour:time", "--output", "discharged_kwh:number", "--output", "charged_kwh:number",
        "--output", "group_size:integer",
    )  # fmt: skip
    space.asset = provider.run("asset", "register", "--title", "station")["asset"]
    space.policy.write_text(json.dumps(_policy(space, made["algorithm"])))
    custodians = [word for name in CUSTODIANS for word in ("--custodian", space[name].account)]
    offered = provider.run(
        "asset", "offer", space.asset, str(frames), "--policy", str(space.policy), *custodians, "--threshold", "2",
        "--waiting-seconds", "0", "--time-column", "moment",
    )  # fmt: skip
    assert offered["stage"] == "delivered"
    wait_until("asset listed", lambda: space.asset in json.dumps(space["buyer"].run("asset", "list")))


def _policy(space: Consortium, algorithm: str) -> dict[str, Any]:
    def one(term: str, operator: str, value: object) -> dict[str, object]:
        return {"leftOperand": term, "operator": operator, "rightOperand": value}

    may_compute = ("compute", "regulator")
    return {
        "@context": ["http://www.w3.org/ns/odrl.jsonld", {"ds": "https://dataspace.example/odrl/1#"}],
        "@type": "Offer",
        "uid": "urn:uuid:7d3c1f0e-0000-4000-8000-000000000001",
        "profile": "https://dataspace.example/odrl/1",
        "assigner": f"eip155:{space['provider'].account}",
        "permission": [
            {
                "target": f"urn:dataspace:asset:{space.asset}",
                "action": "use",
                "constraint": [
                    one("purpose", "isAnyOf", ["benchmark", "re-execution"]),
                    one("ds:computeNode", "isAnyOf", [f"eip155:{space[name].account}" for name in may_compute]),
                    one("ds:computeByBuyer", "eq", True),
                    one("product", "isAnyOf", [algorithm]),
                    one("recipient", "isAnyOf", ["role:buyer"]),
                    one("ds:secondsPerUse", "lteq", "PT10M"),
                    one("count", "lteq", 3),
                    one("ds:usesPerBuyer", "lteq", 6),
                    one("ds:outputRows", "lteq", 100),
                    one("ds:groupSize", "gteq", 5),
                    one("ds:leastThreshold", "gteq", 2),
                    one("ds:providerShare", "eq", True),
                ],
            }
        ],
    }


def _try(organisation: Organisation, *words: str) -> dict[str, Any] | None:
    try:
        return organisation.run(*words)
    except AssertionError:
        return None


def _result(space: Consortium, order: str) -> dict[str, Any]:
    out = space.root / f"{order}.json"
    return wait_until(
        "result", lambda: _try(space["buyer"], "use", "result", order, "--out", str(out)), seconds=240
    )  # fmt: skip


def _disclosed(space: Consortium, order: str) -> Path:
    """What the buyer hands to the regulator about an order."""
    file = space.root / f"{order}.disclosure"
    space["buyer"].run("use", "disclose", order, "--to", space["regulator"].account, "--out", str(file))
    return file


def _audit(space: Consortium) -> dict[str, Any]:
    regulator = space["regulator"]
    regulator.run("audit", "rebuild", "--afresh")
    return regulator.run("audit", "verify", "--allow-private")


def _expected(space: Consortium) -> list[list[Any]]:
    readings = duckdb.read_csv(str(space.csv))
    rows = readings.query("readings", SQL).fetchall()
    return [[None if row[0] is None else row[0].isoformat(), *row[1:]] for row in rows]


def test_eight_steps_as_separate_processes_end_without_findings(consortium: Consortium) -> None:
    _, order = consortium.order(seconds=300)
    told = _result(consortium, order)
    document = json.loads((consortium.root / f"{order}.json").read_text())
    assert document["rows"] == _expected(consortium)
    receipt = json.loads(Path(told["receipt"]).read_text())["receipt"]
    assert receipt["source"] == {"level": "verified", "verified": ROWS, "of": ROWS}
    assert receipt["protected"] is True
    report = _audit(consortium)
    assert report["findings"] == []


def test_compute_node_killed_between_opening_and_closing_resumes_and_counts_once(consortium: Consortium) -> None:
    # Without the custodians the use stays open; then the compute node dies without a word.
    for name in CUSTODIANS:
        consortium[name].stop()
    grant, order = consortium.order(seconds=300)
    regulator = consortium["regulator"]

    def opened() -> Any:
        regulator.run("audit", "rebuild")
        rows = regulator.run("audit", "trail", "grant", grant)["rows"]
        return [row for row in rows if row["event"] == "UseOpened"]

    assert len(wait_until("use opened", opened)) == 1
    consortium["compute"].kill()
    for name in CUSTODIANS:
        consortium[name].serve()
    consortium["compute"].serve()
    _result(consortium, order)
    report = _audit(consortium)
    assert report["findings"] == []
    rows = regulator.run("audit", "trail", "grant", grant)["rows"]
    assert [row["event"] for row in rows if row["event"].startswith("Use")] == ["UseOpened", "UseClosed"]


def test_rebuild_from_nothing_twice_gives_the_same_digest(consortium: Consortium) -> None:
    regulator = consortium["regulator"]
    first = regulator.run("audit", "rebuild", "--afresh")
    again = regulator.run("audit", "rebuild", "--afresh")
    blocks = {first["block"], again["block"]}
    assert first["events"] == again["events"]
    assert len(blocks) > 1 or first["digest"] == again["digest"]


def test_regulator_repeats_an_honest_use_and_a_lie_and_finds_the_lie(consortium: Consortium) -> None:
    regulator, provider, compute = consortium["regulator"], consortium["provider"], consortium["compute"]
    _, order = consortium.order(seconds=300)
    honest = _result(consortium, order)["use"]
    disclosure = _disclosed(consortium, order)
    compute.stop()
    compute.program = "tests.e2e.lying_compute"
    compute.serve()
    _, lied = consortium.order(seconds=300)
    lie = _result(consortium, lied)["use"]
    regulator.serve()

    # nobody has granted yet: what to wait for, and the same command goes on later
    waiting = regulator.run(
        "audit", "reexecute", honest, "--disclosure", str(disclosure), "--wait", "0", status=4
    )["error"]  # fmt: skip
    assert "a provider has not answered request 0x" in waiting
    (asked,) = wait_until("request final", lambda: provider.run("access", "pending")["requests"])
    assert (asked["purpose"], asked["buyer"]) == ("re-execution", regulator.account)
    provider.run("access", "grant", asked["request"])
    confirmed = regulator.run("audit", "reexecute", honest, "--disclosure", str(disclosure))
    assert (confirmed["outcome"], confirmed["findings"]) == ("confirmed", [])
    assert confirmed["reexecution"]["output"] == confirmed["output"]

    # another order's disclosure is wrong input; the right one shows the lie, under the grant that is there
    told = regulator.run("audit", "reexecute", lie, "--disclosure", str(disclosure), status=2)["error"]
    assert "the disclosure is of another order" in told
    found = regulator.run("audit", "reexecute", lie, "--disclosure", str(_disclosed(consortium, lied)), status=1)
    assert found["outcome"] == "not-reproduced"
    (finding,) = found["findings"]
    assert (finding["rule"], finding["accused"]) == ("result-not-reproduced", compute.account)

    # any auditor sees it from the chain and what all serve, and nothing else
    auditor = Organisation("auditor", consortium.root / "auditor")
    auditor.init(consortium.url, "--pin", str(consortium.root / "pin.json"))
    auditor.run("audit", "rebuild")
    report = auditor.run("audit", "verify", "--allow-private", status=1)
    assert [(one["rule"], one["subject"]["id"]) for one in report["findings"]] == [("result-not-reproduced", lie)]
