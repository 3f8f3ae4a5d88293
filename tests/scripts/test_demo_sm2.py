"""The main job where every organisation and the device sign with SM2, audited; and what an auditor sees of a receipt
that is signed under the wrong user id."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from capsule.box_statement import box_key_statement
from capsule.receipt import sign_receipt, verify_receipt
from capsule.signature import SM2, PublicKey, Sm2Signer
from gateway.station import simulate_station, write_readings
from scripts.demo.readings import readings_from_csv
from scripts.demo.trip import Trip
from scripts.demo.world import build_world

ROWS = 60
STEP_SECONDS = 10


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    """All eight steps, once."""
    folder = tmp_path_factory.mktemp("sm2")
    csv = folder / "station.csv"
    with csv.open("w", newline="", encoding="utf-8") as text:
        write_readings(simulate_station(1, 1_767_225_600, seconds=ROWS * STEP_SECONDS, step=STEP_SECONDS), text)
    with build_world(folder / "world", suite=SM2) as world:
        made = Trip(world, readings_from_csv(csv, title="simulator", simulated=True))
        made.until_opened()
        made.finish()
        made.audit()
        yield made


def test_the_chain_holds_sm2_keys_with_their_user_ids(trip: Trip) -> None:
    ledger = trip.world.operator
    at = ledger.final_block().number
    for member in trip.world.members.values():
        keys = ledger.participants.keys_at(member.account, at)
        assert (keys.suite, keys.signing_key) == (SM2, member.keystore.signer.public_key)
        assert keys.signing_key.endswith(b"1234567812345678")
        statement = box_key_statement(ledger.domain, member.account, keys.box_key)
        PublicKey(keys.suite, keys.signing_key).verify(statement, keys.box_key_signature)
    device = ledger.devices.device_of(trip.fleet.device)
    assert (device.suite, device.public_key) == (SM2, trip.fleet.signer.public_key)


def test_the_runtime_verifies_the_device_s_sm2_frames_and_the_node_signs_its_receipt(trip: Trip) -> None:
    assert {receipt.suite for receipt in trip.fleet.agent.receipts()} == {SM2}
    signed = trip.collected.signed_receipt
    compute = trip.world["compute"]
    assert signed.suite == SM2
    receipt = verify_receipt(signed, compute.public_key, trip.world.operator.domain)
    assert (receipt.source.level, receipt.source.verified, receipt.source.of) == ("verified", ROWS, ROWS)


def test_the_audit_of_it_finds_nothing_and_its_bundle_holds(trip: Trip) -> None:
    assert trip.inspection.findings == ()
    assert str(trip.inspection.report.completeness) == "checkpoint"
    assert trip.inspection.verdict.holds


def test_the_auditor_accuses_a_receipt_under_another_user_id(trip: Trip) -> None:
    compute, signed = trip.world["compute"], trip.collected.signed_receipt
    signer = compute.keystore.signer
    assert isinstance(signer, Sm2Signer)
    other = Sm2Signer(signer.secret, b"somebody else", secrets.token_bytes)
    store = compute.node.context.store
    wrong = sign_receipt(signed.receipt, other, trip.world.operator.domain)
    store.put_document("receipt", signed.receipt.hash, wrong.to_json())
    try:
        assert {finding.rule for finding in trip.audit().findings} == {"receipt-signature-invalid"}
    finally:
        store.put_document("receipt", signed.receipt.hash, signed.to_json())
