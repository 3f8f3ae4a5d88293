"""dataspace capsule: seal, open, look at, check, deal and rebind capsule files offline."""

import mimetypes
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from capsule.box import BoxKey
from capsule.digest import Domain
from capsule.errors import FormatError, VerificationError
from capsule.header import DEFAULT_CHUNK_SIZE
from capsule.ids import Address, AssetId, Digest
from capsule.key import DataKey
from capsule.lineage import walk
from capsule.opening import CapsuleReader, inspect, verify
from capsule.policy.compiler import compile_policy
from capsule.sealing import SealPlan, seal
from capsule.signature import PublicKey
from node.errors import InputRefusedError, SettingsError
from node.home import Home, create_whole, write_whole
from node.keystore import open_keystore
from scripts.cli.capsule_dealing import deal_command, rebind_command
from scripts.cli.capsule_files import (
    SIDE,
    key_source,
    new_file,
    opaque,
    read_document,
    read_side,
    resumed,
    side_leaves,
    signing_key,
    write_key,
)
from scripts.cli.capsule_lineage import Shelf, lineage_lines, lineage_status, parent_root, provider_keys
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, passphrase, show, told, transfer
from scripts.composition import now, read_settings

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Capsule files, offline.")
app.command("deal")(deal_command)
app.command("rebind")(rebind_command)

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
    parent: Annotated[list[Path] | None, typer.Option(help="A capsule it was made from; repeatable.")] = None,
    workers: WorkersOption = CORES,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal a file under a policy, signed with this home's key; a side file of leaf hashes goes beside the capsule.

    For work without a chain: nothing is dealt yet, so the data key file is the only way in. `dataspace capsule deal`
    deals it, `dataspace asset offer` seals and deals in one step. Parents are read through, and those of this provider
    checked for its signature; the header names their roots.
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
        domain = Domain(settings.chain_id, settings.directory)
        signer = keystore.signer
        own = {keystore.account.address: PublicKey(signer.suite, signer.public_key)}
        plan = SealPlan(
            asset=AssetId.parse(asset),
            policy_hash=compiled.policy_hash,
            media_type=media_type or mimetypes.guess_type(source.name)[0] or "application/octet-stream",
            schema={} if schema is None else read_document(schema),
            provider=keystore.account.address,
            sealed_at=now(),
            chunk_size=chunk_size,
            lineage=tuple(dict.fromkeys(parent_root(each, own, domain) for each in parent or [])),
        )
        data_key = DataKey.generate(secrets.token_bytes)
        with source.open("rb") as stream, create_whole(target) as sink:
            with transfer("sealing", source.stat().st_size) as progress:
                sealed = seal(
                    stream,
                    sink,
                    plan,
                    signer,
                    data_key,
                    domain,
                    secrets.token_bytes,
                    workers=workers,
                    progress=progress,
                )
            # before the capsule has its name: a key without a capsule is harmless, a capsule without a key is lost
            write_key(key_out, data_key, sealed.header.capsule_id, sealed.root)
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

    Every byte is checked against --root, or the root that the deal or key file names: by the side file beside the
    capsule where there is one, else by reading the capsule through first. Whatever does not hold is one error; `verify`
    says what can be told without a key.
    """
    with told(), path.open("rb") as stream:

        def box() -> BoxKey:
            return open_keystore(Home(home).keystore_file, passphrase(passphrase_file), secrets.token_bytes).box

        source = key_source(key, deal, share or [], box)
        expected = Digest.parse(root) if root else source.root
        policy = Digest.parse(policy_hash) if policy_hash else None
        with opaque():
            reader = CapsuleReader(
                stream,
                source.data_key,
                root=expected,
                policy_hash=policy,
                leaves=side_leaves(path, expected),
                workers=workers,
            )
        begin, end = _range(wanted, reader.header.plaintext_size)
        with create_whole(out) as sink, transfer("opening", end - begin) as progress, opaque():
            written = reader.copy_to(sink, begin, end, progress=progress)
        against = "chain" if root else "deal" if source.deal else "key file" if expected else "key only"
        show({"file": str(out), "bytes": written, "verified": against}, as_json)


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
    signer_key: Annotated[str, typer.Option(help="The provider's public key in hex.")] = "",
    chain_id: Annotated[int, typer.Option(help="Of the ledger that the signature is for.")] = 0,
    directory: Annotated[str, typer.Option(help="Directory of that ledger.")] = str(Address.ZERO),
    side: Annotated[Path | None, typer.Option(help="Side file with the provider's signature over the root.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Note here how far it came, and go on from there when stopped.")
    ] = None,
    with_parents: Annotated[
        list[Path] | None, typer.Option(help="Capsule, or folder of them, to look for its lineage in; repeatable.")
    ] = None,
    parent_key: Annotated[
        list[str] | None, typer.Option(help="ACCOUNT=HEX: key of another provider in the lineage; repeatable.")
    ] = None,
    workers: WorkersOption = CORES,
    as_json: JsonOption = False,
) -> None:
    """Check a capsule against its root on chain, or against its provider's signature; no key is needed.

    With --with-parents its lineage is walked: each capsule that it was made from, and theirs, must be there under the
    root that is named. Ends with 1 when one is missing, with 3 when one is broken or not signed by its provider.
    """
    with told(), ExitStack() as stack:
        key = signing_key(signer_key) if signer_key else None
        domain = Domain(chain_id, Address.parse(directory))
        stream = stack.enter_context(path.open("rb"))
        stack.enter_context(_refused())
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
            root_signature=read_side(side, path).root_signature if side else None,
            domain=domain,
            workers=workers,
            known=known,
            found=found,
        )
        stack.close()
        content: dict[str, object] = {
            "root": str(verified.root), "verified": str(verified.level), "asset": str(verified.header.asset)
        }  # fmt: skip
        if not with_parents:
            show(content, as_json)
            return
        shelf = Shelf(with_parents, provider_keys(header.provider, signer_key, parent_key or []), domain, workers)
        ancestors = walk(verified.root, header.lineage, shelf.find)
        show({**content, "lineage": shelf.told(ancestors)} if as_json else content, as_json)
        if not as_json:
            typer.echo("\n".join(lineage_lines(ancestors)))
        if status := lineage_status(ancestors):
            raise typer.Exit(status)


@contextmanager
def _refused() -> Iterator[None]:
    """A capsule that is not whole fails its verification; it is no wrong input of whoever asks."""
    try:
        yield
    except FormatError as error:
        raise VerificationError(str(error)) from error


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
