"""What a provider hands in to be sealed: device frames with their proofs, CSV, or Parquet. Checked before anything is
made.
"""

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from capsule.canonical import Json
from capsule.errors import FormatError
from capsule.source import MEDIA_TYPE as FRAMES
from capsule.source import read_source_header
from node.catalogue import Plaintext
from node.errors import InputRefusedError

__all__ = ["read_plaintext"]

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
PARQUET_MAGIC = b"PAR1"
SUFFIXES = {".frames": FRAMES, ".csv": CSV, ".parquet": PARQUET}


@contextlib.contextmanager
def read_plaintext(path: Path, media_type: str, time_column: str) -> Iterator[Plaintext]:
    """Opens a file to be sealed. `media_type` empty: told by the suffix. Raises InputRefusedError naming what is
    wrong.
    """
    kind = media_type or SUFFIXES.get(path.suffix)
    if kind not in SUFFIXES.values():
        raise InputRefusedError(f"{path.name} is of no known kind; give one of {', '.join(SUFFIXES.values())}")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputRefusedError(f"{path} can't be read: {error.strerror}") from error
    with stream:
        size = path.stat().st_size
        if kind == FRAMES:
            yield _frames(stream, size, time_column)
        elif kind == CSV:
            yield Plaintext(stream, size, CSV, _csv_schema(path))
        else:
            yield _parquet(stream, size, path)


def _frames(stream: BinaryIO, size: int, time_column: str) -> Plaintext:
    try:
        header = read_source_header(stream)
    except FormatError as error:
        raise InputRefusedError(f"the frames can't be read: {error}") from error
    stream.seek(0)
    schema: Json = {"time_column": time_column}
    return Plaintext(stream, size, FRAMES, schema, header.batches, header.devices)


def _parquet(stream: BinaryIO, size: int, path: Path) -> Plaintext:
    begins = stream.read(len(PARQUET_MAGIC))
    stream.seek(max(0, size - len(PARQUET_MAGIC)))
    if begins != PARQUET_MAGIC or stream.read() != PARQUET_MAGIC:
        raise InputRefusedError(f"{path.name} is no Parquet file; convert it first")
    stream.seek(0)
    return Plaintext(stream, size, PARQUET, {})


def _csv_schema(path: Path) -> Json:
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            names = next(csv.reader(text), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputRefusedError(f"{path.name} is no CSV in UTF-8; convert it first") from error
    if not names or any(not name for name in names) or len(set(names)) != len(names):
        raise InputRefusedError(f"{path.name} needs a first line that names every column once")
    return {"columns": [{"name": name} for name in names]}
