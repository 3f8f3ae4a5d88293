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
    assert (status, out.exists()) == (3, False)
