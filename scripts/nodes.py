"""A node put together on a home: `scripts.composition` with what a node works with, its engines included.

Apart, because commands that need no node, an auditor's above all, load no engine.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from capsule.attestation import SoftwareAttester, SoftwareVerifier
from contracts.ledger import Ledger
from node.context import Context
from node.organisation import Node
from node.peers import HttpPeers
from node.store import Store
from node.view import LedgerView
from scripts.composition import Opened, now, open_chain, open_home, open_ledger

__all__ = ["build_node", "node_at"]


def build_node(opened: Opened, ledger: Ledger, client: httpx.Client, clock: Callable[[], int] = now) -> Node:
    """A node on an open home. `client` reaches the other organisations; `clock` gives Unix seconds."""
    store = Store(opened.home.database_file, opened.keystore.vault, secrets.token_bytes)
    peers = HttpPeers(client, opened.settings.max_document_bytes)
    context = Context(
        opened.home,
        opened.settings,
        opened.keystore,
        store,
        ledger,
        LedgerView(ledger),
        peers,
        clock,
        secrets.token_bytes,
        SoftwareAttester(),
        (SoftwareVerifier(),),
    )
    return Node(context)


@contextmanager
def node_at(path: Path, passphrase: str) -> Iterator[Node]:
    """The node of a home, in this process."""
    with ExitStack() as stack:
        opened = stack.enter_context(open_home(path, passphrase))
        chain = stack.enter_context(open_chain(opened.settings, path))
        client = stack.enter_context(httpx.Client(timeout=opened.settings.peer_timeout_seconds))
        node = build_node(opened, open_ledger(opened.settings, chain, opened.keystore.account), client)
        stack.callback(node.context.store.close)
        yield node
