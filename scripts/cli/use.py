"""dataspace use: uses: order one, receive its result, through the API of this home's node."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from capsule.algorithm import Algorithm
from capsule.canonical import decode
from capsule.privacy import Privacy
from node.errors import InputRefusedError, RuntimeRefusedError
from node.home import write_whole
from node.runtime.determinism import check_deterministic
from node.runtime.engine import Engine
from node.runtime.module import check_module
from node.runtime.protocol import MAX_CAPSULES
from node.runtime.sql import Statement, check, table_names
from node.schemas import unhexed
from scripts.algorithm import MODULE, algorithm_of
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, show, told
from scripts.cli.inputs import json_object

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Uses: order one, receive its result.")

DEFAULT_HOME = Path(".dataspace")


@app.command()
def algorithm(
    code: Annotated[Path, typer.Argument(help="File with one SELECT over the table readings, or a wasm module.")],
    output: Annotated[
        list[str],
        typer.Option(help="name:type of a result column, in order; types integer, number, text, boolean, time."),
    ],
    out: Annotated[Path, typer.Option(help="Algorithm file to write.")],
    group_column: Annotated[str, typer.Option(help="Result column with its group's rows; in SQL count(*).")] = "",
    parameter: Annotated[list[str] | None, typer.Option(help="name:type of a parameter.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Claim that a use can be repeated byte by byte; checked.")
    ] = False,
    privacy: Annotated[
        Path | None,
        typer.Option(help="JSON file with the promise of a private algorithm: epsilon, count, sums, keys or delta."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write an algorithm file and print the hash that policies name."""
    with told():
        content = _code(code)
        if out.resolve() == code.resolve():
            raise InputRefusedError("--out is the code's own file; choose another")
        promise = None if privacy is None else Privacy.from_json(decode(privacy.read_bytes()))
        manifest = algorithm_of(
            content, output, parameter or (), group_column or None, deterministic=deterministic, privacy=promise
        )
        tables = [name for number in range(1, MAX_CAPSULES + 1) for names in table_names(number) for name in names]
        if manifest.kind == "wasm":
            check_module(content)
        else:
            statement = check(manifest.code_text(content), tables)
            if statement.parameters != {column.name for column in manifest.parameters}:
                raise InputRefusedError(f"{code} takes other parameters than --parameter names; name each of them once")
            if promise is None:
                _engine(tables).check(statement, manifest, 1)
            else:
                _check_private(manifest, statement, tables, code)
            try:
                check_deterministic(statement, manifest)
            except RuntimeRefusedError as error:
                raise InputRefusedError(
                    f"{code} can't be called deterministic: give one row, or ORDER BY ALL; no LIMIT, no windows, only "
                    "exact functions; or leave --deterministic out"
                ) from error
        document = {"manifest": manifest.to_json(), "code": manifest.code_text(content)}
        write_whole(out, json.dumps(document, indent=2).encode(), mode=0o644)
        show({"algorithm": str(manifest.hash), "file": str(out)}, as_json)


def _code(file: Path) -> bytes:
    """A module's bytes, or text in UTF-8."""
    try:
        content = file.read_bytes()
        if not content.startswith(MODULE):
            content.decode()
    except OSError as error:
        raise InputRefusedError(f"{file} can't be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputRefusedError(f"{file} is neither SQL in UTF-8 nor a WebAssembly module") from error
    return content


def _engine(tables: Sequence[str], *, private: bool = False) -> Engine:
    """An engine that reads statements over tables of whatever columns."""
    return Engine(dict.fromkeys(tables, pa.table({"time": []})), memory_bytes=64 << 20, threads=1, private=private)


def _check_private(manifest: Algorithm, statement: Statement, tables: Sequence[str], code: Path) -> None:
    """Whether noise can be drawn for a statement; whether its columns are there only a capsule tells."""
    try:
        _engine(tables, private=True).exact(statement, manifest)
    except RuntimeRefusedError as error:
        raise InputRefusedError(
            f"{code} can't be private: give one SELECT over one capsule's table, grouped by all keys, with the columns "
            "that the manifest names: count(*), sums and keys; no joins, subqueries, HAVING, ORDER BY or LIMIT"
        ) from error


@app.command()
def order(
    grant_id: Annotated[list[str], typer.Argument(help="One grant, or several of this buyer.")],
    parameters: Annotated[str, typer.Option(help="The algorithm's parameters as a JSON object.")] = "{}",
    seconds: Annotated[int, typer.Option(min=1, help="Deadline, from now.")] = 3600,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buyer: sign an order and hand it to the compute node."""
    with node_client(home, passphrase_file) as node:
        body = {"grants": grant_id, "parameters": json_object(parameters, "--parameters"), "seconds": seconds}
        show(node.ask("POST", "/v1/orders", body), as_json)


@app.command()
def result(
    order_hash: str,
    out: Annotated[Path, typer.Option(help="File for the result; its receipt goes beside it.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buyer: fetch, check and open the result of an order."""
    with node_client(home, passphrase_file) as node:
        collected = node.ask("GET", f"/v1/orders/{order_hash}/result")
        receipt = out.with_suffix(".receipt.json")
        write_whole(receipt, json.dumps(collected["receipt"]).encode())
        write_whole(out, collected["result"].encode())
        told_back = {name: collected[name] for name in ("use", "receipt_hash", "rows")}
        show({"result": str(out), "receipt": str(receipt), **told_back}, as_json)


@app.command()
def disclose(
    order_hash: str,
    account: Annotated[str, typer.Option("--to", help="The regulator's account; only its home can open the file.")],
    out: Annotated[Path, typer.Option(help="File to write, and to hand over.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buyer: write parameters and result of a completed order for a regulator, so that it can repeat the use."""
    with node_client(home, passphrase_file) as node:
        answer = node.ask("POST", f"/v1/orders/{order_hash}/disclosure", {"account": account})
        write_whole(out, unhexed(answer["sealed"]))
        show({"disclosure": str(out), "to": account}, as_json)


@app.command()
def expire(
    use: Annotated[str, typer.Argument(help="The use's id; anyone may, after its deadline.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a use that its compute node left open; it is given back where too few shares were released."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", f"/v1/uses/{use}/expire"), as_json)


@app.command()
def work(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Compute node or holder: one round of whatever waits on the chain."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", "/v1/work"), as_json)
