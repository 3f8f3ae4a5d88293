"""The cipher provider against published vectors, its definitions, and a second implementation."""

import json
from pathlib import Path

import gmssl.func
import gmssl.sm3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.crypto.cipher import Cipher, self_test
from capsule.crypto.provider import provider
from capsule.crypto.pyca import PycaCipher
from capsule.errors import CipherUnavailableError, InputError, OpenError

VECTORS = Path(__file__).parents[3].parent / "shared" / "vectors" / "wycheproof"
KEY = bytes(range(16))
NONCE = bytes(12)

needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="published vectors are not beside the repository")


@needs_vectors
def test_published_sm4_gcm_vectors_hold_or_are_refused() -> None:
    cipher = provider()
    opened = refused = other_nonces = 0
    for group in json.loads((VECTORS / "sm4_gcm_test.json").read_bytes())["testGroups"]:
        for case in group["tests"]:
            key, nonce, aad, plaintext = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg"))
            sealed = bytes.fromhex(case["ct"] + case["tag"])
            if len(nonce) != 12:
                other_nonces += 1
                with pytest.raises(InputError):
                    cipher.sm4_gcm_open(key, nonce, aad, sealed)
            elif case["result"] == "valid":
                opened += 1
                assert cipher.sm4_gcm_seal(key, nonce, aad, plaintext) == sealed
                assert cipher.sm4_gcm_open(key, nonce, aad, sealed) == plaintext
            else:
                refused += 1
                with pytest.raises(OpenError):
                    cipher.sm4_gcm_open(key, nonce, aad, sealed)
    assert opened + refused + other_nonces == 104
    assert min(opened, refused, other_nonces) > 0


@needs_vectors
def test_published_hmac_sm3_vectors_hold() -> None:
    cipher = provider()
    checked = 0
    for group in json.loads((VECTORS / "hmac_sm3_test.json").read_bytes())["testGroups"]:
        for case in group["tests"]:
            tag = cipher.hmac_sm3(bytes.fromhex(case["key"]), bytes.fromhex(case["msg"]))[: group["tagSize"] // 8]
            assert (tag == bytes.fromhex(case["tag"])) == (case["result"] == "valid")
            checked += 1
    assert checked == 174


@given(st.binary(max_size=200))
def test_sm3_agrees_with_a_second_implementation(data: bytes) -> None:
    assert provider().sm3(data).hex() == gmssl.sm3.sm3_hash(gmssl.func.bytes_to_list(data))


@given(st.binary(max_size=100), st.binary(max_size=40), st.integers(0, 139), st.integers(0, 7))
def test_one_flipped_bit_opens_nothing(plaintext: bytes, aad: bytes, at: int, bit: int) -> None:
    cipher = provider()
    sealed = bytearray(cipher.sm4_gcm_seal(KEY, NONCE, aad, plaintext))
    assert len(sealed) == len(plaintext) + 16
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(OpenError):
        cipher.sm4_gcm_open(KEY, NONCE, aad, bytes(sealed))


def test_hkdf_expands_as_rfc5869_says() -> None:
    cipher = provider()
    extracted = cipher.hmac_sm3(b"salt", b"key")
    first = cipher.hmac_sm3(extracted, b"info\x01")
    second = cipher.hmac_sm3(extracted, first + b"info\x02")
    assert cipher.hkdf_sm3(b"key", b"salt", b"info", 48) == (first + second)[:48]


def test_short_texts_tags_keys_and_nonces_are_refused() -> None:
    cipher = provider()
    for sealed in (b"", bytes(15)):
        with pytest.raises(OpenError):
            cipher.sm4_gcm_open(KEY, NONCE, b"", sealed)
    for key, nonce in ((KEY[:-1], NONCE), (KEY * 2, NONCE), (KEY, NONCE[:-1]), (KEY, NONCE + b"\x00")):
        with pytest.raises(InputError):
            cipher.sm4_gcm_seal(key, nonce, b"", b"")


def test_provider_is_chosen_once_and_names_itself() -> None:
    assert provider() is provider()
    assert provider().name == "cryptography"
    assert provider().version


class Broken(PycaCipher):
    """A provider that computes one primitive wrongly."""

    def __init__(self, primitive: str) -> None:
        self.primitive = primitive

    def _spoilt(self, primitive: str, value: bytes) -> bytes:
        return value[:-1] + bytes([value[-1] ^ 1]) if primitive == self.primitive else value

    def sm4_gcm_seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return self._spoilt("seal", super().sm4_gcm_seal(key, nonce, aad, plaintext))

    def sm4_gcm_open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
        if self.primitive == "tag":
            return super().sm4_gcm_open(key, nonce, aad, super().sm4_gcm_seal(key, nonce, aad, bytes(64)))
        return self._spoilt("open", super().sm4_gcm_open(key, nonce, aad, sealed))

    def sm3(self, data: bytes) -> bytes:
        return self._spoilt("sm3", super().sm3(data))

    def hmac_sm3(self, key: bytes, data: bytes) -> bytes:
        return self._spoilt("hmac", super().hmac_sm3(key, data))

    def hkdf_sm3(self, key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
        return self._spoilt("hkdf", super().hkdf_sm3(key, salt, info, length))


@pytest.mark.parametrize("primitive", ["seal", "open", "tag", "sm3", "hmac", "hkdf"])
def test_self_test_refuses_a_wrong_provider(primitive: str) -> None:
    broken: Cipher = Broken(primitive)
    with pytest.raises(CipherUnavailableError):
        self_test(broken)


class Careless(PycaCipher):
    """A provider that does not check tags."""

    def sm4_gcm_open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
        try:
            return super().sm4_gcm_open(key, nonce, aad, sealed)
        except OpenError:
            return b""


def test_self_test_refuses_a_provider_that_checks_no_tags() -> None:
    with pytest.raises(CipherUnavailableError):
        self_test(Careless())
