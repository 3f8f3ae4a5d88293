"""Documents are read tolerantly as to new members, strictly as to all they know."""

import pytest

from capsule.canonical import Json
from capsule.document import Fields, hexed, read_as
from capsule.errors import FormatError, InputError
from capsule.ids import Address, Digest
from tests.capsule.samples import account, digest

DOCUMENT: Json = {
    "kind": "dataspace/thing",
    "version": 1,
    "text": "long",
    "number": 7,
    "huge": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
    "flag": True,
    "raw": "0x0102",
    "id": str(digest(1)),
    "ids": [str(account(1)), str(account(2))],
    "objects": [{"a": 1}, {"a": 2}],
    "object": {"a": 3},
    "new": {"kept": [1]},
}


def fields() -> Fields:
    return Fields.of(DOCUMENT, "dataspace/thing")


def test_known_members_are_typed_and_the_rest_is_kept() -> None:
    read = fields()
    assert read.text("text") == "long"
    assert read.one_of("text", ("long", "short")) == "long"
    assert read.integer("number", 7, 7) == 7
    assert read.decimal("huge") == 2**256 - 1
    assert read.flag("flag") is True
    assert read.raw("raw") == read.raw("raw", 2) == b"\x01\x02"
    assert read.id("id", Digest) == digest(1)
    assert read.ids("ids", Address, 2) == (account(1), account(2))
    assert read.objects("objects", 2, lambda each: each.integer("a")) == (1, 2)
    assert read.object("object").integer("a") == 3
    assert read.has("new")
    assert dict(read.unknown()) == {"new": {"kept": [1]}}
    assert hexed(b"\x01\x02") == "0x0102"


@pytest.mark.parametrize(
    "read",
    [
        lambda f: f.value("missing"),
        lambda f: f.text("number"),
        lambda f: f.text("text", 3),
        lambda f: f.one_of("text", ("short",)),
        lambda f: f.integer("flag"),
        lambda f: f.integer("text"),
        lambda f: f.integer("number", 8, 9),
        lambda f: f.decimal("number"),
        lambda f: f.decimal("text"),
        lambda f: f.flag("number"),
        lambda f: f.raw("text"),
        lambda f: f.raw("raw", 3),
        lambda f: f.raw("raw", 1),
        lambda f: f.raw("raw", limit=1),
        lambda f: f.id("text", Digest),
        lambda f: f.id("number", Digest),
        lambda f: f.id("id", Address),
        lambda f: f.ids("ids", Address, 1),
        lambda f: f.ids("text", Address, 9),
        lambda f: f.ids("objects", Address, 9),
        lambda f: f.object("ids"),
        lambda f: f.objects("ids", 9, lambda each: each),
    ],
)
def test_wrong_members_are_format_errors(read: object) -> None:
    with pytest.raises(FormatError):
        read(fields())  # type: ignore[operator]


@pytest.mark.parametrize("raw", ["0102", "0x1", "0xAB", "0x0g", "0x01 "])
def test_hex_is_lower_case_and_whole(raw: str) -> None:
    with pytest.raises(FormatError):
        Fields({"raw": raw}, "x").raw("raw")


@pytest.mark.parametrize("huge", ["01", "-1", "+1", " 1", "1.0", str(2**256), "１"])
def test_decimals_have_one_form(huge: str) -> None:
    with pytest.raises(FormatError):
        Fields({"huge": huge}, "x").decimal("huge")


@pytest.mark.parametrize("document", [None, [], "x", {}, {"kind": "dataspace/thing"}, {"kind": "other", "version": 1}])
def test_other_kinds_and_versions_are_refused(document: Json) -> None:
    with pytest.raises(FormatError):
        Fields.of(document, "dataspace/thing")
    with pytest.raises(FormatError):
        Fields.of(DOCUMENT, "dataspace/thing", 2)


def test_a_refused_value_is_the_documents_fault() -> None:
    with pytest.raises(FormatError, match="thing: no"), read_as("thing"):
        raise InputError("no")


def test_an_account_in_another_letter_case_is_refused() -> None:
    """Written back it would be another document, with another digest."""
    lower = {"kind": "dataspace/thing", "version": 1, "account": "0x" + "ab" * 20}
    with pytest.raises(FormatError, match="one form"):
        Fields.of(lower, "dataspace/thing").id("account", Address)
