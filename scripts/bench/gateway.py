"""How many readings a gateway takes: `python -m scripts.bench.gateway [--devices N] [--frames N] [--minutes M]`.

Devices of one fleet, proven on a real JSON-RPC chain (anvil), each with frames of 60 rows of one reading, signed before
the clock starts. Each gateway is a process of its own on a core of its own, with its own store and account, and takes
the frames through its queue as its doors do: read, verified, placed, checked against the thing model, durable (SQLite,
WAL, synchronous FULL), receipted, then batched and anchored; the clock stops when every receipt is there and every
batch final. Beside it, in the same run on the same cores and frames: PyNaCl's verification alone, and with cbor2's
decoding.

Prints, last, two JSON lines: the figures of all gateways together, and the yardstick: 7 million devices with a reading
a minute. With `--minutes` it goes on at a tenth of the measured rate, for so long, and tells the memory at each minute.
With `--write` both go between the markers of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

import cbor2
import nacl.signing

from capsule.enrolment import FleetTree
from capsule.frame import FIRST_PREVIOUS, Frame, Mark, frame_hash, read_frame, sign_frame
from capsule.ids import Address, DeviceId, Digest, Uscc
from capsule.rows import Row
from capsule.signature import ED25519, Ed25519Signer, PublicKey
from capsule.thing import STORAGE_STATION
from contracts.account import Account
from contracts.deploy import deploy
from contracts.fleet import enroll_fleet, prove_enrolled
from contracts.ledger import Ledger
from contracts.roles import Role
from contracts.rpc import RpcChain
from gateway.anchoring import AnchoredBatch
from gateway.errors import BehindError
from gateway.gateway import Gateway
from gateway.server import collect_seldom
from gateway.settings import GatewaySettings
from scripts.bench.local_node import ANVIL, FAUCET, anvil, blocks_by_the_second
from scripts.bench.page import MACHINE, say, write_part

__all__ = ["main"]

_CORES: Final = sorted(os.sched_getaffinity(0))
_ROWS: Final = 60
_YARDSTICK: Final = 7_000_000 / 60
"""readings per second"""
_FUNDS: Final = 10**20
_RUNS: Final = ("one", "all", "steady")
_barrier: Barrier | None = None
"""where the processes of one measurement wait for each other"""


@dataclass(frozen=True, slots=True)
class _Site:
    """What one gateway's process needs. `core` is the one that it may use, `secrets` its accounts' keys by run."""

    url: str
    directory: Address
    secrets: Mapping[str, bytes]
    home: Path
    core: int

    @property
    def frames(self) -> Path:
        return self.home / "frames"

    @property
    def seeds(self) -> Path:
        return self.home / "seeds"


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a process did: from the shared start to its end, and its highest resident memory."""

    frames: int
    seconds: float
    peak_mb: float
    gas: int = 0
    memory_mb: tuple[float, ...] = ()


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.gateway", description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=4, help="of each device")
    parser.add_argument("--minutes", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    if not ANVIL.is_file():
        parser.error("anvil is not installed: run 'make dev'")
    with tempfile.TemporaryDirectory() as folder, anvil() as url:
        lines = _measure(Path(folder), url, options.devices, options.frames, options.minutes)
    for line in lines:
        say(json.dumps(line))
    if options.write:
        _write(lines)
    return 0


def _measure(folder: Path, url: str, devices: int, frames: int, minutes: int) -> tuple[dict[str, object], ...]:
    operator = Ledger.connect(RpcChain(url, own_node=True), _deployed(url), Account(FAUCET))
    seeds = [(DeviceId(secrets.token_bytes(32)), secrets.token_bytes(32)) for _ in range(devices)]
    start = time.perf_counter()
    with blocks_by_the_second(url):
        _enrol(operator, seeds)
    say(f"{devices} devices in one fleet, each proven on chain, in {time.perf_counter() - start:.0f} s")
    sites = []
    for index, core in enumerate(_CORES):
        home = folder / f"gateway-{index}"
        home.mkdir()
        accounts = {run: Account.generate(secrets.token_bytes) for run in _RUNS}
        for number, account in enumerate(accounts.values(), 1):
            _admit(operator, account, 10 * index + number, Role.GATEWAY)
        keys = {run: account.private_key for run, account in accounts.items()}
        sites.append(_Site(url, operator.directory.address, keys, home, core))
    start = time.perf_counter()
    with _processes(len(sites)) as pool:
        shares = [seeds[index :: len(sites)] for index in range(len(sites))]
        sizes = list(pool.map(_make_frames, sites, shares, [frames] * len(sites)))
    say(f"{sum(sizes)} frames signed in {time.perf_counter() - start:.0f} s")

    raw = _together(_verify_alone, sites)
    decoded = _together(_verify_and_decode, sites)
    one = _together(_run_gateway, sites[:1], run="one")
    several = _together(_run_gateway, sites, run="all")
    readings = _rate(several) * _ROWS
    total = sum(taken.frames for taken in several) * _ROWS
    first: dict[str, object] = {
        "frames_s": round(_rate(several)),
        "readings_s": round(readings),
        "ratio_vs_raw_verify": round(_rate(several) / _rate(raw), 3),
        "ratio_vs_verify_and_decode": round(_rate(several) / _rate(decoded), 3),
        "peak_rss_mb": max(taken.peak_mb for taken in several),
        "gas_per_reading": round(sum(taken.gas for taken in several) / total, 3),
        "raw_verify_frames_s": round(_rate(raw)),
        "verify_and_decode_frames_s": round(_rate(decoded)),
        "gateways": len(sites),
        "cores": len(_CORES),
        "devices": devices,
        "frames": total // _ROWS,
        "load": round(os.getloadavg()[0], 1),
    }
    second: dict[str, object] = {
        "yardstick_readings_s": round(_YARDSTICK),
        "times_yardstick": round(readings / _YARDSTICK, 2),
        "readings_s_one_gateway_one_core": round(_rate(one) * _ROWS),
        "readings_s_all_gateways_all_cores": round(readings),
        "scaling": round(readings / (_rate(one) * _ROWS), 2),
        "machines_of_this_kind_for_the_yardstick": round(_YARDSTICK / readings, 2),
    }
    if minutes:
        steady = _together(_run_steadily, sites[:1], run="steady", seconds=60 * minutes, rate=_rate(one) / 10)
        second["minutes"] = minutes
        second["rss_mb_by_minute"] = list(steady[0].memory_mb)
    return first, second


# --------------------------------------------------------------------------------------------------- what is measured


def _verify_alone(site: _Site) -> _Taken:
    messages = [(read_frame(frame), key) for frame, key in _load(site)]
    jobs = [
        (cbor2.dumps(["Signature1", frame.protected, b"", frame.payload]), frame.signature, key)
        for frame, key in messages
    ]

    def work() -> None:
        for message, signature, key in jobs:
            key.verify(message, signature)

    return _timed(work, len(jobs))


def _verify_and_decode(site: _Site) -> _Taken:
    jobs = _load(site)

    def work() -> None:
        for data, key in jobs:
            protected, _, payload, signature = cbor2.loads(data).value
            key.verify(cbor2.dumps(["Signature1", protected, b"", payload]), signature)
            cbor2.loads(protected)
            cbor2.loads(payload)

    return _timed(work, len(jobs))


def _run_gateway(site: _Site, run: str) -> _Taken:
    frames = [frame for frame, _ in _load(site)]
    collect_seldom()
    chain = RpcChain(site.url, own_node=True)
    anchored: list[AnchoredBatch] = []
    ended = threading.Event()
    with _gateway(site, run) as gateway:

        def anchor() -> None:
            while not ended.wait(gateway.settings.anchor_poll_seconds):
                anchored.extend(gateway.anchor_due())
            anchored.extend(gateway.anchor_all())

        def work() -> None:
            anchoring = threading.Thread(target=anchor)
            anchoring.start()
            _feed(gateway, frames)
            ended.set()
            anchoring.join()

        taken = _timed(work, len(frames))
        if sum(batch.batch.size for batch in anchored) != len(frames):
            raise SystemExit("not every frame is in an anchored batch")
    receipts = [chain.receipt(batch.transaction) for batch in anchored]
    return replace(taken, gas=sum(receipt.gas_used for receipt in receipts if receipt is not None))


def _run_steadily(site: _Site, run: str, seconds: float, rate: float) -> _Taken:
    """Frames made and taken at a rate, by devices of an own fleet; the memory after each minute."""
    start = int(time.time()) - _ROWS * 60
    devices = [_Device(device, seed, start) for device, seed in pickle.loads(site.seeds.read_bytes())]  # noqa: S301
    collect_seldom()
    memory: list[float] = []
    count = 0
    with _gateway(site, run) as gateway:
        _wait()
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            if passed >= 60 * (len(memory) + 1):
                memory.append(_resident_mb())
            _feed(gateway, [device.frame() for device in devices[: max(1, round(rate))]])
            devices = devices[round(rate) :] + devices[: round(rate)]
            count += round(rate)
            gateway.anchor_due()
            time.sleep(max(0.0, count / rate - (time.monotonic() - begun)))
        memory.append(_resident_mb())
    return _Taken(count, seconds, _peak_mb(), memory_mb=tuple(memory))


def _feed(gateway: Gateway, frames: Sequence[bytes]) -> None:
    """All frames through the gateway's queue; raises what a frame is refused for."""
    waiting = []
    for frame in frames:
        while True:
            try:
                waiting.append(gateway.submit(frame))
                break
            except BehindError:
                waiting[len(waiting) // 2].exception()
    for future in waiting:
        future.result()


# ------------------------------------------------------------------------------------------------------ what it needs


class _Device:
    """A device that makes frames of 60 rows of one reading, a minute apart."""

    def __init__(self, device: DeviceId, seed: bytes, start: int) -> None:
        """`start`: when its first row is, in unix seconds."""
        self._device = device
        self._start = start
        self._signer = Ed25519Signer(seed)
        self._sequence = 0
        self._previous = FIRST_PREVIOUS
        self._random = random.Random(seed)

    def frame(self) -> bytes:
        begin = self._start + self._sequence * _ROWS * 60
        rows = tuple(
            Row(begin + 60 * index, {"P_AC": round(self._random.uniform(-4_000, 4_000), 1)}) for index in range(_ROWS)
        )
        self._sequence += 1
        data = sign_frame(Frame(self._device, self._sequence, self._previous, None, Mark.SIGNED, rows), self._signer)
        self._previous = frame_hash(data)
        return data


def _make_frames(site: _Site, seeds: Sequence[tuple[DeviceId, bytes]], each: int) -> int:
    """Writes the frames of these devices, all first ones before all second ones."""
    start = int(time.time()) - each * _ROWS * 60
    devices = [_Device(device, seed, start) for device, seed in seeds]
    keys = [bytes(nacl.signing.SigningKey(seed).verify_key) for _, seed in seeds]
    frames = [(device.frame(), key) for _ in range(each) for device, key in zip(devices, keys, strict=True)]
    site.frames.write_bytes(pickle.dumps(frames))
    site.seeds.write_bytes(pickle.dumps(list(seeds)))
    return len(frames)


def _load(site: _Site) -> list[tuple[bytes, nacl.signing.VerifyKey]]:
    made = pickle.loads(site.frames.read_bytes())  # noqa: S301  written by this run
    return [(frame, nacl.signing.VerifyKey(key)) for frame, key in made]


@contextmanager
def _gateway(site: _Site, run: str) -> Iterator[Gateway]:
    home = site.home / run
    home.mkdir()
    ledger = Ledger.connect(RpcChain(site.url, own_node=True), site.directory, Account(site.secrets[run]))
    with Gateway.open(
        home,
        ledger,
        Ed25519Signer(site.secrets[run]),
        clock=time.time,
        settings=GatewaySettings(known_devices=200_000),
    ) as gateway:
        gateway.register.refresh()
        yield gateway


def _enrol(operator: Ledger, seeds: Sequence[tuple[DeviceId, bytes]]) -> None:
    provider = operator.as_account(Account.generate(secrets.token_bytes))
    assert provider.account is not None  # noqa: S101  as just given
    _admit(operator, provider.account, 0, Role.PROVIDER)
    tree = FleetTree(
        (device, PublicKey(ED25519, bytes(nacl.signing.SigningKey(seed).verify_key))) for device, seed in seeds
    )
    fleet = enroll_fleet(provider, tree.root, tree.size, STORAGE_STATION.hash)
    prove_enrolled(provider, tuple(tree.enrolments(fleet)))


def _admit(operator: Ledger, account: Account, number: int, role: Role) -> None:
    code = Uscc.make(f"9135010000000{number:04d}")
    operator.participants.admit(account.address, code, Digest(secrets.token_bytes(32)), role, value=_FUNDS)


def _deployed(url: str) -> Address:
    return deploy(RpcChain(url, own_node=True), Account(FAUCET), confirmations=0, finalized_tag=False)


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    context = get_context("spawn")
    with ProcessPoolExecutor(count, context, _meet, (context.Barrier(count),)) as pool:
        yield pool


def _meet(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603  a spawned process gets it once, before anything else
    _barrier = barrier


def _wait() -> None:
    if _barrier is not None:
        _barrier.wait()


def _together(work: Callable[..., _Taken], sites: Sequence[_Site], **options: object) -> list[_Taken]:
    """Runs it once for each site at the same time, each on its own core."""
    with _processes(len(sites)) as pool:
        running = [pool.submit(_on_core, work, site, options) for site in sites]
        taken = [one.result() for one in running]
    what = f"{work.__name__.strip('_')} on {len(sites)}"
    say(f"{what}: {_rate(taken):.0f} frames/s, {max(one.peak_mb for one in taken):.0f} MB")
    return taken


def _on_core(work: Callable[..., _Taken], site: _Site, options: dict[str, object]) -> _Taken:
    os.sched_setaffinity(0, {site.core})
    return work(site, **options)


def _timed(work: Callable[[], object], frames: int) -> _Taken:
    _wait()
    begin = time.perf_counter()
    work()
    return _Taken(frames, time.perf_counter() - begin, _peak_mb())


def _rate(taken: Sequence[_Taken]) -> float:
    """Frames a second of processes that ran side by side, by the slowest of them."""
    return sum(one.frames for one in taken) / max(one.seconds for one in taken)


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6, 1)


def _peak_mb() -> float:
    return _status_mb("VmHWM")


def _resident_mb() -> float:
    return _status_mb("VmRSS")


def _write(lines: Sequence[dict[str, object]]) -> None:
    told = [
        f"Written by `python -m scripts.bench.gateway {' '.join(sys.argv[1:])}`, which says what is measured.",
        f"{MACHINE}.",
        "",
        "| | |",
        "| --- | ---: |",
        *(f"| {name} | {value} |" for line in lines for name, value in line.items()),
    ]
    write_part("gateway", told)


if __name__ == "__main__":
    raise SystemExit(main())
