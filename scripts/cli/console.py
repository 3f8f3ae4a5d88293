"""How commands talk: text for people or one JSON object, errors in one sentence, the documented exit status.

Exit status: 0 done; 1 findings; 2 wrong usage or input; 3 refused (policy, verification, passphrase); 4 chain or peer
unreachable.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from node.errors import HomeLockedError, PeerUnreachableError
from scripts.cli.exits import EXIT_INPUT, EXIT_UNREACHABLE, KNOWN_ERRORS, exit_status
from scripts.composition import Api, application, node_at
from scripts.inprocess import InProcess

__all__ = [
    "HomeOption",
    "JsonOption",
    "PassphraseFileOption",
    "fail",
    "node_client",
    "passphrase",
    "progress",
    "show",
    "told",
]

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DATASPACE_HOME", help="Directory of this organisation's state.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
PassphraseFileOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File whose first line is the passphrase of the home's keys.")
]

out = Console()
err = Console(stderr=True)


def fail(sentence: str, status: int) -> NoReturn:
    """Ends the command with one sentence on standard error."""
    err.print(f"dataspace: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status)


@contextmanager
def told() -> Iterator[None]:
    """Turns the errors of every package into one sentence and the documented exit status."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        fail(f"{error.strerror or error}{where}; free the disk or check permissions, then try again", EXIT_INPUT)
    except httpx.HTTPError as error:
        fail(f"the service does not answer: {error}", EXIT_UNREACHABLE)
    except KNOWN_ERRORS as error:
        fail(str(error), exit_status(error))


def passphrase(file: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """From the file, DATASPACE_PASSPHRASE, or a prompt."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").splitlines()[0]
        except (OSError, IndexError, UnicodeDecodeError):
            fail(f"no passphrase can be read from {file}; give a file whose first line is the passphrase", EXIT_INPUT)
    if (given := environment.get("DATASPACE_PASSPHRASE")) is not None:
        return given
    if not sys.stdin.isatty():
        fail("a passphrase is needed; give --passphrase-file or set DATASPACE_PASSPHRASE", EXIT_INPUT)
    return str(typer.prompt("Passphrase", hide_input=True))


def show(content: Mapping[str, Any], as_json: bool, human: Callable[[], None] | None = None) -> None:
    """Prints one JSON object, or what `human` prints, or the content as a two-column table."""
    if as_json:
        sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
    elif human is not None:
        human()
    else:
        table = Table(show_header=False, box=None)
        for name, value in content.items():
            written = value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
            table.add_row(name.replace("_", " "), str(written))
        out.print(table)


@contextmanager
def progress(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for long work: call what it yields with done and total."""
    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@dataclass(frozen=True, slots=True)
class NodeClient:
    """A home's own API, served by a running service or by this process."""

    client: httpx.Client

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns the answer; ends the command with the service's own sentence and exit status when it refuses."""
        response = self.client.request(method, path, json=body)
        content: dict[str, Any] = response.json() if response.content else {}
        if response.status_code >= 400:
            fail(str(content.get("detail", response.status_code)), int(content.get("exit_status", EXIT_INPUT)))
        return content


@contextmanager
def node_client(home: Path, passphrase_file: Path | None) -> Iterator[NodeClient]:
    """The API of a home: the running service's where there is one, else in this process."""
    with told():
        api = Api.read(home / "api.json")
        if api is not None:
            headers = {"authorization": f"Bearer {api.token}"}
            with httpx.Client(base_url=api.url, headers=headers, timeout=600.0) as client:
                try:
                    client.get("/healthz")
                except httpx.TransportError:
                    pass
                else:
                    yield NodeClient(client)
                    return
        try:
            with node_at(home, passphrase(passphrase_file)) as node:
                fresh = Api.fresh("http://node")
                headers = {"authorization": f"Bearer {fresh.token}"}
                transport = InProcess(application(node, fresh.token))
                with httpx.Client(base_url=fresh.url, headers=headers, transport=transport, timeout=600.0) as client:
                    yield NodeClient(client)
        except HomeLockedError as error:
            if api is not None:
                raise PeerUnreachableError(api.url) from error
            raise
