"""A home directory: one process at a time, every file whole or absent."""

import contextlib
import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from node.errors import HomeError, HomeLockedError

__all__ = ["PART", "Home", "create_new", "create_whole", "move_whole", "write_new", "write_whole"]

PART = ".part"
FOLDERS = ("capsules", "results")

_NO_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Home:
    """The directory and its lock. Open it with `with Home(path):`; a second process is refused with HomeLockedError.

    Opening it clears away what a killed process had half written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> "Home":
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeError(f"the home {self.path} can't be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise HomeLockedError(self.path) from error
        for folder in (self.path, *(self.path / name for name in FOLDERS)):
            for left in folder.glob(f".*{PART}"):
                left.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def settings_file(self) -> Path:
        return self.path / "dataspace.toml"

    @property
    def keystore_file(self) -> Path:
        return self.path / "keystore.json"

    @property
    def database_file(self) -> Path:
        return self.path / "node.db"

    @property
    def api_file(self) -> Path:
        """URL and bearer token of the service that runs on this home; written at its start."""
        return self.path / "api.json"

    def folder(self, name: str) -> Path:
        """A folder inside the home, made when missing."""
        folder = self.path / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(f"the folder {folder} can't be used: {error.strerror}") from error
        return folder


@contextlib.contextmanager
def create_whole(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A stream whose content appears under `path` only when the block ends without an error, and then durably."""
    with _placed(path, mode, os.replace) as stream:
        yield stream


@contextlib.contextmanager
def create_new(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """As `create_whole`, but never in the place of another file: HomeError, also where that came meanwhile.

    What a process that was killed had half written under this name is cleared away first.
    """
    _clear_drafts(path)
    with _placed(path, mode, _link) as stream:
        yield stream


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes `content` to `path`: whole and durable, or not at all."""
    with create_whole(path, mode) as stream:
        stream.write(content)


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes `content` to `path`, where nothing stands yet: whole and durable, or not at all."""
    with create_new(path, mode) as stream:
        stream.write(content)


def move_whole(source: Path, target: Path) -> None:
    """Gives a whole file of this home its lasting name, durably."""
    try:
        os.replace(source, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise HomeError(f"{target} can't be written: {error.strerror}") from error


@contextlib.contextmanager
def _placed(path: Path, mode: int, place: Callable[[str, Path], None]) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    except OSError as error:
        raise HomeError(f"{path} can't be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w+b") as stream:
            with contextlib.suppress(OSError):  # no locks on this file system: then drafts stay
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that its process lives
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.chmod(temporary, mode)
            place(temporary, path)
        _sync_folder(path.parent)
    except _TakenError as error:
        raise HomeError(f"{path} exists already; choose another name") from error
    except OSError as error:
        raise HomeError(f"{path} can't be written: {error.strerror}; nothing was left behind") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


class _TakenError(Exception):
    """Another file has the name."""


def _link(temporary: str, path: Path) -> None:
    """Gives a draft its name unless that is taken; both names are one file until the draft's is removed."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise _TakenError from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise _TakenError from error
        os.rename(temporary, path)


def _clear_drafts(path: Path) -> None:
    """Removes drafts of this name that no living process holds."""
    draft = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}{re.escape(PART)}")
    for left in path.parent.glob(f".*{PART}"):
        if draft.fullmatch(left.name) is None or not left.is_file():
            continue
        with contextlib.suppress(OSError), left.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
