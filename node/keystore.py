"""An organisation's long-lived keys: chain account, signing key, box key, vault key. One encrypted file, mode 0600."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capsule import canonical
from capsule.box import BoxKey
from capsule.errors import FormatError, InputError, OpenError
from capsule.signature import ED25519, Signer, new_secret, signer_from_secret
from capsule.vault import VaultKey, open_vault, seal_vault
from contracts.account import Account
from node.errors import KeystoreError, PassphraseError
from node.home import write_whole

__all__ = ["Keystore", "create_keystore", "open_keystore"]

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Keystore:
    """Three keys that are three secrets, and the vault key that seals rows of this home's store.

    The signing key is of suite 1 or 2; a file that names none holds suite 1.
    """

    account: Account
    signer: Signer
    box: BoxKey
    vault: VaultKey


def create_keystore(path: Path, passphrase: str, entropy: Callable[[int], bytes], suite: int = ED25519) -> Keystore:
    """Draws new keys and writes them; raises KeystoreError when the file is there already, InputError for the suite."""
    if path.exists():
        raise KeystoreError(f"{path} exists already; choose another home or open this one")
    secrets = {name: entropy(KEY_BYTES).hex() for name in ("account", "box", "vault")}
    secrets |= {"suite": str(suite), "signing": new_secret(suite, entropy).hex()}
    write_whole(path, seal_vault(passphrase, canonical.encode(secrets), entropy), mode=0o600)
    return _keystore(secrets, entropy)


def open_keystore(path: Path, passphrase: str, entropy: Callable[[int], bytes]) -> Keystore:
    """Opens the keys; the signer draws its nonces from `entropy`.

    Raises PassphraseError, or KeystoreError when the file is missing or damaged.
    """
    try:
        document = path.read_bytes()
    except OSError as error:
        raise KeystoreError(f"{path} can't be read: make the home with 'dataspace org init'") from error
    try:
        secrets = canonical.decode(open_vault(passphrase, document))
        if not isinstance(secrets, dict):
            raise FormatError("the vault holds no keys")
        return _keystore(secrets, entropy)
    except OpenError as error:
        raise PassphraseError() from error
    except (FormatError, InputError, ValueError, KeyError) as error:
        raise KeystoreError(f"{path} is damaged; restore it from its backup") from error


def _keystore(secrets: dict[str, str], entropy: Callable[[int], bytes]) -> Keystore:
    raw = {name: bytes.fromhex(secrets[name]) for name in ("account", "signing", "box", "vault")}
    signer = signer_from_secret(int(secrets.get("suite", ED25519)), raw["signing"], entropy)
    return Keystore(Account(raw["account"]), signer, BoxKey(raw["box"]), VaultKey(raw["vault"]))
