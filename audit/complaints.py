"""What a database complains of, in words that say what to do; its driver's own text is for programmers."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError

__all__ = ["AFRESH", "REMAKE", "complaint"]

AFRESH: Final = "build it again with 'dataspace audit rebuild --afresh'"
"""What helps a damaged index."""
REMAKE: Final = "start the service again, which makes it anew"
"""What helps the register of the pages."""

# First part of SQLite's name for the error; what is not here says that the file is no whole index of this version.
_SQLITE: Final[tuple[tuple[str, str], ...]] = (
    ("SQLITE_FULL", "the disk is full; free space there and try again"),
    ("SQLITE_IOERR", "the disk is full or fails; free space or check it, then try again"),
    ("SQLITE_CANTOPEN", "the file can't be opened; check its folder and permissions"),
    ("SQLITE_READONLY", "the file can't be written; check its permissions"),
    ("SQLITE_PERM", "the file can't be opened; check its permissions"),
    ("SQLITE_BUSY", "another program holds the file; wait for it or stop it, then try again"),
    ("SQLITE_LOCKED", "another program holds the file; wait for it or stop it, then try again"),
)


def complaint(error: Exception, again: str) -> str:
    """The cause and the advice, without the statement and links of the libraries. `again`: how it is made anew."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "")
        return next(
            (told for first, told in _SQLITE if name.startswith(first)),
            f"it is damaged, or of another version ({cause}); {again}",
        )
    lines = str(cause).splitlines()
    return (
        f"the database says: {lines[0] if lines else type(cause).__name__}; check that it runs, has space and lets "
        f"this user in, or {again}"
    )
