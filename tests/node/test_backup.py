"""The recovery drill of docs/operations.md on real parts: what a lost disk takes, what comes back, who deals anew."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from capsule.errors import OpenError
from node.backup import restore_backup
from node.catalogue import CustodyPlan
from node.errors import InputRefusedError, PassphraseError
from node.home import Home
from node.keystore import open_keystore
from node.organisation import Node
from node.service import build_app
from node.store import Store
from node.view import LedgerView
from tests.node.space import TOKEN, Space, decided_on

PASSPHRASE = "drill passphrase"


def backed_up(space: Space, name: str, folder: Path) -> Path:
    space[name].keystore.change_passphrase(PASSPHRASE)
    file = folder / f"{name}.backup"
    space[name].node.back_up(file)
    return file


def restored(space: Space, name: str, file: Path, home: Path) -> Node:
    """The member's disk is gone; a node on the restored home takes its place."""
    assert restore_backup(file, PASSPHRASE, home) == space[name].account
    lost = space[name].node.context
    lost.store.close()
    keystore = open_keystore(home / "keystore.json", PASSPHRASE, secrets.token_bytes)
    store = Store(home / "node.db", keystore.vault, secrets.token_bytes)
    space.world.on_close(store.close)
    ledger = lost.ledger.as_account(keystore.account)
    node = Node(replace(lost, home=Home(home), keystore=keystore, store=store, ledger=ledger, view=LedgerView(ledger)))
    space.world.members[name] = replace(space[name], home=home, keystore=keystore, ledger=ledger, node=node)
    space.world.serve(f"{name}.demo", build_app(node, TOKEN))
    return node


def test_a_custodian_and_a_provider_that_lose_their_disks_release_again(space: Space, tmp_path: Path) -> None:
    offered = space.offered()
    files = {name: backed_up(space, name, tmp_path) for name in ("custodian-1", "provider")}
    lost = {name: space[name].home for name in files}
    for name, file in files.items():
        node = restored(space, name, file, tmp_path / name)
        node.announce("")  # its keys are those on chain
        # capsules are not in the backup: they are copied beside it, once each
        for capsule in (lost[name] / "capsules").glob("*.dsc"):
            (node.context.home.folder("capsules") / capsule.name).write_bytes(capsule.read_bytes())
    placed, opened = space.opened(offered)
    for name in files:
        assert decided_on(space[name].node.work(), opened.use).released
    space["custodian-2"].node.work()
    space["compute"].node.work()
    assert space["buyer"].node.ordering.collect(placed.order_hash).closed.completed


def test_custodians_that_are_lost_for_good_are_replaced_by_a_new_deal(space: Space) -> None:
    offered = space.offered()
    dealing = space["provider"].node.dealing
    rest = ("custodian-1", "custodian-2")
    with space.away("custodian-3"):
        opened = dealing.open(offered.asset, "a custodian lost its disk and its backup")
        assert opened.opening is not None
        for name in rest:
            space[name].node.openings.answer(opened.opening, confirmed=True)
        space.release(*rest)
        plan = CustodyPlan(tuple(space[name].account for name in rest), threshold=2, waiting_seconds=0)
        offering = dealing.deal(offered.asset, plan)
        assert offering.stage == "delivered"
        assert offering.capsule_root == offered.offering.capsule_root
        grant = space.granted(offered)
        order = space.ordered(grant).order_hash
        space["compute"].node.work()
        space.release("provider", *rest)
        space["compute"].node.work()
        assert space["buyer"].node.ordering.collect(order).closed.completed


def test_a_backup_from_before_a_rotation_needs_another_rotation(space: Space, tmp_path: Path) -> None:
    offered = space.offered()
    file = backed_up(space, "custodian-2", tmp_path)
    space["custodian-2"].node.rotate_keys(again=True)
    node = restored(space, "custodian-2", file, tmp_path / "home")
    node.rotate_keys(keys_lost=True)
    _, opened = space.opened(offered)
    assert decided_on(node.work(), opened.use).released


def test_a_backup_shows_nothing_and_holds_no_one_time_key(space: Space, tmp_path: Path) -> None:
    offered = space.offered()
    placed, _ = space.opened(offered)
    store = space["compute"].node.context.store
    name = f"one-time/{placed.order_hash}/0/1"
    one_time = store.secret(name)
    assert one_time is not None
    file = backed_up(space, "compute", tmp_path)
    content = file.read_bytes()
    assert str(placed.order_hash).encode() not in content
    assert b"SQLite" not in content
    assert file.stat().st_mode & 0o777 == 0o600
    restore_backup(file, PASSPHRASE, tmp_path / "home")
    keystore = open_keystore(tmp_path / "home" / "keystore.json", PASSPHRASE, secrets.token_bytes)
    copy = Store(tmp_path / "home" / "node.db", keystore.vault, secrets.token_bytes)
    assert copy.secret(name) is None
    assert copy.run(placed.order_hash) is not None
    copy.close()
    with closing(sqlite3.connect(space["compute"].home / "node.db")) as live:
        assert live.execute("SELECT count(*) FROM node_secrets WHERE name = ?", (name,)).fetchone() == (1,)
    assert list(space["compute"].home.glob(".backup*")) == []


def test_what_is_no_whole_backup_restores_nothing(space: Space, tmp_path: Path) -> None:
    file = backed_up(space, "regulator", tmp_path)
    content = file.read_bytes()
    with pytest.raises(InputRefusedError, match="exists already"):
        space["regulator"].node.back_up(file)
    with pytest.raises(PassphraseError):
        restore_backup(file, "wrong", tmp_path / "home")
    head = content.index(b"\n") + 1
    for number, wrong in enumerate(
        (b"", content[:40], content[:head], content[:-1], content + b"x", content[:-9] + bytes(9), b"[" * 5000)
    ):
        damaged = tmp_path / f"{number}.backup"
        damaged.write_bytes(wrong)
        with pytest.raises(InputRefusedError, match="no whole backup"):
            restore_backup(damaged, PASSPHRASE, tmp_path / "home")
    full = tmp_path / "full"
    full.mkdir()
    (full / "note").touch()
    with pytest.raises(InputRefusedError, match="not empty"):
        restore_backup(file, PASSPHRASE, full)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".backup")) == ["full"]


def test_a_new_passphrase_opens_the_keys_and_the_old_one_none(space: Space) -> None:
    member = space["regulator"]
    member.keystore.change_passphrase("the first one")
    member.keystore.change_passphrase("the second one")
    opened = open_keystore(member.home / "keystore.json", "the second one", secrets.token_bytes)
    assert (opened.account.address, opened.box.public, opened.vault) == (
        member.account, member.keystore.box.public, member.keystore.vault
    )  # fmt: skip
    with pytest.raises(PassphraseError):
        open_keystore(member.home / "keystore.json", "the first one", secrets.token_bytes)
    with pytest.raises(OpenError):
        member.keystore.box.open(b"nothing")
