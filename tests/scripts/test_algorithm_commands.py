"""dataspace use algorithm: SQL text or a module becomes an algorithm file."""

from __future__ import annotations

import json
from pathlib import Path

import wasmtime
from typer.testing import CliRunner

from capsule.algorithm import Algorithm
from scripts.cli.use import app
from tests.node.runtime import credit

OUTPUT = ["lender:integer", "band:text", "applicants:integer", "mean_risk:number", "defaults:integer"]


def told(code: Path, out: Path, *words: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["algorithm", str(code), "--out", str(out), *words, "--json"])
    return answer.exit_code, answer.output


def test_a_module_becomes_an_algorithm_file_that_holds_it_whole(tmp_path: Path) -> None:
    out = tmp_path / "score.json"
    columns = [word for column in OUTPUT for word in ("--output", column)]
    status, output = told(
        credit.SCORE, out, *columns, "--parameter", "min_group:integer", "--group-column", "applicants"
    )
    assert status == 0, output
    document = json.loads(out.read_text())
    manifest = Algorithm.from_json(document["manifest"])
    assert manifest.kind == "wasm"
    assert manifest.output == credit.OUTPUT
    assert str(manifest.hash) == json.loads(output)["algorithm"]
    assert manifest.read_code(document["code"]) == credit.SCORE.read_bytes()


def test_a_module_that_could_not_run_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    clock = '(import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))'
    text = f'(module {clock} (memory (export "memory") 1) (func (export "_start")))'
    code, out = tmp_path / "clock.wasm", tmp_path / "clock.json"
    code.write_bytes(wasmtime.wat2wasm(text))
    status, output = told(code, out, "--output", "n:integer")
    assert status == 3
    assert "import" in output
    assert not out.exists()


def test_a_file_that_is_neither_text_nor_a_module_is_refused(tmp_path: Path) -> None:
    code, out = tmp_path / "code", tmp_path / "out.json"
    code.write_bytes(b"\xff\xfe")
    status, _ = told(code, out, "--output", "n:integer")
    assert (status, out.exists()) == (2, False)


PROMISE = {
    "epsilon": "0.5",
    "count": "n",
    "sums": [{"name": "total", "lower": 0, "upper": 20_000, "decimals": 0}],
    "keys": [["good"], ["bad"]],
    "delta": None,
}
COLUMNS = ["--output", "k:text", "--output", "n:integer", "--output", "total:integer", "--group-column", "n"]


def test_sql_with_a_promise_becomes_a_private_algorithm(tmp_path: Path) -> None:
    code, promise, out = tmp_path / "a.sql", tmp_path / "promise.json", tmp_path / "a.json"
    code.write_text("SELECT k, count(*) AS n, sum(amount) AS total FROM readings GROUP BY k")
    promise.write_text(json.dumps(PROMISE))
    status, output = told(code, out, *COLUMNS, "--privacy", str(promise))
    assert status == 0, output
    manifest = Algorithm.from_json(json.loads(out.read_text())["manifest"])
    assert manifest.privacy is not None
    assert manifest.privacy.to_json() == PROMISE


def test_sql_that_noise_can_not_be_drawn_for_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    code, promise, out = tmp_path / "a.sql", tmp_path / "promise.json", tmp_path / "a.json"
    code.write_text("SELECT k, count(*) AS n, avg(amount) AS total FROM readings GROUP BY k")
    promise.write_text(json.dumps(PROMISE))
    status, output = told(code, out, *COLUMNS, "--privacy", str(promise))
    assert (status, out.exists()) == (2, False)
    assert "private" in output
    code.write_text("SELECT k, count(*) AS n, sum(amount) AS total FROM readings GROUP BY k")
    for text in ("{", json.dumps({**PROMISE, "epsilon": 0.5})):
        promise.write_text(text)
        assert (told(code, out, *COLUMNS, "--privacy", str(promise))[0], out.exists()) == (2, False)
