"""dataspace org: homes, the contract set, admission, suspension, keys."""

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from capsule.digest import document_digest
from capsule.errors import InputError
from capsule.ids import Address, Digest, Uscc
from capsule.signature import ED25519
from contracts.deploy import deploy
from contracts.roles import role_names, roles_from_names
from node.errors import InputRefusedError
from node.home import Home, write_whole
from node.keystore import create_keystore
from node.settings import Settings, render_settings
from scripts.cli import keys
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, passphrase, show, told
from scripts.composition import ledger_at, open_chain, open_home, read_settings
from scripts.nodes import node_at

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Organisations: homes, keys, admission, suspension.")
app.command("rotate-keys")(keys.rotate_keys)
app.command("forget-former-keys")(keys.forget_former_keys)
app.command("change-passphrase")(keys.change_passphrase)
app.command("backup")(keys.backup)
app.command("restore")(keys.restore)

FUNDS_WEI = 10**18


@app.command()
def init(
    home: HomeOption = Path(".dataspace"),
    chain_url: Annotated[list[str] | None, typer.Option(help="JSON-RPC endpoint; repeat for several.")] = None,
    endpoint: Annotated[str, typer.Option(help="URL under which other nodes reach this one.")] = "",
    host: Annotated[str, typer.Option(help="Address that the service listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port that the service listens on.")] = 8440,
    own_node: Annotated[bool, typer.Option(help="The endpoint is this organisation's own node.")] = False,
    trust_single_endpoint: Annotated[bool, typer.Option(help="Act on one unverified endpoint.")] = False,
    pin: Annotated[Path | None, typer.Option(help="The operator's pin; or bind later with 'org join'.")] = None,
    suite: Annotated[int, typer.Option(min=1, max=2, help="Of its signing key: 1 is Ed25519, 2 is SM2.")] = ED25519,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a home: keys under a passphrase, settings."""
    with told():
        settings = Settings(
            chain_urls=tuple(chain_url or ()),
            endpoint=endpoint,
            host=host,
            port=port,
            own_node=own_node,
            trust_single_endpoint=trust_single_endpoint,
        )
        if pin is not None:
            settings = _bound(settings, _read_pin(pin))
    # Only now, so that a mistyped URL or pin leaves no home that the corrected command would refuse.
    with told(), Home(home) as opened:
        keystore = create_keystore(opened.keystore_file, passphrase(passphrase_file), secrets.token_bytes, suite)
        write_whole(opened.settings_file, render_settings(settings).encode())
        show(
            {
                "home": str(home),
                "account": str(keystore.account.address),
                "suite": keystore.signer.suite,
                "signing_key": keystore.signer.public_key.hex(),
                "box_key": keystore.box.public.hex(),
            },
            as_json,
        )


@app.command("deploy")
def deploy_contracts(
    pin: Annotated[Path, typer.Option(help="File to write the pin to; every other organisation joins with it.")],
    confirmations: Annotated[int, typer.Option(min=0, help="Blocks on top that make a block final.")] = 0,
    finalized_tag: Annotated[bool, typer.Option(help="Follow the endpoint's finalized tag instead.")] = False,
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Operator: put the contract set on the chain, with this home's account as operator."""
    with told(), open_home(home, passphrase(passphrase_file)) as opened, open_chain(opened.settings, home) as chain:
        directory = deploy(chain, opened.keystore.account, confirmations=confirmations, finalized_tag=finalized_tag)
        content = {
            "chain_id": chain.chain_id(),
            "genesis_hash": str(chain.block(0).hash),
            "directory": str(directory),
        }
        write_whole(pin, json.dumps(content, indent=2).encode(), mode=0o644)
        _join(home, content)
        show({"pin": str(pin), **content}, as_json)


@app.command()
def join(
    pin: Annotated[Path, typer.Argument(help="The operator's pin: chain id, genesis hash, Directory.")],
    home: HomeOption = Path(".dataspace"),
    as_json: JsonOption = False,
) -> None:
    """Bind this home to the operator's ledger."""
    with told(), Home(home):
        content = _read_pin(pin)
        _join(home, content)
        show({"home": str(home), **content}, as_json)


@app.command()
def announce(
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set this organisation's keys and endpoint on chain."""
    with told(), node_at(home, passphrase(passphrase_file)) as node:
        node.announce(node.context.settings.endpoint)
        show({"account": str(node.context.account), "endpoint": node.context.settings.endpoint}, as_json)


@app.command()
def admit(
    account: Annotated[str, typer.Argument(help="The organisation's account.")],
    uscc: Annotated[str, typer.Option(help="Its unified social credit code (GB 32100).")],
    role: Annotated[list[str], typer.Option(help="provider, buyer, custodian, compute, gateway or regulator.")],
    funds: Annotated[int, typer.Option(min=0, help="Wei that its account receives.")] = FUNDS_WEI,
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Operator: admit an organisation."""
    with told(), ledger_at(home, passphrase(passphrase_file)) as ledger:
        code, roles = Uscc.parse(uscc), roles_from_names(role)
        document = {"uscc": str(code), "account": account, "salt": secrets.token_hex(32)}
        identity = document_digest("identity", document)
        # Kept first: without its salt nobody could ever show what the hash on chain is of.
        write_whole(home / "identities" / f"{identity}.json", json.dumps(document).encode())
        transaction = ledger.participants.admit(Address.parse(account), code, identity, roles, value=funds)
        show({"account": account, "roles": role_names(roles), "transaction": str(transaction.hash)}, as_json)


@app.command()
def suspend(
    account: str,
    reason: Annotated[str, typer.Option(help="Written on chain; no personal data.")],
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Operator: suspend an organisation."""
    with told(), ledger_at(home, passphrase(passphrase_file)) as ledger:
        transaction = ledger.participants.suspend(Address.parse(account), reason)
        show({"account": account, "transaction": str(transaction.hash)}, as_json)


@app.command()
def reinstate(
    account: str,
    reason: Annotated[str, typer.Option(help="Written on chain; no personal data.")],
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Operator: end a suspension."""
    with told(), ledger_at(home, passphrase(passphrase_file)) as ledger:
        transaction = ledger.participants.reinstate(Address.parse(account), reason)
        show({"account": account, "transaction": str(transaction.hash)}, as_json)


@app.command("show")
def show_organisation(
    account: str,
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the chain knows of an organisation."""
    with told(), ledger_at(home, passphrase(passphrase_file)) as ledger:
        organisation = ledger.participants.organisation(Address.parse(account))
        show(
            {
                "account": account,
                "uscc": str(organisation.uscc or ""),
                "status": organisation.status.name.lower(),
                "roles": role_names(organisation.roles),
                "endpoint": organisation.endpoint,
            },
            as_json,
        )


def _read_pin(path: Path) -> dict[str, Any]:
    """The three values of a pin, each of its type; raises InputRefusedError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            "chain_id": int(content["chain_id"]),
            "genesis_hash": str(Digest.parse(content["genesis_hash"])),
            "directory": str(Address.parse(content["directory"])),
        }
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise InputRefusedError(f"{path} is no pin; ask the operator for the file that 'org deploy' wrote") from error


def _bound(settings: Settings, pin: dict[str, Any]) -> Settings:
    return replace(
        settings,
        chain_id=int(pin["chain_id"]),
        genesis_hash=Digest.parse(pin["genesis_hash"]),
        directory=Address.parse(pin["directory"]),
    )


def _join(home: Path, pin: dict[str, Any]) -> None:
    settings = _bound(read_settings(home, {}), pin)
    write_whole(home / "dataspace.toml", render_settings(settings).encode())
