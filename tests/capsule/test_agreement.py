"""Agreements bind all that was agreed."""

from dataclasses import replace

import pytest

from capsule.agreement import Agreement
from capsule.canonical import Json, decode, encode
from capsule.errors import FormatError, InputError
from tests.capsule.samples import ASSET, POLICY_HASH, PROVIDER, TERMS, account, digest

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


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": "0x00"},
        {"asset_version": "1"},
        {"buyer": "Alice"},
        {"version": 2},
    ],
)
def test_malformed_documents_are_format_errors(changes: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        Agreement.from_json({**AGREEMENT.to_json(), **changes})
