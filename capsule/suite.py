"""Suite SM4-GCM-SM3: how a content key seals chunks, and how a data key holds the content key.

Invariants: a content key is random and seals one capsule's chunks, whose nonces are their indexes, so no nonce
repeats. A slot key comes from the data key, the capsule's id and its whole header, so it seals one text; its nonce is
zero. A slot opens only under the header that it was made for: no other policy can be put before the same key.
"""

from __future__ import annotations

import hmac
from typing import Final

from capsule.crypto.cipher import KEY_SIZE, NONCE_SIZE, TAG_SIZE
from capsule.crypto.provider import provider
from capsule.errors import OpenError
from capsule.key import DataKey, key_commitment

__all__ = ["CONTENT_KEY_SIZE", "SLOT_SIZE", "TAG_SIZE", "open_chunk", "open_slot", "seal_chunk", "seal_slot"]

CONTENT_KEY_SIZE: Final = KEY_SIZE
SLOT_SIZE: Final = KEY_SIZE + TAG_SIZE

_INFO: Final = b"dsc1"
_SLOT_NONCE: Final = bytes(NONCE_SIZE)


def seal_chunk(
    content_key: bytes, capsule_id: bytes, index: int, last: bool, plaintext: memoryview, sealed: memoryview
) -> None:
    """Writes ciphertext and tag of a chunk to `sealed`, which may begin where the plaintext does."""
    provider().sm4_gcm_seal_into(content_key, _nonce(index), _aad(capsule_id, index, last), plaintext, sealed)


def open_chunk(
    content_key: bytes, capsule_id: bytes, index: int, last: bool, sealed: memoryview, plaintext: memoryview
) -> None:
    """Writes the plaintext of a chunk, maybe in its own place; OpenError when it is not this chunk of this capsule."""
    provider().sm4_gcm_open_into(content_key, _nonce(index), _aad(capsule_id, index, last), sealed, plaintext)


def seal_slot(data_key: DataKey, content_key: bytes, capsule_id: bytes, header: bytes) -> bytes:
    """The content key for who holds the data key; `header` as stored."""
    return provider().sm4_gcm_seal(_slot_key(data_key, capsule_id, header), _SLOT_NONCE, capsule_id, content_key)


def open_slot(data_key: DataKey, slot: bytes, capsule_id: bytes, header: bytes, commitment: bytes) -> bytes:
    """The content key; OpenError when the data key is not the committed one, or was not put under this header."""
    if not hmac.compare_digest(key_commitment(data_key), commitment):
        raise OpenError
    return provider().sm4_gcm_open(_slot_key(data_key, capsule_id, header), _SLOT_NONCE, capsule_id, slot)


def _slot_key(data_key: DataKey, capsule_id: bytes, header: bytes) -> bytes:
    cipher = provider()
    return cipher.hkdf_sm3(data_key.secret, capsule_id, _INFO + cipher.sm3(header), KEY_SIZE)


def _nonce(index: int) -> bytes:
    return index.to_bytes(NONCE_SIZE, "big")


def _aad(capsule_id: bytes, index: int, last: bool) -> bytes:
    return capsule_id + index.to_bytes(8, "big") + bytes([last])
