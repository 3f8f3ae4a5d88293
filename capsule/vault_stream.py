"""A long secret as a stream: chunks of 64 KiB under one vault key, sealed in order (libsodium's secretstream,
XChaCha20-Poly1305).

Cutting, reordering and joining are detected, since each chunk continues the one before and the last says that it is.
libsodium draws the stream's 24-byte header itself; it comes first. The key must be of this stream alone.
"""

import io
from typing import BinaryIO

import nacl.exceptions
from nacl.bindings import crypto_secretstream as stream

from capsule.errors import OpenError
from capsule.vault import VaultKey

__all__ = ["StreamOpener", "StreamSealer"]

CHUNK_BYTES = 64 * 1024
HEADER_BYTES = stream.crypto_secretstream_xchacha20poly1305_HEADERBYTES
MORE_BYTES = stream.crypto_secretstream_xchacha20poly1305_ABYTES
MESSAGE = stream.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
FINAL = stream.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class StreamSealer(io.RawIOBase):
    """Seals what is written to it into `sink`. Only `close` writes the end; without it the stream does not open."""

    def __init__(self, key: VaultKey, sink: BinaryIO) -> None:
        self._sink = sink
        self._state = stream.crypto_secretstream_xchacha20poly1305_state()
        self._waiting = bytearray()
        sink.write(stream.crypto_secretstream_xchacha20poly1305_init_push(self._state, key.secret))

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:
            self._push(CHUNK_BYTES, MESSAGE)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._push(CHUNK_BYTES, FINAL)
        super().close()

    def _push(self, size: int, tag: int) -> None:
        chunk = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._sink.write(stream.crypto_secretstream_xchacha20poly1305_push(self._state, chunk, None, tag))


class StreamOpener(io.RawIOBase):
    """Reads what a StreamSealer wrote; OpenError for everything else, before a byte of the chunk concerned leaves."""

    def __init__(self, key: VaultKey, source: BinaryIO) -> None:
        self._source = source
        self._state = stream.crypto_secretstream_xchacha20poly1305_state()
        self._opened = b""
        self._ended = False
        header = source.read(HEADER_BYTES)
        if len(header) != HEADER_BYTES:
            raise OpenError()
        stream.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key.secret)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._opened and not self._ended:
            self._pull()
        size = min(len(buffer), len(self._opened))
        buffer[:size] = self._opened[:size]
        self._opened = self._opened[size:]
        return size

    def _pull(self) -> None:
        sealed = self._source.read(CHUNK_BYTES + MORE_BYTES)
        try:
            self._opened, tag = stream.crypto_secretstream_xchacha20poly1305_pull(self._state, sealed)
        except (nacl.exceptions.CryptoError, ValueError) as error:
            raise OpenError() from error
        if tag == FINAL:
            self._ended = True
            if self._source.read(1):
                raise OpenError()
