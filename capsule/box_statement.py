"""What an organisation signs to bind its box key to its signing key (IParticipants.setKeys, `boxKeySignature`)."""

from capsule.digest import Domain, document_digest
from capsule.ids import Address

__all__ = ["box_key_statement"]


def box_key_statement(domain: Domain, account: Address, box_key: bytes) -> bytes:
    """The bytes to sign: kind "box-key" over the account and its X25519 public key."""
    return domain.statement("box-key", document_digest("box-key", {"account": str(account), "box_key": box_key.hex()}))
