"""A custodian's home and its chain, copied from a running data space, for processes killed while keys rotate."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from capsule.ids import Address
from contracts.embedded import EmbeddedChain
from contracts.ledger import Ledger
from node.home import Home
from node.keystore import open_keystore
from node.organisation import Node
from node.settings import Settings
from scripts.composition import Opened
from scripts.nodes import build_node
from tests.node.space import Space

__all__ = ["PASSPHRASE", "Copy", "copied", "rotate"]

PASSPHRASE = "kill passphrase"
# past the time in which a rotation counts as the one asked for
LATER_SECONDS = 7200
NAME = "custodian-1"


@dataclass(frozen=True, slots=True)
class Copy:
    """Where the copy lies, and what opens it. Its clock stands still."""

    folder: Path
    directory: Address
    time: int

    def again(self, folder: Path) -> Copy:
        shutil.copytree(self.folder, folder)
        return Copy(folder, self.directory, self.time)

    @contextmanager
    def opened(self) -> Iterator[Node]:
        """The custodian's node in this process."""
        with ExitStack() as stack:
            chain = stack.enter_context(EmbeddedChain.open(self.folder / "chain", clock=lambda: self.time))
            home = stack.enter_context(Home(self.folder / NAME))
            keystore = open_keystore(home.keystore_file, PASSPHRASE, secrets.token_bytes)
            ledger = Ledger.connect(chain, self.directory, keystore.account)
            client = stack.enter_context(httpx.Client())
            opened = Opened(home, Settings(trust_single_endpoint=True), keystore)
            node = build_node(opened, ledger, client, lambda: self.time)
            stack.callback(node.context.store.close)
            yield node


def copied(space: Space, folder: Path) -> Copy:
    """The custodian's home and the chain as they are now."""
    member = space[NAME]
    member.keystore.change_passphrase(PASSPHRASE)
    for file in (Path("chain") / "chain.db", Path(NAME) / "node.db"):
        (folder / file).parent.mkdir(parents=True)
        with (
            closing(sqlite3.connect(space.world.home / file)) as source,
            closing(sqlite3.connect(folder / file)) as target,
        ):
            source.backup(target)
    shutil.copy(space.world.home / "chain" / "faucet.key", folder / "chain")
    shutil.copy(member.home / "keystore.json", folder / NAME)
    return Copy(folder, space.world.directory, space.clock.now + LATER_SECONDS)


def rotate(copy: Copy, connection: Connection) -> None:
    """What the process does that is killed: says that it starts, rotates, says that it is done."""
    with copy.opened() as node:
        connection.send("go")
        node.rotate_keys(distrusted_from=copy.time - 1000)
        connection.send("done")
