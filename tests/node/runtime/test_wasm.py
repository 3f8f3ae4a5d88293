"""Modules in a real runtime: what they compute, and what they are refused for."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import wasmtime

from capsule.algorithm import Column, ColumnType
from node.errors import RuntimeRefusedError
from node.runtime.execution import check_algorithm
from node.runtime.launch import run
from node.runtime.module import check_module
from node.runtime.protocol import CapsuleInput, Completed, Job, Limits, Refused
from node.runtime.records import MAGIC
from node.runtime.wasm import run_module
from node.runtime.wire import write_message
from tests.node.runtime import credit
from tests.node.runtime.conftest import CANARY
from tests.node.runtime.world import Buyer, SealedFile, job, seal_file

N = [Column("n", ColumnType.INTEGER)]
READ = '(import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))'
WRITE = '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
# at 0 a vector for what is at 64; there the magic and one row: an integer, 7
SAY = r"""
(data (i32.const 0) "\40\00\00\00\11\00\00\00")
(data (i32.const 64) "dswasm1\0a\01\07\00\00\00\00\00\00\00")
"""
SAID = "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))"


def module(body: str, *, imports: str = READ + WRITE + EXIT, memory: str = "1", data: str = SAY) -> bytes:
    """A module that does `body` in `_start`."""
    text = f'(module {imports} (memory (export "memory") {memory}) {data} (func (export "_start") {body}))'
    return bytes(wasmtime.wat2wasm(text))


BAD_DESCRIPTOR, FAULT = 8, 21


def said(data: bytes) -> str:
    """SAY for other bytes."""
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    size = "".join(f"\\{byte:02x}" for byte in len(data).to_bytes(4, "little"))
    return f'(data (i32.const 0) "\\40\\00\\00\\00{size}") (data (i32.const 64) "{escaped}")'


def saying(buyer: Buyer, capsule: CapsuleInput, data: bytes, group_column: str | None = None) -> Job:
    """A job whose module writes these bytes."""
    return job(buyer, [capsule], module(SAID, data=said(data)), N, group_column=group_column)


def answer(call: str) -> str:
    """A body that answers with what a call gave it, as an unsigned number."""
    return f"(i64.store (i32.const 73) (i64.extend_i32_u {call})) {SAID}"


def answered(code: bytes) -> int:
    """The number that a module writes, run in this process: what it could call does not depend on confinement."""
    output = run_module(check_module(code), [b"input"], fuel=10_000_000, memory_bytes=1 << 30, most_bytes=1000)
    assert output[:9] == MAGIC + b"\x01"
    return int.from_bytes(output[9:], "little")


def unasked(work: Job) -> tuple[str, str]:
    """Why the compute node refuses a job before it asks for shares."""
    with pytest.raises(RuntimeRefusedError) as refusal:
        check_algorithm(work.algorithm, work.code, work.parameters, len(work.capsules))
    return refusal.value.kind, refusal.value.reason


def refused(outcome: object) -> tuple[str, str]:
    assert isinstance(outcome, Refused), outcome
    assert CANARY.encode() not in write_message(outcome)
    assert (outcome.holder, outcome.index) == (None, None)
    return outcome.kind, outcome.reason


def score(buyer: Buyer, capsules: Sequence[CapsuleInput], min_group: int = 5) -> Job:
    return job(
        buyer,
        capsules,
        credit.SCORE.read_bytes(),
        credit.OUTPUT,
        values={"min_group": min_group},
        parameters=credit.PARAMETERS,
        group_column="applicants",
    )


@pytest.fixture(scope="module")
def lenders(tmp_path_factory: pytest.TempPathFactory) -> tuple[SealedFile, ...]:
    """Two providers' capsules, each with its own key and holders."""
    paths = (credit.GERMAN, credit.TAIWAN)
    if not all(path.exists() for path in paths):
        pytest.skip("the shared tables german-credit and taiwan-credit are not here")
    folder = tmp_path_factory.mktemp("lenders")
    return tuple(seal_file(folder / f"{at}.dsc", path.read_bytes(), "text/csv", {}) for at, path in enumerate(paths))


def test_a_module_scores_two_lenders_as_the_same_computation_on_plain_data(
    buyer: Buyer, lenders: tuple[SealedFile, ...], limits: Limits
) -> None:
    work = score(buyer, [one.input(min_group=5, groups_declared=True) for one in lenders])
    outcome = run(work, [one.path for one in lenders], limits)
    rows = buyer.read(outcome)["rows"]
    expected = credit.scored((credit.GERMAN, credit.TAIWAN), 5)
    assert isinstance(outcome, Completed)
    assert outcome.protected
    assert outcome.rows_in == 1000 + 24_000
    assert isinstance(rows, list)
    assert [(row[0], row[1], row[2], row[4]) for row in rows] == [(one[0], one[1], one[2], one[4]) for one in expected]
    assert [row[3] for row in rows] == [pytest.approx(one[3], rel=1e-12) for one in expected]


def test_the_committed_modules_are_those_of_the_list_of_hashes() -> None:
    lines = (credit.FOLDER / "SHA256SUMS").read_text().splitlines()
    modules = sorted(credit.FOLDER.glob("*.wasm"))
    assert lines == [f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}" for one in modules]


def test_the_module_in_rust_takes_the_mean_of_each_capsule(buyer: Buyer, limits: Limits, tmp_path: Path) -> None:
    tables = (b"name,power,on\na,1.5,true\nb,,false\n,2.5,true\n", b"power\n7\n", b"other\nx\n")
    sealed = [seal_file(tmp_path / f"{at}.dsc", table, "text/csv", {}) for at, table in enumerate(tables)]
    output = (Column("table", ColumnType.INTEGER), *N, Column("mean", ColumnType.NUMBER))
    work = job(
        buyer,
        [one.input() for one in sealed],
        (credit.FOLDER / "mean.wasm").read_bytes(),
        output,
        group_column="n",
    )
    outcome = run(work, [one.path for one in sealed], limits)
    assert buyer.read(outcome)["rows"] == [[1, 2, 2.0], [2, 1, 7.0], [3, 0, None]]


def test_the_same_module_on_the_same_data_answers_the_same_bytes(
    buyer: Buyer, lenders: tuple[SealedFile, ...], limits: Limits
) -> None:
    """One salt, two processes."""
    work = score(buyer, [one.input() for one in lenders])
    first, second = (run(work, [one.path for one in lenders], limits) for _ in range(2))
    assert buyer.read(first) == buyer.read(second)
    assert isinstance(first, Completed)
    assert isinstance(second, Completed)
    assert first.output_hash == second.output_hash


def test_the_committed_module_is_what_its_source_builds(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="ziglang is of the development extra")
    for name in ("score.c", "dataspace.h"):
        shutil.copy(credit.FOLDER / name, tmp_path)
    built = tmp_path / "score.wasm"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-s", "-o", built, "score.c"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=500)
    assert built.read_bytes() == credit.SCORE.read_bytes()


class TestImports:
    """What a module asks for is read before any share is: `check_algorithm` runs on the compute node too."""

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("clock_time_get", "(param i32 i64 i32) (result i32)"),
            ("clock_res_get", "(param i32 i32) (result i32)"),
            ("random_get", "(param i32 i32) (result i32)"),
            ("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"),
            ("sock_send", "(param i32 i32 i32 i32 i32) (result i32)"),
            ("poll_oneoff", "(param i32 i32 i32 i32) (result i32)"),
            ("sched_yield", "(result i32)"),
            ("fd_readdir", "(param i32 i32 i32 i64 i32) (result i32)"),
            ("proc_raise", "(param i32) (result i32)"),
            # a known name of another type
            ("fd_read", "(param i32) (result i32)"),
        ],
    )
    def test_a_function_that_is_not_listed_is_refused(
        self, buyer: Buyer, small: SealedFile, name: str, kind: str
    ) -> None:
        code = module("", imports=f'(import "wasi_snapshot_preview1" "{name}" (func {kind}))')
        assert unasked(job(buyer, [small.input()], code, N)) == ("algorithm", "import")

    @pytest.mark.parametrize(
        "imports",
        [
            '(import "env" "fd_read" (func (param i32 i32 i32 i32) (result i32)))',
            '(import "wasi_snapshot_preview1" "table" (table 1 funcref))',
            '(import "wasi_snapshot_preview1" "now" (global i64))',
        ],
    )
    def test_anything_else_is_refused(self, buyer: Buyer, small: SealedFile, imports: str) -> None:
        assert unasked(job(buyer, [small.input()], module("", imports=imports), N)) == ("algorithm", "import")

    @pytest.mark.parametrize(
        "code",
        [
            b"",
            b"\0asm\x01\0\0\0",
            b"\0asm\x0d\0\x01\0",  # a component
            b"SELECT 1 AS n",
            bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1))')),
            bytes(wasmtime.wat2wasm('(module (func (export "_start")))')),
            bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1) (func (export "_start") (param i32)))')),
            bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1 1 shared) (func (export "_start")))')),
            bytes(wasmtime.wat2wasm('(module (memory (export "memory") i64 1) (func (export "_start")))')),
            bytes(
                wasmtime.wat2wasm('(module (memory (export "memory") 1) (func $a) (start $a) (func (export "_start")))')
            ),
        ],
    )
    def test_what_is_no_command_is_refused(self, buyer: Buyer, small: SealedFile, code: bytes) -> None:
        assert unasked(job(buyer, [small.input()], code, N)) == ("algorithm", "module")

    def test_every_cut_of_a_module_is_refused_or_the_whole(self) -> None:
        code = credit.SCORE.read_bytes()
        assert check_module(code) == code
        for size in range(0, len(code), 97):
            with pytest.raises(RuntimeRefusedError):
                check_module(code[:size])

    def test_a_memory_that_is_too_large_from_the_start_is_refused(self, buyer: Buyer, small: SealedFile) -> None:
        assert unasked(job(buyer, [small.input()], module("", memory="8193"), N)) == ("limits", "memory")

    def test_instructions_that_are_switched_off_are_refused(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        """The sections are in order; the engine reads the code, shut in."""
        work = job(buyer, [small.input()], module("(drop (v128.const i64x2 0 0))"), N)
        assert refused(run(work, [small.path], limits)) == ("algorithm", "module")
        for body in ("(drop (i32.atomic.load (i32.const 0)))", "(return_call $exit (i32.const 0))"):
            with pytest.raises(RuntimeRefusedError, match="module"):
                answered(module(body))


class TestAttacks:
    @pytest.mark.parametrize("name", ["environ_sizes_get", "args_sizes_get"])
    def test_a_module_is_given_no_environment_and_no_arguments(self, name: str) -> None:
        """It answers with their number and size."""
        asks = f'(import "wasi_snapshot_preview1" "{name}" (func $ask (param i32 i32) (result i32)))'
        body = f"(drop (call $ask (i32.const 73) (i32.const 77))) {SAID}"
        assert answered(module(body, imports=READ + WRITE + EXIT + asks)) == 0

    @pytest.mark.parametrize("descriptor", [0, 3, 4, 5, 1000, -1])
    def test_a_module_finds_no_open_file(self, descriptor: int) -> None:
        """The runtime holds the sealed capsules open; a module has no way to name them."""
        asks = '(import "wasi_snapshot_preview1" "fd_prestat_get" (func $ask (param i32 i32) (result i32)))'
        code = module(
            answer(f"(call $ask (i32.const {descriptor}) (i32.const 512))"), imports=READ + WRITE + EXIT + asks
        )
        assert answered(code) == BAD_DESCRIPTOR
        writes = f"(call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 32))"
        assert answered(module(answer(writes))) == BAD_DESCRIPTOR
        if descriptor:
            reads = f"(call $read (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 32))"
            assert answered(module(answer(reads))) == BAD_DESCRIPTOR

    @pytest.mark.parametrize("place", [65_533, 70_000, -16, 2_147_483_640])
    def test_addresses_outside_its_memory_are_a_fault(self, place: int) -> None:
        for call in (
            f"(call $write (i32.const 1) (i32.const {place}) (i32.const 1) (i32.const 32))",
            f"(call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const {place}))",
            f"(call $read (i32.const 0) (i32.const {place}) (i32.const 1) (i32.const 32))",
            "(call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 32))",
        ):
            assert answered(module(answer(call))) == FAULT

    def test_standard_error_goes_nowhere(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        """The module writes its input there, and then answers."""
        body = f"""
            (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 4096))
            (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 32)))
            (drop (call $write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 32))) {SAID}
        """
        outcome = run(job(buyer, [small.input()], module(body), N), [small.path], limits)
        assert isinstance(outcome, Completed)
        assert CANARY.encode() not in write_message(outcome)
        assert buyer.read(outcome)["rows"] == [[7]]

    def test_an_exit_status_made_of_data_is_one_reason(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        """The status is a cell of the capsule; with another capsule it would be another."""
        outcomes = set()
        for cell in (1, 255, 70_000):
            code = module(f"(call $exit (i32.const {cell}))")
            outcomes.add(refused(run(job(buyer, [small.input()], code, N), [small.path], limits)))
        assert outcomes == {("algorithm", "failed")}

    def test_an_end_with_status_zero_keeps_what_was_written(self) -> None:
        assert answered(module(f"{SAID} (call $exit (i32.const 0)) unreachable")) == 7

    def test_writing_without_end_stops_at_the_limit(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input()], module(f"(loop $again {SAID} (br $again))"), N)
        assert refused(run(work, [small.path], replace(limits, output_bytes=20_000))) == ("limits", "output")

    def test_a_loop_that_has_fuel_stops_at_the_time(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input()], module("(loop $again (br $again))"), N)
        endless = replace(limits, cpu_seconds=2, fuel=2**53)
        assert refused(run(work, [small.path], endless)) == ("limits", "cpu")

    def test_a_node_with_less_memory_than_a_module_may_have_refuses(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        """It would answer otherwise than others."""
        work = job(buyer, [small.input()], module(SAID), N)
        assert refused(run(work, [small.path], replace(limits, memory_bytes=256 << 20))) == ("limits", "memory")

    def test_endless_recursion_fails(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        code = module(SAID, data=SAY + '(func $deep (export "deep") (call $deep))')
        assert answered(code) == 7
        code = module("(call $deep)", data=SAY + "(func $deep (call $deep))")
        assert refused(run(job(buyer, [small.input()], code, N), [small.path], limits)) == ("algorithm", "failed")

    def test_growing_past_the_limit_is_told_and_not_done(self) -> None:
        """512 MiB are 8,192 pages: from one, 8,191 more are given and no other."""
        code = module(answer("(memory.grow (i32.const 8191))"))
        assert answered(code) == 1
        code = module(answer("(memory.grow (i32.const 8192))"))
        assert answered(code) == 2**32 - 1

    def test_not_a_number_has_one_form(self) -> None:
        """Its spare bits can carry nothing: zero through zero, sign and payload are the canonical ones."""
        body = """
            (i64.store (i32.const 73) (i64.reinterpret_f64 (f64.div (f64.neg (f64.const 0)) (f64.const 0))))
        """
        assert answered(module(body + SAID)) == 0x7FF8 << 48

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("unreachable", ("algorithm", "failed")),
            ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", ("algorithm", "failed")),
            ("(drop (i32.load (i32.const 70000)))", ("algorithm", "failed")),
            ("(loop $again (br $again))", ("limits", "fuel")),
            ("(call $exit (i32.const 42))", ("algorithm", "failed")),
            # growing until there is no more, then a trap
            (
                "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1024)) (i32.const -1)))) unreachable",
                ("algorithm", "failed"),
            ),
            # no output at all
            ("", ("guard", "schema")),
        ],
    )
    def test_traps_loops_and_growth_end_with_a_bare_reason(
        self, buyer: Buyer, small: SealedFile, limits: Limits, body: str, reason: tuple[str, str]
    ) -> None:
        work = job(buyer, [small.input()], module(body), N)
        assert refused(run(work, [small.path], replace(limits, fuel=10_000_000))) == reason


class TestOutput:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"dswasm2\n",
            b"dswasm1\n\x01",
            b"dswasm1\n\x01" + bytes(7),
            b"dswasm1\n\x02" + bytes(8),
            b"dswasm1\n\x01" + bytes(8) + b"\x01",
            b"dswasm1\n" + CANARY.encode(),
        ],
    )
    def test_what_is_not_of_the_form_is_held_back(
        self, buyer: Buyer, small: SealedFile, limits: Limits, data: bytes
    ) -> None:
        assert refused(run(saying(buyer, small.input(), data), [small.path], limits)) == ("guard", "schema")

    def test_rows_and_budget_are_counted_as_for_sql(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        data = b"dswasm1\n" + b"\x01\x05\0\0\0\0\0\0\0" * 3
        assert buyer.read(run(saying(buyer, small.input(max_rows=3), data), [small.path], limits))["rows"] == [[5]] * 3
        few = saying(buyer, small.input(max_rows=2), data)
        assert refused(run(few, [small.path], limits)) == ("guard", "rows")
        spent = saying(buyer, small.input(rows_left=2), data)
        assert refused(run(spent, [small.path], limits)) == ("guard", "budget")

    def test_a_group_size_is_not_taken_on_a_modules_word(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        data = b"dswasm1\n\x01\x63\0\0\0\0\0\0\0"
        work = saying(buyer, small.input(min_group=5), data, group_column="n")
        assert refused(run(work, [small.path], limits)) == ("algorithm", "groups")

    def test_where_its_policy_takes_its_word_the_word_is_compared(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        data = b"dswasm1\n\x01\x63\0\0\0\0\0\0\0"
        enough = saying(buyer, small.input(min_group=99, groups_declared=True), data, group_column="n")
        assert buyer.read(run(enough, [small.path], limits))["rows"] == [[99]]
        few = saying(buyer, small.input(min_group=100, groups_declared=True), data, group_column="n")
        assert refused(run(few, [small.path], limits)) == ("guard", "group")
        silent = saying(buyer, small.input(min_group=99, groups_declared=True), data)
        assert refused(run(silent, [small.path], limits)) == ("algorithm", "groups")

    def test_every_policy_that_asks_for_a_size_must_take_its_word(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        """Two capsules, two policies: the stricter one decides."""
        data = b"dswasm1\n\x01\x63\0\0\0\0\0\0\0"
        code = module(f"{SAID}", data=said(data))
        inputs = [small.input(min_group=5, groups_declared=True), small.input(min_group=2)]
        work = job(buyer, inputs, code, N, group_column="n")
        assert refused(run(work, [small.path] * 2, limits)) == ("algorithm", "groups")
