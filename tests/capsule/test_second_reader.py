"""What was made once is read by this package and by a stranger's reader alike, for ever."""

import ast
import io
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

import tests.capsule.second_reader as stranger
from capsule.box import BoxKey
from capsule.canonical import decode, encode
from capsule.deal import Deal
from capsule.ids import Bytes32, Digest
from capsule.key import DataKey
from capsule.opening import CapsuleReader
from capsule.receipt import SignedReceipt, output_digest, sign_receipt, verify_receipt
from capsule.share import ReleaseContext, SealedShare, open_release, open_share, rebuild_key
from capsule.signature import PublicKey
from scripts.cli.capsule_keys import key_source, write_key
from tests.capsule.samples import DATA_KEY, DOMAIN, SIGNER, account

VECTORS = Path(__file__).parent / "vectors"
CAPSULES = json.loads((VECTORS / "dsc1.json").read_bytes())["capsules"]
MADE = json.loads((VECTORS / "custody.json").read_bytes())
CAPSULE = next(case for case in CAPSULES if case["note"] == MADE["capsule"])
DEAL = Deal.from_json(MADE["deal"])
LEDGER = (DOMAIN.chain_id, bytes(DOMAIN.directory))


def never_asked() -> BoxKey:
    raise AssertionError("a key file needs no box")


def test_the_stranger_knows_nothing_of_this_project() -> None:
    tree = ast.parse(Path(stranger.__file__).read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in named} == {"cryptography", "hashlib", "json", "nacl", "typing"}


@pytest.mark.parametrize("case", CAPSULES, ids=[case["note"] for case in CAPSULES])
def test_a_stranger_opens_every_capsule(case: dict[str, str]) -> None:
    capsule = stranger.Capsule(bytes.fromhex(case["capsule"]))
    assert capsule.open(bytes.fromhex(case["data_key"])).hex() == case["plaintext"]
    assert "0x" + capsule.root.hex() == case["root"]
    signer = bytes.fromhex(case["signer"])
    capsule.check_header_signature(signer, *LEDGER)
    assert stranger.read_side_file(bytes.fromhex(case["side_file"]), signer, *LEDGER) == capsule.leaves
    with pytest.raises(ValueError, match="another data key"):
        capsule.open(bytes(16))


def test_a_stranger_opens_the_capsule_with_shares_of_its_deal() -> None:
    parts = dict(
        stranger.open_share(MADE["deal"], json.loads(share["file"]), bytes.fromhex(share["box_secret"]))
        for share in MADE["shares"]
    )
    assert sorted(parts) == [0, 1, 2, 3]
    capsule = stranger.Capsule(bytes.fromhex(CAPSULE["capsule"]))
    assert MADE["deal"]["capsule_root"] == "0x" + capsule.root.hex()
    for missing in (1, 2, 3):
        key = stranger.data_key(MADE["deal"], {index: part for index, part in parts.items() if index != missing})
        assert capsule.open(key).hex() == CAPSULE["plaintext"]
    release = MADE["release"]
    opened = stranger.open_box(bytes.fromhex(release["one_time_secret"]), bytes.fromhex(release["sealed"]))
    assert stranger.check_part(MADE["deal"], opened) == parts[release["index"]]
    assert (opened["use"], opened["access"], opened["chain_id"]) == (release["use"], MADE["deal"]["access"], "1337")


def test_a_stranger_checks_the_receipt() -> None:
    signed, key = json.loads(MADE["receipt"]["file"]), bytes.fromhex(MADE["receipt"]["signer"])
    assert "0x" + stranger.check_receipt(signed, key, *LEDGER).hex() == MADE["receipt"]["hash"]
    output = stranger.digest("output", bytes.fromhex(MADE["receipt"]["output_salt"] + MADE["receipt"]["output"]))
    assert signed["receipt"]["output"] == "0x" + output.hex()
    signed["receipt"]["rows_out"] += 1
    with pytest.raises(InvalidSignature):
        stranger.check_receipt(signed, key, *LEDGER)


def test_this_package_reads_deal_shares_and_release_as_the_stranger_does() -> None:
    assert encode(DEAL.to_json()) == encode(MADE["deal"])
    assert str(DEAL.hash) == MADE["deal_hash"] == "0x" + stranger.digest("deal", stranger.canonical(MADE["deal"])).hex()
    secrets = []
    for share in MADE["shares"]:
        sealed = SealedShare.from_json(decode(share["file"].encode()))
        assert encode(sealed.to_json()).decode() == share["file"]
        secrets.append(open_share(sealed, DEAL, BoxKey(bytes.fromhex(share["box_secret"]))))
    assert rebuild_key(DEAL, secrets) == rebuild_key(DEAL, (secrets[0], secrets[2], secrets[3])) == DATA_KEY
    reader = CapsuleReader(io.BytesIO(bytes.fromhex(CAPSULE["capsule"])), DATA_KEY, root=DEAL.capsule_root)
    assert reader.read_all().hex() == CAPSULE["plaintext"]
    release = MADE["release"]
    expected = ReleaseContext(
        chain_id=DEAL.chain_id, access=account(0xAC), use=Bytes32.parse(release["use"]), index=release["index"]
    )
    box = BoxKey(bytes.fromhex(release["one_time_secret"]))
    assert open_release(bytes.fromhex(release["sealed"]), box, expected, DEAL) == secrets[2]


def test_this_package_reads_and_makes_the_receipt() -> None:
    signed = SignedReceipt.from_json(decode(MADE["receipt"]["file"].encode()))
    receipt = verify_receipt(signed, PublicKey(1, bytes.fromhex(MADE["receipt"]["signer"])), DOMAIN)
    assert str(receipt.hash) == MADE["receipt"]["hash"]
    output, salt = bytes.fromhex(MADE["receipt"]["output"]), bytes.fromhex(MADE["receipt"]["output_salt"])
    assert receipt.output == output_digest(output, salt)
    assert encode(sign_receipt(receipt, SIGNER, DOMAIN).to_json()).decode() == MADE["receipt"]["file"]


def test_the_key_file_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "day.key"
    root, capsule_id = Digest.parse(CAPSULE["root"]), DEAL.capsule_id
    write_key(path, DataKey(bytes.fromhex(CAPSULE["data_key"])), capsule_id, root)
    assert path.read_text() == MADE["key_file"]
    source = key_source(path, None, (), never_asked)
    assert (source.data_key, source.root, source.deal) == (DATA_KEY, root, None)
