"""The capsules that another was made from, looked for among files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from capsule.digest import Domain
from capsule.errors import FormatError, VerificationError
from capsule.ids import Address, Digest
from capsule.lineage import Ancestor, Broken, Found, State
from capsule.opening import inspect, verify
from capsule.signature import PublicKey
from node.errors import InputRefusedError
from scripts.cli.capsule_files import neighbour, read_side, signing_key
from scripts.cli.exits import EXIT_FINDINGS, EXIT_REFUSED

__all__ = ["Shelf", "lineage_lines", "lineage_status", "parent_root", "provider_keys"]

SUFFIX = ".dsc"


def provider_keys(provider: Address, signer_key: str, more: Sequence[str]) -> Mapping[Address, PublicKey]:
    """Signing keys by provider: the capsule's own, and others written ACCOUNT=HEX."""
    keys = {provider: signing_key(signer_key)} if signer_key else {}
    for each in more:
        account, sign, key = each.partition("=")
        if not sign:
            raise InputRefusedError(f"the key of a provider is written ACCOUNT=HEX, not {each!r:.100}")
        keys[Address.parse(account)] = signing_key(key)
    return keys


def parent_root(path: Path, keys: Mapping[Address, PublicKey], domain: Domain) -> Digest:
    """The root of a capsule, computed from its bytes; VerificationError where it is broken."""
    found = _read(path, keys, domain, 1)
    if isinstance(found, Broken):
        raise VerificationError(f"{path} can't be a parent: {found.reason}")
    return found.root


class Shelf:
    """Capsule files, and those in folders, by their roots.

    A side file only says which capsule to read first; what is found was read through. Files are read when they are
    needed, each once.
    """

    def __init__(self, places: Sequence[Path], keys: Mapping[Address, PublicKey], domain: Domain, workers: int) -> None:
        self._keys, self._domain, self._workers = keys, domain, workers
        self._unread = list(dict.fromkeys(_files(places)))
        self._hints = {path: hint for path in self._unread if (hint := _hint(path)) is not None}
        self._found: dict[Digest, tuple[Path, Found | Broken]] = {}

    def find(self, root: Digest) -> Found | Broken | None:
        """The capsule with this root; Broken where its side file claims the root and its bytes are others."""
        for path in sorted(self._unread, key=lambda path: self._hints.get(path) != root):
            if root in self._found:
                break
            self._unread.remove(path)
            found = _read(path, self._keys, self._domain, self._workers)
            hint = self._hints.get(path)
            if isinstance(found, Found) and hint not in (None, found.root):
                self._found.setdefault(hint, (path, Broken(f"its root is {found.root}")))
            known_as = found.root if isinstance(found, Found) else hint
            if known_as is not None and not isinstance(self._found.get(known_as, (path, None))[1], Found):
                self._found[known_as] = (path, found)
        return self._found[root][1] if root in self._found else None

    def told(self, ancestors: Sequence[Ancestor]) -> list[dict[str, object]]:
        """The lineage as JSON: each capsule once, with where it is and the roots of its own parents."""
        return [
            {
                "root": str(each.root),
                "depth": each.depth,
                "state": str(each.state),
                **({"file": str(self._found[each.root][0])} if each.root in self._found else {}),
                **({"verified": str(each.level)} if each.level else {}),
                **({"reason": each.reason} if each.reason else {}),
                "parents": [str(parent) for parent in each.parents],
            }
            for each in ancestors
        ]


def lineage_lines(ancestors: Sequence[Ancestor]) -> Iterator[str]:
    """The lineage for people: each capsule once, indented by its generation."""
    for each in ancestors:
        said = f"verified: {each.level}" if each.level else each.reason
        yield f"{'  ' * each.depth}{each.root} {each.state}{said and ', '}{said}"


def lineage_status(ancestors: Sequence[Ancestor]) -> int:
    """3 where an ancestor is broken, 1 where one is missing, 0 where all were found."""
    states = {each.state for each in ancestors}
    return EXIT_REFUSED if State.BROKEN in states else EXIT_FINDINGS if State.MISSING in states else 0


def _files(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.iterdir() if path.suffix == SUFFIX and path.is_file())
        else:
            yield place


def _hint(path: Path) -> Digest | None:
    side = neighbour(path)
    with suppress(FormatError, FileNotFoundError):
        return None if side is None else read_side(side, path.stat().st_size).leaves.root
    return None


def _read(path: Path, keys: Mapping[Address, PublicKey], domain: Domain, workers: int) -> Found | Broken:
    """Reads a capsule through and checks its provider's signatures as far as the key and a side file are there."""
    try:
        with path.open("rb") as stream:
            key = keys.get(inspect(stream).provider)
            stream.seek(0)
            side = None if key is None else neighbour(path)
            signature = None if side is None else read_side(side, path.stat().st_size).root_signature
            verified = verify(stream, signer_key=key, root_signature=signature, domain=domain, workers=workers)
    except (FormatError, VerificationError) as error:
        return Broken(str(error))
    return Found(verified.root, verified.level, verified.header.lineage)
