"""A provider, custodians, a device and a buyer, as far as a runtime sees them."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import duckdb

from capsule.algorithm import Algorithm, Column, ColumnType, Parameters, code_digest
from capsule.box import BoxKey
from capsule.canonical import Json, decode
from capsule.deal import Deal, DealHolder
from capsule.digest import Domain
from capsule.frame import FIRST_PREVIOUS, Frame, Mark, frame_hash, sign_frame
from capsule.ids import Address, AssetId, DeviceId, UseId
from capsule.key import DataKey, deal_parts
from capsule.policy.compiler import compile_policy
from capsule.policy.offer import offer
from capsule.rows import Row
from capsule.sealing import SealPlan, seal
from capsule.share import Release, ShareSecret, seal_release
from capsule.signature import Ed25519Signer, PublicKey
from capsule.source import MEDIA_TYPE, Anchor, DeviceKey, DeviceSpan, SourceFrame, write_source
from capsule.tree import inclusion_proof, leaf_hash, root
from node.runtime.protocol import CapsuleInput, Completed, Job

SHARED = Path(__file__).parents[4] / "shared"
M5BAT = SHARED / "data" / "m5bat-20230407" / "station_and_2_units_10s.csv"
CHAIN_ID = 31337
ACCESS = Address(b"\xac" * 20)
DOMAIN = Domain(CHAIN_ID, Address(b"\xd1" * 20))
ROWS_A_FRAME = 60

entropy = random.Random(7).randbytes

HOURLY = """
SELECT date_trunc('hour', {time}) AS hour,
       sum(greatest(-M5BAT_P, 0)) * $step / 3600.0 AS charged_kwh,
       sum(greatest(M5BAT_P, 0)) * $step / 3600.0 AS discharged_kwh,
       sum(greatest(M5BAT_P, 0)) / nullif(sum(greatest(-M5BAT_P, 0)), 0) AS efficiency,
       count(*) AS group_size
FROM readings
GROUP BY ROLLUP (date_trunc('hour', {time}))
ORDER BY hour
"""
HOURLY_OUTPUT = (
    Column("hour", ColumnType.TIME),
    Column("charged_kwh", ColumnType.NUMBER),
    Column("discharged_kwh", ColumnType.NUMBER),
    Column("efficiency", ColumnType.NUMBER),
    Column("group_size", ColumnType.INTEGER),
)


@dataclass(frozen=True)
class SealedFile:
    """A capsule with everything its holders hold, threshold 2 of 3 and the provider required."""

    path: Path
    policy: Json
    deal: Deal
    secrets: tuple[ShareSecret, ...]

    def input(
        self,
        *,
        positions: Sequence[int] = (0, 1, 3),
        instead: Mapping[int, ShareSecret] | None = None,
        use: UseId | None = None,
        released_for: UseId | None = None,
        max_rows: int | None = 1000,
        rows_left: int | None = None,
        min_group: int = 1,
        groups_declared: bool = False,
        **more: object,
    ) -> CapsuleInput:
        """The holders at `positions` release for a use; `instead` replaces what one of them releases."""
        use = use or UseId(entropy(32))
        keys = {index: BoxKey.generate(entropy) for index in range(len(self.deal.holders))}
        releases = {}
        for index in positions:
            secret = (instead or {}).get(index, self.secrets[index])
            release = Release(
                chain_id=CHAIN_ID,
                access=ACCESS,
                use=released_for or use,
                deal=self.deal.hash,
                index=index,
                share=secret.share,
                blinding=secret.blinding,
            )
            releases[index] = seal_release(release, keys[index].public)
        return CapsuleInput(
            chain_id=CHAIN_ID,
            access=ACCESS,
            use=use,
            deal=self.deal,
            capsule_root=self.deal.capsule_root,
            policy_hash=self.deal.policy_hash,
            policy=self.policy,
            one_time_keys=keys,
            releases=releases,
            max_rows=max_rows,
            rows_left=rows_left,
            min_group=min_group,
            groups_declared=groups_declared,
            **more,  # type: ignore[arg-type]
        )


def seal_file(
    path: Path, plaintext: bytes, media_type: str, schema: Json, *, chunk_size: int = 1 << 18, **terms: Any
) -> SealedFile:
    """Under a policy of these `terms`, as `capsule.policy.offer` takes them; without any, it lets everything out."""
    asset, provider = AssetId(entropy(32)), Address(b"\x01" * 20)
    policy = offer(asset=asset, provider=provider, **terms)
    compiled = compile_policy(policy)
    data_key = DataKey.generate(entropy)
    plan = SealPlan(
        asset=asset,
        policy_hash=compiled.policy_hash,
        media_type=media_type,
        schema=schema,
        provider=provider,
        sealed_at=1_700_000_000,
        chunk_size=chunk_size,
    )
    with path.open("wb") as sink:
        sealed = seal(BytesIO(plaintext), sink, plan, Ed25519Signer.generate(entropy), data_key, DOMAIN, entropy)
    parts = deal_parts(data_key, 2, 3, True, entropy)
    secrets = tuple(
        ShareSecret(index, part, entropy(32)) for index, part in enumerate((parts.provider_part, *parts.shares))
    )
    accounts = (plan.provider, *(Address(bytes([0x10 + index]) * 20) for index in (1, 2, 3)))
    deal = Deal(
        chain_id=CHAIN_ID,
        access=ACCESS,
        asset=plan.asset,
        version=1,
        provider=plan.provider,
        capsule_id=sealed.header.capsule_id,
        capsule_root=sealed.root,
        policy_hash=plan.policy_hash,
        terms_hash=compiled.terms.hash,
        key_commitment=sealed.header.key_commitment,
        number=1,
        threshold=2,
        provider_required=True,
        waiting_seconds=0,
        holders=tuple(
            DealHolder(account, secret.index, secret.commitment)
            for account, secret in zip(accounts, secrets, strict=True)
        ),
    )
    return SealedFile(path, policy, deal, secrets)


@dataclass(frozen=True)
class Buyer:
    """Who ordered the result."""

    key: BoxKey

    def read(self, outcome: object) -> dict[str, Json]:
        assert isinstance(outcome, Completed), outcome
        document = decode(self.key.open(outcome.sealed_result))
        assert isinstance(document, dict)
        return document


def algorithm(
    code: str | bytes,
    output: Sequence[Column],
    *,
    parameters: Sequence[Column] = (),
    group_column: str | None = None,
) -> Algorithm:
    """SQL is text, a module is bytes."""
    return Algorithm(
        kind="sql" if isinstance(code, str) else "wasm",
        code_hash=code_digest(code.encode() if isinstance(code, str) else code),
        parameters=tuple(parameters),
        output=tuple(output),
        group_column=group_column,
    )


def job(
    buyer: Buyer,
    capsules: Sequence[CapsuleInput],
    code: str | bytes,
    output: Sequence[Column],
    *,
    values: Mapping[str, Json] | None = None,
    parameters: Sequence[Column] = (),
    group_column: str | None = None,
    device_keys: Mapping[DeviceId, tuple[DeviceKey, ...]] | None = None,
    anchors: Sequence[Anchor] = (),
) -> Job:
    return Job(
        capsules=tuple(capsules),
        algorithm=algorithm(code, output, parameters=parameters, group_column=group_column),
        code=code.encode() if isinstance(code, str) else code,
        parameters=Parameters(values or {}, entropy(32)),
        result_key=buyer.key.public,
        result_salt=entropy(32),
        device_keys=device_keys or {},
        anchors=tuple(anchors),
    )


def hourly(buyer: Buyer, capsule: CapsuleInput, time: str, **more: object) -> Job:
    return job(
        buyer,
        [capsule],
        HOURLY.format(time=time),
        HOURLY_OUTPUT,
        values={"step": 10},
        parameters=[Column("step", ColumnType.INTEGER)],
        group_column="group_size",
        **more,  # type: ignore[arg-type]
    )


def plain_hourly(path: Path, time: str) -> list[list[Json]]:
    """The same statement by DuckDB on the plain file, as the result document writes it."""
    connection = duckdb.connect(":memory:")
    connection.execute(f"CREATE VIEW readings AS SELECT * FROM read_csv('{path}')")  # noqa: S608
    rows = connection.execute(HOURLY.format(time=time), {"step": 10}).fetchall()
    return [[cell.isoformat() if isinstance(cell, datetime) else cell for cell in row] for row in rows]


@dataclass(frozen=True)
class DeviceData:
    """A file's rows as frames that a device signed and a gateway anchored."""

    plaintext: bytes
    keys: dict[DeviceId, tuple[DeviceKey, ...]]
    anchors: tuple[Anchor, ...]
    rows: int


def device_data(path: Path) -> DeviceData:
    text = path.read_text(encoding="utf-8-sig")
    table = list(csv.reader(StringIO(text)))
    names = table[0][1:]
    rows = [
        Row(
            datetime.fromisoformat(line[0]).replace(tzinfo=UTC).timestamp(),
            {
                name: float(cell) if "." in cell else int(cell)
                for name, cell in zip(names, line[1:], strict=True)
                if cell
            },
        )
        for line in table[1:]
    ]
    signer, device, gateway = Ed25519Signer.generate(entropy), DeviceId(entropy(32)), Address(b"\x6a" * 20)
    frames, previous = [], FIRST_PREVIOUS
    for at in range(0, len(rows), ROWS_A_FRAME):
        part = tuple(rows[at : at + ROWS_A_FRAME])
        data = sign_frame(Frame(device, len(frames) + 1, previous, None, Mark.IMPORTED, part), signer)
        frames.append(data)
        previous = frame_hash(data)
    anchors, items = [], []
    for number, begin in enumerate(range(0, len(frames), 50)):
        leaves = [leaf_hash(data) for data in frames[begin : begin + 50]]
        anchors.append(Anchor(gateway, number + 1, root(leaves), len(leaves), 1_700_000_000))
        items += [
            SourceFrame(number, at, frames[begin + at], tuple(inclusion_proof(leaves, at))) for at in range(len(leaves))
        ]
    sink = BytesIO()
    write_source(sink, [DeviceSpan(device, 1, len(frames))], anchors, items)
    key = DeviceKey(PublicKey(signer.suite, signer.public_key))
    return DeviceData(sink.getvalue(), {device: (key,)}, tuple(anchors), len(rows))


FRAMES_TYPE = MEDIA_TYPE
