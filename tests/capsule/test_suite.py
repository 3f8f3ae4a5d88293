"""Slots and chunks are bound to key, capsule, place and header."""

import pytest

from capsule.errors import OpenError
from capsule.key import key_commitment
from capsule.suite import SLOT_SIZE, TAG_SIZE, open_chunk, open_slot, seal_chunk, seal_slot
from tests.capsule.samples import DATA_KEY, OTHER_DATA_KEY

CONTENT = b"content key 16by"
CAPSULE_ID = b"capsule id 16 by"
HEADER = b'{"kind":"dataspace/capsule"}'
SLOT = seal_slot(DATA_KEY, CONTENT, CAPSULE_ID, HEADER)
COMMITMENT = key_commitment(DATA_KEY)


def test_slot_opens_under_its_own_header_only() -> None:
    assert len(SLOT) == SLOT_SIZE
    assert open_slot(DATA_KEY, SLOT, CAPSULE_ID, HEADER, COMMITMENT) == CONTENT
    for key, capsule_id, header, commitment in (
        (OTHER_DATA_KEY, CAPSULE_ID, HEADER, COMMITMENT),
        (OTHER_DATA_KEY, CAPSULE_ID, HEADER, key_commitment(OTHER_DATA_KEY)),
        (DATA_KEY, CAPSULE_ID[::-1], HEADER, COMMITMENT),
        (DATA_KEY, CAPSULE_ID, HEADER + b" ", COMMITMENT),
        (DATA_KEY, CAPSULE_ID, HEADER, bytes(32)),
    ):
        with pytest.raises(OpenError):
            open_slot(key, SLOT, capsule_id, header, commitment)


def test_key_that_opens_the_slot_must_also_be_the_committed_one() -> None:
    """GCM does not commit to its key; the header's commitment does."""
    other = seal_slot(OTHER_DATA_KEY, CONTENT, CAPSULE_ID, HEADER)
    with pytest.raises(OpenError):
        open_slot(OTHER_DATA_KEY, other, CAPSULE_ID, HEADER, COMMITMENT)


def test_chunk_opens_at_its_own_place_only() -> None:
    plaintext = b"plaintext"
    sealed, opened = memoryview(bytearray(len(plaintext) + TAG_SIZE)), memoryview(bytearray(len(plaintext)))
    seal_chunk(CONTENT, CAPSULE_ID, 3, False, memoryview(plaintext), sealed)
    open_chunk(CONTENT, CAPSULE_ID, 3, False, sealed, opened)
    assert opened == plaintext
    for key, capsule_id, index, last in (
        (CONTENT[::-1], CAPSULE_ID, 3, False),
        (CONTENT, CAPSULE_ID[::-1], 3, False),
        (CONTENT, CAPSULE_ID, 4, False),
        (CONTENT, CAPSULE_ID, 3, True),
    ):
        with pytest.raises(OpenError):
            open_chunk(key, capsule_id, index, last, sealed, opened)
        assert not any(opened)
