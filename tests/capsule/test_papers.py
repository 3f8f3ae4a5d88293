"""Signed papers: agreements, receipts, decisions, checkpoints. Each holds for its signer, ledger and words only."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from capsule.agreement import Agreement
from capsule.canonical import Json, decode, encode
from capsule.checkpoint import (
    Checkpoint,
    CheckpointSignature,
    Head,
    SignedCheckpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from capsule.decision import RefusalReason, ShareDecision, SignedDecision, sign_decision, verify_decision
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import GrantId, UseId
from capsule.receipt import Receipt, SignedReceipt, SourceVerdict, output_digest, sign_receipt, verify_receipt
from capsule.signature import Ed25519Signer, PublicKey
from tests.capsule.samples import (
    ASSET,
    DOMAIN,
    OTHER_DOMAIN,
    OTHER_KEY,
    POLICY_HASH,
    PROVIDER,
    SIGNER,
    SIGNER_KEY,
    TERMS,
    account,
    digest,
)

AGREEMENT = Agreement(
    asset=ASSET,
    version=1,
    policy_hash=POLICY_HASH,
    terms_hash=TERMS.hash,
    purpose="电网规划",
    algorithm=digest(1),
    buyer=account(1),
    provider=PROVIDER,
    compute_node=account(2),
    salt=bytes(range(32)),
)
RECEIPT = Receipt(
    order_hash=digest(1),
    uses=(UseId(digest(2)),),
    grants=(GrantId(digest(3)),),
    agreements=(AGREEMENT.hash,),
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
    log_head=digest(8),
    opened_at=1_750_000_000,
    closed_at=1_750_000_030,
    compute_node=account(2),
)
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
)
CHECKPOINT = Checkpoint(
    chain_id=DOMAIN.chain_id,
    directory=DOMAIN.directory,
    block_number=99,
    block_hash=digest(99),
    heads={"Assets": Head(digest(1), 10), "Access": Head(digest(2), 0)},
)
SIGNERS = {account(number): Ed25519Signer(bytes([number]) * 32) for number in range(1, 6)}
KEYS = {who: PublicKey(signer.suite, signer.public_key) for who, signer in SIGNERS.items()}
REGULATORS = {account(1)}


def test_agreement_survives_json() -> None:
    read = Agreement.from_json(decode(encode(AGREEMENT.to_json())))
    assert (read, read.hash) == (AGREEMENT, AGREEMENT.hash)
    assert Agreement.from_json({**AGREEMENT.to_json(), "later": 1}).hash != AGREEMENT.hash
    for changes in ({"salt": b""}, {"version": 2**32}):
        with pytest.raises(InputError):
            replace(AGREEMENT, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in Agreement.__slots__ if name not in ("unknown",)])
def test_everything_counts_in_the_agreements_hash(name: str) -> None:
    value = getattr(AGREEMENT, name)
    other = value + 1 if isinstance(value, int) else type(value)(value[1:] + value[:1])
    assert replace(AGREEMENT, **{name: other}).hash != AGREEMENT.hash  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    "changes",
    [
        {"uses": ()},
        {"grants": (GrantId(digest(1)), GrantId(digest(2)))},
        {"guard": "maybe"},
        {"level": "hardware"},
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
    released = replace(DECISION, outcome="released", reason=RefusalReason.NONE, log_head=digest(1))
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


def test_a_signature_for_one_kind_of_paper_is_none_for_another() -> None:
    statement = DOMAIN.statement("decision", RECEIPT.hash)
    forged = SignedReceipt(RECEIPT, SIGNER.suite, SIGNER.sign(statement))
    with pytest.raises(VerificationError):
        verify_receipt(forged, SIGNER_KEY, DOMAIN)


@pytest.mark.parametrize(
    ("document", "reader", "changes"),
    [
        (AGREEMENT.to_json(), Agreement, {"salt": "0x00"}),
        (AGREEMENT.to_json(), Agreement, {"asset_version": "1"}),
        (RECEIPT.to_json(), Receipt, {"guard": "maybe"}),
        (RECEIPT.to_json(), Receipt, {"source": {"level": "verified", "verified": 2, "of": 1}}),
        (RECEIPT.to_json(), Receipt, {"source": []}),
        (RECEIPT.to_json(), Receipt, {"uses": [1]}),
        (DECISION.to_json(), ShareDecision, {"reason": 999}),
        (DECISION.to_json(), ShareDecision, {"outcome": "released"}),
        (CHECKPOINT.to_json(), Checkpoint, {"heads": {}}),
        (CHECKPOINT.to_json(), Checkpoint, {"heads": {"Assets": 1}}),
        (CHECKPOINT.to_json(), Checkpoint, {"chain_id": 1337}),
    ],
)
def test_malformed_papers_are_format_errors(
    document: Mapping[str, Json],
    reader: type[Agreement] | type[Receipt] | type[ShareDecision] | type[Checkpoint],
    changes: dict[str, Json],
) -> None:
    with pytest.raises(FormatError):
        reader.from_json({**document, **changes})


def checkpoint_signed_by(*numbers: int, checkpoint: Checkpoint = CHECKPOINT) -> SignedCheckpoint:
    signatures = (sign_checkpoint(checkpoint, account(number), SIGNERS[account(number)]) for number in numbers)
    return SignedCheckpoint(checkpoint, tuple(signatures))


def test_regulator_and_two_others_make_a_checkpoint() -> None:
    signed = SignedCheckpoint.from_json(decode(encode(checkpoint_signed_by(3, 1, 2).to_json())))
    assert verify_checkpoint(signed, KEYS, REGULATORS, DOMAIN) == CHECKPOINT
    assert verify_checkpoint(checkpoint_signed_by(1, 2, 3, 4, 5), KEYS, REGULATORS, DOMAIN) == CHECKPOINT


@pytest.mark.parametrize("numbers", [(), (1,), (1, 2), (2, 3, 4, 5), (1, 1, 1), (1, 2, 2)])
def test_fewer_signatures_make_none(numbers: tuple[int, ...]) -> None:
    with pytest.raises(VerificationError):
        verify_checkpoint(checkpoint_signed_by(*numbers), KEYS, REGULATORS, DOMAIN)


def test_unknown_signers_count_for_nothing() -> None:
    known = {who: key for who, key in KEYS.items() if who != account(3)}
    with pytest.raises(VerificationError):
        verify_checkpoint(checkpoint_signed_by(1, 2, 3), known, REGULATORS, DOMAIN)


def test_one_key_does_not_speak_for_two() -> None:
    shared = {**KEYS, account(3): KEYS[account(2)]}
    message = DOMAIN.statement("checkpoint", CHECKPOINT.hash)
    forged = CheckpointSignature(account(3), 1, SIGNERS[account(2)].sign(message))
    signed = checkpoint_signed_by(1, 2)
    with pytest.raises(VerificationError, match="one key"):
        verify_checkpoint(replace(signed, signatures=(*signed.signatures, forged)), shared, REGULATORS, DOMAIN)


def test_tampered_checkpoint_is_refused() -> None:
    signed = checkpoint_signed_by(1, 2, 3)
    for changes in (
        {"block_number": 100},
        {"block_hash": digest(1)},
        {"heads": {"Assets": Head(digest(1), 11), "Access": Head(digest(2), 0)}},
        {"heads": {"Assets": Head(digest(1), 10)}},
    ):
        tampered = replace(signed, checkpoint=replace(CHECKPOINT, **changes))  # type: ignore[arg-type]
        with pytest.raises(VerificationError):
            verify_checkpoint(tampered, KEYS, REGULATORS, DOMAIN)


def test_checkpoint_of_another_ledger_is_refused() -> None:
    with pytest.raises(VerificationError, match="another ledger"):
        verify_checkpoint(checkpoint_signed_by(1, 2, 3), KEYS, REGULATORS, OTHER_DOMAIN)


@pytest.mark.parametrize("changes", [{"heads": {}}, {"block_number": -1}, {"heads": {"Assets": Head(digest(1), -1)}}])
def test_impossible_checkpoints_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(CHECKPOINT, **changes)  # type: ignore[arg-type]
