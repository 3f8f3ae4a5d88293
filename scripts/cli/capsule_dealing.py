"""dataspace capsule deal and rebind: new shares, or a new policy, for a capsule file, offline.

What they write is one new folder, whole or absent; what was there before is only read.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from capsule.canonical import Json, encode
from capsule.dealing import DealPlan, Dealt, check_plan, deal_key
from capsule.digest import Domain
from capsule.header import Header
from capsule.ids import Address, Digest
from capsule.key import MAX_CUSTODIANS, DataKey
from capsule.opening import verify
from capsule.policy.compiler import Compiled, compile_policy
from capsule.sealing import RebindPlan, rebind
from capsule.share import seal_share
from node.errors import InputRefusedError, RefusedError, SettingsError
from node.home import create_new, write_new
from node.keystore import Keystore
from scripts.cli import capsule_streams as streams
from scripts.cli.capsule_files import SIDE, new_file, new_folder, opaque, read_document
from scripts.cli.capsule_keys import KeySource, check_assigner, key_source, own_keystore
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, show, told, transfer
from scripts.composition import now, read_settings

__all__ = ["deal_command", "rebind_command"]

DEFAULT_HOME = Path(".dataspace")
DEFAULT_WAITING_SECONDS = 86_400
KEY_BYTES = 32
RESERVED = r"(?i)(deal|policy|share-[0-9]+)\.json(\.leaves)?"
MOST = 2**32 - 1  # of a version and of waiting seconds, as a deal writes them

CustodianOption = Annotated[
    list[str],
    typer.Option(help="ACCOUNT=BOXKEY: a custodian and its box key in hex; repeat in the order of share index."),
]
ThresholdOption = Annotated[int, typer.Option(min=1, max=MAX_CUSTODIANS, help="Custodians needed to rebuild the key.")]
OutOption = Annotated[Path, typer.Option(help="The new folder; appears whole or not at all.")]
KeyOption = Annotated[Path | None, typer.Option(help="Data key file.")]
ShareOption = Annotated[list[Path] | None, typer.Option(help="Share file sealed to this home; repeatable.")]
OldDealOption = Annotated[Path | None, typer.Option("--deal", help="The deal that the shares are of.")]
AccessOption = Annotated[str, typer.Option(help="The Access contract; taken from the deal where there is one.")]
VersionOption = Annotated[
    int | None, typer.Option(min=1, max=MOST, help="The asset's version that the capsule is, or becomes.")
]
WaitingOption = Annotated[int | None, typer.Option(min=0, max=MOST, help="Wait before shares may be gathered anew.")]


@dataclass(frozen=True, slots=True)
class _Custody:
    """The custodians of a deal to be, with their box keys, and how many suffice."""

    accounts: tuple[Address, ...]
    boxes: tuple[bytes, ...]
    threshold: int

    @classmethod
    def parse(cls, custodians: list[str], threshold: int) -> "_Custody":
        pairs = [each.partition("=") for each in custodians]
        try:
            boxes = tuple(bytes.fromhex(key.removeprefix("0x")) for _, _, key in pairs)
        except ValueError:
            boxes = ()
        if not boxes or any(len(box) != KEY_BYTES for box in boxes):
            raise InputRefusedError("a custodian is written ACCOUNT=BOXKEY, the box key as 64 hex digits")
        return cls(tuple(Address.parse(account) for account, _, _ in pairs), boxes, threshold)


def deal_command(
    path: Path,
    out: OutOption,
    policy: Annotated[Path, typer.Option(help="The ODRL policy that the capsule is under.")],
    custodian: CustodianOption,
    threshold: ThresholdOption,
    key: KeyOption = None,
    share: ShareOption = None,
    deal: OldDealOption = None,
    access: AccessOption = "",
    asset_version: VersionOption = None,
    waiting_seconds: WaitingOption = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deal a capsule's key: for the first time from its data key file, or anew from the shares of the deal before.

    Writes the deal, the policy and a share file for each holder. The capsule stays as it is. Where the policy requires
    the provider's part, destroy the old one (share 0): old shares are then worth nothing.
    """
    with told():
        new_file(out)
        custody = _Custody.parse(custodian, threshold)
        document = read_document(policy)
        compiled = compile_policy(document)
        keystore = own_keystore(home, passphrase_file)
        source = key_source(key, deal, share or [], lambda: keystore.box)
        with _capsule(path) as stream, opaque():
            header = streams.peek(stream)
            source.check(header)
            root = verify(stream, root=source.root).root
        _own(header, keystore)
        if header.policy_hash != compiled.policy_hash:
            raise InputRefusedError(f"the capsule is under the policy {header.policy_hash}; give that one")
        old = source.deal
        plan = _plan(
            source,
            custody,
            chain_id=old.chain_id if old else read_settings(home).chain_id,
            access=access,
            version=asset_version or (old.version if old else 1),
            number=old.number + 1 if old else 1,
            waiting_seconds=waiting_seconds,
        )
        with opaque():
            dealt = deal_key(source.data_key, header, root, plan, compiled.terms, secrets.token_bytes)
        with new_folder(out) as folder:
            _write_deal(folder, dealt, (keystore.box.public, *custody.boxes), document)
        show({"folder": str(out), **_told(dealt)}, as_json)


def rebind_command(
    path: Path,
    out: OutOption,
    policy: Annotated[Path, typer.Option(help="The new ODRL policy.")],
    custodian: CustodianOption,
    threshold: ThresholdOption,
    key: KeyOption = None,
    share: ShareOption = None,
    deal: OldDealOption = None,
    root: Annotated[str, typer.Option(help="The old root on chain; taken from the deal or key file.")] = "",
    access: AccessOption = "",
    asset_version: VersionOption = None,
    waiting_seconds: WaitingOption = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a capsule under another policy: a new capsule with a new key, dealt in the same step; no chunk is encrypted
    again.

    Writes the capsule, its side file, the deal, the policy and the share files. It does not reach back: who could open
    the old capsule still can. The version is the one after the old deal's; with --key name it.
    """
    with told():
        new_file(out)
        if re.fullmatch(RESERVED, path.name):
            raise InputRefusedError(f"{path.name} is the name of another file in the new folder; rename the capsule")
        custody = _Custody.parse(custodian, threshold)
        document = read_document(policy)
        compiled = compile_policy(document)
        settings = read_settings(home)
        if settings.directory is None:
            raise SettingsError("this home is bound to no ledger yet; run 'dataspace org join' with the operator's pin")
        keystore = own_keystore(home, passphrase_file)
        check_assigner(document, keystore)
        source = key_source(key, deal, share or [], lambda: keystore.box)
        old = source.deal
        if asset_version is None and old is None:
            raise InputRefusedError("a key file names no version; give --asset-version, the asset's next one")
        plan = _plan(
            source,
            custody,
            chain_id=settings.chain_id,
            access=access,
            version=asset_version or (old.version + 1 if old else 1),
            number=1,
            waiting_seconds=waiting_seconds,
        )
        check_plan(plan, compiled.terms)
        domain = Domain(settings.chain_id, settings.directory)
        data_key = DataKey.generate(secrets.token_bytes)
        with _capsule(path) as stream, new_folder(out) as folder:
            with opaque():
                header = streams.peek(stream)
                source.check(header)
            _own(header, keystore)
            _for_asset(compiled, header)
            with (
                opaque(),
                create_new(folder / path.name) as sink,
                transfer("rebinding", header.plaintext_size) as progress,
            ):
                sealed = rebind(
                    stream,
                    sink,
                    RebindPlan(policy_hash=compiled.policy_hash, sealed_at=now()),
                    keystore.signer,
                    source.data_key,
                    data_key,
                    domain,
                    root=Digest.parse(root) if root else source.root,
                    progress=progress,
                )
            write_new(folder / (path.name + SIDE), sealed.side_file.to_bytes())
            dealt = deal_key(data_key, sealed.header, sealed.root, plan, compiled.terms, secrets.token_bytes)
            _write_deal(folder, dealt, (keystore.box.public, *custody.boxes), document)
        show({"folder": str(out), "capsule": str(out / path.name), "root": str(sealed.root), **_told(dealt)}, as_json)


@contextmanager
def _capsule(path: Path) -> Iterator[BinaryIO]:
    with streams.source(path) as stream:
        if not stream.seekable():
            raise InputRefusedError(f"{path} is read more than once; put the capsule into a file")
        yield stream


def _own(header: Header, keystore: Keystore) -> None:
    if header.provider != keystore.account.address:
        raise RefusedError("the capsule", f"its provider is {header.provider}, and only the provider deals its key")


def _for_asset(compiled: Compiled, header: Header) -> None:
    if compiled.holder.asset not in (None, header.asset):
        raise InputRefusedError(f"the policy is for the asset {compiled.holder.asset}, not for {header.asset}")


def _plan(
    source: KeySource,
    custody: _Custody,
    *,
    chain_id: int,
    access: str,
    version: int,
    number: int,
    waiting_seconds: int | None,
) -> DealPlan:
    old = source.deal
    if not access and old is None:
        raise InputRefusedError("a first deal names the Access contract; give --access")
    waiting = old.waiting_seconds if old else DEFAULT_WAITING_SECONDS
    return DealPlan(
        chain_id=chain_id,
        access=Address.parse(access) if access or old is None else old.access,
        version=version,
        number=number,
        custodians=custody.accounts,
        threshold=custody.threshold,
        waiting_seconds=waiting if waiting_seconds is None else waiting_seconds,
    )


def _write_deal(folder: Path, dealt: Dealt, boxes: tuple[bytes, ...], policy: Json) -> None:
    write_new(folder / "deal.json", encode(dealt.deal.to_json()))
    write_new(folder / "policy.json", encode(policy))
    for secret, box in zip(dealt.secrets, boxes, strict=True):
        if secret.index or dealt.deal.provider_required:
            write_new(folder / f"share-{secret.index}.json", encode(seal_share(secret, dealt.deal, box).to_json()))


def _told(dealt: Dealt) -> dict[str, object]:
    deal = dealt.deal
    return {
        "deal": str(deal.hash),
        "number": deal.number,
        "asset_version": deal.version,
        "threshold": deal.threshold,
        "provider_required": deal.provider_required,
        "policy_hash": str(deal.policy_hash),
        "holders": [str(holder.account) for holder in deal.holders],
    }
