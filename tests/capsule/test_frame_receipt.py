"""Gateway receipts: one signature for one frame on one ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capsule import canonical
from capsule.digest import Domain
from capsule.errors import FormatError, VerificationError
from capsule.frame_receipt import FrameReceipt, SignedFrameReceipt, sign_frame_receipt, verify_frame_receipt
from capsule.ids import Address, Digest
from capsule.signature import Ed25519Signer, PublicKey
from tests.capsule.frames import GATEWAY, Device

DOMAIN = Domain(0xDA7A, Address(b"\xd1" * 20))
SIGNER = Ed25519Signer(b"\x09" * 32)
KEY = PublicKey(1, SIGNER.public_key)
RECEIPT = FrameReceipt(GATEWAY, Device().id, 3, Digest(b"\x33" * 32), 1_700_000_000)


def test_receipt_survives_its_bytes_and_verifies() -> None:
    signed = SignedFrameReceipt.from_bytes(sign_frame_receipt(RECEIPT, SIGNER, DOMAIN).to_bytes())
    assert verify_frame_receipt(signed, KEY, DOMAIN) == RECEIPT


@pytest.mark.parametrize(
    "changed",
    [
        replace(RECEIPT, gateway=Address(b"\x01" * 20)),
        replace(RECEIPT, device=Device(2).id),
        replace(RECEIPT, sequence=4),
        replace(RECEIPT, frame=Digest(b"\x34" * 32)),
        replace(RECEIPT, received_at=1_700_000_001),
    ],
)
def test_no_changed_receipt_verifies(changed: FrameReceipt) -> None:
    signed = sign_frame_receipt(RECEIPT, SIGNER, DOMAIN)
    with pytest.raises(VerificationError, match="is not signed by gateway"):
        verify_frame_receipt(replace(signed, receipt=changed), KEY, DOMAIN)


def test_receipt_of_another_ledger_or_key_or_suite_does_not_verify() -> None:
    signed = sign_frame_receipt(RECEIPT, SIGNER, DOMAIN)
    for key, domain in ((KEY, replace(DOMAIN, chain_id=1)), (Device().key, DOMAIN)):
        with pytest.raises(VerificationError):
            verify_frame_receipt(signed, key, domain)
    with pytest.raises(VerificationError) as caught:
        verify_frame_receipt(replace(signed, suite=2), KEY, DOMAIN)
    assert "suite 2" in caught.value.evidence


def test_members_of_a_later_version_keep_the_hash() -> None:
    document = {**RECEIPT.to_json(), "lane": "mqtt"}
    read = FrameReceipt.from_json(document)
    assert canonical.encode(read.to_json()) == canonical.encode(document)
    assert read.hash != RECEIPT.hash


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"kind":"dataspace/signed-frame-receipt","version":2}',
        b'{"kind":"dataspace/signed-frame-receipt","version":1,"receipt":{},"suite":1,"signature":"0x"}',
        sign_frame_receipt(RECEIPT, SIGNER, DOMAIN).to_bytes().replace(b'"sequence":3', b'"sequence":0'),
        sign_frame_receipt(RECEIPT, SIGNER, DOMAIN).to_bytes().replace(b'"sequence":3', b'"sequence":"3"'),
        sign_frame_receipt(RECEIPT, SIGNER, DOMAIN).to_bytes().replace(b'"frame":"0x33', b'"frame":"0x'),
    ],
)
def test_odd_documents_are_format_errors(data: bytes) -> None:
    with pytest.raises(FormatError):
        SignedFrameReceipt.from_bytes(data)
