"""Frames: what a device signs comes back unchanged, an independent COSE library agrees, and nothing hostile passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from pycose.algorithms import EdDSA
from pycose.headers import Algorithm
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import CoseMessage, Sign1Message

from capsule.errors import CapsuleError, FormatError, InputError, VerificationError
from capsule.frame import FIRST_PREVIOUS, MAX_FRAME_BYTES, Frame, Mark, frame_hash, read_frame, sign_frame, verify_frame
from capsule.ids import DeviceId, Digest
from capsule.rows import Row
from capsule.signature import SM2, Ed25519Signer, PublicKey
from tests.capsule.frames import START, Device, some_rows

ACKNOWLEDGED = Digest(b"\x0a" * 32)
HEADER = {
    1: -8,
    3: 112,
    16: "application/vnd.dataspace.frame",
    -70000: 1,
    -70001: bytes(Device().id),
    -70002: 1,
    -70003: bytes(32),
    -70005: "signed",
}


def make(header: dict[Any, Any], payload: bytes | None = None, device: Device | None = None) -> bytes:
    """A frame with any header, well signed."""
    signer = (device or Device()).signer
    protected = cbor2.dumps(header)
    payload = (
        cbor2.dumps([{-2: bytes(Device().id).hex() + "/", -3: START, 0: "P", 2: 1}]) if payload is None else payload
    )
    signature = signer.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]))


def test_a_frame_comes_back_as_it_was_signed() -> None:
    device = Device()
    frame = Frame(
        device.id, 7, Digest(b"\x07" * 32), ACKNOWLEDGED, Mark.IMPORTED, tuple(some_rows(0, 60, 35)), {"C1": "kW"}
    )
    data = sign_frame(frame, device.signer)
    verified = verify_frame(data, device.key)
    assert (verified.frame, verified.hash, verified.data) == (frame, frame_hash(data), data)
    assert sign_frame(frame, device.signer) == data


def test_the_published_frame() -> None:
    """docs/formats.md shows this frame."""
    signer = Ed25519Signer(bytes(range(32)))
    rows = (Row(1_700_000_000, {"P_AC": -250, "温度": 21.5}), Row(1_700_000_010, {"P_AC": 300}))
    data = sign_frame(Frame(DeviceId(b"\x01" * 32), 1, FIRST_PREVIOUS, None, Mark.SIGNED, rows), signer)
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    assert data.hex() in "".join(page.split())
    assert str(frame_hash(data)) == "0x0cedd0c45aa5da460b665f9d6404750d9fd2b1a580cd70f5c701cfd177a6b0ab"
    assert str(frame_hash(data)) in page


def test_frame_hash_is_domain_separated_over_the_received_bytes() -> None:
    data = Device().frame(some_rows(0, 1))
    assert frame_hash(data) == hashlib.sha256(b"dataspace/frame/1\x00" + data).digest()


def test_pycose_verifies_our_frames_and_reads_their_header() -> None:
    device = Device()
    data = device.frame(some_rows(0, 5), acknowledged=ACKNOWLEDGED)
    message = CoseMessage.decode(data)
    assert isinstance(message, Sign1Message)
    message.key = OKPKey(crv=Ed25519, x=device.signer.public_key)
    assert message.verify_signature()
    assert cbor2.loads(data).value[0] == message.phdr_encoded
    assert message.phdr[-70002] == 1
    assert message.phdr[-70004] == bytes(ACKNOWLEDGED)
    message.key = OKPKey(crv=Ed25519, x=Device(2).signer.public_key)
    assert not message.verify_signature()


def test_we_verify_what_pycose_signs() -> None:
    device = Device()
    header = {Algorithm: EdDSA, **{label: value for label, value in HEADER.items() if label != 1}}
    message = Sign1Message(phdr=header, payload=read_frame(make(HEADER)).payload)
    message.key = OKPKey(crv=Ed25519, d=device.signer.seed, x=device.signer.public_key)
    verified = verify_frame(message.encode(), device.key)
    assert verified.frame.rows == (Row(START, {"P": 1}),)
    assert (verified.frame.device, verified.frame.sequence) == (device.id, 1)


def test_another_device_s_key_does_not_verify() -> None:
    data = Device(1).frame(some_rows(0, 1))
    with pytest.raises(VerificationError):
        verify_frame(data, Device(2).key)


@given(st.data())
def test_fuzz_no_changed_byte_verifies(data: st.DataObject) -> None:
    device = Device()
    frame = device.frame(some_rows(0, 2))
    changed = bytearray(frame)
    changed[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((FormatError, VerificationError)):
        verify_frame(bytes(changed), device.key)


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda tail: b"\xd2\x84" + tail))
def test_fuzz_random_bytes_are_no_frames(data: bytes) -> None:
    with pytest.raises(FormatError):
        verify_frame(data, Device().key)


def _outer(change: Callable[[list[Any]], Any]) -> bytes:
    parts = list(cbor2.loads(make(HEADER)).value)
    return cbor2.dumps(cbor2.CBORTag(18, change(parts)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        make({**HEADER, 1: -70100})[:-1] + b"\x00\x00",  # SM2 by name, with a byte too many
        make({**HEADER, 1: -7}),
        make({**HEADER, 1: True}),
        make(HEADER)[1:],  # without its tag
        b"\xd8\x12" + make(HEADER)[1:],  # tag in a longer form
        make(HEADER) + b"\x00",
        make(HEADER)[:-1],
        _outer(lambda parts: parts[:3]),
        _outer(lambda parts: [*parts, b""]),
        _outer(lambda parts: [parts[0], {4: b"kid"}, *parts[2:]]),
        _outer(lambda parts: [cbor2.loads(parts[0]), *parts[1:]]),
        _outer(lambda parts: [*parts[:2], None, parts[3]]),
        _outer(lambda parts: [*parts[:3], parts[3][:-1]]),
        _outer(lambda parts: [*parts[:3], parts[3] + b"\x00"]),
        make(HEADER).replace(b"\xa0", b"\xbf\xff", 1),
        b"\xd2\x84\x5b\xff\xff\xff\xff\xff\xff\xff\xff",  # a length of 2^64 - 1
        b"\xd2\x84\x3b\xff\xff\xff\xff\xff\xff\xff\xff",  # a negative length
        b"\xd2\x84" + b"\x81" * 5000,
        b"\xd2\x84" + bytes(MAX_FRAME_BYTES),
        b"\x81" * 100_000,
    ],
)
def test_only_one_envelope_is_a_frame(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_frame(data)


def test_the_same_signature_in_a_longer_encoding_is_no_second_frame() -> None:
    """Else anyone could forge the evidence of a fork."""
    frame = make(HEADER)
    protected = cbor2.loads(frame).value[0]
    assert frame[2] == 0x58
    longer = frame[:2] + b"\x59\x00" + frame[3:]
    assert cbor2.loads(longer).value[0] == protected
    with pytest.raises(FormatError, match="shortest"):
        read_frame(longer)


@pytest.mark.parametrize(
    "change",
    [
        {1: -7},
        {1: None},
        {3: 110},
        {16: "application/vnd.dataspace.other"},
        {-70000: 2},
        {-70001: b"short"},
        {-70001: None},
        {-70002: 0},
        {-70002: -1},
        {-70002: 2**53},
        {-70002: 1.0},
        {-70002: True},
        {-70002: 2},  # with the first one's previous hash
        {-70003: b"\x01" * 32},  # a first frame that names another
        {-70003: b"\x00" * 31},
        {-70004: b""},
        {-70005: "trusted"},
        {-70005: 1},
        {-70005: [1]},
        {2: [-70009]},
        {2: []},
        {2: -70001},
        {7: {1: {2: {3: 4}}}},
    ],
)
def test_headers_that_say_something_else_are_refused(change: dict[int, Any]) -> None:
    header = {label: value for label, value in {**HEADER, **change}.items() if value is not None}
    with pytest.raises(FormatError):
        read_frame(make(header))


@settings(max_examples=400)
@given(st.data())
def test_headers_in_the_written_form_read_as_all_others(data: st.DataObject) -> None:
    """A parameter that nobody knows takes a header the long way."""
    more = data.draw(st.sampled_from([{}, {-70004: b"\x04" * 32}, {-70006: b"\x06" * 32}]))
    header = bytearray(cbor2.dumps({**HEADER, **more}, canonical=True))
    for _ in range(data.draw(st.integers(0, 2))):
        header[data.draw(st.integers(1, len(header) - 1))] = data.draw(st.integers(0, 255))
    outcomes = []
    for protected in (bytes(header), bytes((header[0] + 1,)) + header[1:] + b"\x19\x03\xe8\x00"):
        parts = cbor2.dumps(cbor2.CBORTag(18, [protected, {}, b"\x80", bytes(64)]))
        try:
            frame = read_frame(parts)
        except FormatError:
            outcomes.append(None)
        else:
            outcomes.append(
                (frame.device, frame.sequence, frame.previous, frame.acknowledged, frame.mark, frame.received)
            )
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("count", [0xA7, 0xA9])
def test_a_header_with_another_number_of_parameters_than_it_says_is_refused(count: int) -> None:
    protected = cbor2.dumps(HEADER, canonical=True)
    assert protected[0] == 0xA8
    with pytest.raises(FormatError):
        read_frame(cbor2.dumps(cbor2.CBORTag(18, [bytes((count,)) + protected[1:], {}, b"\x80", bytes(64)])))


def test_headers_with_more_than_we_know_are_read() -> None:
    assert read_frame(make({**HEADER, 4: b"kid", "note": "x", 2: [-70002, -70003]})).sequence == 1


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\xa0", b"\x81" * 2000, b"\x9b" + b"\xff" * 8, b"\x00", bytes(100)])
def test_a_signed_payload_that_is_no_pack_is_a_format_error(payload: bytes) -> None:
    with pytest.raises(FormatError):
        verify_frame(make(HEADER, payload), Device().key)


def test_a_payload_about_another_device_is_refused() -> None:
    other = Device(2)
    with pytest.raises(FormatError, match="not about device"):
        verify_frame(make({**HEADER, -70001: bytes(other.id)}), Device().key)


@pytest.mark.parametrize(
    ("sequence", "previous"), [(0, FIRST_PREVIOUS), (2**53, ACKNOWLEDGED), (1, ACKNOWLEDGED), (2, FIRST_PREVIOUS)]
)
def test_frames_out_of_the_chain_are_not_made(sequence: int, previous: Digest) -> None:
    with pytest.raises(InputError):
        Frame(DeviceId(bytes(32)), sequence, previous, None, Mark.SIGNED, ())


def test_a_frame_too_large_is_not_made() -> None:
    rows = tuple(Row(START + at, {f"{'c' * 100}{column}": 1.5 for column in range(10)}) for at in range(1000))
    with pytest.raises(InputError, match="at most"):
        sign_frame(Frame(Device().id, 1, FIRST_PREVIOUS, None, Mark.SIGNED, rows), Device().signer)


def test_a_frame_of_an_unknown_suite_is_not_made() -> None:
    class Other:
        suite = 3
        public_key = b""

        def sign(self, message: bytes) -> bytes:
            raise AssertionError

    with pytest.raises(InputError, match="suite 3"):
        sign_frame(Frame(Device().id, 1, FIRST_PREVIOUS, None, Mark.SIGNED, tuple(some_rows(0, 1))), Other())


# SM2


SM2_ALGORITHM = -70100


def test_a_device_with_an_sm2_key_signs_frames_that_verify_under_it_alone() -> None:
    device = Device(suite=SM2)
    first, second = device.frames(2)
    verified = verify_frame(first, device.key)
    assert (verified.frame.sequence, verified.key, read_frame(first).suite) == (1, device.key, SM2)
    assert cbor2.loads(cbor2.loads(first).value[0])[1] == SM2_ALGORITHM
    assert verify_frame(second, device.key).frame.previous == verified.hash
    for other in (Device(2, SM2).key, Device().key, PublicKey(SM2, device.key.key + b"2")):
        with pytest.raises(VerificationError):
            verify_frame(first, other)
    with pytest.raises(VerificationError, match="names suite 1"):
        verify_frame(Device().frame(some_rows(0, 1)), device.key)


def test_no_changed_byte_of_an_sm2_frame_verifies() -> None:
    device = Device(suite=SM2)
    frame = device.frame(some_rows(0, 1))
    for at in range(len(frame)):
        changed = bytearray(frame)
        changed[at] ^= 1 << at % 8
        with pytest.raises((FormatError, VerificationError)):
            verify_frame(bytes(changed), device.key)


def test_an_sm2_signature_has_one_place_and_form_in_a_frame() -> None:
    device = Device(suite=SM2)
    protected, _, payload, signature = cbor2.loads(device.frame(some_rows(0, 1))).value
    r, s = decode_dss_signature(signature)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    for other in (raw, signature + b"\0", b"\x30\x81" + signature[1:], bytes(73), b""):
        with pytest.raises((FormatError, VerificationError)):
            verify_frame(cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, other])), device.key)


def test_errors_of_this_room_have_one_root() -> None:
    assert issubclass(FormatError, CapsuleError)
    assert issubclass(VerificationError, CapsuleError)
