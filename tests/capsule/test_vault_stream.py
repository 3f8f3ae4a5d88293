import io
import secrets

import pytest

from capsule.errors import OpenError
from capsule.vault import VaultKey
from capsule.vault_stream import CHUNK_BYTES, HEADER_BYTES, MORE_BYTES, StreamOpener, StreamSealer

KEY = VaultKey(secrets.token_bytes(32))


def sealed(*parts: bytes, key: VaultKey = KEY) -> bytes:
    sink = io.BytesIO()
    with StreamSealer(key, sink) as sealer:
        for part in parts:
            sealer.write(part)
    return sink.getvalue()


def opened(data: bytes, key: VaultKey = KEY) -> bytes:
    return io.BufferedReader(StreamOpener(key, io.BytesIO(data))).read()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_was_written_in_any_pieces_is_read_again(size: int) -> None:
    content = secrets.token_bytes(size)
    assert opened(sealed(content)) == content
    assert opened(sealed(content[:7], content[7:1000], content[1000:])) == content
    assert size < 32 or content[:32] not in sealed(content)


def test_a_stream_cut_reordered_joined_or_changed_does_not_open() -> None:
    content = secrets.token_bytes(2 * CHUNK_BYTES + 5)
    data = sealed(content)
    one = HEADER_BYTES + CHUNK_BYTES + MORE_BYTES
    two = one + CHUNK_BYTES + MORE_BYTES
    swapped = data[:HEADER_BYTES] + data[one:two] + data[HEADER_BYTES:one] + data[two:]
    changed = [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in (0, 30, one + 9, len(data) - 1)]
    for wrong in (b"", data[:10], data[:one], data[:two], data[:-1], data + b"x", data + data, swapped, *changed):
        with pytest.raises(OpenError):
            opened(wrong)
    with pytest.raises(OpenError):
        opened(data, VaultKey(secrets.token_bytes(32)))


def test_a_stream_without_its_end_does_not_open() -> None:
    sink = io.BytesIO()
    sealer = StreamSealer(KEY, sink)
    sealer.write(secrets.token_bytes(CHUNK_BYTES + 1))
    cut = sink.getvalue()
    with pytest.raises(OpenError):
        opened(cut)
    sealer.close()
    assert len(opened(sink.getvalue())) == CHUNK_BYTES + 1
