"""What opens a capsule offline: its data key file, or shares with their deal.

Invariants: a key file or key store that others can read or write is refused. A broken document is said in one sentence
without what its reader thought of it; a share that does not open here accuses nobody.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from capsule.box import BoxKey
from capsule.canonical import Json, encode
from capsule.deal import CAPSULE_ID_SIZE, Deal
from capsule.document import Fields, hexed
from capsule.errors import FormatError, InputError, ShareError, ShareSealedError, VerificationError
from capsule.header import Header
from capsule.ids import Digest
from capsule.key import KEY_SIZE, DataKey
from capsule.policy.document import parse_policy
from capsule.share import SealedShare, ShareSecret, open_share, rebuild_key
from node.errors import InputRefusedError, KeystoreError, RefusedError
from node.home import Home, write_new
from node.keystore import Keystore, open_keystore
from scripts.cli.capsule_files import MAX_CUSTODY_BYTES, private, read_document
from scripts.cli.console import passphrase

__all__ = [
    "KeySource",
    "check_assigner",
    "key_source",
    "open_own_share",
    "own_keystore",
    "read_deal",
    "read_share",
    "write_key",
]

_KEY = "dataspace/data-key"

_T = TypeVar("_T")


def own_keystore(home: Path, passphrase_file: Path | None) -> Keystore:
    """The home's keys; KeystoreError where others can read or write their file."""
    path = Home(home).keystore_file
    if path.exists():
        try:
            private(path)
        except InputRefusedError as error:
            raise KeystoreError(str(error)) from error
    return open_keystore(path, passphrase(passphrase_file), secrets.token_bytes)


def check_assigner(policy: Json, keystore: Keystore) -> None:
    """RefusedError where somebody else gives the policy; a Set need not say who gives it."""
    assigner = parse_policy(policy).assigner
    if assigner not in (None, keystore.account.address):
        raise RefusedError(
            "the policy", f"its assigner is {assigner}, and this home's account {keystore.account.address}"
        )


def write_key(path: Path, key: DataKey, capsule_id: bytes, root: Digest) -> None:
    """Writes the key file of a capsule; HomeError where there is a file already."""
    document: Json = {
        "kind": _KEY,
        "version": 1,
        "capsule_id": hexed(capsule_id),
        "capsule_root": str(root),
        "data_key": hexed(key.secret),
    }
    write_new(path, encode(document))


@dataclass(frozen=True, slots=True)
class KeySource:
    """A data key, the capsule that it is of, that one's root where the key's file or deal names it, and that deal."""

    data_key: DataKey
    capsule_id: bytes
    root: Digest | None
    deal: Deal | None

    def check(self, header: Header) -> None:
        """VerificationError where the key is of another capsule."""
        if header.capsule_id != self.capsule_id:
            raise VerificationError("the key is of another capsule", f"capsule {hexed(header.capsule_id)}")


def key_source(key: Path | None, deal: Path | None, shares: Sequence[Path], box: Callable[[], BoxKey]) -> KeySource:
    """The key of a key file, or of share files sealed to the box and their deal.

    Raises ShareError for a wrong share, naming its holder where it opened and is not the one dealt; VerificationError
    for a file that is no key, deal or share; InputRefusedError where both or neither are given, or others can read the
    key file.
    """
    if key is not None and deal is None and not shares:
        return _read_key(key)
    if key is not None or not shares or deal is None:
        raise InputRefusedError("give either --key, or --deal and every --share")
    dealt = read_deal(deal)
    sealed = [read_share(path) for path in shares]
    box_key = box()
    data_key = rebuild_key(dealt, [open_own_share(each, dealt, box_key) for each in sealed])
    return KeySource(data_key, dealt.capsule_id, dealt.capsule_root, dealt)


def open_own_share(sealed: SealedShare, deal: Deal, box_key: BoxKey) -> ShareSecret:
    """Opens a share that should be sealed to this home, and checks it against its deal.

    Raises ShareError, with what to do where nobody is to blame.
    """
    index = sealed.index
    if index >= len(deal.holders):
        raise ShareError(f"share at index {index} has no place in this deal; give the deal that it is of")
    if sealed.deal != deal.hash:
        raise ShareError(
            f"share {index} is of the deal {sealed.deal} and the deal document is {deal.hash}; "
            "give shares and the unchanged document of one deal"
        )
    try:
        return open_share(sealed, deal, box_key)
    except ShareSealedError as error:
        raise ShareSealedError(
            f"share {index} is sealed to another key than this home's; ask {_holder(deal, index)} to seal it for you "
            "with 'dataspace capsule share'"
        ) from error
    except ShareError as error:
        if error.holder is not None:
            raise
        raise ShareError(f"share {index} is damaged; ask {_holder(deal, index)} for it anew") from error


def _holder(deal: Deal, index: int) -> str:
    return f"{'custodian' if index else 'the provider'} {deal.holders[index].account}"


def read_deal(path: Path) -> Deal:
    """A deal's document; VerificationError where it is none."""
    return _read(path, "deal document", Deal.from_json)


def read_share(path: Path) -> SealedShare:
    """A share file; VerificationError where it is none."""
    return _read(path, "share", SealedShare.from_json)


def _read_key(path: Path) -> KeySource:
    private(path)
    return _read(path, "data key file", _key_from_json)


def _key_from_json(document: Json) -> KeySource:
    fields = Fields.of(document, _KEY)
    # key files of the first release name no root
    root = fields.id("capsule_root", Digest) if fields.has("capsule_root") else None
    data_key = DataKey(fields.raw("data_key", KEY_SIZE))
    return KeySource(data_key, fields.raw("capsule_id", CAPSULE_ID_SIZE), root, None)


def _read(path: Path, what: str, parse: Callable[[Json], _T]) -> _T:
    """What comes from others and is broken is refused, and is no fault of whoever calls."""
    try:
        return parse(read_document(path, MAX_CUSTODY_BYTES))
    except (FormatError, InputError) as error:
        raise VerificationError(f"{path} is no {what} or is damaged; ask whoever made it for another copy") from error
