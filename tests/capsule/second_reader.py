"""A stranger's reader, written from docs/formats.md alone: capsule, side file, deal, shares, releases and receipts.

It imports nothing of this project; `cryptography` does the ciphers and signatures, PyNaCl libsodium's SealedBox.
"""

import hashlib
import json
from typing import Any

import nacl.public
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Document = dict[str, Any]


def refuse_unless(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def raw(text: str) -> bytes:
    """Hex in JSON: 0x and lower case; accounts as in EIP-55."""
    refuse_unless(text.startswith("0x"), "hex without 0x")
    return bytes.fromhex(text[2:])


def canonical(document: Document) -> bytes:
    """RFC 8785, for documents of integers, flags and ASCII names."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(kind: str, data: bytes) -> bytes:
    return hashlib.sha256(f"dataspace/{kind}/1".encode() + b"\x00" + data).digest()


def statement(kind: str, chain_id: int, directory: bytes, about: bytes) -> bytes:
    return f"dataspace/{kind}/1".encode() + b"\x00" + chain_id.to_bytes(32, "big") + directory + about


def check_signature(suite: int, key: bytes, signature: bytes, message: bytes) -> None:
    refuse_unless(suite == 1, "this reader knows suite 1 only")
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


def sm3(data: bytes) -> bytes:
    hasher = Hash(SM3())
    hasher.update(data)
    return hasher.finalize()


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, SM3())
    mac.update(data)
    return mac.finalize()


def sm4_gcm_open(key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    opener = Cipher(algorithms.SM4(key), modes.GCM(nonce, sealed[-16:])).decryptor()
    opener.authenticate_additional_data(aad)
    try:
        return opener.update(sealed[:-16]) + opener.finalize()
    except InvalidTag:
        raise ValueError("does not open") from None


def tree_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + tree_root(hashes[:split]) + tree_root(hashes[split:])).digest()


class Capsule:
    """A capsule cut into its pieces, as the table of the page has them."""

    def __init__(self, data: bytes) -> None:
        refuse_unless(data[:8] == bytes.fromhex("647363310D0A1A0A"), "no dsc1 capsule")
        end = 12 + int.from_bytes(data[8:12], "big")
        self.stored = data[12:end]
        self.header: Document = json.loads(self.stored)
        refuse_unless(canonical(self.header) == self.stored, "header is not RFC 8785 JSON")
        self.suite = data[end]
        signature_end = end + 3 + int.from_bytes(data[end + 1 : end + 3], "big")
        self.signature = data[end + 3 : signature_end]
        self.slot = data[signature_end : signature_end + 32]
        self.pieces = [data[:end], data[end:signature_end], self.slot]
        size, chunk_size = self.header["plaintext_size"], self.header["chunk_size"]
        at = signature_end + 32
        for index in range(max(1, -(-size // chunk_size))):
            length = min(chunk_size, size - index * chunk_size) + 16
            self.pieces.append(data[at : at + length])
            at += length
        refuse_unless(at == len(data), "length is not the one that the header says")

    @property
    def leaves(self) -> list[bytes]:
        return [hashlib.sha256(b"\x00" + piece).digest() for piece in self.pieces]

    @property
    def root(self) -> bytes:
        return tree_root(self.leaves)

    def open(self, data_key: bytes) -> bytes:
        header, capsule_id = self.header, raw(self.header["capsule_id"])
        refuse_unless(hmac_sm3(data_key, b"dsc1 commit") == raw(header["key_commitment"]), "another data key")
        slot_key = HKDF(SM3(), 16, capsule_id, b"dsc1" + sm3(self.stored)).derive(data_key)
        content_key = sm4_gcm_open(slot_key, bytes(12), capsule_id, self.slot)
        chunks = self.pieces[3:]
        return b"".join(
            sm4_gcm_open(
                content_key,
                index.to_bytes(12, "big"),
                capsule_id + index.to_bytes(8, "big") + (b"\x01" if index == len(chunks) - 1 else b"\x00"),
                chunk,
            )
            for index, chunk in enumerate(chunks)
        )

    def check_header_signature(self, key: bytes, chain_id: int, directory: bytes) -> None:
        about = digest("capsule", self.stored)
        check_signature(self.suite, key, self.signature, statement("capsule", chain_id, directory, about))


def read_side_file(data: bytes, key: bytes, chain_id: int, directory: bytes) -> list[bytes]:
    """The leaf hashes, once the provider's signature over their root holds."""
    refuse_unless(data[:8] == bytes.fromhex("64736C310D0A1A0A"), "no side file")
    end = 11 + int.from_bytes(data[9:11], "big")
    hashes = [data[at : at + 32] for at in range(end, len(data), 32)]
    about = tree_root(hashes)
    check_signature(data[8], key, data[11:end], statement("capsule-root", chain_id, directory, about))
    return hashes


def open_box(secret: bytes, sealed: bytes) -> Document:
    opened: Document = json.loads(nacl.public.SealedBox(nacl.public.PrivateKey(secret)).decrypt(sealed))
    return opened


def check_part(deal: Document, opened: Document) -> bytes:
    """A holder's part, once it opens the deal's commitment at its index."""
    part, index = raw(opened["share"]), opened["index"]
    refuse_unless(raw(opened["deal"]) == digest("deal", canonical(deal)), "of another deal")
    committed = digest("share", bytes([index]) + part + raw(opened["blinding"]))
    refuse_unless(committed == raw(deal["holders"][index]["commitment"]), "not the part that was dealt")
    return part


def open_share(deal: Document, share: Document, box_secret: bytes) -> tuple[int, bytes]:
    refuse_unless((share["kind"], share["version"]) == ("dataspace/share", 1), "no share")
    opened = open_box(box_secret, raw(share["sealed"]))
    refuse_unless(opened["kind"] == "dataspace/share-opened", "no opened share")
    refuse_unless(opened["index"] == share["index"], "another index inside")
    return opened["index"], check_part(deal, opened)


def multiply(left: int, right: int) -> int:
    """In GF(2^128) modulo x^128 + x^7 + x^2 + x + 1."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left <<= 1
        if left >> 128:
            left ^= 1 << 128 | 0b10000111
        right >>= 1
    return product


def inverse(value: int) -> int:
    result = 1
    for _ in range(127):  # value^(2^128 - 2)
        value = multiply(value, value)
        result = multiply(result, value)
    return result


def data_key(deal: Document, parts: dict[int, bytes]) -> bytes:
    """Provider part XOR the polynomial's value at 0, by Lagrange over `threshold` of the shares."""
    provider_part = parts[0] if deal["provider_required"] else bytes(16)
    shares = sorted(item for item in parts.items() if item[0])[: deal["threshold"]]
    quorum_part = 0
    for index, share in shares:
        weight = 1
        for other, _ in shares:
            if other != index:
                weight = multiply(weight, multiply(other, inverse(other ^ index)))
        quorum_part ^= multiply(weight, int.from_bytes(share, "big"))
    return (int.from_bytes(provider_part, "big") ^ quorum_part).to_bytes(16, "big")


def check_receipt(signed: Document, key: bytes, chain_id: int, directory: bytes) -> bytes:
    """The receipt's digest, once its node's signature over it holds."""
    refuse_unless((signed["kind"], signed["version"]) == ("dataspace/signed-receipt", 1), "no signed receipt")
    about = digest("receipt", canonical(signed["receipt"]))
    message = statement("receipt", chain_id, directory, about)
    check_signature(signed["suite"], key, raw(signed["signature"]), message)
    return about
