"""dataspace gateway indicators, marks: what a device's readings say, and which of them can't be."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from node.errors import InputRefusedError
from node.home import create_whole
from scripts.cli.console import HomeOption, JsonOption, NodeClient, PassphraseFileOption, show
from scripts.cli.inputs import within_a_folder
from scripts.cli.printing import say, tabulate

__all__ = ["add_indicator_commands"]

DEFAULT_HOME = Path(".dataspace")
TABLES = (".csv", ".parquet")
TOLD = (
    "hours",
    "rows",
    "readings",
    "marked-readings",
    "unordered-rows",
    "energy-in-kwh",
    "energy-out-kwh",
    "round-trip-efficiency",
)


def add_indicator_commands(
    app: typer.Typer, client: Callable[[Path, Path | None], AbstractContextManager[NodeClient]]
) -> None:
    """Adds the commands; `client` opens the API of a gateway's home."""

    @app.command()
    def indicators(
        device: Annotated[str, typer.Argument(help="The device's id.")],
        out: Annotated[
            Path, typer.Option(help="File to write, .csv or .parquet; seal it with 'dataspace asset offer'.")
        ],
        start: Annotated[str, typer.Option("--from", help="Time, inclusive; ISO 8601 or unix seconds.")] = "",
        end: Annotated[str, typer.Option("--to", help="Time, exclusive.")] = "",
        capacity: Annotated[float | None, typer.Option(help="Nominal energy in kWh, for equivalent cycles.")] = None,
        home: HomeOption = DEFAULT_HOME,
        passphrase_file: PassphraseFileOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Write a device's hourly energy, efficiency, availability, cycles and safety as a table."""
        with client(home, passphrase_file) as gateway:
            if out.suffix not in TABLES:
                raise InputRefusedError(f"{out.name} is neither {' nor '.join(TABLES)}; name the file so")
            within_a_folder(out)
            period = {"from": start, "to": end, "capacity": "" if capacity is None else str(capacity)}
            query = {
                "device": device,
                "format": out.suffix[1:],
                **{name: text for name, text in period.items() if text},
            }
            with create_whole(out) as sink:
                told = gateway.download("/v1/indicators", query, sink, TOLD)
            show({"file": str(out), **told}, as_json)

    @app.command()
    def marks(
        device: Annotated[str, typer.Argument(help="The device's id.")],
        start: Annotated[str, typer.Option("--from", help="Time, inclusive; ISO 8601 or unix seconds.")] = "",
        end: Annotated[str, typer.Option("--to", help="Time, exclusive.")] = "",
        limit: Annotated[int, typer.Option(min=0, max=10_000, help="So many marks are listed.")] = 100,
        home: HomeOption = DEFAULT_HOME,
        passphrase_file: PassphraseFileOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Show which readings of a device failed a check of its thing model, and which rule."""
        with client(home, passphrase_file) as gateway:
            period = {name: text for name, text in (("from", start), ("to", end)) if text}
            query = urlencode({"device": device, "limit": str(limit), **period})
            answer = gateway.ask("GET", f"/v1/marks?{query}")

            def human() -> None:
                names = ("sequence", "column", "rule", "rows", "readings", "detail")
                rows = [[mark[name] for name in names] for mark in answer["marks"]]
                tabulate(("frame", "column", "rule", "rows", "readings", "why the first"), rows)
                counts = ", ".join(f"{rule} {count}" for rule, count in answer["by_rule"].items())
                say(f"{answer['marked_readings']} readings marked" + (f": {counts}" if counts else ""))

            show(answer, as_json, human)
