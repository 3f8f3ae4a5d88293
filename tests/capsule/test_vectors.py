"""Capsules that were sealed once: the format never changes under them."""

import io
import json
from pathlib import Path

import pytest

from capsule.ids import Digest
from capsule.key import DataKey
from capsule.leaves import SideFile
from capsule.opening import CapsuleReader, Level, verify
from capsule.signature import PublicKey
from tests.capsule.reference import read_capsule
from tests.capsule.samples import DATA_KEY, DOMAIN, SIGNER_KEY, capsule_of

CASES = json.loads((Path(__file__).parent / "vectors" / "dsc1.json").read_bytes())["capsules"]


@pytest.mark.parametrize("case", CASES, ids=[case["note"] for case in CASES])
def test_capsule_sealed_once_opens_for_ever(case: dict[str, str]) -> None:
    data, plaintext = bytes.fromhex(case["capsule"]), bytes.fromhex(case["plaintext"])
    root, key = Digest.parse(case["root"]), DataKey(bytes.fromhex(case["data_key"]))
    side = SideFile.from_bytes(bytes.fromhex(case["side_file"]))
    assert CapsuleReader(io.BytesIO(data), key, root=root, leaves=side.leaves).read_all() == plaintext
    assert read_capsule(data, key.secret) == (plaintext, root)
    signer = PublicKey(1, bytes.fromhex(case["signer"]))
    checked = verify(io.BytesIO(data), signer_key=signer, root_signature=side.root_signature, domain=DOMAIN)
    assert (checked.level, checked.root) == (Level.SIGNATURE, root)


@pytest.mark.parametrize("case", CASES, ids=[case["note"] for case in CASES])
def test_sealing_again_gives_the_same_bytes(case: dict[str, str]) -> None:
    capsule = capsule_of(bytes.fromhex(case["plaintext"]))
    assert capsule.data.hex() == case["capsule"]
    assert capsule.sealed.side_file.to_bytes().hex() == case["side_file"]
    assert DATA_KEY.secret.hex() == case["data_key"]
    assert SIGNER_KEY.key.hex() == case["signer"]
