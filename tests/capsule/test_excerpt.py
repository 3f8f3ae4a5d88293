"""Excerpts: a capsule's header proven under its root without the capsule."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from capsule.canonical import decode, encode
from capsule.errors import FormatError, VerificationError
from capsule.excerpt import Excerpt, excerpt_of, verify_excerpt
from capsule.ids import AssetId, Digest
from capsule.key import DataKey
from capsule.sealing import Sealed, SealPlan, seal
from tests.capsule.samples import DOMAIN, SIGNER, account, digest, entropy_of

CHUNK = 64


def sealed(size: int) -> tuple[bytes, Sealed]:
    file, entropy = io.BytesIO(), entropy_of(1)
    plan = SealPlan(
        asset=AssetId(digest(1)),
        policy_hash=digest(2),
        media_type="text/csv",
        schema={},
        provider=account(1),
        sealed_at=1_750_000_000,
        chunk_size=CHUNK,
        lineage=(digest(3),),
    )
    made = seal(io.BytesIO(bytes(size)), file, plan, SIGNER, DataKey.generate(entropy), DOMAIN, entropy)
    return file.getvalue(), made


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 7 * CHUNK])
def test_excerpt_of_any_capsule_is_proven_and_reads_back(size: int) -> None:
    content, made = sealed(size)
    excerpt = excerpt_of(content, made.leaves)

    again = Excerpt.from_json(decode(encode(excerpt.to_json())))

    assert verify_excerpt(again, made.root).header == made.header
    assert again.layout.size == made.size == len(content)


def test_excerpt_of_another_capsule_or_with_another_header_is_refused() -> None:
    content, made = sealed(5 * CHUNK)
    excerpt = excerpt_of(content, made.leaves)
    layout = excerpt.layout
    other = replace(made.header, policy_hash=digest(9))
    for crooked, root in (
        (excerpt, Digest(b"\x01" * 32)),
        (replace(excerpt, proof=excerpt.proof[:-1]), made.root),
        (replace(excerpt, layout=replace(layout, signature=layout.signature + b"\x00")), made.root),
        (replace(excerpt, layout=replace(layout, header=other, stored_header=other.to_bytes())), made.root),
    ):
        with pytest.raises(VerificationError):
            verify_excerpt(crooked, root)


@pytest.mark.parametrize("change", [{"header": "0x7b7d"}, {"signature": "0x"}, {"suite": 256}, {"proof": ["0x00"]}])
def test_what_is_no_excerpt_is_a_format_error(change: dict[str, object]) -> None:
    content, made = sealed(1)
    document = {**excerpt_of(content, made.leaves).to_json(), **change}

    with pytest.raises(FormatError):
        Excerpt.from_json(document)  # type: ignore[arg-type]
