"""Quotes vouch for one claim; levels say who vouches."""

from dataclasses import replace

import pytest

from capsule.attestation import Claim, Level, Quote, SoftwareAttester, SoftwareVerifier, is_met, verify_quote
from capsule.errors import FormatError, VerificationError
from tests.capsule.samples import account, digest

CLAIM = Claim(31337, account(1), digest(1), digest(2), (bytes(32), bytes(range(32))))
SOFTWARE = SoftwareVerifier()


def test_software_vouches_for_its_claim_and_calls_itself_unprotected() -> None:
    quote = SoftwareAttester().quote(CLAIM)
    assert verify_quote(quote, CLAIM, [SOFTWARE]) is Level.SOFTWARE
    assert SOFTWARE.protection == "unprotected"
    assert SoftwareAttester().level is Level.SOFTWARE


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": 1},
        {"access": account(2)},
        {"order_hash": digest(9)},
        {"measurement": digest(9)},
        {"one_time_keys": CLAIM.one_time_keys[::-1]},
        {"one_time_keys": CLAIM.one_time_keys[:1]},
    ],
)
def test_a_quote_of_another_claim_is_refused(changes: dict[str, object]) -> None:
    quote = SoftwareAttester().quote(CLAIM)
    with pytest.raises(VerificationError, match="another claim"):
        verify_quote(quote, replace(CLAIM, **changes), [SOFTWARE])  # type: ignore[arg-type]


def test_a_technology_that_nobody_verifies_is_refused() -> None:
    with pytest.raises(VerificationError, match="nobody here verifies"):
        verify_quote(Quote("enclave", bytes(CLAIM.digest)), CLAIM, [SOFTWARE])
    with pytest.raises(VerificationError, match="nobody here verifies"):
        verify_quote(SoftwareAttester().quote(CLAIM), CLAIM, [])


def test_a_quote_survives_json() -> None:
    quote = SoftwareAttester().quote(CLAIM)
    assert Quote.from_json(quote.to_json()) == quote
    with pytest.raises(FormatError):
        Quote.from_json({**quote.to_json(), "evidence": "0xno"})


def test_a_policy_takes_the_levels_that_it_names_and_without_any_all() -> None:
    assert all(is_met(level, ()) and is_met(level, [level]) and is_met(level, [*Level]) for level in Level)
    assert not is_met(Level.SOFTWARE, [Level.HARDWARE])
    assert not is_met(Level.HARDWARE, [Level.SOFTWARE])
