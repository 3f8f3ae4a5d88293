"""Decisions hold for their holder, ledger and words only."""

from dataclasses import replace

import pytest

from capsule.canonical import Json, decode, encode
from capsule.decision import RefusalReason, ShareDecision, SignedDecision, sign_decision, verify_decision
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import UseId
from capsule.oplog import EMPTY_HEAD, LogHead
from tests.capsule.samples import DOMAIN, OTHER_DOMAIN, OTHER_KEY, SIGNER, SIGNER_KEY, account, digest

DECISION = ShareDecision(
    use=UseId(digest(2)),
    deal=digest(3),
    holder=account(3),
    index=2,
    outcome="refused",
    reason=RefusalReason.OWN_LIMIT,
    view="agreeing",
    block=77,
    decided_at=1_750_000_010,
    salt=b"s" * 32,
    log_head=EMPTY_HEAD,
)


def test_decision_holds_for_its_holder_and_ledger_only() -> None:
    signed = SignedDecision.from_json(decode(encode(sign_decision(DECISION, SIGNER, DOMAIN).to_json())))
    assert verify_decision(signed, SIGNER_KEY, DOMAIN) == DECISION
    for key, domain in ((OTHER_KEY, DOMAIN), (SIGNER_KEY, OTHER_DOMAIN)):
        with pytest.raises(VerificationError):
            verify_decision(signed, key, domain)
    with pytest.raises(VerificationError):
        verify_decision(replace(signed, decision=replace(DECISION, block=78)), SIGNER_KEY, DOMAIN)
    with pytest.raises(VerificationError):
        verify_decision(replace(signed, suite=2), SIGNER_KEY, DOMAIN)


def test_release_and_refusal_differ() -> None:
    released = replace(DECISION, outcome="released", reason=RefusalReason.NONE, log_head=LogHead(1, digest(1)))
    assert ShareDecision.from_json(released.to_json()) == released
    assert released.hash != DECISION.hash


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "kept"},
        {"outcome": "released"},
        {"reason": RefusalReason.NONE},
        {"view": "hearsay"},
        {"salt": b""},
        {"index": 33},
        {"block": -1},
    ],
)
def test_impossible_decisions_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(DECISION, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": 999},
        {"outcome": "released"},
        {"log_head": "0x00"},
        {"log_head": None},
        {"log_head": {"size": 0, "root": str(digest(1))}},
    ],
)
def test_malformed_documents_are_format_errors(changes: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        ShareDecision.from_json({**DECISION.to_json(), **changes})
