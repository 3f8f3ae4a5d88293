"""T: whom an auditor trusts for a ledger, given from outside and never taken from what is to be checked.

A trust file is JSON: the ledger (chain id, Directory) and the signing keys of at least one regulator and of other
participants. A checkpoint that they signed anchors events where a chain has no seals or proofs (DESIGN section 3).
Where it has both, the file may pin the validators whose seals count (`audit.seals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from audit.entries import Claim
from audit.errors import BundleError
from audit.picture import State
from audit.seals import Validators
from capsule import canonical
from capsule.canonical import Json
from capsule.checkpoint import Checkpoint, SignedCheckpoint, verify_checkpoint
from capsule.digest import Domain
from capsule.document import Fields, hexed
from capsule.errors import FormatError, InputError
from capsule.ids import Address, Digest
from capsule.signature import MAX_KEY_BYTES, PublicKey
from contracts.headers import QBFT_MIX_HASH, Header, read_extra
from contracts.roles import Role

__all__ = ["Trust", "claim_of", "trust_from_ledger", "verify_signed"]

KIND: Final = "dataspace/trust"
_MAX_KEYS: Final = 256


@dataclass(frozen=True, slots=True)
class Trust:
    """Keys by account; `regulators` are those among them whose signature a checkpoint needs one of.

    `validators`: whose seals make a block's header count; None where none are trusted.
    """

    domain: Domain
    keys: Mapping[Address, PublicKey]
    regulators: frozenset[Address]
    validators: Validators | None = None

    def to_bytes(self) -> bytes:
        """The trust file."""
        keys: list[Json] = [
            {
                "account": str(account),
                "regulator": account in self.regulators,
                "suite": key.suite,
                "key": hexed(key.key),
            }
            for account, key in sorted(self.keys.items())
        ]
        document: dict[str, Json] = {
            "kind": KIND,
            "version": 1,
            "chain_id": str(self.domain.chain_id),
            "directory": str(self.domain.directory),
            "keys": keys,
        }
        if self.validators is not None:
            accounts: list[Json] = [str(account) for account in sorted(self.validators.accounts)]
            document["validators"] = {"block": self.validators.block, "accounts": accounts}
        return canonical.encode(document)

    @classmethod
    def from_bytes(cls, data: bytes) -> Trust:
        """Raises BundleError."""
        try:
            fields = Fields.of(canonical.decode(data), KIND)
            entries = fields.objects("keys", _MAX_KEYS, _entry)
            domain = Domain(fields.decimal("chain_id"), fields.id("directory", Address))
            validators = _validators(fields.object("validators")) if fields.has("validators") else None
        except (FormatError, InputError) as exc:
            raise BundleError(f"the trust file does not read: {exc}") from exc
        if len({account for account, _, _ in entries}) != len(entries):
            raise BundleError("the trust file names an account twice")
        return cls(
            domain,
            MappingProxyType({account: key for account, key, _ in entries}),
            frozenset(account for account, _, regulator in entries if regulator),
            validators,
        )


def _entry(fields: Fields) -> tuple[Address, PublicKey, bool]:
    key = PublicKey(fields.integer("suite", 0, 255), fields.raw("key", limit=MAX_KEY_BYTES))
    return fields.id("account", Address), key, fields.flag("regulator")


def _validators(fields: Fields) -> Validators:
    accounts = fields.ids("accounts", Address, _MAX_KEYS)
    if not accounts or len(set(accounts)) != len(accounts):
        raise FormatError("trust validators: an account is there twice, or none at all")
    return Validators(fields.integer("block"), frozenset(accounts))


def trust_from_ledger(state: State, header: Header | None = None) -> Trust:
    """The keys that a ledger itself names, for a person to compare outside the chain before they are trusted.

    With the header of its last block also the validators that it names, where it is one of QBFT.
    """
    keys, regulators = {}, set()
    for who in state.participants.values():
        standing = who.standings[-1]
        if not who.keys or not standing.active:
            continue
        try:
            keys[who.account] = PublicKey(who.keys[-1].suite, who.keys[-1].signing_key)
        except InputError:
            continue
        if Role.REGULATOR in standing.roles:
            regulators.add(who.account)
    return Trust(state.identity.domain, MappingProxyType(keys), frozenset(regulators), _named_by(header))


def _named_by(header: Header | None) -> Validators | None:
    if header is None or header.mix_hash != QBFT_MIX_HASH:
        return None
    named = frozenset(read_extra(header).validators)
    return Validators(header.number, named) if named else None


def verify_signed(signed: SignedCheckpoint, trust: Trust) -> Checkpoint:
    """The checkpoint, once enough of the trusted keys signed it. Raises VerificationError."""
    return verify_checkpoint(signed, trust.keys, trust.regulators, trust.domain)


def claim_of(checkpoint: Checkpoint) -> Claim:
    """A verified checkpoint as a claim that rules hold the events against. Raises BundleError for odd extra members."""
    heads = {name: (head.head, head.seq) for name, head in checkpoint.heads.items()}
    more = Fields(dict(checkpoint.unknown), "checkpoint")
    try:
        fields = more.object("places") if more.has("places") else Fields({}, "checkpoint")
        places = {name: fields.id(name, Digest) for name in fields.names()}
        time = more.integer("block_time") if more.has("block_time") else None
    except FormatError as exc:
        raise BundleError(f"the checkpoint does not read: {exc}") from exc
    return Claim(
        "checkpoint",
        checkpoint.block_number,
        checkpoint.block_hash,
        MappingProxyType(heads),
        MappingProxyType(places),
        time,
    )
