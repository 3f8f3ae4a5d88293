"""Every cipher provider against published vectors, its definitions, and a second implementation."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gmssl.func
import gmssl.sm3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.crypto import gcrypt
from capsule.crypto.cipher import Cipher, self_test
from capsule.crypto.gcrypt import GcryptCipher
from capsule.crypto.provider import PROVIDERS, choose, load, provider
from capsule.crypto.pyca import PycaCipher
from capsule.errors import CipherUnavailableError, InputError, OpenError
from tests.capsule import reference

VECTORS = Path(__file__).parents[3].parent / "shared" / "vectors" / "wycheproof"
KEY = bytes(range(16))
NONCE = bytes(12)


def _working() -> list[Cipher]:
    found = []
    for name in PROVIDERS:
        try:
            found.append(load(name))
        except CipherUnavailableError:
            continue
    return found


WORKING = _working()
each = pytest.mark.parametrize("cipher", WORKING, ids=[cipher.name for cipher in WORKING])
needs_both = pytest.mark.skipif(len(WORKING) < 2, reason="libgcrypt.so.20 is not on this system")
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="published vectors are not beside the repository")


@needs_vectors
@each
def test_published_sm4_gcm_vectors_hold_or_are_refused(cipher: Cipher) -> None:
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
@each
def test_published_hmac_sm3_vectors_hold(cipher: Cipher) -> None:
    checked = 0
    for group in json.loads((VECTORS / "hmac_sm3_test.json").read_bytes())["testGroups"]:
        for case in group["tests"]:
            tag = cipher.hmac_sm3(bytes.fromhex(case["key"]), bytes.fromhex(case["msg"]))[: group["tagSize"] // 8]
            assert (tag == bytes.fromhex(case["tag"])) == (case["result"] == "valid")
            checked += 1
    assert checked == 174


def published(*path: str) -> list[dict[str, str]]:
    """The cases of a file of the package cryptography-vectors."""
    package = pytest.importorskip("cryptography_vectors", reason="the package cryptography-vectors is not installed")
    text = Path(package.__file__).parent.joinpath(*path).read_text("utf-8")
    cases: list[dict[str, str]] = [{}]
    for line in text.splitlines():
        name, sign, value = line.partition("=")
        if line.startswith("#") or not sign:
            continue
        if name.strip() in cases[-1]:
            cases.append({})
        cases[-1][name.strip()] = value.strip()
    return cases


@each
def test_sm4_gcm_file_of_cryptography_vectors_holds(cipher: Cipher) -> None:
    cases = published("ciphers", "SM4", "rfc8998.txt")
    for case in cases:
        names = ("KEY", "IV", "AAD", "PLAINTEXT", "CIPHERTEXT", "TAG")
        key, nonce, aad, plaintext, ciphertext, tag = (bytes.fromhex(case[name]) for name in names)
        assert cipher.sm4_gcm_seal(key, nonce, aad, plaintext) == ciphertext + tag
    assert cases


@each
def test_sm3_file_of_cryptography_vectors_holds(cipher: Cipher) -> None:
    cases = published("hashes", "SM3", "oscca.txt")
    for case in cases:
        assert cipher.sm3(bytes.fromhex(case["Msg"])[: int(case["Len"]) // 8]).hex() == case["MD"]
    assert len(cases) > 3


@each
@settings(deadline=None)  # pure Python, and slow on a busy machine
@given(data=st.binary(max_size=200))
def test_sm3_agrees_with_a_second_implementation(cipher: Cipher, data: bytes) -> None:
    assert cipher.sm3(data).hex() == gmssl.sm3.sm3_hash(gmssl.func.bytes_to_list(data))


@each
@settings(deadline=None)
@given(plaintext=st.binary(max_size=100), aad=st.binary(max_size=40), at=st.integers(0, 139), bit=st.integers(0, 7))
def test_one_flipped_bit_opens_nothing(cipher: Cipher, plaintext: bytes, aad: bytes, at: int, bit: int) -> None:
    sealed = bytearray(cipher.sm4_gcm_seal(KEY, NONCE, aad, plaintext))
    assert len(sealed) == len(plaintext) + 16
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(OpenError):
        cipher.sm4_gcm_open(KEY, NONCE, aad, bytes(sealed))
    left = bytearray(b"\xff" * len(plaintext))
    with pytest.raises(OpenError):
        cipher.sm4_gcm_open_into(KEY, NONCE, aad, bytes(sealed), memoryview(left))
    assert not any(left)


@needs_both
@settings(deadline=None)
@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=12, max_size=12),
    st.binary(max_size=80),
    st.one_of(st.binary(max_size=300), st.integers(0, 5000).map(bytes)),
)
def test_providers_give_identical_bytes(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> None:
    first, second = WORKING
    sealed = first.sm4_gcm_seal(key, nonce, aad, plaintext)
    assert sealed == second.sm4_gcm_seal(key, nonce, aad, plaintext)
    for cipher in WORKING:
        into, back = bytearray(len(sealed)), bytearray(len(plaintext))
        cipher.sm4_gcm_seal_into(key, nonce, aad, memoryview(plaintext), memoryview(into))
        assert into == sealed
        cipher.sm4_gcm_open_into(key, nonce, aad, memoryview(sealed), memoryview(back))
        assert back == plaintext == cipher.sm4_gcm_open(key, nonce, aad, sealed)
    assert first.sm3(plaintext) == second.sm3(plaintext)
    assert first.hmac_sm3(aad, plaintext) == second.hmac_sm3(aad, plaintext)
    assert first.hkdf_sm3(key, aad, nonce, 80) == second.hkdf_sm3(key, aad, nonce, 80)


@each
@settings(max_examples=25, deadline=None)
@given(
    key=st.binary(min_size=16, max_size=16),
    nonce=st.binary(min_size=12, max_size=12),
    aad=st.binary(max_size=40),
    plaintext=st.binary(max_size=70),
)
def test_sm4_gcm_agrees_with_a_second_implementation(
    cipher: Cipher, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes
) -> None:
    sealed = cipher.sm4_gcm_seal(key, nonce, aad, plaintext)
    assert reference.sm4_gcm_open(key, nonce, aad, sealed) == plaintext


@each
def test_a_text_is_sealed_and_opened_in_its_own_place(cipher: Cipher) -> None:
    plaintext = bytes(range(256)) * 300
    buffer = bytearray(plaintext + bytes(16))
    view = memoryview(buffer)
    cipher.sm4_gcm_seal_into(KEY, NONCE, b"", view[:-16], view)
    assert buffer == cipher.sm4_gcm_seal(KEY, NONCE, b"", plaintext)
    cipher.sm4_gcm_open_into(KEY, NONCE, b"", view, view[:-16])
    assert buffer[:-16] == plaintext


@each
def test_threads_share_a_provider(cipher: Cipher) -> None:
    def round_trip(number: int) -> bool:
        nonce, plaintext = number.to_bytes(12, "big"), number.to_bytes(4, "big") * 5000
        return cipher.sm4_gcm_open(KEY, nonce, b"", cipher.sm4_gcm_seal(KEY, nonce, b"", plaintext)) == plaintext

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(round_trip, range(200)))


@each
def test_buffers_of_another_size_are_refused(cipher: Cipher) -> None:
    for size in (15, 17):
        with pytest.raises(InputError):
            cipher.sm4_gcm_seal_into(KEY, NONCE, b"", b"", memoryview(bytearray(size)))
        with pytest.raises(InputError):
            cipher.sm4_gcm_open_into(KEY, NONCE, b"", bytes(32), memoryview(bytearray(size)))


@each
def test_hkdf_expands_as_rfc5869_says(cipher: Cipher) -> None:
    extracted = cipher.hmac_sm3(b"salt", b"key")
    first = cipher.hmac_sm3(extracted, b"info\x01")
    second = cipher.hmac_sm3(extracted, first + b"info\x02")
    assert cipher.hkdf_sm3(b"key", b"salt", b"info", 48) == (first + second)[:48]


@each
def test_short_texts_tags_keys_and_nonces_are_refused(cipher: Cipher) -> None:
    for sealed in (b"", bytes(15)):
        with pytest.raises(OpenError):
            cipher.sm4_gcm_open(KEY, NONCE, b"", sealed)
    for key, nonce in ((KEY[:-1], NONCE), (KEY * 2, NONCE), (KEY, NONCE[:-1]), (KEY, NONCE + b"\x00")):
        with pytest.raises(InputError):
            cipher.sm4_gcm_seal(key, nonce, b"", b"")


@pytest.fixture
def unsettled() -> Iterator[None]:
    """The choice of provider as it was, afterwards."""
    before = provider().name
    yield
    choose(before)


@pytest.mark.usefixtures("unsettled")
def test_provider_is_chosen_by_name_or_the_first_that_works() -> None:
    assert choose() is provider() is WORKING[0]
    for cipher in WORKING:
        assert choose(cipher.name) is provider() is cipher
        assert cipher.version
    with pytest.raises(InputError):
        choose("openssl")
    assert provider() is WORKING[-1]


@needs_both
def test_a_system_without_libgcrypt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_LIBRARY", "libgcrypt.so.999"), ("_OLDEST", b"99.0.0")):
        with monkeypatch.context() as patch:
            patch.setattr(gcrypt, name, value)
            with pytest.raises(CipherUnavailableError):
                GcryptCipher()


@needs_both
def test_other_errors_than_a_wrong_tag_are_no_open_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcrypt, "_SM4", 9999)
    with pytest.raises(CipherUnavailableError, match="refuses"):
        GcryptCipher().sm4_gcm_open(KEY, NONCE, b"", bytes(32))


class Broken(PycaCipher):
    """A provider that computes one primitive wrongly."""

    def __init__(self, primitive: str) -> None:
        self.primitive = primitive

    def _spoilt(self, primitive: str, value: bytes) -> bytes:
        return value[:-1] + bytes([value[-1] ^ 1]) if primitive == self.primitive else value

    def sm4_gcm_seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes | memoryview) -> bytes:
        return self._spoilt("seal", super().sm4_gcm_seal(key, nonce, aad, plaintext))

    def sm4_gcm_open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview) -> bytes:
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

    def sm4_gcm_open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview) -> bytes:
        try:
            return super().sm4_gcm_open(key, nonce, aad, sealed)
        except OpenError:
            return b""


def test_self_test_refuses_a_provider_that_checks_no_tags() -> None:
    with pytest.raises(CipherUnavailableError):
        self_test(Careless())
