"""How fast the regulator's pages are: `python -m scripts.bench.pages [--events N] [--rounds N] [--write]`.

Makes an index of N events in a SQLite file: an honest history of the simulated data space, copied again and again
under other ids and later times, half of the copies on one asset, so that some trails are long. Looks at it once as the
service does (rules, register), then asks for every page in both languages through the application itself, and prints,
last, one JSON line with the server's milliseconds by page: median, 95th of a hundred, and the slowest. What a copy
breaks (signed orders name the first ids) are findings, thousands of them. With `--write` the table stands between the
markers of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import httpx
from fastapi import FastAPI

from audit.abouts import about
from audit.documents import MemoryDocuments
from audit.entries import Claim, Entry
from audit.index import Index
from audit.ledger_state import fold
from audit.pages.desk import Desk
from audit.pages.readers import Readers
from audit.pages.routes import PAGE_ROWS, TRAIL_ROWS
from audit.pages.site import Site
from audit.pages.users import UsersFile
from audit.papers import Patience
from audit.service import settle
from audit.verify import verify
from capsule.ids import AssetId, DeviceId, Digest, GrantId, OpeningId, RequestId, UseId
from contracts import events as ev
from scripts.bench.page import MACHINE, write_part
from scripts.inprocess import InProcess
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History, history_of, numbered, rows_of

__all__ = ["main"]

_COPIED: Final = (AssetId, DeviceId, GrantId, OpeningId, RequestId, UseId)
# What an asset is offered with: a copy on the one asset leaves it out.
_OFFERING: Final = (ev.AssetRegistered, ev.CapsulePublished, ev.CustodyDealt, ev.CustodyAccepted)
_STEP_SECONDS: Final = 7_200
_LIMIT_MS: Final = 300
_FIGURES: Final = ("median", "p95", "max", "while_looking")
# Copies break documents that nobody serves again; the pages are asked, not the rules.
_PATIENCE: Final = Patience(document=10**12, anchor=10**12, log=10**12)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.pages", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7, help="how often each page is asked for, in each language")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = _measure(Path(folder), options.events, options.rounds)
    if options.write:
        _write(result, options.events)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def _measure(folder: Path, events: int, rounds: int) -> dict[str, Any]:
    started = time.perf_counter()
    index = _index(folder, events)
    made = time.perf_counter()
    documents = MemoryDocuments({})
    report = verify(index, documents, patience=_PATIENCE)
    judged = time.perf_counter()
    state = index.state()
    desk = Desk(folder / "pages.db", _PATIENCE)
    before = time.perf_counter()
    desk.take(index, state, report, documents)
    taken = time.perf_counter()
    settle()
    app = FastAPI()
    readers = Readers(UsersFile(folder / "none.json"), behind_proxy=False, entropy=secrets.token_bytes, clock=time.time)
    Site(desk, readers, entropy=secrets.token_bytes).attach(app, lambda most: index.rows(state.tip.number, most))
    with httpx.Client(base_url="http://127.0.0.1", transport=InProcess(app)) as client:
        addresses = _addresses(desk, events)
        pages = {name: _timed(client, address, rounds) for name, address in addresses.items()}
        with _looking(index, documents):
            busy = {name: _timed(client, address, 2)["median"] for name, address in addresses.items()}
    desk.close()
    index.close()
    slowest = max(figures["max"] for figures in pages.values())
    for name, figures in pages.items():
        figures["while_looking"] = busy[name]
    return {
        "events": report.summary.events,
        "findings": len(report.findings),
        "make_s": round(made - started, 1),
        "verify_s": round(judged - made, 1),
        "register_s": round(taken - before, 1),
        "load": round(os.getloadavg()[0], 1),
        "slowest_ms": slowest,
        "under_300_ms": slowest < _LIMIT_MS,
        "pages": pages,
    }


@contextmanager
def _looking(index: Index, documents: MemoryDocuments) -> Iterator[None]:
    """Meanwhile the rules run over everything again and again, as in the service's thread."""
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            verify(index, documents, patience=_PATIENCE)

    thread = threading.Thread(target=look)
    thread.start()
    yield
    done.set()
    thread.join()


def _timed(client: httpx.Client, address: str, rounds: int) -> dict[str, float]:
    """Milliseconds from request to the answer's last byte, both languages together."""
    spent = []
    for _ in range(rounds):
        for language in ("en", "zh"):
            start = time.perf_counter()
            answer = client.get(address, headers={"accept-language": language}, follow_redirects=False)
            spent.append((time.perf_counter() - start) * 1e3)
            if answer.status_code >= 400:
                raise SystemExit(f"{address} answers {answer.status_code}")
    return {
        "median": round(median(spent), 1),
        "p95": round(quantiles(spent, n=20, method="inclusive")[-1], 1),
        "max": round(max(spent), 1),
    }


def _addresses(desk: Desk, events: int) -> Mapping[str, str]:
    """One page of each kind, the largest where they differ: trails with the most events, first and last part."""
    questions, state = desk.questions, desk.view.state
    asset = max(state.assets, key=lambda named: sum(1 for use in state.uses.values() if use.asset == named))
    use, grant, request = (str(tuple(table)[-1]) for table in (state.uses, state.grants, state.requests))
    device = questions.subjects("device", 0, 1).rows[0].id
    who = str(state.assets[asset].provider)
    key = desk.view.filing.all[0].key
    trail = f"/trails/asset/{asset}"
    last = -(-questions.trail((about("asset", asset),), 0, 1).total // TRAIL_ROWS)
    return {
        "overview": "/",
        "search by code": f"/search?q={state.participants[state.assets[asset].provider].uscc[:8]}",
        "search by prefix": f"/search?q={use[:4]}",
        "search, nothing found": "/search?q=0xffffffffffffffff",
        "assets": "/subjects/asset",
        "uses, the last page": f"/subjects/use?page={-(-len(state.uses) // PAGE_ROWS)}",
        "trail of the longest asset": trail,
        "its last part": f"{trail}?page={last}",
        "trail of an organisation": f"/trails/participant/{who}",
        "trail of a request": f"/trails/request/{request}",
        "trail of a grant": f"/trails/grant/{grant}",
        "trail of a use": f"/trails/use/{use}",
        "trail of a device": f"/trails/device/{device}",
        "live events": "/events",
        "live events, renewed": "/events/rows?after=1",
        "older events": f"/events?before={events // 2}",
        "findings": "/findings",
        "findings, filtered": f"/findings?severity=high&subject={use[:6]}",
        "a finding": f"/findings/{key}",
        "devices": "/fleet",
        "usage": "/uses",
        "login": "/login",
    }


# The index


def _index(folder: Path, events: int) -> Index:
    history = _honest(folder)
    entries = list(numbered(_copies(history, events)))
    tip = replace(history.tip, number=entries[-1].event.log.block_number, time=entries[-1].time)
    state = fold(entries, history.identity, tip)
    heads = {name: (running.now.head, running.now.seq) for name, running in state.running.items()}
    index = Index.open(folder / "audit.db")
    index.begin(history.identity)
    rows = rows_of(history.identity, entries)
    index.append(rows, tip, Claim("endpoint", tip.number, tip.hash, heads))
    return index


def _honest(folder: Path) -> History:
    space = DataSpace(folder / "chain")
    offered = space.offer(space.register(), uses_per_grant=4)
    granted = space.grant(offered)
    for rows in (10, 20):
        (use,) = space.open(granted)
        space.release(use, 0, 1, 2, 3)
        space.complete(use, rows=rows)
        space.clock.advance(10)
    (refused,) = space.open(granted)
    space.refuse(refused, 0, 1, 2, 3)
    space.fail(refused, 1)
    station = space.enroll()
    space.anchor([space.frame(station) for _ in range(3)])
    space.anchor([space.frame(station) for _ in range(2)])
    history = history_of(space)
    space.close()
    return history


def _copies(history: History, events: int) -> Iterator[Entry]:
    """The history, then copies of all but its founding: under other ids, each some hours later than the one before."""
    yield from history.entries
    made = len(history.entries)
    first = next(at for at, entry in enumerate(history.entries) if isinstance(entry.event, ev.AssetRegistered))
    later = [entry for entry in history.entries[first:] if not isinstance(entry.event, ev.LogHeadAnchored)]
    blocks = history.tip.number + 1
    number = 0
    while made < events:
        number += 1
        for entry in later:
            on_one_asset = number % 2 == 1
            if on_one_asset and isinstance(entry.event, _OFFERING):
                continue
            yield _copy(entry, number, blocks * number, on_one_asset)
            made += 1


def _copy(entry: Entry, number: int, blocks: int, on_one_asset: bool) -> Entry:
    event = _renamed(entry.event, number, (AssetId,) if on_one_asset else ())
    log = entry.event.log
    moved = replace(
        log,
        block_number=log.block_number + blocks,
        block_hash=_other(log.block_hash, number),
        transaction_hash=_other(log.transaction_hash, number),
    )
    event = replace(event, log=moved)
    if isinstance(event, ev.BatchAnchored):
        event = replace(event, number=event.number + 2 * number)
    return replace(entry, event=event, time=entry.time + number * _STEP_SECONDS)


def _renamed(value: Any, number: int, kept: tuple[type, ...]) -> Any:
    """The value with every id in it replaced by one of this copy."""
    if isinstance(value, _COPIED) and not isinstance(value, kept):
        return type(value)(_other(Digest(bytes(value)), number))
    if isinstance(value, tuple):
        return tuple(_renamed(item, number, kept) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: _renamed(getattr(value, field.name), number, kept)
            for field in fields(value)
            if field.init and field.name != "log"
        }
        return replace(value, **changed)
    return value


def _other(value: Digest, number: int) -> Digest:
    """Another value for each copy, spread as hashes are."""
    shift = pow(0x9E3779B97F4A7C15F39CC0605CEDC834, number + 1, 2**256)
    return Digest(((int.from_bytes(value, "big") * shift) % 2**256).to_bytes(32, "big"))


def _write(result: Mapping[str, Any], events: int) -> None:
    told = [
        f"Written by `python -m scripts.bench.pages --events {events} --write`, which says what is measured.",
        f"{MACHINE}; load {result['load']}. {result['events']:,} events in SQLite, {result['findings']:,} findings.",
        f"Rules took {result['verify_s']} s, the register {result['register_s']} s, once at the start.",
        "Milliseconds of the server, English and Chinese together;",
        "`while_looking` is the median while another thread of the process applies all rules to everything anew.",
        "",
        f"| page | {' | '.join(_FIGURES)} |",
        "| --- |" + " ---: |" * len(_FIGURES),
        *(f"| {name} | {' | '.join(str(row[one]) for one in _FIGURES)} |" for name, row in result["pages"].items()),
    ]
    write_part("pages", told)


if __name__ == "__main__":
    sys.exit(main())
