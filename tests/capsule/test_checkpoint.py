"""A checkpoint anchors trust only with a regulator and two others, each with its own key."""

from dataclasses import replace

import pytest

from capsule.canonical import Json, decode, encode
from capsule.checkpoint import (
    Checkpoint,
    CheckpointSignature,
    Head,
    SignedCheckpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from capsule.errors import FormatError, InputError, VerificationError
from capsule.signature import Ed25519Signer, PublicKey
from tests.capsule.samples import DOMAIN, OTHER_DOMAIN, account, digest

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


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": {}},
        {"heads": {"Assets": 1}},
        {"chain_id": 1337},
    ],
)
def test_malformed_documents_are_format_errors(changes: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        Checkpoint.from_json({**CHECKPOINT.to_json(), **changes})
