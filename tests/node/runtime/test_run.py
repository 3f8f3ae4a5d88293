"""Honest runs: a capsule in, a sealed result out, equal to the same statement on the plain data."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from capsule.algorithm import Column, ColumnType
from capsule.receipt import SourceVerdict, output_digest
from node.runtime.launch import run
from node.runtime.measurement import measure
from node.runtime.protocol import Completed, Limits
from tests.node.runtime.world import (
    FRAMES_TYPE,
    Buyer,
    DeviceData,
    SealedFile,
    hourly,
    job,
    plain_hourly,
    seal_file,
)

SUMS = "SELECT sum(a.x * b.y) AS total, count(*) AS n FROM readings_1 a JOIN readings_2 b ON a.x = b.x"
SUMS_OUTPUT = [Column("total", ColumnType.NUMBER), Column("n", ColumnType.INTEGER)]


class TestHourlyEnergy:
    def test_from_csv_it_equals_the_plain_file(
        self, buyer: Buyer, readings: Path, tmp_path: Path, limits: Limits
    ) -> None:
        sealed = seal_file(tmp_path / "day.dsc", readings.read_bytes(), "text/csv", {"time_column": "DateAndTime"})
        outcome = run(hourly(buyer, sealed.input(min_group=60), "DateAndTime"), [sealed.path], limits)
        assert isinstance(outcome, Completed), outcome
        assert buyer.read(outcome)["rows"] == plain_hourly(readings, "DateAndTime")
        assert (outcome.rows_in, outcome.rows_out) == (8640, 25)
        assert outcome.source == SourceVerdict("declared")
        assert (outcome.protected, outcome.guard) == (True, "passed")

    def test_from_signed_frames_it_equals_the_plain_file_and_is_verified(
        self, buyer: Buyer, readings: Path, device: DeviceData, tmp_path: Path, limits: Limits
    ) -> None:
        sealed = seal_file(tmp_path / "day.dsc", device.plaintext, FRAMES_TYPE, {})
        work = hourly(buyer, sealed.input(min_group=60), "time", device_keys=device.keys, anchors=device.anchors)
        outcome = run(work, [sealed.path], limits)
        assert isinstance(outcome, Completed), outcome
        assert buyer.read(outcome)["rows"] == plain_hourly(readings, "DateAndTime")
        assert outcome.source == SourceVerdict("verified", 8640, 8640)

    def test_from_parquet_it_equals_the_plain_file(
        self, buyer: Buyer, readings: Path, tmp_path: Path, limits: Limits
    ) -> None:
        table = pa_csv.read_csv(readings)
        sink = BytesIO()
        pa_parquet.write_table(table, sink)
        sealed = seal_file(
            tmp_path / "day.dsc", sink.getvalue(), "application/vnd.apache.parquet", {"time_column": "DateAndTime"}
        )
        outcome = run(hourly(buyer, sealed.input(), "DateAndTime"), [sealed.path], limits)
        assert buyer.read(outcome)["rows"] == plain_hourly(readings, "DateAndTime")


class TestOutcome:
    def test_hashes_and_measurement_are_what_others_compute(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        work = job(buyer, [small.input()], "SELECT x FROM readings ORDER BY x", [Column("x", ColumnType.INTEGER)])
        outcome = run(work, [small.path], limits)
        assert isinstance(outcome, Completed), outcome
        document = buyer.key.open(outcome.sealed_result)
        assert outcome.output_hash == output_digest(document, work.result_salt)
        assert outcome.sealed_result_hash == hashlib.sha256(outcome.sealed_result).digest()
        assert outcome.measurement == measure(allow_unprotected=False).digest

    def test_document_says_kind_columns_rows_and_salt(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(
            buyer,
            [small.input()],
            "SELECT min(time) AS t, sum(y) AS y, max(label) AS l, bool_and(x < 20) AS b, max(x) * 1000000000000000 AS i"
            " FROM data",
            [
                Column("t", ColumnType.TIME),
                Column("y", ColumnType.NUMBER),
                Column("l", ColumnType.TEXT),
                Column("b", ColumnType.BOOLEAN),
                Column("i", ColumnType.INTEGER),
            ],
        )
        outcome = run(work, [small.path], limits)
        document = buyer.read(outcome)
        assert document == {
            "kind": "dataspace/result",
            "version": 1,
            "columns": [
                {"name": "t", "type": "time"},
                {"name": "y", "type": "number"},
                {"name": "l", "type": "text"},
                {"name": "b", "type": "boolean"},
                {"name": "i", "type": "integer"},
            ],
            "rows": [["2024-05-01T00:00:00", 200, "canary-5d1e-9", True, "19000000000000000"]],
            "salt": "0x" + work.result_salt.hex(),
        }

    def test_two_runs_give_the_same_rows_bit_by_bit(
        self, buyer: Buyer, readings: Path, tmp_path: Path, limits: Limits
    ) -> None:
        sealed = seal_file(tmp_path / "day.dsc", readings.read_bytes(), "text/csv", {})
        work = job(
            buyer,
            [sealed.input()],
            "SELECT sum(sqrt(abs(M5BAT_P)) / 7) AS s, stddev(Grid_frequency / 3.0) AS d FROM readings",
            [Column("s", ColumnType.NUMBER), Column("d", ColumnType.NUMBER)],
        )
        first, second = (buyer.key.open(_completed(run(work, [sealed.path], limits))) for _ in range(2))
        assert first == second

    def test_the_result_is_for_the_buyer_alone(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input()], "SELECT max(label) AS l FROM readings", [Column("l", ColumnType.TEXT)])
        outcome = run(work, [small.path], limits)
        assert b"canary" not in _completed(outcome)


class TestInputs:
    def test_several_capsules_are_tables_by_number(
        self, buyer: Buyer, small: SealedFile, tmp_path: Path, limits: Limits
    ) -> None:
        other = seal_file(tmp_path / "other.dsc", b"x,y\n1,0.5\n2,1.5\n99,1\n", "text/csv", {})
        work = job(buyer, [small.input(), other.input()], SUMS, SUMS_OUTPUT)
        outcome = run(work, [small.path, other.path], limits)
        assert buyer.read(outcome)["rows"] == [[3.5, 2]]
        assert _rows_in(outcome) == 23

    def test_the_meet_of_their_policies_holds(
        self, buyer: Buyer, small: SealedFile, tmp_path: Path, limits: Limits
    ) -> None:
        other = seal_file(tmp_path / "other.dsc", b"x,y\n1,0.5\n2,1.5\n99,1\n", "text/csv", {})
        work = job(buyer, [small.input(), other.input(min_group=2)], SUMS, SUMS_OUTPUT, group_column="n")
        outcome = run(work, [small.path, other.path], limits)
        assert (outcome.kind, outcome.reason) == ("algorithm", "groups")  # type: ignore[union-attr]

    def test_parameters_reach_the_statement_typed(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(
            buyer,
            [small.input()],
            "SELECT count(*) AS n FROM readings"
            " WHERE time >= $since AND y < $below AND label <> $text AND ($on OR false)",
            [Column("n", ColumnType.INTEGER)],
            parameters=[
                Column("since", ColumnType.TIME),
                Column("below", ColumnType.NUMBER),
                Column("text", ColumnType.TEXT),
                Column("on", ColumnType.BOOLEAN),
            ],
            values={"since": 1714525200, "below": 18.0, "text": "'; DROP", "on": True},
        )
        assert buyer.read(run(work, [small.path], limits))["rows"] == [[6]]

    def test_a_descriptor_serves_as_well_as_a_path(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input()], "SELECT count(*) AS n FROM readings", [Column("n", ColumnType.INTEGER)])
        with small.path.open("rb") as stream:
            stream.read(10)
            assert buyer.read(run(work, [stream.fileno()], limits))["rows"] == [[20]]


def _completed(outcome: object) -> bytes:
    assert isinstance(outcome, Completed), outcome
    return outcome.sealed_result


def _rows_in(outcome: object) -> int:
    assert isinstance(outcome, Completed)
    return outcome.rows_in
