"""A second reader of `dsc1`, written from docs/formats.md with other libraries: gmssl's SM3 and SM4, hashlib, json.

It knows nothing of the package under test. GCM is spelled out over SM4's block function, HMAC and HKDF over SM3. Slow.
"""

import hashlib
import json

import gmssl.func
import gmssl.sm3
import gmssl.sm4


def sm3(data: bytes) -> bytes:
    return bytes.fromhex(gmssl.sm3.sm3_hash(gmssl.func.bytes_to_list(data)))


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    block = key.ljust(64, b"\x00")
    inner = sm3(bytes(byte ^ 0x36 for byte in block) + data)
    return sm3(bytes(byte ^ 0x5C for byte in block) + inner)


def sm4_block(key: bytes, block: bytes) -> bytes:
    cipher = gmssl.sm4.CryptSM4()
    cipher.set_key(key, gmssl.sm4.SM4_ENCRYPT)
    return bytes(cipher.one_round(cipher.sk, list(block)))


def gf_multiply(left: int, right: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if right >> bit & 1:
            product ^= left
        left = left >> 1 ^ (0xE1 << 120 if left & 1 else 0)
    return product


def sm4_gcm_open(key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    ciphertext, tag = sealed[:-16], sealed[-16:]
    subkey = int.from_bytes(sm4_block(key, bytes(16)), "big")
    accumulator = 0
    lengths = (len(aad) * 8).to_bytes(8, "big") + (len(ciphertext) * 8).to_bytes(8, "big")
    for part in (aad, ciphertext, lengths):
        for at in range(0, len(part), 16):
            accumulator = gf_multiply(
                accumulator ^ int.from_bytes(part[at : at + 16].ljust(16, b"\x00"), "big"), subkey
            )
    mask = sm4_block(key, nonce + (1).to_bytes(4, "big"))
    assert bytes(a ^ b for a, b in zip(accumulator.to_bytes(16, "big"), mask, strict=True)) == tag
    plaintext = b""
    for counter, at in enumerate(range(0, len(ciphertext), 16), start=2):
        stream = sm4_block(key, nonce + counter.to_bytes(4, "big"))
        plaintext += bytes(a ^ b for a, b in zip(ciphertext[at : at + 16], stream, strict=False))
    return plaintext


def field_multiply(left: int, right: int) -> int:
    """GF(2^128) modulo x^128 + x^7 + x^2 + x + 1; the most significant bit is x^127."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        right >>= 1
        left <<= 1
        if left >> 128:
            left ^= 1 << 128 | 0x87
    return product


def field_invert(value: int) -> int:
    result, exponent = 1, 2**128 - 2
    while exponent:
        if exponent & 1:
            result = field_multiply(result, value)
        value = field_multiply(value, value)
        exponent >>= 1
    return result


def quorum_part(shares: dict[int, bytes]) -> bytes:
    """The value at 0 of the polynomial through the shares."""
    secret = 0
    for index, share in shares.items():
        weight = 1
        for other in shares:
            if other != index:
                weight = field_multiply(weight, field_multiply(other, field_invert(other ^ index)))
        secret ^= field_multiply(weight, int.from_bytes(share, "big"))
    return secret.to_bytes(16, "big")


def tree_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_root(leaves[:split]) + tree_root(leaves[split:])).digest()


def read_capsule(data: bytes, data_key: bytes) -> tuple[bytes, bytes]:
    """Plaintext and root."""
    assert data[:8] == b"dsc1\r\n\x1a\n"
    header_end = 12 + int.from_bytes(data[8:12], "big")
    stored = data[12:header_end]
    header = json.loads(stored)
    capsule_id = bytes.fromhex(header["capsule_id"][2:])
    signature_end = header_end + 3 + int.from_bytes(data[header_end + 1 : header_end + 3], "big")
    body = signature_end + 32
    assert hmac_sm3(data_key, b"dsc1 commit").hex() == header["key_commitment"][2:]
    slot_key = hmac_sm3(hmac_sm3(capsule_id, data_key), b"dsc1" + sm3(stored) + b"\x01")[:16]
    content_key = sm4_gcm_open(slot_key, bytes(12), capsule_id, data[signature_end:body])
    leaves = [data[:header_end], data[header_end:signature_end], data[signature_end:body]]
    plaintext, at, index = b"", body, 0
    while True:
        left = header["plaintext_size"] - len(plaintext)
        chunk = data[at : at + min(left, header["chunk_size"]) + 16]
        last = left <= header["chunk_size"]
        aad = capsule_id + index.to_bytes(8, "big") + (b"\x01" if last else b"\x00")
        plaintext += sm4_gcm_open(content_key, index.to_bytes(12, "big"), aad, chunk)
        leaves.append(chunk)
        at, index = at + len(chunk), index + 1
        if last:
            assert at == len(data)
            return plaintext, tree_root(leaves)
