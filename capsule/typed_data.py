"""What an organisation signs with its account's key (EIP-712), bound to one chain and its Access contract.

Signatures are what the contract takes: r, s, v in 65 bytes, s in the lower half, v 27 or 28.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from capsule.errors import VerificationError
from capsule.ids import Address, Digest

__all__ = ["DOMAIN_NAME", "DOMAIN_VERSION", "SIGNATURE_BYTES", "TypedData"]

DOMAIN_NAME: Final = "dataspace Access"
DOMAIN_VERSION: Final = "1"
SIGNATURE_BYTES: Final = 65

_GROUP_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_DOMAIN: Final = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}


@dataclass(frozen=True, slots=True)
class TypedData:
    """One message. `name` is its primary type, `fields` its members' Solidity types, in order."""

    name: str
    fields: Mapping[str, str]
    values: Mapping[str, Any]
    chain_id: int
    access: Address

    def to_wallet(self) -> dict[str, Any]:
        """As wallets take it (`eth_signTypedData_v4`)."""
        return {
            "types": {"EIP712Domain": _members(_DOMAIN), self.name: _members(self.fields)},
            "primaryType": self.name,
            "domain": {
                "name": DOMAIN_NAME,
                "version": DOMAIN_VERSION,
                "chainId": self.chain_id,
                "verifyingContract": str(self.access),
            },
            "message": dict(self.values),
        }

    @property
    def hash(self) -> Digest:
        """keccak256(0x1901, domain separator, struct hash)."""
        message = self._signable()
        return Digest(bytes(keccak(b"\x19" + message.version + message.header + message.body)))

    def recover(self, signature: bytes) -> Address:
        """The account that signed this. Raises VerificationError for what is no signature."""
        what, shown = self.name.lower(), f"signature 0x{signature.hex()}"
        if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
            raise VerificationError(f"{what} signature is not 65 bytes r, s, v", shown)
        if int.from_bytes(signature[32:64], "big") > _GROUP_ORDER // 2:
            raise VerificationError(f"{what} signature has its s in the upper half", shown)
        try:
            account = Account.recover_message(self._signable(), signature=signature)
        except (BadSignature, ValidationError, ValueError) as exc:
            raise VerificationError(f"{what} signature does not hold", shown) from exc
        return Address.parse(account)

    def verify(self, signature: bytes, signer: Address) -> Address:
        """The signer, when it is this account; VerificationError otherwise."""
        found = self.recover(signature)
        if found != signer:
            raise VerificationError(f"{self.name.lower()} is not signed by {signer}", f"it is signed by {found}")
        return found

    def _signable(self) -> SignableMessage:
        return encode_typed_data(full_message=self.to_wallet())


def _members(fields: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in fields.items()]
