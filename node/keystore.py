"""An organisation's long-lived keys: chain account, signing key, box key, vault key. One encrypted file, mode 0600."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capsule import canonical
from capsule.box import BoxKey
from capsule.errors import FormatError, InputError, OpenError
from capsule.signature import Ed25519Signer
from capsule.vault import VaultKey, open_vault, seal_vault
from contracts.account import Account
from node.errors import KeystoreError, PassphraseError
from node.home import write_whole

__all__ = ["Keystore", "create_keystore", "open_keystore"]

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Keystore:
    """Three keys that are three secrets, and the vault key that seals rows of this home's store."""

    account: Account
    signer: Ed25519Signer
    box: BoxKey
    vault: VaultKey


def create_keystore(path: Path, passphrase: str, entropy: Callable[[int], bytes]) -> Keystore:
    """Draws new keys and writes them; raises KeystoreError when the file is there already."""
    if path.exists():
        raise KeystoreError(f"{path} exists already; choose another home or open this one")
    secrets = {name: entropy(KEY_BYTES).hex() for name in ("account", "signing", "box", "vault")}
    write_whole(path, seal_vault(passphrase, canonical.encode(secrets), entropy), mode=0o600)
    return _keystore(secrets)


def open_keystore(path: Path, passphrase: str) -> Keystore:
    """Opens the keys; raises PassphraseError, or KeystoreError when the file is missing or damaged."""
    try:
        document = path.read_bytes()
    except OSError as error:
        raise KeystoreError(f"{path} can't be read: make the home with 'dataspace org init'") from error
    try:
        secrets = canonical.decode(open_vault(passphrase, document))
        if not isinstance(secrets, dict):
            raise FormatError("the vault holds no keys")
        return _keystore(secrets)
    except OpenError as error:
        raise PassphraseError() from error
    except (FormatError, InputError, ValueError, KeyError) as error:
        raise KeystoreError(f"{path} is damaged; restore it from its backup") from error


def _keystore(secrets: dict[str, str]) -> Keystore:
    raw = {name: bytes.fromhex(value) for name, value in secrets.items()}
    return Keystore(Account(raw["account"]), Ed25519Signer(raw["signing"]), BoxKey(raw["box"]), VaultKey(raw["vault"]))
