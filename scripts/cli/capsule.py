"""dataspace capsule: seal, open, look at and check capsule files offline."""

import mimetypes
import os
import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from capsule.deal import Deal
from capsule.digest import Domain
from capsule.header import DEFAULT_CHUNK_SIZE
from capsule.ids import Address, AssetId, Digest
from capsule.key import DataKey
from capsule.leaves import SideFile
from capsule.opening import CapsuleReader, inspect, verify
from capsule.policy.compiler import compile_policy
from capsule.sealing import SealPlan, seal
from capsule.share import SealedShare, open_share, rebuild_key
from capsule.signature import ED25519, PublicKey
from node.errors import InputRefusedError, SettingsError
from node.home import Home, create_whole, write_whole
from node.keystore import open_keystore
from scripts.cli.capsule_files import SIDE, new_file, read_document, read_key, resumed, write_key
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, passphrase, show, told, transfer
from scripts.composition import now, read_settings

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Capsule files, offline.")

DEFAULT_HOME = Path(".dataspace")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

WorkersOption = Annotated[int, typer.Option(help="Threads that seal, open and hash.", min=1, max=256)]


@app.command("seal")
def seal_command(
    source: Path,
    policy: Annotated[Path, typer.Option(help="The ODRL policy that the capsule is bound to.")],
    asset: Annotated[str, typer.Option(help="Id of the asset on chain.")],
    key_out: Annotated[Path, typer.Option(help="Where the data key goes (mode 0600); it opens the capsule alone.")],
    out: Annotated[Path | None, typer.Option(help="The capsule; FILE.dsc where not given.")] = None,
    media_type: Annotated[str, typer.Option(help="Guessed from the name where not given.")] = "",
    schema: Annotated[Path | None, typer.Option(help="JSON with the time column, columns and units.")] = None,
    chunk_size: Annotated[int, typer.Option(help="Bytes of plaintext in a chunk.")] = DEFAULT_CHUNK_SIZE,
    workers: WorkersOption = CORES,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal a file under a policy, signed with this home's key; a side file of leaf hashes goes beside the capsule.

    For work without a chain: nothing is dealt, so the data key file is the only way in. `dataspace asset offer` seals
    and deals in one step.
    """
    with told():
        target = new_file(out or source.with_name(source.name + ".dsc"))
        side = new_file(target.with_name(target.name + SIDE))
        new_file(key_out)
        settings = read_settings(home)
        if settings.directory is None:
            raise SettingsError("this home is bound to no ledger yet; run 'dataspace org join' with the operator's pin")
        compiled = compile_policy(read_document(policy))
        if compiled.holder.asset not in (None, AssetId.parse(asset)):
            raise InputRefusedError(f"the policy is for the asset {compiled.holder.asset}, not for {asset}")
        keystore = open_keystore(Home(home).keystore_file, passphrase(passphrase_file), secrets.token_bytes)
        plan = SealPlan(
            asset=AssetId.parse(asset),
            policy_hash=compiled.policy_hash,
            media_type=media_type or mimetypes.guess_type(source.name)[0] or "application/octet-stream",
            schema={} if schema is None else read_document(schema),
            provider=keystore.account.address,
            sealed_at=now(),
            chunk_size=chunk_size,
        )
        data_key = DataKey.generate(secrets.token_bytes)
        domain = Domain(settings.chain_id, settings.directory)
        with source.open("rb") as stream, create_whole(target) as sink:
            with transfer("sealing", source.stat().st_size) as progress:
                sealed = seal(
                    stream,
                    sink,
                    plan,
                    keystore.signer,
                    data_key,
                    domain,
                    secrets.token_bytes,
                    workers=workers,
                    progress=progress,
                )
            # before the capsule has its name: a key without a capsule is harmless, a capsule without a key is lost
            write_key(key_out, data_key, sealed.header.capsule_id)
            write_whole(side, sealed.side_file.to_bytes())
        show(
            {
                "capsule": str(target),
                "root": str(sealed.root),
                "bytes": sealed.size,
                "policy_hash": str(compiled.policy_hash),
                "key_file": str(key_out),
                "side_file": str(side),
            },
            as_json,
        )


@app.command("open")
def open_command(
    path: Path,
    out: Annotated[Path, typer.Option(help="The plaintext; appears only when all of it opened.")],
    key: Annotated[Path | None, typer.Option(help="Data key file.")] = None,
    share: Annotated[list[Path] | None, typer.Option(help="Share file sealed to this home; repeatable.")] = None,
    deal: Annotated[Path | None, typer.Option(help="The deal that the shares are of.")] = None,
    root: Annotated[str, typer.Option(help="The capsule root that stands on chain.")] = "",
    policy_hash: Annotated[str, typer.Option(help="The policy that the capsule has to be under.")] = "",
    wanted: Annotated[str, typer.Option("--range", help="Bytes A:B of the plaintext, from A until before B.")] = "",
    workers: WorkersOption = CORES,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a capsule with its data key file, or with share files and their deal.

    With --root every byte is checked against it: by the side file beside the capsule where there is one, else by
    reading the capsule through first.
    """
    with told(), path.open("rb") as stream:
        header = inspect(stream)
        begin, end = _range(wanted, header.plaintext_size)
        data_key = _data_key(key, share or [], deal, home, passphrase_file)
        side = path.with_name(path.name + SIDE)
        stream.seek(0)
        reader = CapsuleReader(
            stream,
            data_key,
            root=Digest.parse(root) if root else None,
            policy_hash=Digest.parse(policy_hash) if policy_hash else None,
            leaves=SideFile.from_bytes(side.read_bytes()).leaves if root and side.is_file() else None,
            workers=workers,
        )
        with create_whole(out) as sink, transfer("opening", end - begin) as progress:
            written = reader.copy_to(sink, begin, end, progress=progress)
        show({"file": str(out), "bytes": written, "verified": "chain" if root else "key only"}, as_json)


@app.command("inspect")
def inspect_command(path: Path, as_json: JsonOption = False) -> None:
    """The header of a capsule, unverified."""
    with told(), path.open("rb") as stream:
        header = inspect(stream).to_json()
        show({**header, "file_bytes": os.fstat(stream.fileno()).st_size, "verified": "nothing"}, as_json)


@app.command("verify")
def verify_command(
    path: Path,
    root: Annotated[str, typer.Option(help="The capsule root that stands on chain.")] = "",
    signer_key: Annotated[str, typer.Option(help="The provider's Ed25519 public key in hex.")] = "",
    chain_id: Annotated[int, typer.Option(help="Of the ledger that the signature is for.")] = 0,
    directory: Annotated[str, typer.Option(help="Directory of that ledger.")] = str(Address.ZERO),
    side: Annotated[Path | None, typer.Option(help="Side file with the provider's signature over the root.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Note here how far it came, and go on from there when stopped.")
    ] = None,
    workers: WorkersOption = CORES,
    as_json: JsonOption = False,
) -> None:
    """Check a capsule against its root on chain, or against its provider's signature; no key is needed."""
    with told(), ExitStack() as stack:
        try:
            key = PublicKey(ED25519, bytes.fromhex(signer_key)) if signer_key else None
        except ValueError as error:
            raise InputRefusedError("a signer key is written as 64 hex digits") from error
        stream = stack.enter_context(path.open("rb"))
        header = inspect(stream)
        stream.seek(0)
        state = stack.enter_context(resumed(resume, stream)) if resume else None
        known = state.known if state else b""
        progress = stack.enter_context(transfer("verifying", header.plaintext_size))
        read = len(known)

        def found(leaves: bytes) -> None:
            nonlocal read
            read += len(leaves)
            progress(min(read // 32 * header.chunk_size, header.plaintext_size))
            if state is not None:
                state.note(leaves)

        verified = verify(
            stream,
            root=Digest.parse(root) if root else None,
            signer_key=key,
            root_signature=SideFile.from_bytes(side.read_bytes()).root_signature if side else None,
            domain=Domain(chain_id, Address.parse(directory)),
            workers=workers,
            known=known,
            found=found,
        )
        stack.close()
        show(
            {"root": str(verified.root), "verified": str(verified.level), "asset": str(verified.header.asset)}, as_json
        )


def _range(wanted: str, size: int) -> tuple[int, int]:
    if not wanted:
        return 0, size
    first, sign, last = wanted.partition(":")
    try:
        begin, end = int(first or 0), int(last or size)
    except ValueError:
        begin, end = -1, -1
    if not sign or not 0 <= begin <= end <= size:
        raise InputRefusedError(f"a range is written A:B with 0 <= A <= B <= {size}, not {wanted!r:.60}")
    return begin, end


def _data_key(
    key: Path | None, shares: list[Path], deal: Path | None, home: Path, passphrase_file: Path | None
) -> DataKey:
    if key is not None and not shares:
        return read_key(key)
    if key is not None or not shares or deal is None:
        raise InputRefusedError("give either --key, or --deal and every --share")
    dealt = Deal.from_json(read_document(deal))
    box = open_keystore(Home(home).keystore_file, passphrase(passphrase_file), secrets.token_bytes).box
    opened = [open_share(SealedShare.from_json(read_document(path)), dealt, box) for path in shares]
    return rebuild_key(dealt, opened)
