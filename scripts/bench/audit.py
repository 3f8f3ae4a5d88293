"""How fast an auditor rebuilds the trail: `python -m scripts.bench.audit [--events N] [--tip]`.

A real node (anvil) gets a history of the ledger's own events (`scripts.bench.many_events`). Each measurement is a
process of its own over the same blocks: the rebuild into an SQLite index, fetched, cross-checked, decoded and written;
beside it fetching and parsing alone (one request after the other, orjson), and web3.py's `get_logs` with `process_log`
over a part of the range, which it says. Proofs of the heads (`eth_getProof`) are timed apart: anvil makes them anew.

Rebuild, fetching alone and web3 take turns three times, and the best of each counts: the machine has other work.

Prints, last, one JSON line. With `--tip` it follows instead: 500 events a second on a node with a block a second, and
the time from a block's being final to its events' standing in the index. With `--write` the figures go between the
markers of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson
import urllib3
from web3 import HTTPProvider, Web3

from audit.entries import Identity, Tip
from audit.follow import Follower, collect_seldom
from audit.index import Index
from audit.reconcile import FinalEvent
from capsule.ids import Address
from contracts.chain import Block
from contracts.ledger import Ledger
from contracts.rpc import RpcChain
from scripts.bench.local_node import ANVIL, anvil
from scripts.bench.many_events import BLOCK_GAS, CALLS, ManyEvents
from scripts.bench.page import MACHINE, say, write_part

__all__ = ["main"]

_BIG_BLOCKS: Final = ("--gas-limit", str(BLOCK_GAS))
"""of thousands of calls"""
_SPAN: Final = 5
_WEB3_EVENTS: Final = 6_000
_PER_BLOCK: Final = 20
_ROUNDS: Final = 3
_TIP_RATE: Final = 500
_TIP_LOOK_SECONDS: Final = 0.1
_CONFIRMATIONS: Final = 1
_BILLION: Final = 1_000_000_000


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.audit", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--tip", action="store_true")
    parser.add_argument("--seconds", type=int, default=120, help="of --tip")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    if not ANVIL.is_file():
        parser.error("anvil is not installed: run 'make dev'")
    line = _tip(options.seconds) if options.tip else _history(options.events)
    say(json.dumps(line))
    if options.write:
        _write(line, "audit-tip" if options.tip else "audit")
    return 0


# ------------------------------------------------------------------------------------------------------------ history


def _history(events: int) -> dict[str, object]:
    # Old states are not asked for, and a million events' would not fit into memory.
    with anvil(*_BIG_BLOCKS, "--prune-history", "2") as url, tempfile.TemporaryDirectory() as folder:
        many = ManyEvents(url)
        begin = time.perf_counter()
        made = many.fill(events, transactions_per_block=_PER_BLOCK)
        say(f"{made} events made in {time.perf_counter() - begin:.0f} s")
        last = RpcChain(url).head().number
        first = last - made // (_PER_BLOCK * CALLS) + 1
        place = (url, many.directory)
        growth = {}
        size = 10_000
        while size < made:
            growth[size] = _apart(_rebuild, *place, Path(folder), 0, first + size // (_PER_BLOCK * CALLS) - 1)
            size *= 10
        rounds = []
        for _ in range(_ROUNDS):
            web3 = _apart(_web3, *place, first, first + _WEB3_EVENTS // (_PER_BLOCK * CALLS) - 1)
            rounds.append((_apart(_raw, *place, first, last), _apart(_rebuild, *place, Path(folder), 0, last), web3))
        raw, whole, web3 = (max(found, key=_rate) for found in zip(*rounds, strict=True))
        growth[made] = whole
        middle = (first + last) // 2
        halves = _together(
            [(_rebuild, *place, Path(folder), 0, middle), (_rebuild, *place, Path(folder), middle + 1, last)]
        )
        proof = _apart(_proof, *place)
    two = sum(half["events"] for half in halves) / max(half["seconds"] for half in halves)
    return {
        "events_s": round(_rate(whole)),
        "ratio_vs_web3": round(_rate(whole) / _rate(web3), 1),
        "ratio_vs_raw_rpc": round(_rate(whole) / _rate(raw), 2),
        "peak_rss_mb": whole["peak_mb"],
        "events": made,
        "raw_rpc_events_s": round(_rate(raw)),
        "web3_events_s": round(_rate(web3)),
        "web3_measured_on_events": web3["events"],
        "cpu_us_per_event": round(1e6 * whole["cpu"] / whole["events"], 1),
        "digest_s": round(whole["digest_s"], 1),
        "heads_proof_s": round(proof["seconds"], 1),
        "bytes_per_event_in_index": round(whole["bytes"] / whole["events"]),
        "events_s_by_size": {str(size): round(_rate(one)) for size, one in growth.items()},
        "peak_rss_mb_by_size": {str(size): one["peak_mb"] for size, one in growth.items()},
        "events_s_two_block_ranges_at_once": round(two),
        "hours_for_1e9_one_process": round(_BILLION / _rate(whole) / 3600, 1),
        "hours_for_1e9_eight_ranges": round(_BILLION / (4 * two) / 3600, 1),
        "terabytes_for_1e9": round(whole["bytes"] / whole["events"] * _BILLION / 1e12, 2),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _rebuild(url: str, directory: Address, folder: Path, first: int, last: int) -> dict[str, float]:
    """An index over blocks first..last, from nothing: a whole one, or one of a partition by block ranges."""
    collect_seldom()
    ledger = Ledger.connect(RpcChain(url, own_node=True, timeout=120, most_bytes=64 << 20), directory)
    path = folder / f"{first}-{last}.db"
    index = Index.open(path)
    if first:
        before = ledger.chain.block(first - 1)
        index.begin(Identity(ledger.domain, ledger.pin.genesis_hash, MappingProxyType(dict(ledger.addresses))))
        index.append((), Tip(before.number, before.hash, before.timestamp))
    follower = _Unproven(ledger, index)
    begin, cpu = time.perf_counter(), time.process_time()
    for _ in follower.catch_up(last):
        continue
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = _peak_mb()
    begin = time.perf_counter()
    summary = index.summary()
    digest = time.perf_counter() - begin
    index.close()
    size = path.stat().st_size
    path.unlink()
    return {
        "events": summary.events,
        "seconds": seconds,
        "cpu": cpu,
        "peak_mb": peak,
        "digest_s": digest,
        "bytes": size,
    }


class _Unproven(Follower):
    """Leaves the heads at the end to their own measurement; this node has those of its newest blocks alone."""

    def _settle(self, block: Block, *, at_tip: bool = False) -> None:
        return


def _proof(url: str, directory: Address) -> dict[str, float]:
    ledger = Ledger.connect(RpcChain(url, own_node=True, timeout=120), directory)
    follower = Follower(ledger, Index.open(None))
    begin = time.perf_counter()
    follower._proof(ledger.final_block())
    return {"seconds": time.perf_counter() - begin}


def _raw(url: str, directory: Address, first: int, last: int) -> dict[str, float]:
    collect_seldom()
    ledger = Ledger.connect(RpcChain(url, own_node=True), directory)
    addresses = ["0x" + address.hex() for address in ledger.addresses.values()]
    http = urllib3.PoolManager(timeout=120)
    begin = time.perf_counter()
    events = 0
    for start in range(first, last + 1, _SPAN):
        query = {"address": addresses, "fromBlock": hex(start), "toBlock": hex(min(last, start + _SPAN - 1))}
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [query]})
        answer = http.request("POST", url, body=body, headers={"Content-Type": "application/json"})
        events += len(orjson.loads(answer.data)["result"])
    return {"events": events, "seconds": time.perf_counter() - begin}


def _web3(url: str, directory: Address, first: int, last: int) -> dict[str, float]:
    ledger = Ledger.connect(RpcChain(url, own_node=True), directory)
    web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 120}))
    accounts = [str(address) for address in ledger.addresses.values()]
    kinds = {}
    for name, address in ledger.addresses.items():
        contract: Any = web3.eth.contract(address=str(address), abi=_abi(name))  # type: ignore[call-overload]
        for event in contract.events:
            kinds[str(address), bytes.fromhex(event.topic.removeprefix("0x"))] = event
    begin = time.perf_counter()
    events = 0
    for start in range(first, last + 1, _SPAN):
        query: Any = {"address": accounts, "fromBlock": start, "toBlock": min(last, start + _SPAN - 1)}
        logs = web3.eth.get_logs(query)
        for log in logs:
            kinds[log["address"], bytes(log["topics"][0])]().process_log(log)
            events += 1
    return {"events": events, "seconds": time.perf_counter() - begin}


def _abi(name: str) -> Any:
    return json.loads((files("contracts") / "abi" / f"{name}.json").read_text("utf-8"))["abi"]


# ---------------------------------------------------------------------------------------------------------------- tip


def _tip(seconds: int) -> dict[str, object]:
    """Every event's delay from the moment its block is final to the moment a reader of the index sees it."""
    with tempfile.TemporaryDirectory() as folder, anvil(*_BIG_BLOCKS, "--block-time", "1") as url:
        many = ManyEvents(url, confirmations=_CONFIRMATIONS)
        transactions = many.transactions(seconds * _TIP_RATE // CALLS)
        ledger = Ledger.connect(RpcChain(url, own_node=True), many.directory)
        index = Index.open(Path(folder) / "audit.db")
        follower = Follower(ledger, index)
        follower.step()
        begin = index.summary().events
        final: dict[int, float] = {}
        ended = threading.Event()
        watching = threading.Thread(target=_watch, args=(url, final, ended))
        sending = threading.Thread(target=_send, args=(many, transactions, ended))
        watching.start()
        sending.start()
        visible: dict[int, float] = {}
        try:
            until = time.monotonic() + seconds + 10
            while time.monotonic() < until:
                settled = [one for one in follower.step() if isinstance(one, FinalEvent)]
                now = time.monotonic()
                visible |= {one.block.number: now for one in settled}
                time.sleep(_TIP_LOOK_SECONDS)
        finally:
            ended.set()
            watching.join()
            sending.join()
        events = index.summary().events - begin
        delays: list[float] = []
        for entry in index.entries():
            number = entry.event.log.block_number
            if number in visible and number in final:
                delays.append(visible[number] - final[number])
        index.close()
    delays.sort()
    return {
        "tip_events_s": round(events / seconds),
        "tip_seconds": seconds,
        "tip_events": events,
        "events_timed": len(delays),
        "delay_s_p50": round(delays[len(delays) // 2], 2),
        "delay_s_p95": round(delays[len(delays) * 95 // 100], 2),
        "delay_s_max": round(delays[-1], 2),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _watch(url: str, final: dict[int, float], ended: threading.Event) -> None:
    """When each block became final, as another client of the node sees it."""
    chain = RpcChain(url)
    seen = chain.head().number - _CONFIRMATIONS
    while not ended.wait(0.05):
        head = chain.head().number - _CONFIRMATIONS
        for number in range(seen + 1, head + 1):
            final[number] = time.monotonic()
        seen = max(seen, head)


def _send(many: ManyEvents, transactions: list[dict[str, str]], ended: threading.Event) -> None:
    begin = time.monotonic()
    for place, transaction in enumerate(transactions):
        if ended.wait(max(0.0, begin + place * CALLS / _TIP_RATE - time.monotonic())):
            return
        many.ask("eth_sendTransaction", transaction)


# ------------------------------------------------------------------------------------------------------------- around


def _apart(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    return _together([(work, *arguments)])[0]


def _together(jobs: Sequence[tuple[Any, ...]]) -> list[dict[str, float]]:
    """Each in a process of its own, at the same time."""
    with ProcessPoolExecutor(len(jobs), get_context("spawn")) as pool:
        running = [pool.submit(work, *arguments) for work, *arguments in jobs]
        done = [one.result() for one in running]
    for (work, *_), one in zip(jobs, done, strict=True):
        say(f"{work.__name__.strip('_')}: " + ", ".join(f"{name} {value:.6g}" for name, value in one.items()))
    return done


def _rate(one: dict[str, float]) -> float:
    return one["events"] / one["seconds"]


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


def _write(line: dict[str, object], name: str) -> None:
    told = [
        f"Written by `python -m scripts.bench.audit {' '.join(sys.argv[1:])}`, which says what is measured.",
        f"{MACHINE}; `load` is of the machine, others included.",
        "",
        "| | |",
        "| --- | ---: |",
        *(f"| {key} | {json.dumps(value)} |" for key, value in line.items()),
    ]
    write_part(name, told)


if __name__ == "__main__":
    raise SystemExit(main())
