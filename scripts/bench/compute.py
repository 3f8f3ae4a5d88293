"""What a guarded use costs over the bare computation: `python -m scripts.bench.compute [--sizes 10000,1000000]`.

One table of readings per size, sealed as Parquet, its key shared among five custodians (three needed) and its provider;
a real JSON-RPC chain (anvil, a block for each transaction); every organisation its own home and node, holders deciding
at the same time. A use goes its whole way each time: order, opening, decisions, run in the confined process, close,
result. Beside it, in the same run, the same SQL by DuckDB over the same Parquet file, on one thread as in the run.

What a use takes is split: `chain` the transactions that open and close it, with their blocks; `release` from the opened
use to the last share that is needed, with its block; `start` of a confined process until it is shut in; `decrypt` from
shares and ciphertext to a table; `compute` the statement; `guard` all else in the process: what is checked before the
statement runs and before its result leaves, and sealing it; `node` the rest: documents, receipt, log, result.

Prints, last, one JSON line. With `--write` the table stands between the markers of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import BinaryIO, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from capsule.algorithm import Algorithm
from capsule.ids import AssetId, Digest, GrantId
from capsule.policy.offer import offer
from contracts.account import Account
from contracts.deploy import deploy
from contracts.roles import Role
from contracts.rpc import RpcChain
from node.access import Narrowing
from node.catalogue import CustodyPlan
from node.compute import Compute
from node.gathering import Gathered
from node.intake import read_plaintext
from node.runtime.engine import Engine
from node.runtime.execution import check_algorithm, execute
from node.runtime.intake import take_in
from node.runtime.launch import probe
from node.runtime.protocol import Completed, Job, Limits, Refused
from node.runtime.sql import Statement, table_names
from node.store import RunRow
from scripts.algorithm import sql_algorithm
from scripts.bench.local_node import ANVIL, FAUCET, anvil
from scripts.bench.page import MACHINE, say, write_part
from scripts.composition import now
from scripts.demo.world import World

__all__ = ["main"]

_PURPOSE: Final = "benchmark"
_CUSTODIANS: Final = tuple(f"custodian-{number}" for number in range(1, 6))
_THRESHOLD: Final = 3
_STATIONS: Final = 100
_GROUP_SIZE: Final = 10
_SQL: Final = """SELECT station, count(*) AS readings, avg(power) AS mean_kw, max(power) AS peak_kw,
avg(soc) AS mean_soc FROM readings GROUP BY station ORDER BY station"""
_OUTPUT: Final = ("station:integer", "readings:integer", "mean_kw:number", "peak_kw:number", "mean_soc:number")
_USES: Final = {10_000: 30, 1_000_000: 7, 10_000_000: 3}
_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class _Use:
    """Seconds of one use, by its parts; `run` is the confined process as a whole."""

    chain: float
    release: float
    run: float
    node: float

    @property
    def whole(self) -> float:
        return self.chain + self.release + self.run + self.node


@dataclass(frozen=True, slots=True)
class _Inside:
    """Seconds inside a run; `bare`: the same statement by DuckDB over the plain Parquet file."""

    decrypt: float
    compute: float
    guard: float
    bare: float


class _Timed(Compute):
    """A compute node that keeps the last job it gathered, and the seconds that its process and its close took."""

    gathered: Gathered
    limits: Limits
    seconds: float
    closing: float

    def _outcome(self, gathered: Gathered, limits: Limits) -> Completed | Refused:
        begin = time.perf_counter()
        outcome = super()._outcome(gathered, limits)
        self.gathered, self.limits, self.seconds = gathered, limits, time.perf_counter() - begin
        return outcome

    def _close(self, row: RunRow, digest: Digest) -> RunRow:
        begin = time.perf_counter()
        ended = super()._close(row, digest)
        self.closing = time.perf_counter() - begin
        return ended


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.compute", description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, _USES)), help="rows of the tables, with commas between")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    if not ANVIL.is_file():
        parser.error("anvil is not installed: run 'make dev'")
    sizes = [int(size) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder, anvil() as url:
        line = _measure(Path(folder), url, sizes)
    say(json.dumps(line))
    if options.write:
        _write(line)
    return 0


def _measure(folder: Path, url: str, sizes: Sequence[int]) -> dict[str, object]:
    with ExitStack() as stack:
        world = _world(folder, url)
        stack.callback(world.close)
        compute = _Timed(world["compute"].node.context)
        world["compute"].node.compute = compute
        start = median(_seconds_of_probe() for _ in range(5))
        releases: list[float] = []
        by_size = {}
        for size in sizes:
            table = folder / f"{size}.parquet"
            pq.write_table(_table(size), table)
            algorithm = sql_algorithm(_SQL, _OUTPUT, (), "readings")
            grant = _granted(world, _offered(world, table, algorithm), algorithm)
            uses = [_use(world, compute, grant) for _ in range(_USES.get(size, 3))]
            releases += [use.release for use in uses]
            # the first use fetches the capsule from its provider, and is told apart
            first, rest = uses[0], uses[1:] or uses
            inside = _inside(compute.gathered, compute.limits, table)
            by_size[str(size)] = _told(first, rest, inside, start)
            say(json.dumps({size: by_size[str(size)]}))
    return {
        "overhead_s": {size: told["overhead_s"] for size, told in by_size.items()},
        "release_p95_ms": round(1000 * quantiles(releases, n=20)[-1]),
        "release_median_ms": round(1000 * median(releases)),
        "uses": len(releases),
        "by_rows": by_size,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _told(first: _Use, rest: Sequence[_Use], inside: _Inside, start: float) -> dict[str, float]:
    """Medians in seconds. `overhead_s` is what a use takes beyond its blocks and the bare computation."""
    whole, chain = (median(getattr(use, name) for use in rest) for name in ("whole", "chain"))
    parts = {
        "whole_s": whole,
        "first_whole_s": first.whole,
        "bare_s": inside.bare,
        "overhead_s": whole - chain - inside.bare,
        "chain_s": chain,
        "release_s": median(use.release for use in rest),
        "start_s": start,
        "decrypt_s": inside.decrypt,
        "compute_s": inside.compute,
        "guard_s": inside.guard,
        "run_s": median(use.run for use in rest),
        "node_s": median(use.node for use in rest),
    }
    return {name: round(seconds, 3) for name, seconds in parts.items()}


# -------------------------------------------------------------------------------------------------- what is measured


def _use(world: World, compute: _Timed, grant: GrantId) -> _Use:
    """One use from order to result, every organisation doing its own round."""
    buyer, node = world["buyer"].node, world["compute"].node
    begin = time.perf_counter()
    placed = buyer.ordering.place((grant,), {}, _SECONDS)
    ordered = time.perf_counter()
    node.work()
    opened = time.perf_counter()
    _released(world)
    released = time.perf_counter()
    node.work()
    worked = time.perf_counter()
    collected = buyer.ordering.collect(placed.order_hash)
    ended = time.perf_counter()
    if collected.receipt.rows_out != _STATIONS or not collected.receipt.protected:
        raise SystemExit("the use did not give the whole result in a protected process")
    chain = (opened - ordered) + compute.closing
    rest = (ordered - begin) + (worked - released - compute.seconds - compute.closing) + (ended - worked)
    return _Use(chain=chain, release=released - opened, run=compute.seconds, node=rest)


def _released(world: World) -> None:
    """All holders look at the chain at the same time; ends with the provider's and the third custodian's release."""
    with ThreadPoolExecutor(len(_CUSTODIANS) + 1) as pool:
        names = {pool.submit(world[name].node.work): name for name in ("provider", *_CUSTODIANS)}
        done: set[str] = set()
        for future in as_completed(names):
            if future.result().decided:
                done.add(names[future])
            if "provider" in done and len(done) > _THRESHOLD:
                return
    raise SystemExit("too few holders released")


def _inside(gathered: Gathered, limits: Limits, table: Path) -> _Inside:
    """The parts of a run over its job once more, in this process, which is not shut in."""
    job = gathered.job
    bare = []
    for _ in range(3):
        begin = time.perf_counter()
        connection = duckdb.connect(":memory:", config={"threads": "1"})
        rows = connection.execute(_SQL.replace("readings GROUP", f"'{table}' GROUP")).fetchall()
        bare.append(time.perf_counter() - begin)
        if len(rows) != _STATIONS:
            raise SystemExit("the bare computation gave another table")
    with ExitStack() as stack:
        streams = [stack.enter_context(path.open("rb")) for path in gathered.capsules]
        rounds = [_round(job, streams, limits) for _ in range(3)]
    decrypt, compute, whole = (median(seconds) for seconds in zip(*rounds, strict=True))
    return _Inside(decrypt=decrypt, compute=compute, guard=max(0.0, whole - decrypt - compute), bare=median(bare))


def _round(job: Job, streams: Sequence[BinaryIO], limits: Limits) -> tuple[float, float, float]:
    """Seconds of opening the capsules, of the statement alone, and of a whole run."""
    begin = time.perf_counter()
    taken = take_in(job, streams)
    decrypted = time.perf_counter()
    statement = check_algorithm(job.algorithm, job.code, job.parameters, len(job.capsules))
    if not isinstance(statement, Statement):
        raise SystemExit("the benchmark's algorithm is a statement")
    tables = {name: one.table for names, one in zip(table_names(len(taken)), taken, strict=True) for name in names}
    engine = Engine(tables, memory_bytes=limits.memory_bytes // 2, threads=1)
    engine.run(statement, job.algorithm, job.parameters, most_rows=_STATIONS + 1, most_bytes=limits.output_bytes)
    computed = time.perf_counter()
    del engine, tables, taken
    whole = time.perf_counter()
    execute(job, streams, limits, job.capsules[0].capsule_root, protected=False)
    return decrypted - begin, computed - decrypted, time.perf_counter() - whole


def _seconds_of_probe() -> float:
    begin = time.perf_counter()
    probe()
    return time.perf_counter() - begin


# ------------------------------------------------------------------------------------------------------ what it needs


def _world(folder: Path, url: str) -> World:
    """All that take part, admitted on a fresh chain."""
    chain, operator = RpcChain(url, own_node=True), Account(FAUCET)
    directory = deploy(chain, operator, confirmations=0, finalized_tag=False)
    world = World(folder / "homes", chain, operator, directory, now)
    roles = {"provider": Role.PROVIDER, "buyer": Role.BUYER, "compute": Role.COMPUTE}
    for name, role in {**roles, **dict.fromkeys(_CUSTODIANS, Role.CUSTODIAN)}.items():
        world.admit(world.join(name), role)
    return world


def _table(rows: int) -> pa.Table:
    """Readings of a hundred stations, ten seconds apart."""
    index = pa.array(range(rows), pa.int64())
    noise = pc.random(rows, initializer=1)
    return pa.table(
        {
            "moment": pc.add(pc.multiply(index, 10_000), 1_750_000_000_000).cast(pa.timestamp("ms")),
            "station": pc.subtract(index, pc.multiply(pc.divide(index, _STATIONS), _STATIONS)).cast(pa.int32()),
            "power": pc.subtract(pc.multiply(noise, 8_000.0), 4_000.0),
            "soc": pc.multiply(noise, 100.0),
        }
    )


def _offered(world: World, table: Path, algorithm: Algorithm) -> AssetId:
    provider = world["provider"]
    asset = provider.node.catalogue.register({"title": table.stem})
    custodians = tuple(world[name].account for name in _CUSTODIANS)
    policy = offer(
        asset=asset,
        provider=provider.account,
        purposes=[_PURPOSE],
        algorithms=[algorithm.hash],
        buyer_roles=["buyer"],
        compute_nodes=[world["compute"].account],
        custodians=custodians,
        least_threshold=_THRESHOLD,
        provider_share=True,
        seconds_per_use=_SECONDS,
        uses_per_grant=1_000,
        uses_per_buyer=1_000,
        output_rows=1_000,
        group_size=_GROUP_SIZE,
    )
    with read_plaintext(table, "", "moment") as plaintext:
        plan = CustodyPlan(custodians, threshold=_THRESHOLD, waiting_seconds=0)
        sealed = provider.node.catalogue.seal(asset, plaintext, policy, plan)
    provider.node.catalogue.finish(sealed.capsule_root)
    return asset


def _granted(world: World, asset: AssetId, algorithm: Algorithm) -> GrantId:
    requested = world["buyer"].node.access.request(asset, _PURPOSE, algorithm, _SQL.encode(), world["compute"].account)
    return world["provider"].node.access.grant(requested.request, Narrowing()).grant


def _write(line: dict[str, object]) -> None:
    by_rows: dict[str, dict[str, float]] = line["by_rows"]  # type: ignore[assignment]
    sizes = list(by_rows)
    told = [
        f"Written by `python -m scripts.bench.compute {' '.join(sys.argv[1:])}`, which says what is measured.",
        f"{MACHINE}, DuckDB {duckdb.__version__}; load {line['load']}.",
        "",
        f"Key release with {_THRESHOLD} of {len(_CUSTODIANS)} custodians and the provider, {line['uses']} uses: median "
        f"{line['release_median_ms']} ms, 95th of a hundred {line['release_p95_ms']} ms.",
        "",
        f"| seconds at rows | {' | '.join(f'{int(size):,}' for size in sizes)} |",
        "| --- |" + " ---: |" * len(sizes),
        *(f"| {name} | {' | '.join(str(by_rows[size][name]) for size in sizes)} |" for name in by_rows[sizes[0]]),
    ]
    write_part("compute", told)


if __name__ == "__main__":
    raise SystemExit(main())
