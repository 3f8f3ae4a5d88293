"""Credit scoring as docs/examples/wasm/score.c does it, written again in Python, over the lenders' plain files."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from capsule.algorithm import Column, ColumnType
from tests.node.runtime.world import SHARED

GERMAN = SHARED / "data" / "german-credit" / "germancredit.csv"
TAIWAN = SHARED / "data" / "taiwan-credit" / "credit.csv"
FOLDER = Path(__file__).parents[3] / "docs" / "examples" / "wasm"
SCORE = FOLDER / "score.wasm"
PARAMETERS = (Column("min_group", ColumnType.INTEGER),)
OUTPUT = (
    Column("lender", ColumnType.INTEGER),
    Column("band", ColumnType.TEXT),
    Column("applicants", ColumnType.INTEGER),
    Column("mean_risk", ColumnType.NUMBER),
    Column("defaults", ColumnType.INTEGER),
)
EDGES = (-3.0, -2.0, -1.0, 0.0)
ACCOUNTS = {"... < 0 DM": 1.076, "0 <= ... < 200 DM": 0.550, "no checking account": -0.945}


def household(row: Mapping[str, str]) -> tuple[float, bool]:
    odds = (
        -1.332
        + 0.389 * float(row["duration_in_month"]) / 12.0
        + 0.339 * float(row["credit_amount"]) / 10000.0
        - 0.162 * float(row["age_in_years"]) / 10.0
    )
    return odds + ACCOUNTS.get(row["status_of_existing_checking_account"], 0.0), row["creditability"] == "bad"


def card(row: Mapping[str, str]) -> tuple[float, bool]:
    limit = float(row["LIMIT_BAL"])
    odds = (
        -1.771
        + 0.964 * max(float(row["PAY_1"]), 0.0)
        + 0.211 * max(float(row["PAY_2"]), 0.0)
        - 0.202 * limit / 100000.0
        - 0.041 * float(row["BILL_AMT1"]) / limit
        + 0.087 * float(row["AGE"]) / 10.0
    )
    return odds, row["default"] == "1"


def scored(paths: Sequence[Path], min_group: int) -> list[tuple[int, str, int, float, int]]:
    """What the algorithm says of these files, in their order."""
    rows = []
    for lender, path in enumerate(paths, start=1):
        bands: dict[int, list[tuple[float, bool]]] = {}
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                odds, bad = card(row) if "LIMIT_BAL" in row else household(row)
                band = sum(odds >= edge for edge in EDGES)
                bands.setdefault(band, []).append((1.0 / (1.0 + math.exp(-odds)), bad))
        for band, found in sorted(bands.items()):
            if len(found) >= min_group:
                risk = 0.0
                for one, _ in found:
                    risk += one
                rows.append((lender, "ABCDE"[band], len(found), risk / len(found), sum(bad for _, bad in found)))
    return rows
