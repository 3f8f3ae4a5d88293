"""The operation log of a node (监管链): its entries, its heads, and a head as a signed note.

An entry says what the node did or refused, by ids, digests and reasons alone: no data, no names, no parameters in
clear. Entries are the leaves of one RFC 9162 tree; a head is its size and root. A node signs its heads as C2SP
tlog-checkpoints and anchors them on chain; a segment is what lies between two anchored heads, and is checked against
both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from capsule.canonical import Json, encode
from capsule.digest import Domain
from capsule.document import Fields, no_unknown, read_as
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import Address, Bytes32, Digest
from capsule.signature import ED25519, PublicKey, Signer
from capsule.tree import EMPTY_ROOT, TreeHasher, leaf_hash

__all__ = [
    "DIGESTS",
    "EMPTY_HEAD",
    "KIND",
    "MAX_SEGMENT",
    "PASSED",
    "Act",
    "LogEntry",
    "LogHead",
    "LogSegment",
    "log_origin",
    "sign_head",
    "verify_head",
    "verify_segment",
]

KIND: Final = "dataspace/log-entry"
PASSED: Final = "passed"
MAX_SEGMENT: Final = 10_000
"""Entries between two anchored heads, so that a segment stays well below the limit of a document."""

_SEGMENT: Final = "dataspace/log-segment"
_REASON: Final = re.compile(r"(?:[a-z0-9]+(?:[ _/-][a-z0-9]+)*)?")
_MAX_REASON: Final = 64
_MAX_PEAKS: Final = 64
_MAX_NOTE_BYTES: Final = 65_536
_MAX_SIGNATURES: Final = 64
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_KEY_ID_BYTES: Final = 4
# C2SP signed-note: 01 is Ed25519; ff, with an identifier of ours, is for types without a byte of their own.
_ED25519_TYPE: Final = b"\x01"
_SM2_TYPE: Final = b"\xffdataspace/sm2"


class Act(StrEnum):
    """What an entry is about; its `subject` is the 32 bytes named here."""

    SEAL = "seal"  # a capsule's root
    DEAL = "deal"  # a deal's hash
    GRANT = "grant"  # a request, as for the next
    DENIAL = "denial"
    REVOCATION = "revocation"  # a grant
    SHRED = "shred"  # a deal's hash
    DECISION = "decision"  # a use, or an opening of a deal
    ORDER = "order"  # an order's hash, as for the next four
    USE = "use"
    VERDICT = "verdict"
    RECEIPT = "receipt"
    ACCUSATION = "accusation"
    DROPPED = "dropped"  # the decision, receipt or accusation of an earlier entry that the chain did not take


DIGESTS: Final[Mapping[Act, tuple[str, ...]]] = MappingProxyType(
    {
        Act.SEAL: ("asset", "deal", "policy"),
        Act.DEAL: ("capsule_root", "terms"),
        Act.SHRED: ("statement",),
        Act.GRANT: ("agreement", "terms"),
        Act.DENIAL: (),
        Act.REVOCATION: (),
        Act.DECISION: ("deal", "decision"),
        Act.ORDER: ("algorithm", "code", "parameters"),
        Act.USE: ("measurement",),
        Act.VERDICT: ("answers", "output"),
        Act.RECEIPT: ("receipt",),
        Act.ACCUSATION: ("accusation",),
        Act.DROPPED: (),
    }
)
"""The digests and ids that an entry of each act names."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One act, when the node says that it was (unix seconds), and its reason: empty, or words of a fixed list."""

    act: Act
    at: int
    subject: Bytes32
    digests: Mapping[str, Bytes32] = field(default_factory=dict, hash=False)
    reason: str = ""
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        if tuple(sorted(self.digests)) != DIGESTS[self.act]:
            raise InputError(f"a log entry about a {self.act} names {', '.join(DIGESTS[self.act]) or 'no digests'}")
        if self.at < 0:
            raise InputError("a log entry's time is unsigned")
        if len(self.reason) > _MAX_REASON or _REASON.fullmatch(self.reason) is None:
            raise InputError("a log entry's reason is a few lower-case words")
        object.__setattr__(self, "digests", MappingProxyType(dict(self.digests)))

    @property
    def leaf(self) -> Digest:
        """RFC 9162 leaf hash of the entry's RFC 8785 bytes."""
        return leaf_hash(self.to_bytes())

    def to_bytes(self) -> bytes:
        return encode(self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "act": self.act.value,
            "at": self.at,
            "subject": str(self.subject),
            "digests": {name: str(value) for name, value in self.digests.items()},
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, document: Json) -> LogEntry:
        fields = Fields.of(document, KIND)
        digests = fields.object("digests")
        with read_as(KIND):
            return cls(
                act=Act(fields.one_of("act", tuple(act.value for act in Act))),
                at=fields.integer("at"),
                subject=fields.id("subject", Bytes32),
                digests={name: digests.id(name, Bytes32) for name in digests.names()},
                reason=fields.text("reason", _MAX_REASON),
                unknown=fields.unknown(),
            )


@dataclass(frozen=True, slots=True)
class LogHead:
    """Size and root of a log: what stands in receipts, decisions, notes and on chain."""

    size: int
    root: Digest

    def __post_init__(self) -> None:
        if not 0 <= self.size < 2**53 or (self.size == 0) != (self.root == EMPTY_ROOT):
            raise InputError("a log head has a size below 2^53, and the empty tree's root for size 0 alone")

    def to_json(self) -> dict[str, Json]:
        return {"size": self.size, "root": str(self.root)}

    @classmethod
    def read(cls, fields: Fields) -> LogHead:
        """From the members of a document; FormatError for what is no head."""
        with read_as("log head"):
            return cls(fields.integer("size"), fields.id("root", Digest))


EMPTY_HEAD: Final = LogHead(0, EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class LogSegment:
    """The entries between two heads, the peaks of the tree before them, and the later head as a signed note."""

    account: Address
    first: int
    peaks: tuple[Digest, ...]
    entries: tuple[LogEntry, ...]
    note: str

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": _SEGMENT,
            "version": 1,
            "account": str(self.account),
            "first": self.first,
            "peaks": [str(peak) for peak in self.peaks],
            "entries": [entry.to_json() for entry in self.entries],
            "note": self.note,
        }

    @classmethod
    def from_json(cls, document: Json) -> LogSegment:
        fields = Fields.of(document, _SEGMENT)
        entries = fields.value("entries")
        if not isinstance(entries, list | tuple) or len(entries) > MAX_SEGMENT:
            raise FormatError(f"{_SEGMENT}: entries is not a list of at most {MAX_SEGMENT}")
        return cls(
            account=fields.id("account", Address),
            first=fields.integer("first"),
            peaks=fields.ids("peaks", Digest, _MAX_PEAKS),
            entries=tuple(LogEntry.from_json(entry) for entry in entries),
            note=fields.text("note"),
        )


def verify_segment(segment: LogSegment, account: Address, before: LogHead, head: LogHead) -> tuple[Digest, ...]:
    """Checks that `segment` leads from one head of an account's log to a later one.

    Returns the log's root at every size from `before` to `head`, both included. Raises VerificationError: then the
    entries are not those of the heads, or the later log does not begin with the earlier one.
    """
    if segment.account != account:
        raise VerificationError("the segment is of another account's log")
    if (segment.first, segment.first + len(segment.entries)) != (before.size, head.size):
        raise VerificationError(
            f"the segment leads from size {segment.first} on over {len(segment.entries)} entries, the heads are of "
            f"sizes {before.size} and {head.size}"
        )
    try:
        hasher = TreeHasher.resumed(segment.first, segment.peaks)
    except InputError as exc:
        raise VerificationError(f"the segment does not begin at its first size: {exc}") from exc
    roots = [hasher.root()]
    for entry in segment.entries:
        hasher.append(entry.leaf)
        roots.append(hasher.root())
    for name, computed, known in (("before", roots[0], before.root), ("after", roots[-1], head.root)):
        if computed != known:
            raise VerificationError(
                f"the segment does not lead to the head {name} it", f"computed {computed}, known {known}"
            )
    return tuple(roots)


def log_origin(domain: Domain, account: Address) -> str:
    """The name of an account's log in one ledger: origin line and key name of its notes."""
    return f"dataspace/{domain.chain_id}/{domain.directory}/{account}"


def _key_id(name: str, key: PublicKey) -> bytes:
    kind = _ED25519_TYPE if key.suite == ED25519 else _SM2_TYPE
    return hashlib.sha256(name.encode() + b"\n" + kind + key.key).digest()[:_KEY_ID_BYTES]


def sign_head(head: LogHead, account: Address, signer: Signer, domain: Domain) -> str:
    """A head as a signed note: C2SP tlog-checkpoint, with the one signature of the log's owner."""
    name = log_origin(domain, account)
    text = f"{name}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"
    key = PublicKey(signer.suite, signer.public_key)
    signature = base64.b64encode(_key_id(name, key) + signer.sign(text.encode())).decode()
    return f"{text}\n\u2014 {name} {signature}\n"


def verify_head(note: str, account: Address, public_key: PublicKey, domain: Domain) -> LogHead:
    """The head that a note states, once its owner's key signed it. Signatures of others are passed over.

    Raises FormatError for what is no checkpoint of this account's log in this ledger, VerificationError where the
    owner's signature is missing or does not hold.
    """
    name = log_origin(domain, account)
    text, signatures = _split(note)
    lines = text.split("\n")
    # the third line is followed by extension lines, which may not be empty, and by what is behind the last newline
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or lines[0] != name:
        raise FormatError(f"the note is no checkpoint of the log {name}")
    if _SIZE.fullmatch(lines[1]) is None:
        raise FormatError("the note's second line is no size")
    with read_as("note"):
        head = LogHead(int(lines[1]), Digest(_base64(lines[2])))
    ours = [one for signer, one in signatures if signer == name and one[:_KEY_ID_BYTES] == _key_id(name, public_key)]
    if not ours:
        raise VerificationError("the note bears no signature of its log's owner")
    for one in ours:
        public_key.verify(text.encode(), one[_KEY_ID_BYTES:])
    return head


def _split(note: str) -> tuple[str, Sequence[tuple[str, bytes]]]:
    """Text and signature lines of a note (C2SP signed-note)."""
    try:
        size = len(note.encode())
    except UnicodeEncodeError as exc:
        raise FormatError("a note is text that UTF-8 can hold") from exc
    if size > _MAX_NOTE_BYTES:
        raise FormatError(f"a note has at most {_MAX_NOTE_BYTES} bytes")
    if any(letter < " " and letter != "\n" for letter in note):
        raise FormatError("a note holds no control characters")
    text, blank, block = note.rpartition("\n\n")
    lines = block.split("\n")
    if not blank or lines[-1] or not 1 <= len(lines) - 1 <= _MAX_SIGNATURES:
        raise FormatError(f"a note ends with 1 to {_MAX_SIGNATURES} signature lines after an empty line")
    signatures = []
    for line in lines[:-1]:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not _is_name(parts[1]):
            raise FormatError("a note's signature line is a dash, a name and a signature")
        signature = _base64(parts[2])
        if len(signature) <= _KEY_ID_BYTES:
            raise FormatError("a note's signature has no bytes behind its key id")
        signatures.append((parts[1], signature))
    return text + "\n", signatures


def _is_name(text: str) -> bool:
    """As C2SP signed-note has it: not empty, without a plus and without any space of Unicode."""
    return bool(text) and "+" not in text and not any(letter.isspace() for letter in text)


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise FormatError("a note's root and signatures are in base64") from exc
    if base64.b64encode(data).decode() != text:
        raise FormatError("a note's base64 is not in its one form")
    return data
