"""Where the parts are put together: home, keys, chain, ledger. Nothing else builds them.

The node is added by `scripts.nodes`.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capsule.errors import FormatError
from contracts.account import Account
from contracts.agreeing import AgreeingChain
from contracts.chain import Chain
from contracts.errors import LedgerError
from contracts.ledger import Ledger, Pin
from node.errors import KeystoreError, SettingsError
from node.home import Home, write_whole
from node.keystore import Keystore, open_keystore
from node.settings import Settings

__all__ = [
    "Api",
    "Opened",
    "ledger_at",
    "now",
    "open_chain",
    "open_home",
    "open_ledger",
    "read_settings",
]

TOKEN_BYTES = 32
MOST_BYTES = 256 * 1024 * 1024


def now() -> int:
    """Unix seconds."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class Opened:
    """A home that this process holds, with its keys."""

    home: Home
    settings: Settings
    keystore: Keystore


def read_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a home; raises SettingsError."""
    try:
        text = (path / "dataspace.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path / 'dataspace.toml'} can't be read: {error}") from error
    return Settings.load(text, environment)


@contextmanager
def open_home(path: Path, passphrase: str) -> Iterator[Opened]:
    """Locks a home and opens its keys; raises HomeLockedError, PassphraseError, KeystoreError."""
    if not path.is_dir():
        raise KeystoreError(f"there is no home at {path}; make it with 'dataspace org init'")
    with Home(path) as home:
        yield Opened(home, read_settings(path), open_keystore(home.keystore_file, passphrase, secrets.token_bytes))


@contextmanager
def open_chain(settings: Settings, home: Path, *, most_bytes: int = MOST_BYTES) -> Iterator[Chain]:
    """The chain that the settings name: embedded, one endpoint, or several that must agree.

    `most_bytes`: the longest answer that is taken of an endpoint. An EVM is imported only where it is used: it costs
    every command one to two seconds of start-up.
    """
    if not settings.chain_urls:
        from contracts.embedded import EmbeddedChain  # noqa: PLC0415

        with EmbeddedChain.open(home / "chain", clock=now) as chain:
            yield chain
        return
    from contracts.rpc import RpcChain  # noqa: PLC0415

    endpoints = [RpcChain(url, own_node=settings.own_node, most_bytes=most_bytes) for url in settings.chain_urls]
    yield endpoints[0] if len(endpoints) == 1 else AgreeingChain(endpoints)


def open_ledger(settings: Settings, chain: Chain, account: Account | None) -> Ledger:
    """The contract set that the settings pin, as an account sees it; without one for reading only."""
    if settings.directory is None or settings.genesis_hash is None:
        raise SettingsError("this home is bound to no ledger yet; run 'dataspace org join' with the operator's pin")
    pin = Pin(settings.chain_id, settings.genesis_hash, settings.directory)
    try:
        return Ledger.connect(chain, settings.directory, account, pin)
    except LedgerError:
        if isinstance(chain, AgreeingChain):
            chain.check_chain(pin.chain_id, pin.genesis_hash)
        raise


@contextmanager
def ledger_at(path: Path, passphrase: str) -> Iterator[Ledger]:
    """The ledger of a home, sending with its account; the home is locked meanwhile."""
    with open_home(path, passphrase) as opened, open_chain(opened.settings, path) as chain:
        yield open_ledger(opened.settings, chain, opened.keystore.account)


@dataclass(frozen=True, slots=True)
class Api:
    """Where the service of a home listens, and the token that its operator's calls bear."""

    url: str
    token: str

    @classmethod
    def fresh(cls, url: str) -> "Api":
        return cls(url, secrets.token_urlsafe(TOKEN_BYTES))

    @classmethod
    def read(cls, path: Path) -> "Api | None":
        """The running service's address; None when no service has written one."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(content["url"], content["token"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            raise FormatError(f"{path} is damaged; restart the service of this home") from error

    def write(self, path: Path) -> None:
        write_whole(path, json.dumps({"url": self.url, "token": self.token}).encode(), mode=0o600)
