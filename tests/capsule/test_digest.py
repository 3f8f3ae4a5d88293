"""Digests and statements, byte by byte."""

import hashlib

import pytest

from capsule.digest import Domain, document_digest, tagged
from capsule.errors import InputError
from capsule.ids import Address, Digest


def test_tagged_is_sha256_over_prefix_zero_and_data() -> None:
    assert tagged("frame", b"data") == hashlib.sha256(b"dataspace/frame/1\x00data").digest()


def test_document_digest_does_not_depend_on_order() -> None:
    expected = hashlib.sha256(b'dataspace/deal/1\x00{"a":1,"b":2}').digest()
    assert document_digest("deal", {"b": 2, "a": 1}) == expected


def test_statement_names_kind_chain_and_directory() -> None:
    directory, digest = Address(b"\x11" * 20), Digest(b"\x22" * 32)
    expected = b"dataspace/receipt/1\x00" + (7).to_bytes(32, "big") + b"\x11" * 20 + b"\x22" * 32
    assert Domain(7, directory).statement("receipt", digest) == expected


@pytest.mark.parametrize("kind", ["", "Frame", "a\x00b", "a/b", "-a", "a-", "a--b"])
def test_kinds_that_could_be_confused_are_refused(kind: str) -> None:
    with pytest.raises(InputError):
        tagged(kind, b"")


@pytest.mark.parametrize("chain_id", [-1, 2**256])
def test_domain_refuses_what_is_no_uint256(chain_id: int) -> None:
    with pytest.raises(InputError):
        Domain(chain_id, Address.ZERO)
