"""The signature record of the edition of 2025: verified under the vehicle's registered key, or refused."""

from __future__ import annotations

import secrets

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from capsule.errors import InputError
from capsule.frame import Mark, verify_frame
from capsule.signature import Sm2Signer
from gateway.gbt32960.errors import Answer, LayoutError
from gateway.gbt32960.frame import Command, Edition, read_message
from gateway.gbt32960.message import Report, decode, encode_time
from gateway.gbt32960.signature import Algorithm, VehicleKey
from tests.gateway.gbt32960.vehicles import Garage, command, login, report
from tests.gateway.space import GATEWAY_KEY

NEW = Edition.E2025
ENGINE = bytes.fromhex("04 07d0")


def record(algorithm: int, signature: bytes) -> bytes:
    """FF, and the record of a signature in DER."""
    r, s = (number.to_bytes(32, "big") for number in decode_dss_signature(signature))
    return bytes((0xFF, algorithm)) + b"\0\x20" + r + b"\0\x20" + s


def test_a_vehicle_with_an_sm2_key_is_witnessed_when_its_signature_holds_and_else_refused(garage: Garage) -> None:
    signer = Sm2Signer.generate(secrets.token_bytes)
    vehicle = garage.register(key=VehicleKey(Algorithm.SM2, signer.public_key))
    at = garage.space.clock()
    signed = encode_time(at) + ENGINE
    good = report(at, ENGINE + record(1, signer.sign(signed)), edition=NEW)
    other = report(at + 1, ENGINE + record(1, signer.sign(signed)), edition=NEW)
    unsigned = report(at + 2, ENGINE, edition=NEW)
    old = report(at + 3, bytes.fromhex("04 01 07d0 02bc"))
    hidden = report(at + 4, ENGINE + b"\x33\0" + record(1, signer.sign(signed)), edition=NEW)
    ecc = report(at + 5, ENGINE + record(3, signer.sign(encode_time(at + 5) + ENGINE)), edition=NEW)
    with garage.terminal() as terminal:
        assert terminal.ask(login(at, edition=NEW)) is Answer.OK
        assert terminal.ask(good) is Answer.OK
        assert [terminal.ask(message) for message in (other, unsigned, hidden, ecc)] == [Answer.SIGNATURE] * 4
        assert terminal.ask(old) is Answer.ERROR  # the edition of 2016 has no such flag
    assert garage.gateway.status().frames == 2
    frame = garage.gateway.witness.frame_at(vehicle.device, 2)
    assert frame is not None
    verified = verify_frame(frame.data, GATEWAY_KEY)
    assert verified.frame.mark is Mark.WITNESSED  # never signed: the frame bears the gateway's signature
    assert verified.frame.rows[0].values == {"cmd": 2, "engine_rpm": 2_000, "vehicle_signature": 1}
    assert frame.received is not None
    assert garage.vehicles.message(frame.received)[0].data == good  # with the national signature in it


def test_an_ecc_key_is_p256_with_sha256(garage: Garage) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    point = secret.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    garage.register(key=VehicleKey(Algorithm.ECC, point))
    at = garage.space.clock()
    signature = secret.sign(encode_time(at) + ENGINE, ec.ECDSA(hashes.SHA256()))
    with garage.terminal() as terminal:
        terminal.ask(login(at, edition=NEW))
        assert terminal.ask(report(at, ENGINE + record(3, signature), edition=NEW)) is Answer.OK
        assert terminal.ask(report(at, b"\x04\x07\xd1" + record(3, signature), edition=NEW)) is Answer.SIGNATURE


def test_without_a_registered_key_a_signature_is_noted_as_not_verified(garage: Garage) -> None:
    vehicle = garage.register()
    at = garage.space.clock()
    rsa = bytes.fromhex("ff 02 0100") + bytes(256) + b"\0\0"
    with garage.terminal() as terminal:
        terminal.ask(login(at, edition=NEW))
        assert terminal.ask(report(at, ENGINE + rsa, edition=NEW)) is Answer.OK
    frame = garage.gateway.witness.frame_at(vehicle.device, 2)
    assert frame is not None
    assert frame.content_unverified().rows[0].values["vehicle_signature"] == 0


def test_the_signed_range_is_from_the_time_to_the_last_item() -> None:
    content = decode(
        read_message(
            command(Command.REALTIME, encode_time(0) + ENGINE + bytes.fromhex("ff01000102000103"), edition=NEW)
        )
    )
    assert isinstance(content, Report)
    assert content.signed == encode_time(0) + ENGINE
    assert content.signature is not None
    assert (content.signature.r, content.signature.s) == (b"\2", b"\3")


@pytest.mark.parametrize("tail", ["ff", "ff01", "ff010001", "ff0100010200", "ff01000102000103aa", "ff01fffd00"])
def test_a_damaged_record_is_refused(tail: str) -> None:
    with pytest.raises(LayoutError, match="signature record"):
        decode(read_message(command(Command.REALTIME, encode_time(0) + bytes.fromhex(tail), edition=NEW)))


def test_keys_that_verify_nothing_are_not_registered() -> None:
    with pytest.raises(InputError, match="neither hash nor padding"):
        VehicleKey(Algorithm.RSA, bytes(256))
    for algorithm in (Algorithm.SM2, Algorithm.ECC):
        with pytest.raises(InputError):
            VehicleKey(algorithm, b"\4" + bytes(64))
