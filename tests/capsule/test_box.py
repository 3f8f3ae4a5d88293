"""Boxes open for their reader, and for nobody else with one opaque error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.box import BoxKey, seal_to
from capsule.errors import InputError, OpenError
from tests.capsule.samples import box_of


@given(st.binary(max_size=200))
def test_reader_opens_what_was_sealed_to_it(plaintext: bytes) -> None:
    key = box_of(1)
    sealed = seal_to(key.public, plaintext)
    assert len(sealed) == len(plaintext) + 48
    assert key.open(sealed) == plaintext


def test_stranger_and_changed_bytes_fail_alike() -> None:
    sealed = seal_to(box_of(1).public, b"share")
    attempts = [(box_of(2), sealed), (box_of(1), b""), (box_of(1), sealed[:-1]), (box_of(1), bytes(80))]
    attempts += [(box_of(1), sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) for at in range(len(sealed))]
    for key, data in attempts:
        with pytest.raises(OpenError) as refused:
            key.open(data)
        assert str(refused.value) == str(OpenError())
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(32), b"\x01" + bytes(31)])
def test_keys_that_anybody_could_read_are_refused(public: bytes) -> None:
    with pytest.raises(InputError):
        seal_to(public, b"share")


def test_box_key_hides_its_secret() -> None:
    key = box_of(3)
    assert repr(key.secret) not in repr(key)
    with pytest.raises(InputError):
        BoxKey(bytes(31))
