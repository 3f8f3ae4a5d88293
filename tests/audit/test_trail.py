"""Trails: every event of a subject and no other, with who and when."""

from __future__ import annotations

import pytest

from audit.documents import MemoryDocuments
from audit.errors import RequestError
from audit.papers import Papers
from audit.trail import Trail, subject, trail, trail_of
from contracts import events as ev
from tests.audit.auditing import caught_up
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


def trail_in(honest: History, kind: str, written: str) -> Trail:
    return trail_of(honest.state(), honest.entries, subject(kind, written))


def events_of(found: Trail) -> list[str]:
    return [row.event for row in found.rows]


def test_trail_of_a_use_is_the_way_to_it_and_its_end(honest: History, space: DataSpace) -> None:
    opened = honest.first(ev.UseOpened)

    found = trail_in(honest, "use", str(opened.use))

    assert events_of(found) == [
        "AssetRegistered",
        "CapsulePublished",
        "CustodyDealt",
        *["CustodyAccepted"] * 4,
        "AccessRequested",
        "AccessGranted",
        "UseOpened",
        *["ShareReleased"] * 4,
        "UseClosed",
    ]
    assert [row.who for row in found.rows[-5:]] == [
        space.provider.account,
        *(custodian.account for custodian in space.custodians),
        space.compute.account,
    ]
    assert [row.place for row in found.rows] == sorted(row.place for row in found.rows)


def test_trail_of_a_grant_has_all_its_uses(honest: History) -> None:
    granted = honest.first(ev.AccessGranted)
    uses = {event.use for event in honest.all(ev.UseOpened, lambda event: event.grant == granted.grant)}

    found = trail_in(honest, "grant", str(granted.grant))

    assert len(uses) > 1
    assert {row.body["use"] for row in found.rows if row.event == "UseOpened"} == {str(use) for use in uses}
    assert events_of(found).count("AccessGranted") == 1


def test_trail_of_a_request_that_was_denied_ends_there(honest: History) -> None:
    denied = honest.first(ev.AccessDenied)

    found = trail_in(honest, "request", str(denied.request))

    assert events_of(found)[-2:] == ["AccessRequested", "AccessDenied"]
    assert "AccessGranted" not in events_of(found)


def test_trail_of_an_asset_is_all_events_that_name_it(honest: History) -> None:
    asset = honest.first(ev.AssetRegistered).asset

    found = trail_in(honest, "asset", str(asset))

    assert len(found.rows) == len(honest.all(ev.AssetEvent, lambda event: event.asset == asset))


def test_trail_of_a_device_names_its_batches_where_their_indexes_are_served(honest: History) -> None:
    device = honest.first(ev.DeviceEnrolled).device
    state = honest.state()
    papers = Papers(state, MemoryDocuments(honest.documents))

    bare = trail_of(state, honest.entries, subject("device", str(device)))
    full = trail_of(state, honest.entries, subject("device", str(device)), papers)

    assert events_of(bare) == ["DeviceEnrolled", "DeviceRotated"]
    assert events_of(full) == ["DeviceEnrolled", *["BatchAnchored"] * 3, "DeviceRotated"]


def test_trail_of_an_organisation_is_found_by_account_and_by_code(honest: History, space: DataSpace) -> None:
    account = space.buyer.account
    code = honest.state().participants[account].uscc

    by_account = trail_in(honest, "participant", str(account))

    assert trail_in(honest, "participant", code) == by_account
    assert {"ParticipantAdmitted", "KeysSet", "AccessRequested", "AccessGranted"} <= set(events_of(by_account))
    assert {row.uscc for row in by_account.rows if row.who == account} == {code}


def test_rows_print_as_cells(honest: History) -> None:
    opened = honest.first(ev.UseOpened)

    time, block, who, what, transaction = trail_in(honest, "use", str(opened.use)).rows[-1].cells()

    assert time.startswith("2025-06-15 ")
    assert block == str(honest.first(ev.UseClosed).log.block_number)
    assert len(who) == 18
    assert what == "closed the use: completed, 10 rows"
    assert transaction.startswith("0x")


def test_trail_reads_an_index(space: DataSpace, honest: History) -> None:
    opened = honest.first(ev.UseOpened)
    about = subject("use", str(opened.use))

    assert trail(caught_up(space), about) == trail_of(honest.state(), honest.entries, about)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("use", "0x" + "00" * 32),
        ("use", "0x12"),
        ("grape", "0x" + "00" * 32),
        ("participant", "91350100M000100Y43"),
        ("participant", "0x" + "00" * 20),
    ],
)
def test_unknown_subject_is_the_callers_error(honest: History, kind: str, written: str) -> None:
    with pytest.raises(RequestError):
        trail_in(honest, kind, written)
