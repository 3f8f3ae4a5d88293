"""A home's keys, settings and database in one encrypted file, and a home made from it again.

`dataspace/backup`: one line of JSON (kind, version, a vault under the home's passphrase with the key of the rest), then
a sealed stream (`capsule.vault_stream`) of a tar archive. Capsules and results are not in it: they rest sealed anyway.
One-time keys of uses and openings are left out, so that no backup with what stands on chain opens a capsule.
"""

import contextlib
import io
import os
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from capsule import canonical
from capsule.document import Fields
from capsule.errors import FormatError, InputError, OpenError
from capsule.ids import Address
from capsule.vault import PassphraseKey, VaultKey, open_vault
from capsule.vault_stream import StreamOpener, StreamSealer
from node.context import Context
from node.errors import HomeError, InputRefusedError, PassphraseError, StoreError
from node.home import PART, Home, create_whole
from node.keystore import open_keystore

__all__ = ["restore_backup", "write_backup"]

KIND = "dataspace/backup"
KEY_BYTES = 32
MAX_HEADER_BYTES = 4096
IDENTITIES = "identities"
ONE_TIME = ("one-time/%", "opening/%")


def write_backup(context: Context, path: Path) -> None:
    """Writes the backup, whole or not at all; the home may be in use. The home's passphrase opens it.

    Raises InputRefusedError where there is a file already, HomeError and StoreError when the disk fails.
    """
    if path.exists():
        raise InputRefusedError(f"{path} exists already; give each backup its own name")
    home = context.home
    # the database before the keys: they open what is in it, while rotations wait
    with (
        _snapshot(home) as database,
        create_whole(path) as sink,
        _sealed(sink, context.keystore.lock) as sealed,
        tarfile.open(fileobj=sealed, mode="w|") as archive,
    ):
        for file in (home.keystore_file, home.settings_file, *sorted((home.path / IDENTITIES).glob("*.json"))):
            if file.is_file():
                archive.add(file, str(file.relative_to(home.path)), recursive=False)
        archive.add(database, home.database_file.name, recursive=False)


def restore_backup(path: Path, passphrase: str, target: Path) -> Address:
    """Makes the home `target` from a backup, whole or not at all; returns its account.

    Raises PassphraseError, InputRefusedError for a file that is no whole backup or a folder that is not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputRefusedError(f"{target} is not empty; restore into a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=PART, dir=target.parent))
    except OSError as error:
        raise HomeError(f"{target} can't be made: {error.strerror}") from error
    try:
        with path.open("rb") as source:
            _unpack(_opened(source, passphrase), draft)
        account = open_keystore(Home(draft).keystore_file, passphrase, secrets.token_bytes).account.address
        for file in (draft, *draft.rglob("*")):
            _sync(file)
        os.replace(draft, target)
        _sync(target.parent)
    except (OpenError, FormatError, InputError, tarfile.TarError, EOFError) as error:
        raise InputRefusedError(f"{path} is no whole backup; take another copy of it") from error
    except OSError as error:
        raise HomeError(f"{target} can't be restored: {error.strerror}; nothing was left behind") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return account


@contextlib.contextmanager
def _snapshot(home: Home) -> Iterator[Path]:
    """A consistent copy of the database, without one-time keys; gone when the block ends."""
    descriptor, name = tempfile.mkstemp(prefix=".backup.", suffix=PART, dir=home.path)
    os.close(descriptor)
    copy = Path(name)
    try:
        with (
            contextlib.closing(sqlite3.connect(home.database_file)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
            target.execute("PRAGMA secure_delete=ON")
            target.executemany("DELETE FROM node_secrets WHERE name LIKE ?", [(names,) for names in ONE_TIME])
            target.commit()
        yield copy
    except sqlite3.Error as error:
        raise StoreError(home.database_file) from error
    finally:
        copy.unlink(missing_ok=True)


@contextlib.contextmanager
def _sealed(sink: BinaryIO, lock: PassphraseKey) -> Iterator[IO[bytes]]:
    key = VaultKey(secrets.token_bytes(KEY_BYTES))
    vault = lock.seal_vault(key.secret, secrets.token_bytes)
    sink.write(canonical.encode({"kind": KIND, "version": 1, "vault": canonical.decode(vault)}) + b"\n")
    sealer = StreamSealer(key, sink)
    yield cast(IO[bytes], sealer)
    # not when the block failed: a stream without its end does not open
    sealer.close()


def _opened(source: BinaryIO, passphrase: str) -> IO[bytes]:
    line = source.readline(MAX_HEADER_BYTES)
    vault = Fields.of(canonical.decode(line), KIND).value("vault")
    try:
        secret = open_vault(passphrase, canonical.encode(vault))
    except OpenError:
        raise PassphraseError() from None
    return io.BufferedReader(StreamOpener(VaultKey(secret), source))


def _unpack(stream: IO[bytes], folder: Path) -> None:
    """The files of a home, each under its own name; anything else in the archive is refused."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = Path(member.name)
            known = member.name in (
                Home(folder).keystore_file.name,
                Home(folder).settings_file.name,
                Home(folder).database_file.name,
            ) or (name.parent == Path(IDENTITIES) and name.suffix == ".json")
            content = archive.extractfile(member) if member.isfile() and known else None
            if content is None:
                raise FormatError(f"the backup holds {member.name!r}")
            file = folder / name
            file.parent.mkdir(mode=0o700, exist_ok=True)
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
                shutil.copyfileobj(content, sink)
    # what follows the archive: the stream must be whole up to its end
    while stream.read(MAX_HEADER_BYTES):
        pass


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
