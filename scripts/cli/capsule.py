"""dataspace capsule: seal, open, look at, check, deal and rebind capsule files offline."""

import mimetypes
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from capsule.digest import Domain
from capsule.errors import FormatError, VerificationError
from capsule.header import DEFAULT_CHUNK_SIZE, Header
from capsule.ids import Address, AssetId, Digest
from capsule.key import DataKey
from capsule.leaves import SideFile
from capsule.lineage import walk
from capsule.opening import CapsuleReader, Level, verify
from capsule.policy.compiler import compile_policy
from capsule.sealing import SealPlan, seal
from capsule.signature import PublicKey
from capsule.suite import TAG_SIZE
from node.errors import InputRefusedError, SettingsError
from node.home import write_new
from scripts.cli import capsule_streams as streams
from scripts.cli.capsule_dealing import deal_command, rebind_command
from scripts.cli.capsule_files import (
    SIDE,
    neighbour,
    new_file,
    new_files,
    opaque,
    read_document,
    read_side,
    resumed,
    same_leaves,
    side_leaves,
    signing_key,
)
from scripts.cli.capsule_keys import check_assigner, key_source, own_keystore, write_key
from scripts.cli.capsule_lineage import Shelf, lineage_lines, lineage_status, parent_root, provider_keys
from scripts.cli.capsule_sharing import share_command
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, show, told, transfer
from scripts.cli.printing import say
from scripts.composition import now, read_settings

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Capsule files, offline.")
app.command("deal")(deal_command)
app.command("rebind")(rebind_command)
app.command("share")(share_command)

DEFAULT_HOME = Path(".dataspace")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

NO_ORIGIN = "header only: neither root nor signer's key was given; this says nothing of who made it"
NO_CHUNKS = "header only: the signer's key vouches for the header and no chunk; give --root or --side as well"

WorkersOption = Annotated[int, typer.Option(help="Threads that seal, open and hash.", min=1, max=256)]


@app.command("seal")
def seal_command(
    source: Annotated[Path, typer.Argument(help="The plaintext; - reads standard input.")],
    policy: Annotated[Path, typer.Option(help="The ODRL policy that the capsule is bound to.")],
    asset: Annotated[str, typer.Option(help="Id of the asset on chain.")],
    key_out: Annotated[Path, typer.Option(help="Where the data key goes (mode 0600); it opens the capsule alone.")],
    out: Annotated[
        Path | None, typer.Option(help="The capsule; FILE.dsc where not given, - writes standard output.")
    ] = None,
    side_out: Annotated[
        Path | None, typer.Option(help="The side file; beside the capsule where not given, none beside -.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=0, help="Bytes of the plaintext; standard input needs it.")] = None,
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
    checked for its signature; the header names their roots. With --out - the summary goes to standard error.
    """
    with told(), streams.source(source) as stream:
        if out is None and streams.is_stream(source):
            raise InputRefusedError("what comes from standard input has no name; give --out FILE, or --out -")
        if streams.is_stream(key_out) or streams.is_stream(side_out):
            raise InputRefusedError("key and side file go into files; only --out can be -")
        target = out or source.with_name(source.name + ".dsc")
        to_file = not streams.is_stream(target)
        side = target.with_name(target.name + SIDE) if side_out is None and to_file else side_out
        new_files(out=target if to_file else None, key_out=key_out, side_file=side)
        plaintext_size = _size(stream) if size is None else size
        settings = read_settings(home)
        if settings.directory is None:
            raise SettingsError("this home is bound to no ledger yet; run 'dataspace org join' with the operator's pin")
        document = read_document(policy)
        compiled = compile_policy(document)
        if compiled.holder.asset not in (None, AssetId.parse(asset)):
            raise InputRefusedError(f"the policy is for the asset {compiled.holder.asset}, not for {asset}")
        keystore = own_keystore(home, passphrase_file)
        check_assigner(document, keystore)
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
            plaintext_size=plaintext_size,
            chunk_size=chunk_size,
            lineage=tuple(dict.fromkeys(parent_root(each, own, domain) for each in parent or [])),
        )
        data_key = DataKey.generate(secrets.token_bytes)
        with streams.target(target) as sink:
            held = streams.HeldBack(sink)
            with transfer("sealing", plaintext_size) as progress:
                sealed = seal(
                    stream,
                    held.stream,
                    plan,
                    signer,
                    data_key,
                    domain,
                    secrets.token_bytes,
                    workers=workers,
                    progress=progress,
                )
            # before the capsule is whole: a key without a capsule is harmless, a capsule without a key is lost
            write_key(key_out, data_key, sealed.header.capsule_id, sealed.root)
            if side is not None:
                write_new(side, sealed.side_file.to_bytes())
            held.release()
        content: dict[str, object] = {
            "capsule": str(target),
            "root": str(sealed.root),
            "bytes": sealed.size,
            "policy_hash": str(compiled.policy_hash),
            "key_file": str(key_out),
        }
        streams.summary(content if side is None else {**content, "side_file": str(side)}, as_json, target)


@app.command("open")
def open_command(
    path: Annotated[Path, typer.Argument(help="The capsule; - reads standard input.")],
    out: Annotated[
        Path, typer.Option(help="The plaintext; appears only when all of it opened. - writes standard output.")
    ],
    key: Annotated[Path | None, typer.Option(help="Data key file.")] = None,
    share: Annotated[list[Path] | None, typer.Option(help="Share file sealed to this home; repeatable.")] = None,
    deal: Annotated[Path | None, typer.Option(help="The deal that the shares are of.")] = None,
    root: Annotated[str, typer.Option(help="The capsule root that stands on chain.")] = "",
    policy_hash: Annotated[str, typer.Option(help="The policy that the capsule has to be under.")] = "",
    side: Annotated[Path | None, typer.Option(help="Side file; the one beside the capsule where not given.")] = None,
    wanted: Annotated[str, typer.Option("--range", help="Bytes A:B of the plaintext, from A until before B.")] = "",
    workers: WorkersOption = CORES,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a capsule with its data key file, or with share files and their deal.

    Every byte is checked against --root, or the root that the deal or key file names: by the side file where there is
    one, else by reading the capsule through first. Whatever does not hold is one error; `verify` says what can be told
    without a key. To standard output each chunk goes once it was checked: what came before an error is no whole file.
    """
    with told(), streams.source(path) as stream:
        if not streams.is_stream(out):
            new_file(out)
        if wanted and not stream.seekable():
            raise InputRefusedError("a range is opened from a file; standard input is read from front to back")
        source = key_source(key, deal, share or [], lambda: own_keystore(home, passphrase_file).box)
        expected = Digest.parse(root) if root else source.root
        if side is not None and expected is None:
            raise InputRefusedError("a side file is worth nothing without the root; give --root")
        if side is None and not stream.seekable() and expected is not None and streams.is_stream(out):
            raise InputRefusedError("from a stream the root is known only at its end; give --side FILE, or --out FILE")
        with opaque():
            header = streams.peek(stream)
            source.check(header)
            leaves = side_leaves(path, expected) if side is None else read_side(side, _body(header)).leaves
            reader = CapsuleReader(
                stream,
                source.data_key,
                root=expected,
                policy_hash=Digest.parse(policy_hash) if policy_hash else None,
                leaves=leaves,
                workers=workers,
                root_last=leaves is None and not stream.seekable(),
            )
        begin, end = _range(wanted, header.plaintext_size)
        with streams.target(out) as sink, transfer("opening", end - begin) as progress, opaque():
            written = reader.copy_to(sink, begin, end, progress=progress)
        against = "chain" if root else "deal" if source.deal else "key file" if expected else "key only"
        streams.summary({"file": str(out), "bytes": written, "verified": against}, as_json, out)


@app.command("inspect")
def inspect_command(
    path: Annotated[Path, typer.Argument(help="The capsule; - reads standard input.")], as_json: JsonOption = False
) -> None:
    """The header of a capsule, unverified."""
    with told(), streams.source(path) as stream, _refused():
        size = {"file_bytes": path.stat().st_size} if stream.seekable() else {}
        show({**streams.peek(stream).to_json(), **size, "verified": "nothing"}, as_json)


@app.command("verify")
def verify_command(
    path: Annotated[Path, typer.Argument(help="The capsule; - reads standard input.")],
    root: Annotated[str, typer.Option(help="The capsule root that stands on chain.")] = "",
    signer_key: Annotated[str, typer.Option(help="The provider's public key in hex.")] = "",
    chain_id: Annotated[int, typer.Option(help="Of the ledger that the signature is for.")] = 0,
    directory: Annotated[str, typer.Option(help="Directory of that ledger.")] = str(Address.ZERO),
    side: Annotated[
        Path | None, typer.Option(help="Side file; without --root the one beside the capsule where not given.")
    ] = None,
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

    Given neither, it is compared with its side file alone: that finds damage, and says nothing of who made it.
    With --with-parents its lineage is walked: each capsule that it was made from, and theirs, must be there under the
    root that is named. Ends with 1 when one is missing, with 3 when one is broken or not signed by its provider.
    """
    with told(), ExitStack() as stack:
        key = signing_key(signer_key) if signer_key else None
        domain = Domain(chain_id, Address.parse(directory))
        stream = stack.enter_context(streams.source(path))
        if resume and not stream.seekable():
            raise InputRefusedError("only the verification of a file can go on later; leave out --resume")
        stack.enter_context(_refused())
        header = streams.peek(stream)
        if side is None and not root and stream.seekable():
            side = neighbour(path)
        beside = None if side is None else _side_file(side, header)
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
            root_signature=beside.root_signature if beside is not None and key is not None else None,
            domain=domain,
            workers=workers,
            known=known,
            found=found,
        )
        content: dict[str, object] = {
            "root": str(verified.root), "verified": str(verified.level), "asset": str(verified.header.asset)
        }  # fmt: skip
        if verified.level is Level.HEADER_ONLY:
            if side is not None and beside is not None:
                same_leaves(verified.leaves, beside.leaves, side)
                content["side_file"] = f"the same chunks as {side}"
            content["note"] = NO_ORIGIN if key is None else NO_CHUNKS
        stack.close()
        if not with_parents:
            show(content, as_json)
            return
        shelf = Shelf(with_parents, provider_keys(header.provider, signer_key, parent_key or []), domain, workers)
        ancestors = walk(verified.root, header.lineage, shelf.find)
        show({**content, "lineage": shelf.told(ancestors)} if as_json else content, as_json)
        if not as_json:
            for line in lineage_lines(ancestors):
                say(line)
        if status := lineage_status(ancestors):
            raise typer.Exit(status)


@contextmanager
def _refused() -> Iterator[None]:
    """A capsule that is not whole fails its verification; it is no wrong input of whoever asks."""
    try:
        yield
    except FormatError as error:
        raise VerificationError(str(error)) from error


def _side_file(path: Path, header: Header) -> SideFile:
    try:
        return read_side(path, _body(header))
    except FormatError as error:
        raise VerificationError(f"{path} is no side file of this capsule; get it anew, or move it away") from error


def _body(header: Header) -> int:
    """Bytes of all chunks with their tags."""
    return header.plaintext_size + header.chunk_count * TAG_SIZE


def _size(stream: BinaryIO) -> int:
    if not stream.seekable():
        raise InputRefusedError("a stream does not tell its size, which the header names; give --size BYTES")
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def _range(wanted: str, size: int) -> tuple[int, int]:
    if not wanted:
        return 0, size
    match = re.fullmatch("([0-9]{0,19}):([0-9]{0,19})", wanted)
    begin, end = (-1, -1) if match is None else (int(match[1] or 0), int(match[2] or size))
    if not 0 <= begin <= end <= size:
        raise InputRefusedError(f"a range is written A:B with 0 <= A <= B <= {size}, not {wanted!r:.60}")
    return begin, end
