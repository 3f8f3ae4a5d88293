"""The `dataspace` command."""

import typer

from scripts.cli import audit, capsule, market, org, policy, serve
from scripts.cli.demo import demo
from scripts.cli.doctor import doctor

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A trusted data space: usable but not visible, controllable and countable, with evidence.",
)
app.add_typer(org.app, name="org")
app.add_typer(market.asset_app, name="asset")
app.add_typer(market.access_app, name="access")
app.add_typer(market.use_app, name="use")
app.add_typer(market.custody_app, name="custody")
app.add_typer(serve.app, name="node")
app.add_typer(capsule.app, name="capsule")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
app.command()(doctor)
app.command()(demo)


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
