import json
import secrets

import pytest

from capsule.errors import FormatError, InputError, OpenError
from capsule.vault import VaultKey, open_vault, seal_vault


def test_vault_opens_with_its_passphrase_only() -> None:
    document = seal_vault("right horse", b"keys", secrets.token_bytes)
    assert open_vault("right horse", document) == b"keys"
    with pytest.raises(OpenError):
        open_vault("wrong horse", document)


def test_vault_refuses_an_empty_passphrase() -> None:
    with pytest.raises(InputError):
        seal_vault("", b"keys", secrets.token_bytes)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("kdf"),
        lambda content: content.update(version=2),
        lambda content: content["kdf"].update(passes=10**6),
        lambda content: content["kdf"].update(memory_bytes=2**50),
        lambda content: content["kdf"].update(salt="zz"),
        lambda content: content.update(sealed="%%%"),
    ],
)
def test_vault_reader_refuses_damaged_documents(change: object) -> None:
    content = json.loads(seal_vault("pass", b"keys", secrets.token_bytes))
    change(content)  # type: ignore[operator]
    with pytest.raises(FormatError):
        open_vault("pass", json.dumps(content).encode())


def test_vault_key_finds_every_changed_byte_and_hides_itself() -> None:
    key = VaultKey(secrets.token_bytes(32))
    sealed = bytearray(key.seal(b"one-time key", secrets.token_bytes))
    assert key.open(bytes(sealed)) == b"one-time key"
    for position in range(len(sealed)):
        changed = bytes(sealed[:position]) + bytes([sealed[position] ^ 1]) + bytes(sealed[position + 1 :])
        with pytest.raises(OpenError):
            key.open(changed)
    assert key.secret.hex() not in repr(key)
