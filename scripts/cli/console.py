"""How commands talk: text for people or one JSON object, errors in one sentence, the documented exit status.

Exit status: 0 done; 1 findings; 2 wrong usage or input; 3 refused (policy, verification, passphrase); 4 chain or peer
unreachable.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn

import httpx
import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from scripts.cli.exits import EXIT_INPUT, EXIT_REFUSED, EXIT_UNREACHABLE, KNOWN_ERRORS, exit_status
from scripts.cli.printing import err, note, print_answer, print_json
from scripts.composition import Api
from scripts.inprocess import InProcess

__all__ = [
    "HomeOption",
    "JsonOption",
    "NodeClient",
    "PassphraseFileOption",
    "fail",
    "home_client",
    "node_client",
    "passphrase",
    "progress",
    "show",
    "told",
    "transfer",
    "typed",
]

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DATASPACE_HOME", help="Directory of this organisation's state.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
PassphraseFileOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File whose first line is the passphrase of the home's keys.")
]

CALL_SECONDS = 600.0


def fail(sentence: str, status: int) -> NoReturn:
    """Ends the command with one sentence on standard error."""
    note(f"dataspace: {sentence}", "red")
    raise typer.Exit(status)


@contextmanager
def told() -> Iterator[None]:
    """Turns the errors of every package into one sentence and the documented exit status."""
    try:
        yield
    except FileNotFoundError as error:
        fail(f"there is no file {error.filename}; check the path", EXIT_INPUT)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fail("the port is in use: choose another with the setting port", EXIT_INPUT)
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
    return typed("passphrase", "give --passphrase-file or set DATASPACE_PASSPHRASE")


def typed(what: str, otherwise: str, *, confirm: bool = False) -> str:
    """A secret typed unseen at the terminal; the command ends, and says what to do `otherwise`, where none is typed."""
    if not sys.stdin.isatty():
        fail(f"a {what} is needed; {otherwise}", EXIT_INPUT)
    try:
        return str(typer.prompt(what.capitalize(), hide_input=True, confirmation_prompt=confirm))
    except typer.Abort:
        fail(f"no {what} was typed; type it, or {otherwise}", EXIT_INPUT)


def show(content: Mapping[str, Any], as_json: bool, human: Callable[[], None] | None = None) -> None:
    """Prints one JSON object, or what `human` prints, or the content as lines of a name and a value."""
    if as_json:
        print_json(content, indent=None)
    elif human is not None:
        human()
    else:
        print_answer(content)


def _bar(columns: Sequence[ProgressColumn]) -> Progress:
    """Off a terminal there is none, and not the empty line that it would end with."""
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


@contextmanager
def progress(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for long work: call what it yields with done and total."""
    columns = (TextColumn(unit, markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _bar(columns) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def transfer(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error with rate and time left: call what it yields with the bytes done so far."""
    columns = (
        TextColumn(what, markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with _bar(columns) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@dataclass(frozen=True, slots=True)
class NodeClient:
    """A home's own API, served by a running service or by this process."""

    client: httpx.Client

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns the answer; ends the command with the service's own sentence and exit status when it refuses."""
        response = self.client.request(method, path, json=body)
        if response.status_code >= 400:
            _refuse(response.content, response.status_code)
        content: dict[str, Any] = response.json() if response.content else {}
        return content

    def download(
        self, path: str, query: Mapping[str, str], sink: BinaryIO, told: Sequence[str] = ("frames", "rows")
    ) -> dict[str, int | float]:
        """Streams an answer into `sink`; returns those of the numbers `told` that its headers tell."""
        with self.client.stream("GET", path, params=query) as response:
            if response.status_code >= 400:
                _refuse(response.read(), response.status_code)
            for part in response.iter_bytes():
                sink.write(part)
            headers = response.headers
        found = {name: headers.get(f"dataspace-{name}", "") for name in told}
        return {
            name.replace("-", "_"): int(text) if text.isdecimal() else float(text)
            for name, text in found.items()
            if text
        }


def _refuse(body: bytes, status: int) -> NoReturn:
    """Ends the command with the service's own sentence and exit status."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    fallback = EXIT_UNREACHABLE if status >= 500 else EXIT_REFUSED if status in (401, 403, 409) else EXIT_INPUT
    fail(str(problem.get("detail", f"status {status}")), int(problem.get("exit_status", fallback)))


@contextmanager
def node_client(home: Path, passphrase_file: Path | None) -> Iterator[NodeClient]:
    """The API of a home's node: the running service's where there is one, else in this process.

    A node and its engines are imported only where this process is the node.
    """

    @contextmanager
    def in_process(token: str) -> Iterator[object]:
        from node.service import build_app  # noqa: PLC0415
        from scripts.nodes import node_at  # noqa: PLC0415

        with node_at(home, passphrase(passphrase_file)) as node:
            yield build_app(node, token)

    with home_client(home, in_process) as client:
        yield client


@contextmanager
def home_client(home: Path, in_process: Callable[[str], AbstractContextManager[object]]) -> Iterator[NodeClient]:
    """The API of a home: the running service's where there is one, else that of the application that `in_process`
    builds around a token."""
    with told():
        api = Api.read(home / "api.json")
        if api is not None and _answers(api):
            with httpx.Client(base_url=api.url, headers=_bearer(api), timeout=CALL_SECONDS) as client:
                yield NodeClient(client)
            return
        fresh = Api.fresh("http://node")
        with (
            in_process(fresh.token) as app,
            httpx.Client(base_url=fresh.url, headers=_bearer(fresh), transport=InProcess(app)) as client,
        ):
            yield NodeClient(client)


def _answers(api: Api) -> bool:
    """A service killed without a word leaves its address behind."""
    try:
        httpx.get(f"{api.url}/healthz", timeout=CALL_SECONDS)
    except httpx.TransportError:
        return False
    return True


def _bearer(api: Api) -> dict[str, str]:
    return {"authorization": f"Bearer {api.token}"}
