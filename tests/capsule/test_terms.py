"""Terms hash as the contracts hash them, and narrow as the contracts say."""

import hashlib
from dataclasses import replace

import pytest

from capsule.errors import InputError
from capsule.ids import Address
from capsule.terms import MAX_LIST, UNLIMITED_U32, UNLIMITED_U64, Terms
from tests.capsule.samples import TERMS, account, digest


def word(value: int | bool | bytes) -> bytes:
    return value.rjust(32, b"\x00") if isinstance(value, bytes) else int(value).to_bytes(32, "big")


def text_tail(text: str) -> bytes:
    data = text.encode()
    return word(len(data)) + data.ljust(-(-len(data) // 32) * 32, b"\x00")


def list_tail(items: tuple[bytes, ...]) -> bytes:
    return word(len(items)) + b"".join(map(word, items))


def texts_tail(texts: tuple[str, ...]) -> bytes:
    tails = [text_tail(text) for text in texts]
    offsets, at = [], 32 * len(tails)
    for tail in tails:
        offsets.append(word(at))
        at += len(tail)
    return word(len(texts)) + b"".join(offsets) + b"".join(tails)


def encoded_by_hand(terms: Terms) -> bytes:
    """abi.encode of one dynamic tuple, from the ABI's text: an offset, then heads, then tails."""
    parts: list[bytes | int | bool] = [
        terms.compiler,
        terms.not_before,
        terms.not_after,
        texts_tail(terms.purposes),
        list_tail(terms.algorithms),
        list_tail(terms.buyers),
        terms.buyer_roles,
        list_tail(terms.compute_nodes),
        list_tail(terms.holders),
        terms.least_threshold,
        terms.provider_share_required,
        terms.seconds_per_grant,
        terms.seconds_per_use,
        terms.uses_per_grant,
        terms.uses_per_buyer,
        terms.uses_total,
        terms.rows_per_buyer,
        terms.automatic_grant,
        terms.compute_by_buyer,
        terms.compute_by_custodian,
    ]
    heads, tails, at = b"", b"", 32 * len(parts)
    for part in parts:
        if isinstance(part, bytes):
            heads += word(at + len(tails))
            tails += part
        else:
            heads += word(part)
    return word(32) + heads + tails


@pytest.mark.parametrize(
    "terms",
    [
        TERMS,
        replace(TERMS, purposes=(), algorithms=(), buyers=(), compute_nodes=()),
        replace(TERMS, purposes=("x" * 32, "y" * 33, ""), rows_per_buyer=UNLIMITED_U64, uses_total=UNLIMITED_U32),
    ],
)
def test_hash_is_sha256_over_the_abi_encoding(terms: Terms) -> None:
    expected = hashlib.sha256(b"dataspace/terms/1\x00" + encoded_by_hand(terms)).digest()
    assert terms.hash == expected


@pytest.mark.parametrize("name", [name for name in Terms.__slots__ if name != "hash"])
def test_every_field_counts_in_the_hash(name: str) -> None:
    value = getattr(TERMS, name)
    other: object
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, int):
        other = value + 1
    else:
        other = (*value, "more") if name == "purposes" else (*value, digest(9) if name == "algorithms" else account(9))
    assert replace(TERMS, **{name: other}).hash != TERMS.hash  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"not_before": TERMS.not_before + 1},
        {"not_after": TERMS.not_after - 1},
        {"purposes": TERMS.purposes[:1]},
        {"algorithms": TERMS.algorithms[1:]},
        {"buyers": (), "buyer_roles": 0},
        {"buyer_roles": 0},
        {"compute_nodes": TERMS.compute_nodes[:1]},
        {"holders": (account(5),)},
        {"least_threshold": 3},
        {"uses_per_grant": 0},
        {"rows_per_buyer": 1},
    ],
)
def test_narrower_terms_narrow(changes: dict[str, object]) -> None:
    narrower = replace(TERMS, **changes)  # type: ignore[arg-type]
    assert narrower.narrows(TERMS)
    assert not TERMS.narrows(narrower)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("compiler", 2),
        ("not_before", 0),
        ("not_after", UNLIMITED_U64),
        ("purposes", ()),
        ("purposes", ("grid planning", "resale")),
        ("algorithms", ()),
        ("buyers", (account(1), account(7))),
        ("buyer_roles", 3),
        ("compute_nodes", (account(4),)),
        ("least_threshold", 1),
        ("provider_share_required", False),
        ("seconds_per_grant", 86_401),
        ("seconds_per_use", 601),
        ("uses_per_grant", 4),
        ("uses_per_buyer", 6),
        ("uses_total", 51),
        ("rows_per_buyer", 2**63 + 1),
        ("automatic_grant", True),
        ("compute_by_buyer", True),
        ("compute_by_custodian", True),
    ],
)
def test_wider_terms_are_named_by_field(field: str, value: object) -> None:
    wider = replace(TERMS, **{field: value})  # type: ignore[arg-type]
    assert wider.wider_than(TERMS) == (field,)
    assert not wider.narrows(TERMS)


def test_a_listed_buyer_narrows_terms_that_go_by_role_alone() -> None:
    by_role = replace(TERMS, buyers=(), buyer_roles=2)
    assert replace(by_role, buyers=(account(8),), buyer_roles=0).narrows(by_role)
    nobody = replace(TERMS, buyers=(), buyer_roles=0)
    assert replace(nobody, buyers=(account(8),)).wider_than(nobody) == ("buyers",)


@pytest.mark.parametrize(
    "changes",
    [
        {"compiler": 2**16},
        {"not_before": -1},
        {"uses_total": 2**32},
        {"least_threshold": 256},
        {"buyers": tuple(map(account, range(MAX_LIST + 1)))},
        {"purposes": ("长" * 86,)},
        {"purposes": ("\ud800",)},
    ],
)
def test_what_the_struct_cannot_hold_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(TERMS, **changes)  # type: ignore[arg-type]


def test_json_writes_large_numbers_as_text() -> None:
    document = TERMS.to_json()
    assert document["rows_per_buyer"] == str(2**63)
    assert document["uses_per_grant"] == 3
    assert document["buyers"] == [str(Address(account(1)))]
