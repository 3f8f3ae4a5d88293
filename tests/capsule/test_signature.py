"""Ed25519 as RFC 8032 has it, strictly; secrets stay hidden."""

import json
from pathlib import Path

import pytest

from capsule.errors import InputError, VerificationError
from capsule.signature import ED25519, SM2, Ed25519Signer, PublicKey, new_secret
from tests.capsule.samples import OTHER_KEY, SIGNER, SIGNER_KEY, entropy_of

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "wycheproof" / "ed25519_test.json"


@pytest.mark.skipif(not VECTORS.is_file(), reason="published Ed25519 vectors are not beside the repository")
def test_published_vectors_hold_or_are_refused() -> None:
    groups = json.loads(VECTORS.read_bytes())["testGroups"]
    checked = 0
    for group in groups:
        key = PublicKey(ED25519, bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            checked += 1
            if case["result"] == "valid":
                key.verify(message, signature)
            else:
                with pytest.raises(VerificationError):
                    key.verify(message, signature)
    assert checked == 151


def test_rfc8032_vector_1_is_signed() -> None:
    signer = Ed25519Signer(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert signer.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


@pytest.mark.parametrize(
    "key",
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        # y = 2^255 - 19 + 1, a non-canonical way to write the neutral element
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ],
)
def test_weak_keys_are_never_registered(key: str) -> None:
    with pytest.raises(InputError):
        PublicKey(ED25519, bytes.fromhex(key))


def test_other_suites_and_lengths_are_refused() -> None:
    for make in (lambda: PublicKey(3, SIGNER.public_key), lambda: new_secret(0, entropy_of(1))):
        with pytest.raises(InputError, match=r"there is no signature suite .*1 \(Ed25519\), 2 \(SM2\)"):
            make()
    with pytest.raises(InputError, match="SM2 public key"):
        PublicKey(SM2, SIGNER.public_key)
    with pytest.raises(InputError):
        PublicKey(ED25519, SIGNER.public_key[:-1])
    with pytest.raises(InputError):
        Ed25519Signer(b"short")
    with pytest.raises(VerificationError):
        SIGNER_KEY.verify_suite(SM2)
    assert SIGNER_KEY.verify_suite(ED25519) is SIGNER_KEY


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_malformed_signatures_are_refused_with_evidence(signature: bytes) -> None:
    with pytest.raises(VerificationError) as refused:
        SIGNER_KEY.verify(b"message", signature)
    assert signature.hex() in refused.value.evidence


def test_signature_of_another_key_or_message_is_refused() -> None:
    signature = SIGNER.sign(b"message")
    SIGNER_KEY.verify(b"message", signature)
    for key, message in ((OTHER_KEY, b"message"), (SIGNER_KEY, b"messagf")):
        with pytest.raises(VerificationError):
            key.verify(message, signature)


def test_signer_hides_its_seed() -> None:
    signer = Ed25519Signer.generate(entropy_of(5))
    assert signer.seed.hex() not in repr(signer)
    assert repr(signer.seed) not in repr(signer)
    assert signer == Ed25519Signer(signer.seed)
