"""Several frames in one body: a CBOR sequence (RFC 8742) of frames, one after the other without anything between."""

from __future__ import annotations

from typing import Final

from capsule.cbor import BYTES, read_head
from capsule.errors import FormatError

__all__ = ["SEQUENCE_TYPE", "split_frames"]

SEQUENCE_TYPE: Final = "application/cose-seq"

_TAG_AND_ARRAY: Final = 2
_BEFORE_BYTES: Final = (_TAG_AND_ARRAY, 1, 0)
"""What stands before a frame's three byte strings: tag 18 and an array's head, an empty map, nothing."""


def split_frames(data: bytes, most: int) -> list[bytes]:
    """The frames of a sequence, unread. From where it is none, the rest is one frame, which its reader refuses.

    Raises FormatError for more than `most` frames.
    """
    frames: list[bytes] = []
    at = 0
    while at < len(data):
        end = _end(data, at)
        frames.append(data[at:end])
        if len(frames) > most:
            raise FormatError(f"a request holds at most {most} frames")
        at = end
    return frames


def _end(data: bytes, at: int) -> int:
    try:
        for before in _BEFORE_BYTES:
            major, length, at = read_head(data, at + before)
            at += length
            if major != BYTES or at > len(data):
                return len(data)
    except FormatError:
        return len(data)
    return at
