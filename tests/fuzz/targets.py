"""What is fuzzed: each parser of hostile bytes with the errors that it may end with, and inputs to begin from.

A target is called with bytes and returns; anything but the errors its parser documents is a bug.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capsule import cbor
from capsule.algorithm import Algorithm, Column, ColumnType, code_digest
from capsule.batch import BatchDocument, FrameProof
from capsule.box import BoxKey
from capsule.canonical import decode, encode
from capsule.checkpoint import SignedCheckpoint
from capsule.deal import Deal
from capsule.decision import SignedDecision
from capsule.digest import Domain, document_digest
from capsule.errors import CapsuleError, FormatError, OpenError, ShareError, VerificationError
from capsule.frame import read_frame
from capsule.header import Header
from capsule.ids import Bytes32, DeviceId, Digest
from capsule.key import DataKey
from capsule.layout import read_layout
from capsule.leaves import SideFile
from capsule.opening import CapsuleReader, verify
from capsule.oplog import EMPTY_HEAD, Act, LogEntry, LogHead, LogSegment, sign_head, verify_head, verify_segment
from capsule.receipt import SignedReceipt
from capsule.senml import resolve, unpack_rows
from capsule.share import ReleaseContext, SealedShare, open_release, open_share
from capsule.signature import Ed25519Signer, PublicKey
from capsule.source import read_source_header
from capsule.tree import root
from node.errors import GuardError, NodeError, RuntimeRefusedError
from node.runtime.module import check_module
from node.runtime.records import MAGIC, read_rows

__all__ = ["TARGETS", "Target"]

_VECTORS = Path(__file__).parents[1] / "capsule" / "vectors"
_CAPSULES = json.loads((_VECTORS / "dsc1.json").read_bytes())["capsules"]
_CUSTODY = json.loads((_VECTORS / "custody.json").read_bytes())
_FORMATS = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")

_CASE = next(case for case in _CAPSULES if case["note"] == _CUSTODY["capsule"])
_KEY = DataKey(bytes.fromhex(_CASE["data_key"]))
_ROOT = Digest.parse(_CASE["root"])
_PLAINTEXT = bytes.fromhex(_CASE["plaintext"])
_DATA = bytes.fromhex(_CASE["capsule"])
_DEAL = Deal.from_json(_CUSTODY["deal"])
_BOXES = [BoxKey(bytes.fromhex(share["box_secret"])) for share in _CUSTODY["shares"]]
_RELEASE = _CUSTODY["release"]
_ONE_TIME = BoxKey(bytes.fromhex(_RELEASE["one_time_secret"]))
_EXPECTED = ReleaseContext(
    chain_id=_DEAL.chain_id, access=_DEAL.access, use=Bytes32.parse(_RELEASE["use"]), index=_RELEASE["index"]
)
_SPARE = DeviceId(bytes([1]) * 32)


@dataclass(frozen=True)
class Target:
    """`run` takes hostile bytes; only `allowed` errors may come out of it. `weight`: its part of the time."""

    name: str
    run: Callable[[bytes], None]
    allowed: tuple[type[CapsuleError | NodeError], ...]
    seeds: tuple[bytes, ...]
    weight: int = 1

    def __call__(self, data: bytes) -> None:
        try:
            self.run(data)
        except self.allowed as error:
            # a subclass has to be documented by its own name
            if type(error) not in self.allowed:
                raise


def _header(data: bytes) -> None:
    header = Header.from_bytes(data)
    assert header.to_bytes() == data
    assert header.chunk_count >= 1
    assert header.chunk_length(header.chunk_count - 1) >= 0


def _framed_header(data: bytes) -> None:
    """Members as JSON of any form, put before a capsule in the one form that is read."""
    document = decode(data)
    stored = encode(document)
    layout = read_layout(io.BytesIO(_DATA))
    pieces = (_DATA[:8], len(stored).to_bytes(4, "big"), stored, *layout.pieces[1:], _DATA[layout.body :])
    _opened(b"".join(pieces), None)


def _layout(data: bytes) -> None:
    layout = read_layout(io.BytesIO(data))
    assert data.startswith(b"".join(layout.pieces))


def _side(data: bytes) -> None:
    side = SideFile.from_bytes(data)
    assert side.to_bytes() == data


def _verify(data: bytes) -> None:
    assert verify(io.BytesIO(data), root=_ROOT).root == _ROOT
    assert data == _DATA


def _opened(data: bytes, root: Digest | None) -> None:
    opened = CapsuleReader(io.BytesIO(data), _KEY, root=root).read_all()
    assert opened == _PLAINTEXT
    assert root is None or data == _DATA


def _share(data: bytes) -> None:
    sealed = SealedShare.from_json(decode(data))
    for box in _BOXES:
        try:
            secret = open_share(sealed, _DEAL, box)
        except ShareError:
            continue
        assert secret.commitment == _DEAL.holders[secret.index].commitment


def _release(data: bytes) -> None:
    secret = open_release(data, _ONE_TIME, _EXPECTED, _DEAL)
    assert secret.index == _EXPECTED.index


def _document(read: Callable[[object], object]) -> Callable[[bytes], None]:
    """A document that is read; what was read is written again with the same meaning."""

    def run(data: bytes) -> None:
        document = decode(data)
        again = read(document).to_json()  # type: ignore[attr-defined]
        assert read(again).to_json() == again  # type: ignore[attr-defined]

    return run


def _deal(data: bytes) -> None:
    document = decode(data)
    assert Deal.from_json(document).hash == document_digest("deal", document)


def _batch(data: bytes) -> None:
    again = BatchDocument.from_bytes(data).to_bytes()
    assert BatchDocument.from_bytes(again).to_bytes() == again


def _frame_proof(data: bytes) -> None:
    again = FrameProof.from_bytes(data).to_bytes()
    assert FrameProof.from_bytes(again).to_bytes() == again


def _canonical(data: bytes) -> None:
    value = decode(data)
    assert encode(decode(encode(value))) == encode(value)


def _frame(data: bytes) -> None:
    assert read_frame(data).content_unverified().rows


def _senml(data: bytes) -> None:
    unpack_rows(data, _SPARE)
    resolve(data)


def _source(data: bytes) -> None:
    read_source_header(io.BytesIO(data))


def _cbor(data: bytes) -> None:
    cbor.decode(data)


def _golden_frame() -> bytes:
    """The frame that docs/formats.md spells out."""
    block = next(part for part in _FORMATS.split("```") if part.strip().startswith("d28458"))
    return bytes.fromhex("".join(block.split()))


_FRAME = _golden_frame()
_PAYLOAD = read_frame(_FRAME).payload
_HEADERS = tuple(read_layout(io.BytesIO(bytes.fromhex(case["capsule"]))).stored_header for case in _CAPSULES)
_WHOLE = tuple(bytes.fromhex(case["capsule"]) for case in _CAPSULES)
_SHARES = tuple(share["file"].encode() for share in _CUSTODY["shares"])
_BATCH = {
    "kind": "dataspace/batch", "version": 1, "gateway": str(_DEAL.access), "number": 1,
    "predecessor": str(Digest(bytes(32))), "frames_root": str(_ROOT), "index_root": str(_ROOT),
    "incidents_root": str(_ROOT), "size": 1,
}  # fmt: skip
_ENTRY = {"device": str(_SPARE), "first": 1, "last": 1, "previous": str(Digest(bytes(32))), "last_hash": str(_ROOT)}
_DECISION = {
    "kind": "dataspace/signed-decision", "version": 1, "suite": 1, "signature": "0x00",
    "decision": {
        "kind": "dataspace/decision", "version": 1, "use": str(_ROOT), "deal": str(_ROOT),
        "holder": str(_DEAL.access), "index": 1, "outcome": "released", "reason": 0, "view": "own node", "block": 5,
        "decided_at": 1, "salt": str(_ROOT), "log_head": {"size": 1, "root": str(_ROOT)},
    },
}  # fmt: skip
_CHECKPOINT = {
    "kind": "dataspace/signed-checkpoint", "version": 1,
    "checkpoint": {
        "kind": "dataspace/checkpoint", "version": 1, "chain_id": "1337", "directory": str(_DEAL.access),
        "block_number": 5, "block_hash": str(_ROOT), "heads": {"Access": {"head": str(_ROOT), "seq": 3}},
    },
    "signatures": [{"account": str(_DEAL.access), "suite": 1, "signature": "0x00"}],
}  # fmt: skip

_LOG_KEY = Ed25519Signer(bytes(range(32)))
_LOGGED = LogEntry(Act.VERDICT, 1, _ROOT, {"answers": _ROOT, "output": _ROOT}, "guard/rows")
_LOG_HEAD = LogHead(1, root([_LOGGED.leaf]))
_LOG_DOMAIN = Domain(1337, _DEAL.access)
_NOTE = sign_head(_LOG_HEAD, _DEAL.access, _LOG_KEY, _LOG_DOMAIN)
_SEGMENT = LogSegment(_DEAL.access, 0, (), (_LOGGED,), _NOTE)


def _log_segment(data: bytes) -> None:
    segment = LogSegment.from_json(decode(data))
    assert verify_segment(segment, _DEAL.access, EMPTY_HEAD, _LOG_HEAD)[-1] == _LOG_HEAD.root
    assert segment.entries == (_LOGGED,)


def _log_note(data: bytes) -> None:
    key = PublicKey(_LOG_KEY.suite, _LOG_KEY.public_key)
    assert verify_head(data.decode("utf-8", "surrogateescape"), _DEAL.access, key, _LOG_DOMAIN) == _LOG_HEAD


_FORMAT = (FormatError,)

_MODULE = (Path(__file__).parents[2] / "docs" / "examples" / "wasm" / "score.wasm").read_bytes()
_EVERY_TYPE = Algorithm(
    kind="wasm",
    code_hash=code_digest(_MODULE),
    parameters=(),
    output=tuple(Column(f"c_{kind.value}", kind) for kind in ColumnType),
)


def _module(data: bytes) -> None:
    if check_module(data) != data:
        raise AssertionError("another module came back")


def _module_output(data: bytes) -> None:
    for row in read_rows(data, _EVERY_TYPE, 1000).rows:
        if len(row) != len(_EVERY_TYPE.output):
            raise AssertionError("a row has other columns than its manifest")


TARGETS = (
    Target("header", _header, _FORMAT, _HEADERS, 3),
    Target("framed-header", _framed_header, (FormatError, OpenError), _HEADERS, 3),
    Target("layout", _layout, _FORMAT, _WHOLE, 3),
    Target("open", lambda data: _opened(data, None), (FormatError, OpenError), _WHOLE[-1:]),
    Target("open-rooted", lambda data: _opened(data, _ROOT), (FormatError, VerificationError, OpenError), _WHOLE[-1:]),
    Target("verify", _verify, (FormatError, VerificationError), _WHOLE[-1:]),
    Target("side", _side, _FORMAT, tuple(bytes.fromhex(case["side_file"]) for case in _CAPSULES)),
    Target("share", _share, _FORMAT, _SHARES, 3),
    Target("release", _release, (ShareError,), (bytes.fromhex(_RELEASE["sealed"]),)),
    Target("deal", _deal, _FORMAT, (encode(_CUSTODY["deal"]),), 3),
    Target("receipt", _document(SignedReceipt.from_json), _FORMAT, (_CUSTODY["receipt"]["file"].encode(),)),
    Target("decision", _document(SignedDecision.from_json), _FORMAT, (encode(_DECISION),)),
    Target("log-segment", _log_segment, (FormatError, VerificationError), (encode(_SEGMENT.to_json()),)),
    Target("log-note", _log_note, (FormatError, VerificationError), (_NOTE.encode(),)),
    Target("checkpoint", _document(SignedCheckpoint.from_json), _FORMAT, (encode(_CHECKPOINT),)),
    Target(
        "batch",
        _batch,
        _FORMAT,
        (encode({**_BATCH, "index": [_ENTRY], "incidents": []}),),
    ),
    Target(
        "frame-proof",
        _frame_proof,
        _FORMAT,
        (encode({**_BATCH, "kind": "dataspace/frame-proof", "position": 0, "path": []}),),
    ),
    Target("json", _canonical, _FORMAT, (*_HEADERS[:1], *_SHARES[:1], b'[1.5,-0.0,1e21,"\\u00e9",null,{}]')),
    Target("frame", _frame, _FORMAT, (_FRAME,)),
    Target("senml", _senml, _FORMAT, (_PAYLOAD,)),
    Target("cbor", _cbor, _FORMAT, (_PAYLOAD,)),
    Target("source", _source, _FORMAT, (_PAYLOAD, _FRAME)),
    Target("module", _module, (RuntimeRefusedError,), (_MODULE,), 3),
    Target("module-output", _module_output, (GuardError,), (MAGIC + bytes(5),)),
)
