"""Algorithms that want more than a result, through a whole use: where each ends, and what of it can be audited."""

from __future__ import annotations

from pathlib import Path

import pytest
import wasmtime

from capsule import canonical
from capsule.ids import Digest, GrantId
from capsule.oplog import Act, LogEntry
from node.access import Narrowing
from node.closing import CloseReason
from node.errors import PeerAnswerError
from node.organisation import Node
from scripts.algorithm import algorithm_of
from tests.node.space import PURPOSE, Offered, Space
from tests.node.test_compute import audited, failed

COLUMNS = ["n:integer"]
MODULE = '(module {imports} (memory (export "memory") 1) (func (export "_start") {body}))'


def module(body: str = "", imports: str = "") -> bytes:
    return bytes(wasmtime.wat2wasm(MODULE.format(body=body, imports=imports)))


def asking(name: str, kind: str) -> bytes:
    return module(imports=f'(import "wasi_snapshot_preview1" "{name}" (func {kind}))')


@pytest.fixture(scope="module")
def offered(space: Space) -> Offered:
    """An asset whose policy names no algorithm: any that can be run at all is run."""
    return space.offered(uses_per_grant=100, uses_per_buyer=100)


def verdicts(node: Node, order: Digest) -> list[str]:
    """What the node's operation log says of an order's output."""
    store = node.context.store
    rows = store.log_rows(0, store.log_head().size)
    entries = [LogEntry.from_json(canonical.decode(row.entry)) for row in rows]
    return [entry.reason for entry in entries if entry.act is Act.VERDICT and entry.subject == order]


def granted(space: Space, offered: Offered, code: bytes) -> GrantId:
    algorithm = algorithm_of(code, COLUMNS)
    compute = space["compute"].account
    requested = space["buyer"].node.access.request(offered.asset, PURPOSE, algorithm, code, compute)
    return space["provider"].node.access.grant(requested.request, Narrowing()).grant


# What can be seen in the code is refused with the order, before a use is opened or a share asked for.
UNASKED = [
    b"COPY readings TO '/tmp/stolen.csv'",
    b"ATTACH '/tmp/stolen.db' AS stolen",
    b"SELECT count(*) AS n FROM read_csv('/etc/passwd')",
    b"SELECT count(*) AS n FROM 'https://example.com/a.csv'",
    b"INSTALL httpfs",
    b"LOAD httpfs",
    b"PRAGMA database_list",
    b"SET enable_external_access = true",
    b"CREATE MACRO stolen(a) AS (SELECT content FROM read_text(a))",
    b"CREATE FUNCTION stolen(a) AS a",
    b"EXPORT DATABASE '/tmp/stolen'",
    asking("clock_time_get", "(param i32 i64 i32) (result i32)"),
    asking("random_get", "(param i32 i32) (result i32)"),
    asking("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"),
    asking("sock_send", "(param i32 i32 i32 i32 i32) (result i32)"),
    asking("poll_oneoff", "(param i32 i32 i32 i32) (result i32)"),
]


@pytest.mark.parametrize("code", UNASKED, ids=range(len(UNASKED)))
def test_what_the_code_shows_is_refused_with_the_order_and_spends_nothing(
    space: Space, offered: Offered, code: bytes
) -> None:
    grant = granted(space, offered, code)
    with pytest.raises(PeerAnswerError, match="the order"):
        space.ordered(grant)
    assert space["compute"].node.work().progress == ()
    assert space["compute"].ledger.access.grant_of(grant).used == 0


# What only running shows ends the use, with a receipt of the failure and the verdict in the node's log.
RUNNING = [
    (b"SELECT getenv('HOME') AS n", CloseReason.ALGORITHM_FAILED, "algorithm/function"),
    (b"SELECT CAST('a' AS BIGINT) AS n FROM readings", CloseReason.ALGORITHM_FAILED, "algorithm/failed"),
    (b"SELECT power AS stolen FROM readings", CloseReason.OUTPUT_REFUSED, "guard/schema"),
    (module("unreachable"), CloseReason.ALGORITHM_FAILED, "algorithm/failed"),
    (module("(loop $again (br $again))"), CloseReason.LIMIT_REACHED, "limits/fuel"),
    (module(), CloseReason.OUTPUT_REFUSED, "guard/schema"),
]


@pytest.mark.parametrize(("code", "reason", "verdict"), RUNNING, ids=range(len(RUNNING)))
def test_what_only_running_shows_ends_the_use_with_a_reason_and_a_receipt(
    space: Space, offered: Offered, code: bytes, reason: CloseReason, verdict: str, tmp_path: Path
) -> None:
    grant = granted(space, offered, code)
    order = space.ordered(grant).order_hash
    compute = space.node("compute", settings={"run_fuel": 10_000_000})
    compute.work()
    space.release()
    (progress,) = [one for one in compute.work().progress if one.order_hash == order]
    assert progress.note == reason.name.lower()
    failed(space, order, reason)
    assert verdicts(compute, order) == [verdict]
    assert audited(space, order, tmp_path) == set()
