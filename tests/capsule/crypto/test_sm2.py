"""SM2: the worked example of the standard, every library against the other, and what has to be refused."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gmssl.sm2
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.crypto import sm2
from capsule.crypto.sm2_library import N, P, Sm2Library, self_test
from capsule.errors import CipherUnavailableError, InputError, VerificationError
from capsule.signature import ED25519, SM2, Ed25519Signer, PublicKey, Sm2Signer, new_secret, signer_from_secret
from tests.capsule.samples import entropy_of

# GB/T 32918.5-2017, annex A.2
SECRET = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
X = bytes.fromhex("09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020")
Y = bytes.fromhex("CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13")
NONCE = bytes.fromhex("59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21")
Z_A = "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3"
E = "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640"
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
MESSAGE = b"message digest"
KEY = b"\x04" + X + Y + sm2.USER_ID
SIGNATURE = encode_dss_signature(R, S)


def _working() -> list[str]:
    found = []
    for name in sm2.LIBRARIES:
        try:
            found.append(sm2.load(name).name)
        except CipherUnavailableError:
            continue
    return found


WORKING = _working()
needs_both = pytest.mark.skipif(len(WORKING) < 2, reason="tongsuopy has no wheel for this platform")


@pytest.fixture(params=WORKING)
def library(request: pytest.FixtureRequest) -> Iterator[Sm2Library]:
    before = sm2.library()
    yield sm2.choose(request.param)
    sm2.choose(before.name)


def nonces(*drawn: bytes) -> Callable[[int], bytes]:
    left = iter(drawn)
    return lambda _: next(left)


# The standard


def test_the_standard_s_example_to_the_last_bit() -> None:
    assert sm2.public_key_of(SECRET, sm2.USER_ID) == KEY
    assert sm2.user_digest(KEY).hex() == Z_A
    assert sm2.message_digest(KEY, MESSAGE).hex() == E
    assert sm2.load("gmssl").sign(int.from_bytes(SECRET, "big"), bytes.fromhex(E), nonces(NONCE)) == (R, S)


def test_the_published_example_is_the_standard_s() -> None:
    """docs/formats.md shows this key and signature."""
    page = "".join((Path(__file__).parents[3] / "docs" / "formats.md").read_text("utf-8").split())
    for shown in (KEY.hex(), Z_A, E, SIGNATURE.hex()):
        assert shown in page


def test_the_standard_s_signature_verifies_and_its_key_is_derived(library: Sm2Library) -> None:
    signer = Sm2Signer(SECRET, sm2.USER_ID, entropy_of(1))
    assert signer.public_key == KEY
    key = PublicKey(SM2, KEY)
    key.verify(MESSAGE, SIGNATURE)
    key.verify(MESSAGE, signer.sign(MESSAGE))
    with pytest.raises(VerificationError):
        key.verify(MESSAGE + b".", SIGNATURE)


def test_the_signer_with_gmssl_takes_its_nonce_from_the_entropy_it_was_given() -> None:
    before = sm2.library()
    sm2.choose("gmssl")
    try:
        drawn = (bytes(32), b"\xff" * 32, N.to_bytes(32, "big"), NONCE)  # out of range, out of range, n itself
        assert Sm2Signer(SECRET, sm2.USER_ID, nonces(*drawn)).sign(MESSAGE) == SIGNATURE
        with pytest.raises(InputError, match="not random"):
            Sm2Signer(SECRET, sm2.USER_ID, bytes).sign(MESSAGE)
    finally:
        sm2.choose(before.name)


def test_gmssl_s_own_generator_and_parsing_are_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> object:
        raise AssertionError

    monkeypatch.setattr(gmssl.sm2.func, "random_hex", refused)
    gm, digest = sm2.load("gmssl"), bytes.fromhex(E)
    for secret, first in ((11, 0x04), (327, 0x00)):  # its constructor strips zeros and fours off a key's start
        point = gm.point(secret)
        assert point[0] == first
        gm.verify(point, digest, *gm.sign(secret, digest, entropy_of(2)))


# One library against the other


@needs_both
@settings(max_examples=12, deadline=None)
@given(st.integers(1, N - 2), st.binary(min_size=1, max_size=64), st.binary(max_size=80), st.integers(0, 2**32))
def test_what_one_library_signs_the_other_verifies(secret: int, user_id: bytes, message: bytes, seed: int) -> None:
    one, other = (sm2.load(name) for name in WORKING)
    assert one.point(secret) == other.point(secret)
    point = one.point(secret)
    digest = sm2.message_digest(b"\x04" + point + user_id, message)
    for signs, verifies in ((one, other), (other, one)):
        r, s = signs.sign(secret, digest, entropy_of(seed))
        verifies.verify(point, digest, r, s)
        for changed in ((r, s % (N - 1) + 1), (r % (N - 1) + 1, s)):
            with pytest.raises(VerificationError):
                verifies.verify(point, digest, *changed)
        with pytest.raises(VerificationError):
            verifies.verify(point, digest[::-1], r, s)


@pytest.mark.parametrize("secret", [1, 2, N - 3, N - 2])
def test_secrets_and_scalars_at_the_ends_work(library: Sm2Library, secret: int) -> None:
    signer = Sm2Signer(secret.to_bytes(32, "big"), b"end", entropy_of(secret % 97))
    PublicKey(SM2, signer.public_key).verify(MESSAGE, signer.sign(MESSAGE))


def test_short_scalars_keep_their_zeros() -> None:
    gm = sm2.load("gmssl")
    for nonce in (1, 2, 255, N - 1):
        r, s = gm.sign(7, bytes.fromhex(E), nonces(nonce.to_bytes(32, "big")))
        for name in WORKING:
            sm2.load(name).verify(gm.point(7), bytes.fromhex(E), r, s)


# User ids


def test_a_signature_is_bound_to_its_user_id(library: Sm2Library) -> None:
    one, other = (Sm2Signer(SECRET, user_id, entropy_of(3)) for user_id in (b"A", b"B"))
    assert one.public_key[:65] == other.public_key[:65]
    PublicKey(SM2, one.public_key).verify(MESSAGE, one.sign(MESSAGE))
    for wrong in (other.public_key, one.public_key + b"A", KEY):
        with pytest.raises(VerificationError):
            PublicKey(SM2, wrong).verify(MESSAGE, one.sign(MESSAGE))


@pytest.mark.parametrize("user_id", [b"", bytes(65)])
def test_a_user_id_has_1_to_64_bytes(user_id: bytes) -> None:
    with pytest.raises(InputError, match="user id of 1 to 64"):
        Sm2Signer(SECRET, user_id, entropy_of(1))
    assert len(Sm2Signer(SECRET, bytes(64), entropy_of(1)).public_key) == 129


# Hostile signatures


def der(*integers: bytes) -> bytes:
    body = b"".join(b"\x02" + bytes([len(each)]) + each for each in integers)
    return b"\x30" + bytes([len(body)]) + body


def minimal(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        bytes(64),
        R.to_bytes(32, "big") + S.to_bytes(32, "big"),  # raw r and s
        SIGNATURE[:-1],
        SIGNATURE + b"\x00",
        b"\x30\x81" + SIGNATURE[1:],  # a length in a longer form
        b"\x30\x80" + SIGNATURE[2:] + b"\x00\x00",  # an indefinite length
        b"\x31" + SIGNATURE[1:],  # a SET
        der(minimal(R), b"\x00" + minimal(S)),  # an integer longer than need be
        der(b"\x00" + minimal(R), minimal(S)),
        der(R.to_bytes(32, "big"), minimal(S)),  # without its sign byte: negative
        der(minimal(R), minimal(S), b"\x01"),
        der(minimal(R)),
        der(b"", minimal(S)),
        der(b"\x00", minimal(S)),  # zero
        der(minimal(R), b"\x00"),
        der(minimal(N), minimal(S)),
        der(minimal(R), minimal(N)),
        der(minimal(R + N), minimal(S)),  # the same modulo n
        der(minimal(R), minimal(S + N)),
        der(minimal(S), minimal(R)),
        der(minimal(R), minimal(N - R)),  # r + s is zero
        der(minimal(R), minimal(N - S)),
        SIGNATURE * 1000,
    ],
)
def test_no_other_bytes_are_a_signature(library: Sm2Library, signature: bytes) -> None:
    key = PublicKey(SM2, KEY)
    with pytest.raises(VerificationError, match="signature does not hold") as refused:
        key.verify(MESSAGE, signature)
    assert KEY.hex() in refused.value.evidence
    key.verify(MESSAGE, SIGNATURE)


def test_libraries_refuse_what_leads_to_no_point(library: Sm2Library) -> None:
    """s G = -(r + s) P, where there is no sum; gmssl breaks off there."""
    secret, s = 5, 12345
    t = -s * pow(secret, -1, N) % N
    with pytest.raises(VerificationError):
        library.verify(library.point(secret), bytes.fromhex(E), (t - s) % N, s)


# Keys


@pytest.mark.parametrize(
    "key",
    [
        b"",
        KEY[:64],
        KEY[:65],  # without a user id
        KEY + bytes(49),  # with too long a one
        b"\x02" + KEY[1:],
        b"\x06" + KEY[1:],  # hybrid
        b"\x00" + KEY[1:],
        b"\x04" + bytes(64) + b"1",  # (0, 0)
        b"\x04" + X + bytes([Y[0] ^ 1]) + Y[1:] + b"1",  # off the curve
        b"\x04" + P.to_bytes(32, "big") + Y + b"1",
        b"\x04" + b"\xff" * 64 + b"1",
        b"\x04" + X + (int.from_bytes(Y, "big") + P).to_bytes(33, "big")[1:] + b"1",  # y past p, cut off
    ],
)
def test_what_is_no_key_is_never_registered(key: bytes) -> None:
    with pytest.raises(InputError):
        PublicKey(SM2, key)


def test_a_coordinate_is_written_in_one_way() -> None:
    """A point with a small x could be written again as x + p, where that fits in 32 bytes."""
    for x in range(200):
        square = (x**3 - 3 * x + 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            break
    PublicKey(SM2, b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big") + b"1")
    with pytest.raises(InputError):
        PublicKey(SM2, b"\x04" + (x + P).to_bytes(32, "big") + y.to_bytes(32, "big") + b"1")


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), (N - 1).to_bytes(32, "big"), b"\xff" * 32, bytes(33)])
def test_what_is_no_secret_makes_no_signer(secret: bytes) -> None:
    with pytest.raises(InputError, match="SM2 secret"):
        Sm2Signer(secret, b"1", entropy_of(1))


def test_secrets_are_drawn_within_range_and_hidden() -> None:
    signer = Sm2Signer.generate(nonces(bytes(32), (N - 1).to_bytes(32, "big"), SECRET))
    assert (signer.secret, signer.user_id) == (SECRET, sm2.USER_ID)
    assert SECRET.hex() not in repr(signer)
    assert repr(SECRET) not in repr(signer)
    with pytest.raises(InputError, match="not random"):
        Sm2Signer.generate(bytes)


def test_a_stored_secret_gives_its_signer_again() -> None:
    for suite, kind in ((ED25519, Ed25519Signer), (SM2, Sm2Signer)):
        secret = new_secret(suite, entropy_of(suite))
        one, same = (signer_from_secret(suite, secret, entropy_of(9)) for _ in range(2))
        assert isinstance(one, kind)
        assert (one.suite, one.public_key) == (suite, same.public_key)
        key = PublicKey.of(one.public_key)
        assert key == PublicKey(suite, one.public_key)
        key.verify(MESSAGE, same.sign(MESSAGE))
    for wrong in (secret[:32], secret[:31], b""):
        with pytest.raises(InputError):
            signer_from_secret(SM2, wrong, entropy_of(1))


# The choice


class Broken:
    """A library that is right except in one thing."""

    name, version = "broken", "1"

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._right = sm2.load(WORKING[0])

    def point(self, secret: int) -> bytes:
        return self._right.point(secret + (self._fault == "point"))

    def sign(self, secret: int, digest: bytes, entropy: Callable[[int], bytes]) -> tuple[int, int]:
        r, s = self._right.sign(secret, digest, entropy)
        return r, s ^ (self._fault == "sign")

    def verify(self, point: bytes, digest: bytes, r: int, s: int) -> None:
        if self._fault == "refuses":
            raise VerificationError("no")
        if self._fault != "accepts":
            self._right.verify(point, digest, r, s)


@pytest.mark.parametrize("fault", ["point", "sign", "refuses", "accepts"])
def test_a_library_that_computes_wrongly_is_not_used(fault: str) -> None:
    assert self_test(Broken("none")).name == "broken"
    with pytest.raises(CipherUnavailableError, match="broken 1"):
        self_test(Broken(fault))


def test_the_library_is_chosen_once_the_fastest_first() -> None:
    before = sm2.library()
    try:
        assert sm2.choose().name == WORKING[0]
        assert sm2.choose("gmssl").name == "gmssl"
        assert sm2.library().name == "gmssl"
        with pytest.raises(InputError, match="no SM2 library 'openssl'"):
            sm2.choose("openssl")
        assert sm2.library().name == "gmssl"
    finally:
        sm2.choose(before.name)


def test_without_tongsuopy_gmssl_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sm2.library()
    monkeypatch.setitem(sys.modules, "tongsuopy", None)
    monkeypatch.delitem(sys.modules, "capsule.crypto.sm2_tongsuo", raising=False)
    sm2.load.cache_clear()
    try:
        assert sm2.choose().name == "gmssl"
        with pytest.raises(CipherUnavailableError, match=r"dataspace\[sm2\]"):
            sm2.choose("tongsuopy")
    finally:
        monkeypatch.undo()
        sm2.load.cache_clear()
        sm2.choose(before.name)
