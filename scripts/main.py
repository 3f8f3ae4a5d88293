"""The `dataspace` command. Only the group that is called is imported, so that a command starts in its own time."""

import os
import sys
from importlib import import_module

import typer
from typer._click.exceptions import UsageError

from scripts.hardening import harden

__all__ = ["build_app", "main"]

GROUPS = {
    "org": "scripts.cli.org",
    "device": "scripts.cli.device",
    "gateway": "scripts.cli.gateway",
    "asset": "scripts.cli.asset",
    "access": "scripts.cli.access",
    "use": "scripts.cli.use",
    "custody": "scripts.cli.custody",
    "capsule": "scripts.cli.capsule",
    "policy": "scripts.cli.policy",
    "audit": "scripts.cli.audit",
    "node": "scripts.cli.serve",
}
COMMANDS = {"demo": "scripts.cli.demo", "doctor": "scripts.cli.doctor"}
CHOICES = {"DATASPACE_CIPHER_PROVIDER": "capsule.crypto.provider", "DATASPACE_SM2_LIBRARY": "capsule.crypto.sm2"}
"""Environment variables that order a library, and the module that takes the order."""
EXIT_INPUT = 2
HELP = "A trusted data space: usable but not visible, controllable and countable, with evidence."


def build_app(called: str | None = None) -> typer.Typer:
    """The command line; with `called`, only as much of it as that word needs."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)
    for name, module in COMMANDS.items():
        if called in (None, name):
            app.command(name)(getattr(import_module(module), name))
    for name, module in GROUPS.items():
        if called in (None, name):
            app.add_typer(import_module(module).app, name=name)
    # A Typer with one command would take it without its name.
    app.callback()(lambda: None)
    return app


def main() -> None:
    """Runs the command line, with the cipher provider that DATASPACE_CIPHER_PROVIDER names and the SM2 library that
    DATASPACE_SM2_LIBRARY names, where they name one.

    First of all it keeps the keys that a command may open out of core dumps and swap.
    """
    harden()
    for name, module in CHOICES.items():
        if ordered := os.environ.get(name):
            # imported only here: cipher libraries would cost every command their start-up
            from capsule.errors import CapsuleError  # noqa: PLC0415

            try:
                import_module(module).choose(ordered)
            except CapsuleError as error:
                sys.stderr.write(f"dataspace: {error}; correct {name} or leave it unset\n")
                sys.exit(EXIT_INPUT)
    called = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        status = build_app(called if called in GROUPS or called in COMMANDS else None)(standalone_mode=False)
    except UsageError as error:
        if message := error.format_message():
            sys.stderr.write(f"dataspace: {message} Add --help to see how.\n")
        else:
            error.show()
        sys.exit(EXIT_INPUT)
    except typer.Abort:
        sys.stderr.write("dataspace: interrupted before it was done\n")
        sys.exit(EXIT_INPUT)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
