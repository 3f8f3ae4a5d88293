"""Logs and revert data read as eth_abi writes them, and nothing else is read."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from capsule.digest import tagged
from capsule.ids import Address
from contracts.decode import EventDecoder, decode_revert
from contracts.errors import ChainIntegrityError
from contracts.events import AccessGranted, AssetRetired, Event, ShareReleased
from contracts.generate import CONTRACTS
from contracts.kinds import snake_case
from contracts.structs import TERMS_TYPE, terms_values
from contracts.words import address, blob, boolean, fixed, listing, tail, text, topics, uint, uscc, word
from tests.contracts.abi_values import abi_of, abi_type, log_of, plain, random_value

_HERE = Address(b"\x11" * 20)
_EVENTS = [(contract, event["name"], event) for contract in CONTRACTS for event in abi_of(contract, "event")]
_ERRORS = {error["name"]: error for contract in CONTRACTS for error in abi_of(contract, "error")}


def _decode(contract: str, event: dict[str, object], seed: int) -> tuple[dict[str, object], Event]:
    rng = random.Random(seed)
    values = {entry["name"]: random_value(entry, rng) for entry in event["inputs"]}  # type: ignore[attr-defined]
    return values, EventDecoder({_HERE: contract}).decode(log_of(event, values, _HERE))


@pytest.mark.parametrize(("contract", "name", "event"), _EVENTS, ids=[f"{c}-{n}" for c, n, _ in _EVENTS])
def test_event_round_trip(contract: str, name: str, event: dict[str, object]) -> None:
    for seed in range(25):
        values, decoded = _decode(contract, event, seed)
        assert type(decoded).__name__ == name
        for field, value in values.items():
            found = getattr(decoded, snake_case(field))
            assert plain(found) == ("Participants" if field == "name" else value), field


@pytest.mark.parametrize("name", sorted(_ERRORS))
def test_revert_round_trip(name: str) -> None:
    inputs = _ERRORS[name]["inputs"]
    types = [abi_type(entry) for entry in inputs]
    selector = keccak(f"{name}({','.join(types)})".encode())[:4]
    for seed in range(5):
        rng = random.Random(seed)
        values = [random_value(entry, rng) for entry in inputs]
        error = decode_revert(selector + encode(types, values))
        assert error.name == name
        expected = [
            "Participants" if entry["name"] == "name" else value for entry, value in zip(inputs, values, strict=True)
        ]
        assert [plain(argument) for argument in error.arguments] == expected


@pytest.mark.parametrize(
    ("data", "name", "arguments"),
    [
        (b"", "Empty", ()),
        (bytes.fromhex("08c379a0") + encode(["string"], ["no"]), "Error", ("no",)),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [17]), "Panic", (17,)),
        (b"\x01\x02\x03\x04rest", "Unknown", (b"\x01\x02\x03\x04rest",)),
        (bytes.fromhex("4e487b71") + b"short", "Unknown", (bytes.fromhex("4e487b71") + b"short",)),
        (b"\x01", "Unknown", (b"\x01",)),
    ],
)
def test_other_reverts(data: bytes, name: str, arguments: tuple[object, ...]) -> None:
    error = decode_revert(data)
    assert (error.name, error.arguments) == (name, arguments)


def _share_released() -> tuple[EventDecoder, ShareReleased]:
    event = next(event for contract, name, event in _EVENTS if name == "ShareReleased")
    _, decoded = _decode("Access", event, 3)
    assert isinstance(decoded, ShareReleased)
    return EventDecoder({_HERE: "Access"}), decoded


def test_unknown_address_and_topic_are_refused() -> None:
    decoder, event = _share_released()
    assert decoder.knows(_HERE)
    with pytest.raises(ChainIntegrityError, match="none of our contracts"):
        decoder.decode(replace(event.log, address=Address.ZERO))
    with pytest.raises(ChainIntegrityError, match="no event with topic"):
        decoder.decode(replace(event.log, topics=(bytes(32), *event.log.topics[1:])))
    with pytest.raises(ChainIntegrityError, match="no event with topic none"):
        decoder.decode(replace(event.log, topics=()))
    with pytest.raises(ChainIntegrityError, match="no event with topic"):
        EventDecoder({_HERE: "Assets"}).decode(event.log)


def test_malformed_logs_are_refused() -> None:
    decoder, event = _share_released()
    log = event.log
    for topics_ in (log.topics[:-1], (*log.topics, bytes(32)), (*log.topics[:-1], b"\x01" * 32)):
        with pytest.raises(ChainIntegrityError):
            decoder.decode(replace(log, topics=topics_))
    for cut in range(0, len(log.data), 16):
        with pytest.raises(ChainIntegrityError):
            decoder.decode(replace(log, data=log.data[:cut]))


def test_any_flipped_byte_is_another_event_or_refused() -> None:
    decoder, event = _share_released()
    data = event.log.data
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 0x81]) + data[place + 1 :]
        try:
            other = decoder.decode(replace(event.log, data=changed))
        except ChainIntegrityError:
            continue
        assert plain(replace(other, log=event.log)) != plain(event)


def test_text_that_is_no_utf8_is_still_an_event() -> None:
    event = next(event for _, name, event in _EVENTS if name == "AssetRetired")
    values = {"asset": b"\x01" * 32, "seq": 1, "assetSeq": 1, "reason": "abc"}
    log = log_of(event, values, _HERE)
    bad = replace(log, data=log.data.replace(b"abc", b"a\xff\xfe"))
    decoded = EventDecoder({_HERE: "Assets"}).decode(bad)
    assert isinstance(decoded, AssetRetired)
    assert decoded.reason == "a??"


def test_words_refuse_what_solidity_would_not_write() -> None:
    full = b"\xff" * 32
    refused: list[Callable[[], object]] = [
        lambda: word(b"short", 0),
        lambda: uint(full, 0, 64),
        lambda: boolean(bytes(31) + b"\x02", 0),
        lambda: address(b"\x01" + bytes(31), 0),
        lambda: fixed(full, 0, 18),
        lambda: uscc(b"not a code, is it?".ljust(32, b"\x00"), 0),
        lambda: uscc(b"\xff" * 18 + bytes(14), 0),
        lambda: tail(bytes(31) + b"\x40", 0, 0),
        lambda: blob(bytes(31) + b"\x21" + bytes(32), 0),
        lambda: text(bytes(31) + b"\x01" + b"ab" + bytes(30), 0),
        lambda: listing(bytes(24) + b"\x00\xff\xff\xff\xff\xff\xff\xff" + bytes(32), 0, 32, address),
        lambda: topics((bytes(31),), 1),
    ]
    for read in refused:
        with pytest.raises(ChainIntegrityError):
            read()


def test_terms_in_an_event_are_the_cores_with_their_hash() -> None:
    event = next(event for _, name, event in _EVENTS if name == "AccessGranted")
    values, decoded = _decode("Access", event, 11)
    assert isinstance(decoded, AccessGranted)
    assert decoded.terms.hash == tagged("terms", encode([TERMS_TYPE], [values["terms"]]))
    assert plain(terms_values(decoded.terms)) == values["terms"]
