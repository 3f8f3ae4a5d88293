"""Re-hashing finds what is left out, put in or moved."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from capsule.ids import Bytes32
from contracts.errors import ChainIntegrityError
from contracts.events import AssetEvent, Event
from contracts.heads import EMPTY_HEAD, Heads, event_hash, next_head, rehash
from tests.sim.trip import Space


@pytest.fixture(scope="module")
def events(embedded_space: Space) -> tuple[Event, ...]:
    embedded_space.publish()
    return embedded_space.operator.events(0, embedded_space.operator.chain.head().number)


def test_in_pieces_as_in_one_go(events: tuple[Event, ...]) -> None:
    whole = rehash(events)
    for cut in range(0, len(events) + 1, 3):
        assert rehash(events[cut:], rehash(events[:cut])) == whole
    assert rehash(()) == Heads()


def test_the_order_between_contracts_does_not_matter(events: tuple[Event, ...]) -> None:
    by_contract = sorted(events, key=lambda event: event.log.address)
    assert rehash(by_contract) == rehash(events)


def test_any_missing_event_shows(events: tuple[Event, ...]) -> None:
    """In the middle by its number, at the end by the head."""
    whole = rehash(events)
    for place, event in enumerate(events):
        if not hasattr(event, "seq"):
            continue
        rest = (*events[:place], *events[place + 1 :])
        try:
            assert rehash(rest).contracts != whole.contracts
        except ChainIntegrityError as error:
            assert f"event {event.seq} of" in str(error)  # noqa: PT017


def test_a_doubled_or_moved_event_shows(events: tuple[Event, ...]) -> None:
    numbered = [event for event in events if isinstance(event, AssetEvent)]
    with pytest.raises(ChainIntegrityError, match="is missing"):
        rehash([*events, numbered[-1]])
    with pytest.raises(ChainIntegrityError, match="is missing"):
        rehash([*events[:-2], events[-1], events[-2]])


def test_changed_bytes_show(events: tuple[Event, ...]) -> None:
    whole = rehash(events)
    rng = random.Random(5)
    for place, event in enumerate(events):
        if not hasattr(event, "seq"):
            continue
        data = bytearray(event.log.data)
        data[rng.randrange(len(data))] ^= 1
        forged = replace(event, log=replace(event.log, data=bytes(data)))
        bent = rehash((*events[:place], forged, *events[place + 1 :]))
        assert bent.contracts[event.log.address] != whole.contracts[event.log.address]


def test_a_subject_has_a_head_of_its_own(events: tuple[Event, ...]) -> None:
    first = next(event for event in events if isinstance(event, AssetEvent))
    key = (first.log.address, Bytes32(first.asset))
    expected = next_head(EMPTY_HEAD.head, 1, event_hash(first.log))
    assert rehash([event for event in events if event is first]).subjects[key].head == expected
    with pytest.raises(ChainIntegrityError, match=str(first.asset)):
        rehash([replace(first, asset_seq=2)])
