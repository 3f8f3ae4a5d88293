"""Entries, heads and segments of an operation log, and heads as C2SP signed notes."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest

from capsule.canonical import Json, decode, encode
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import Digest
from capsule.oplog import (
    DIGESTS,
    EMPTY_HEAD,
    MAX_SEGMENT,
    Act,
    LogEntry,
    LogHead,
    LogSegment,
    log_origin,
    sign_head,
    verify_head,
    verify_segment,
)
from capsule.signature import PublicKey, Sm2Signer
from capsule.tree import EMPTY_ROOT, TreeHasher, root
from tests.capsule.samples import DOMAIN, OTHER_DOMAIN, OTHER_KEY, SIGNER, SIGNER_KEY, account, digest, entropy_of

OWNER = account(7)


def entry(number: int, act: Act = Act.DECISION) -> LogEntry:
    names = {name: digest(100 * number + at) for at, name in enumerate(DIGESTS[act])}
    return LogEntry(act, 1_750_000_000 + number, digest(number), names, "own limit")


ENTRIES = tuple(entry(number, act) for number, act in enumerate(Act, 1))


def head_at(size: int) -> LogHead:
    return LogHead(size, root(one.leaf for one in ENTRIES[:size]))


def segment(first: int, last: int) -> LogSegment:
    peaks = TreeHasher(one.leaf for one in ENTRIES[:first]).peaks
    return LogSegment(OWNER, first, peaks, ENTRIES[first:last], sign_head(head_at(last), OWNER, SIGNER, DOMAIN))


@pytest.mark.parametrize("act", Act)
def test_entry_reads_back_and_is_one_leaf(act: Act) -> None:
    made = entry(3, act)
    assert LogEntry.from_json(decode(made.to_bytes())) == made
    assert made.leaf == hashlib.sha256(b"\x00" + encode(made.to_json())).digest()


def test_entry_keeps_what_it_does_not_know() -> None:
    document: dict[str, Json] = {**ENTRIES[0].to_json(), "later": 1}
    assert LogEntry.from_json(document).to_json() == document


@pytest.mark.parametrize(
    "changes", [{"reason": "DROP\n"}, {"reason": "x" * 65}, {"at": -1}, {"digests": {}}, {"act": Act.SEAL}]
)
def test_impossible_entries_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(entry(1), **changes)  # type: ignore[arg-type]


def test_entry_of_another_kind_is_a_format_error() -> None:
    for changes in ({"act": "dance"}, {"digests": {"deal": str(digest(1))}}, {"subject": "0x00"}):
        with pytest.raises(FormatError):
            LogEntry.from_json({**entry(1).to_json(), **changes})


# Segments


def test_segment_leads_from_head_to_head() -> None:
    for first in range(len(ENTRIES)):
        for last in range(first + 1, len(ENTRIES) + 1):
            read = LogSegment.from_json(decode(encode(segment(first, last).to_json())))
            roots = verify_segment(read, OWNER, head_at(first), head_at(last))
            assert roots == tuple(head_at(size).root for size in range(first, last + 1))


def test_segment_of_a_rewritten_log_is_refused() -> None:
    good, before, after = segment(3, 6), head_at(3), head_at(6)
    swapped = (good.entries[1], good.entries[0], good.entries[2])
    changed = (replace(good.entries[0], reason="other"), *good.entries[1:])
    crooked = [
        (replace(good, entries=swapped), before, after),
        (replace(good, entries=changed), before, after),
        (replace(good, entries=good.entries[:2]), before, after),
        (replace(good, peaks=(digest(1), digest(2))), before, after),
        (replace(good, peaks=()), before, after),
        (replace(good, account=account(8)), before, after),
        (good, replace(before, root=digest(5)), after),
        (good, before, replace(after, root=digest(5))),
        (good, head_at(2), after),
    ]
    for told, earlier, later in crooked:
        with pytest.raises(VerificationError):
            verify_segment(told, OWNER, earlier, later)


def test_segment_without_an_end_is_not_read() -> None:
    document = segment(0, 1).to_json()
    with pytest.raises(FormatError):
        LogSegment.from_json({**document, "entries": [None] * (MAX_SEGMENT + 1)})


def test_heads_have_a_root_of_their_size() -> None:
    assert head_at(0) == EMPTY_HEAD
    for size, at in ((0, digest(1)), (1, EMPTY_ROOT), (-1, digest(1)), (2**53, digest(1))):
        with pytest.raises(InputError):
            LogHead(size, at)


# Notes


def test_note_is_a_tlog_checkpoint_as_c2sp_writes_it() -> None:
    """Key id and signed bytes computed here from the specification's text."""
    head, name = head_at(5), f"dataspace/1337/{DOMAIN.directory}/{OWNER}"
    note = sign_head(head, OWNER, SIGNER, DOMAIN)
    text, signature = note.split("\n\n")
    assert text == f"{name}\n5\n{base64.b64encode(head.root).decode()}"
    dash, signer, encoded = signature.rstrip("\n").split(" ")
    assert (dash, signer) == ("—", name) == ("—", log_origin(DOMAIN, OWNER))
    raw = base64.b64decode(encoded)
    assert raw[:4] == hashlib.sha256(name.encode() + b"\n\x01" + SIGNER.public_key).digest()[:4]
    SIGNER_KEY.verify(text.encode() + b"\n", raw[4:])
    assert verify_head(note, OWNER, SIGNER_KEY, DOMAIN) == head


def test_published_note_of_c2sp_holds() -> None:
    """The example of Go's sumdb and C2SP: the same key id and bytes come out of the same rules."""
    key = base64.b64decode("AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    line = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    raw = base64.b64decode(line)
    assert hashlib.sha256(b"example.com/foo\n" + key).digest()[:4] == raw[:4] == bytes.fromhex("530d903a")
    PublicKey(1, key[1:]).verify(b"This is an example message.\n", raw[4:])


def test_note_under_sm2_holds_under_a_type_of_its_own() -> None:
    signer = Sm2Signer.generate(entropy_of(5))
    key = PublicKey(signer.suite, signer.public_key)
    note = sign_head(head_at(5), OWNER, signer, DOMAIN)
    name = log_origin(DOMAIN, OWNER)
    raw = base64.b64decode(note.rstrip("\n").rpartition(" ")[2])
    assert raw[:4] == hashlib.sha256(name.encode() + b"\n\xffdataspace/sm2" + key.key).digest()[:4]
    assert verify_head(note, OWNER, key, DOMAIN) == head_at(5)
    with pytest.raises(VerificationError):
        verify_head(note, OWNER, SIGNER_KEY, DOMAIN)


def test_witnesses_lines_are_passed_over() -> None:
    note = sign_head(head_at(5), OWNER, SIGNER, DOMAIN)
    assert verify_head(note + "— witness.example AAAABAAAAAA=\n", OWNER, SIGNER_KEY, DOMAIN) == head_at(5)


def test_note_of_somebody_else_does_not_hold() -> None:
    note = sign_head(head_at(5), OWNER, SIGNER, DOMAIN)
    with pytest.raises(VerificationError):
        verify_head(note, OWNER, OTHER_KEY, DOMAIN)
    with pytest.raises(FormatError):
        verify_head(note, account(8), SIGNER_KEY, DOMAIN)
    with pytest.raises(FormatError):
        verify_head(note, OWNER, SIGNER_KEY, OTHER_DOMAIN)
    line = sign_head(head_at(4), OWNER, SIGNER, DOMAIN).split("\n\n")[1]
    with pytest.raises(VerificationError):
        verify_head(note.split("\n\n")[0] + "\n\n" + line, OWNER, SIGNER_KEY, DOMAIN)
    twice = note + line
    with pytest.raises(VerificationError):
        verify_head(twice, OWNER, SIGNER_KEY, DOMAIN)


@pytest.mark.parametrize(
    "edit",
    [
        lambda note: note.replace("\n5\n", "\n05\n"),
        lambda note: note.replace("\n5\n", "\n5.0\n"),
        lambda note: note.replace("\n5\n", "\n99999999999999999999\n"),
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note.replace("—", "--"),
        lambda note: note.replace("\n5\n", "\n5\r\n"),
        lambda note: note.rstrip("\n"),
        lambda note: note.replace("=\n\n", "\n\n"),
        lambda note: note + "— a b c\n",
        lambda note: note + "— a+b AAAABAAAAAA=\n",
        lambda note: note + "— name AAAA\n",
        lambda note: note + "— name ä\n",
        lambda note: note + "— name AAAABAAAAAB=\n",
        lambda note: note + "— witness.example AAAABAAAAAA=\n" * 64,
        lambda note: "x" * 70_000 + note,
        lambda note: "",
        lambda note: note.replace("\n\n", "\n\ud800\n\n"),
    ],
)
def test_what_is_no_note_is_a_format_error(edit: object) -> None:
    note = edit(sign_head(head_at(5), OWNER, SIGNER, DOMAIN))  # type: ignore[operator]
    with pytest.raises(FormatError):
        verify_head(note, OWNER, SIGNER_KEY, DOMAIN)


def test_no_signature_holds_as_a_note_and_as_a_statement() -> None:
    """Even where a chain id reads like a kind, a statement goes on with 1 and a zero byte, a note with 0x."""
    for kind in ("receipt", str(DOMAIN.chain_id)):
        statement = DOMAIN.statement(kind, Digest(bytes(32)))
        assert not statement.startswith(log_origin(DOMAIN, OWNER).encode()[: len("dataspace/1337/0")])


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000", "\u2028"])
def test_signers_name_with_a_space_of_any_kind_is_a_format_error(space: str) -> None:
    """C2SP signed-note: a key name has no Unicode spaces."""
    note = sign_head(head_at(5), OWNER, SIGNER, DOMAIN)

    with pytest.raises(FormatError):
        verify_head(note + f"— wit{space}ness AAAABAAAAAA=\n", OWNER, SIGNER_KEY, DOMAIN)
