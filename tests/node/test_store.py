"""Keys and rows at rest."""

import os
import secrets
import stat
from pathlib import Path

import pytest

from capsule.errors import OpenError
from capsule.ids import Digest
from capsule.vault import VaultKey, open_vault, seal_vault
from node.errors import InputRefusedError, KeystoreError, PassphraseError, StoreError
from node.keystore import create_keystore, open_keystore
from node.store import DecisionRow, RunRow, Store

USE = Digest(bytes(range(32)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Keys


def test_keys_come_back_with_their_passphrase_only(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    made = create_keystore(path, "right one", secrets.token_bytes)
    opened = open_keystore(path, "right one", secrets.token_bytes)
    assert opened.account.address == made.account.address
    assert opened.signer.public_key == made.signer.public_key
    assert opened.box.public == made.box.public
    assert opened.vault == made.vault
    assert mode(path) == 0o600
    for wrong in ("wrong", "Right one", "right one ", ""):
        with pytest.raises(PassphraseError, match="give the right one"):
            open_keystore(path, wrong, secrets.token_bytes)
    content = path.read_bytes()
    for secret in (made.box.secret, made.vault.secret):
        assert secret not in content
        assert secret.hex().encode() not in content
    shown = repr(made)
    assert made.box.secret.hex() not in shown
    assert repr(made.vault.secret) not in shown


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    create_keystore(path, "right one", secrets.token_bytes)
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match="exists already"):
        create_keystore(path, "right one", secrets.token_bytes)
    assert path.read_bytes() == before


def test_keys_are_put_under_no_short_passphrase_but_open_with_one(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    with pytest.raises(InputRefusedError, match="at least 8 characters"):
        create_keystore(path, "1234567", secrets.token_bytes)
    assert not path.exists()
    made = create_keystore(path, "12345678", secrets.token_bytes)
    before = path.read_bytes()
    with pytest.raises(InputRefusedError, match="at least 8 characters"):
        made.change_passphrase("1234567")
    assert path.read_bytes() == before
    older = open_vault("12345678", before)
    path.write_bytes(seal_vault("x", older, secrets.token_bytes))
    assert open_keystore(path, "x", secrets.token_bytes).account.address == made.account.address


def test_a_damaged_key_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    with pytest.raises(KeystoreError, match="can't be read"):
        open_keystore(path, "right one", secrets.token_bytes)
    inside = (b"[]", b"{}", b'{"account": "xx"}', b'{"account":"00","box":"00","signing":"00","vault":"00"}', b"\xff")
    outside = (b"", b"{}", b"[" * 100_000, b'{"kind": "dataspace/vault", "version": 2}')
    for content in (*outside, *(seal_vault("right one", one, secrets.token_bytes) for one in inside)):
        path.write_bytes(content)
        with pytest.raises(KeystoreError, match="is damaged"):
            open_keystore(path, "right one", secrets.token_bytes)


# Rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


@pytest.fixture
def vault() -> VaultKey:
    return VaultKey(secrets.token_bytes(32))


def raw(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def test_the_database_and_its_side_files_are_for_their_owner_only(path: Path, vault: VaultKey) -> None:
    umask = os.umask(0)
    try:
        store = Store(path, vault, secrets.token_bytes)
        store.put_document("policy", USE, {"a": 1})
        assert {file.name: mode(file) for file in path.parent.glob("node.db*")} == {
            "node.db": 0o600,
            "node.db-wal": 0o600,
            "node.db-shm": 0o600,
        }
        store.close()
    finally:
        os.umask(umask)


def test_secrets_rest_sealed_and_are_gone_when_forgotten(path: Path, vault: VaultKey) -> None:
    store = Store(path, vault, secrets.token_bytes)
    kept = {f"one-time/a/0/{index}": secrets.token_bytes(32) for index in range(5)}
    other = secrets.token_bytes(32)
    store.save(
        *(store.secret_row(name, secret) for name, secret in kept.items()), store.secret_row("one-time/b", other)
    )
    assert all(store.secret(name) == secret for name, secret in kept.items())
    for secret in (*kept.values(), other):
        assert secret not in raw(path)
        assert secret.hex().encode() not in raw(path)
    store.forget_secrets("one-time/a/")
    assert [store.secret(name) for name in kept] == [None] * 5
    assert store.secret("one-time/b") == other
    store.forget_secrets("one-time/_")
    assert store.secret("one-time/b") == other
    store.close()
    names = raw(path)
    assert b"one-time/a/0/1" not in names


def test_another_vault_key_opens_no_secret(path: Path, vault: VaultKey) -> None:
    store = Store(path, vault, secrets.token_bytes)
    store.save(store.secret_row("name", b"secret"))
    store.close()
    other = Store(path, VaultKey(secrets.token_bytes(32)), secrets.token_bytes)
    with pytest.raises(OpenError):
        other.secret("name")
    other.close()


def test_rows_come_back_after_a_restart(path: Path, vault: VaultKey) -> None:
    store = Store(path, vault, secrets.token_bytes)
    run = RunRow(order_hash=str(USE), state="ordered", signature=b"s", order=b"o", algorithm="a", parameters=b"p")
    store.save(store.document_row("policy", USE, {"b": 1, "a": 2}), run)
    store.close()
    store = Store(path, vault, secrets.token_bytes)
    assert store.document("policy", USE) == b'{"a":2,"b":1}'
    assert store.document("deal", USE) is None
    assert [one.state for one in store.unfinished_runs()] == ["ordered"]
    store.close()


def test_releases_are_counted_since_a_time_besides_the_use_at_hand(path: Path, vault: VaultKey) -> None:
    store = Store(path, vault, secrets.token_bytes)
    for at, outcome in ((1, "released"), (2, "released"), (3, "refused")):
        use = str(Digest(bytes([at] * 32)))
        store.save(DecisionRow(use=use, decided_at=at, outcome=outcome, reason=0, digest=use))
    assert store.releases_since(0, USE) == 2
    assert store.releases_since(2, USE) == 1
    assert store.releases_since(0, Digest(bytes([2] * 32))) == 1
    store.close()


def test_a_file_that_is_no_database_is_told(path: Path, vault: VaultKey, tmp_path: Path) -> None:
    path.write_bytes(b"this is no database at all, and longer than a header of one would be" * 10)
    with pytest.raises(StoreError, match="can't be read or written"):
        Store(path, vault, secrets.token_bytes)
    with pytest.raises(StoreError, match="can't be read or written"):
        Store(tmp_path / "nowhere" / "node.db", vault, secrets.token_bytes)


def test_a_disk_that_fails_is_told(path: Path, vault: VaultKey) -> None:
    store = Store(path, vault, secrets.token_bytes)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE node_documents")
    with pytest.raises(StoreError, match="can't be read or written"):
        store.put_document("policy", USE, {})
    with pytest.raises(StoreError, match="can't be read or written"):
        store.document("policy", USE)
    store.close()
