"""Receipts hold for their node, ledger and words only."""

from dataclasses import replace

import pytest

from capsule.canonical import Json, decode, encode
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import GrantId, UseId
from capsule.oplog import LogHead
from capsule.privacy import NO_EPSILON, Epsilon
from capsule.receipt import (
    FAILURES,
    NO_OUTPUT,
    Receipt,
    SignedReceipt,
    SourceVerdict,
    output_digest,
    sign_receipt,
    verify_receipt,
)
from tests.capsule.samples import DOMAIN, OTHER_DOMAIN, OTHER_KEY, SIGNER, SIGNER_KEY, account, digest

RECEIPT = Receipt(
    order_hash=digest(1),
    uses=(UseId(digest(2)),),
    grants=(GrantId(digest(3)),),
    agreements=(digest(10),),
    capsule_roots=(digest(4),),
    algorithm=digest(5),
    parameters=digest(6),
    output=output_digest(b"day,soc\n", b"s" * 32),
    rows_in=1000,
    rows_out=24,
    guard="passed",
    source=SourceVerdict("verified", 990, 1000),
    measurement=digest(7),
    protected=True,
    log_head=LogHead(3, digest(8)),
    opened_at=1_750_000_000,
    closed_at=1_750_000_030,
    compute_node=account(2),
)


def test_receipt_holds_for_its_node_and_ledger_only() -> None:
    signed = SignedReceipt.from_json(decode(encode(sign_receipt(RECEIPT, SIGNER, DOMAIN).to_json())))
    assert verify_receipt(signed, SIGNER_KEY, DOMAIN) == RECEIPT
    for key, domain in (
        (OTHER_KEY, DOMAIN),
        (SIGNER_KEY, OTHER_DOMAIN),
        (SIGNER_KEY, replace(DOMAIN, directory=account(1))),
    ):
        with pytest.raises(VerificationError):
            verify_receipt(signed, key, domain)
    with pytest.raises(VerificationError):
        verify_receipt(replace(signed, suite=2), SIGNER_KEY, DOMAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"order_hash": digest(9)},
        {"uses": (UseId(digest(9)),)},
        {"capsule_roots": (digest(9),)},
        {"rows_out": 25},
        {"source": SourceVerdict("declared")},
        {"protected": False},
        {"closed_at": 1_750_000_031},
        {"unknown": {"later": 1}},
    ],
)
def test_tampered_receipt_is_refused(changes: dict[str, object]) -> None:
    signed = sign_receipt(RECEIPT, SIGNER, DOMAIN)
    tampered = replace(signed, receipt=replace(RECEIPT, **changes))  # type: ignore[arg-type]
    with pytest.raises(VerificationError) as refused:
        verify_receipt(tampered, SIGNER_KEY, DOMAIN)
    assert refused.value.evidence


def test_receipt_of_a_private_run_tells_what_it_spent() -> None:
    private = replace(RECEIPT, epsilon=Epsilon.parse("0.5"))
    document = private.to_json()
    assert document["epsilon"] == "0.5"
    assert Receipt.from_json(decode(encode(document))) == private
    assert "epsilon" not in RECEIPT.to_json()
    for written in ("0.50", "0", 0.5, None):
        with pytest.raises(FormatError):
            Receipt.from_json({**document, "epsilon": written})


def test_repeated_run_spends_nothing_and_nothing_is_not_written() -> None:
    for changes in ({"reexecutes": digest(9)}, {"epsilon": NO_EPSILON}):
        with pytest.raises(InputError):
            replace(RECEIPT, **{"epsilon": Epsilon.parse("0.5"), **changes})  # type: ignore[arg-type]


def test_a_signature_for_one_kind_of_paper_is_none_for_another() -> None:
    statement = DOMAIN.statement("decision", RECEIPT.hash)
    forged = SignedReceipt(RECEIPT, SIGNER.suite, SIGNER.sign(statement))
    with pytest.raises(VerificationError):
        verify_receipt(forged, SIGNER_KEY, DOMAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"uses": ()},
        {"grants": (GrantId(digest(1)), GrantId(digest(2)))},
        {"guard": "maybe"},
        {"level": "certain"},
        {"rows_in": -1},
        {"closed_at": 1},
    ],
)
def test_impossible_receipts_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(RECEIPT, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("level", "verified", "of"), [("proven", 1, 1), ("verified", 2, 1), ("verified", -1, 1)])
def test_impossible_source_verdicts_are_refused(level: str, verified: int, of: int) -> None:
    with pytest.raises(InputError):
        SourceVerdict(level, verified, of)


def test_output_digest_is_salted() -> None:
    assert output_digest(b"x", b"s" * 32) != output_digest(b"x", b"t" * 32)
    with pytest.raises(InputError):
        output_digest(b"x", b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"guard": "maybe"},
        {"source": {"level": "verified", "verified": 2, "of": 1}},
        {"source": []},
        {"uses": [1]},
    ],
)
def test_malformed_documents_are_format_errors(changes: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        Receipt.from_json({**RECEIPT.to_json(), **changes})


FAILED = replace(RECEIPT, output=NO_OUTPUT, rows_out=0, guard="refused", failure="output_refused")


def test_a_completed_receipt_has_no_member_for_a_failure() -> None:
    assert "failure" not in RECEIPT.to_json()


@pytest.mark.parametrize("failure", FAILURES.values())
def test_a_failure_reads_back(failure: str) -> None:
    failed = replace(FAILED, failure=failure)
    assert Receipt.from_json(decode(encode(failed.to_json()))) == failed
    assert failed.hash != replace(FAILED, failure="").hash


@pytest.mark.parametrize(
    "changes",
    [
        {"failure": "share_wrong"},
        {"failure": "completed"},
        {"failure": "the station says 17"},
        {"guard": "passed"},
        {"rows_out": 1},
        {"output": digest(1)},
    ],
)
def test_impossible_failures_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(FAILED, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", ["", "completed", None, 5])
def test_unreadable_failures_are_refused(failure: Json) -> None:
    with pytest.raises(FormatError):
        Receipt.from_json({**FAILED.to_json(), "failure": failure})


def test_a_re_execution_names_the_receipt_that_it_repeats() -> None:
    again = replace(RECEIPT, reexecutes=digest(9))
    assert again.hash != RECEIPT.hash
    assert Receipt.from_json(decode(encode(again.to_json()))) == again
    assert "reexecutes" not in RECEIPT.to_json()
    with pytest.raises(FormatError):
        Receipt.from_json({**RECEIPT.to_json(), "reexecutes": None})
