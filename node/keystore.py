"""An organisation's long-lived keys: chain account, signing key, box key, vault key. One encrypted file, mode 0600.

Keys change over time: the file holds those that serve, former box keys for what was sealed to them, and while a
rotation is under way the next ones. Every change is written whole before it counts in memory, so that a process killed
at any moment leaves the state before or after it. Secrets never show in `repr` or in an error.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from capsule import canonical
from capsule.box import BoxKey
from capsule.canonical import Json
from capsule.errors import FormatError, InputError, OpenError
from capsule.signature import ED25519, Signer, new_secret, signer_from_secret
from capsule.vault import PassphraseKey, VaultKey, seal_vault, unlock_vault
from contracts.account import Account
from node.errors import InputRefusedError, KeystoreError, PassphraseError
from node.home import write_whole

__all__ = ["BoxKeys", "FormerKey", "KeyPair", "Keystore", "NextKeys", "create_keystore", "open_keystore"]

KEY_BYTES = 32
LEAST_PASSPHRASE = 8


@dataclass(frozen=True, slots=True)
class BoxKeys(BoxKey):
    """The box key that serves; it also opens what was sealed to a former or to the next one."""

    others: tuple[BoxKey, ...] = field(default=(), repr=False)

    def open(self, sealed: bytes) -> bytes:
        """Plaintext of what was sealed to any of the keys; OpenError for everything else."""
        for key in (BoxKey(self.secret), *self.others):
            with suppress(OpenError):
                return key.open(sealed)
        raise OpenError()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A signing key and a box key that go on chain together."""

    suite: int
    signing: bytes = field(repr=False)
    box: bytes = field(repr=False)

    @classmethod
    def draw(cls, suite: int, entropy: Callable[[int], bytes]) -> Self:
        """New keys; raises InputError for an unknown suite."""
        return cls(suite, new_secret(suite, entropy), entropy(KEY_BYTES))

    def signer(self, entropy: Callable[[int], bytes]) -> Signer:
        return signer_from_secret(self.suite, self.signing, entropy)


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A box key that was replaced, and when: unix seconds of the block that names its successor.

    `distrusted_from`: the time that the rotation named, 0 for none.
    """

    box: bytes = field(repr=False)
    replaced_at: int
    distrusted_from: int = 0


@dataclass(frozen=True, slots=True)
class NextKeys:
    """Keys on their way to the chain: `transaction` is signed, and the only one that announces them."""

    keys: KeyPair
    transaction: bytes = field(repr=False)
    distrusted_from: int


@dataclass(frozen=True, slots=True)
class _Contents:
    """All that the file holds. `unsettled`: what rests sealed to the former box key was not sealed anew yet."""

    account: bytes = field(repr=False)
    vault: bytes = field(repr=False)
    current: KeyPair
    former: tuple[FormerKey, ...] = ()
    next: NextKeys | None = None
    unsettled: bool = False


@dataclass(frozen=True, slots=True)
class _Serving:
    contents: _Contents
    signer: Signer
    box: BoxKeys


class Keystore:
    """The keys in use. `account` and `vault` stay for good; `signer` and `box` are those that serve at the moment.

    Its steps are those of a rotation, see `node.rotation`. They raise HomeError when the disk fails; then nothing
    changed.
    """

    def __init__(self, path: Path, lock: PassphraseKey, contents: _Contents, entropy: Callable[[int], bytes]) -> None:
        self._path = path
        self._entropy = entropy
        self.lock = lock
        self.account: Final = Account(contents.account)
        self.vault: Final = VaultKey(contents.vault)
        self._serving = self._serve(contents)

    def __repr__(self) -> str:
        return f"Keystore({self.account.address})"

    def __reduce__(self) -> str:
        raise TypeError("keys are not pickled")

    @property
    def signer(self) -> Signer:
        return self._serving.signer

    @property
    def box(self) -> BoxKeys:
        return self._serving.box

    @property
    def next(self) -> NextKeys | None:
        return self._serving.contents.next

    @property
    def former(self) -> tuple[FormerKey, ...]:
        """Box keys that were replaced, oldest first."""
        return self._serving.contents.former

    @property
    def unsettled(self) -> bool:
        """Whether keys were replaced and the home's rows are not all sealed and signed anew yet."""
        return self._serving.contents.unsettled

    def prepare(self, following: NextKeys) -> None:
        """Before a transaction announces keys: they are on disk, with it."""
        self._change(next=following)

    def withdraw(self) -> None:
        """The transaction can't come in any more: its keys will never serve."""
        self._change(next=None)

    def promote(self, replaced_at: int) -> None:
        """The next keys stand on chain: they serve, and the box key so far is a former one."""
        contents = self._serving.contents
        if contents.next is None:
            raise KeystoreError("no keys wait to serve; start a rotation first")
        replaced = FormerKey(contents.current.box, replaced_at, contents.next.distrusted_from)
        former = (*contents.former, replaced)
        self._change(current=contents.next.keys, former=former, next=None, unsettled=True)

    def settle(self) -> None:
        """Nothing at rest is sealed to a former key any more."""
        self._change(unsettled=False)

    def forget(self, before: int) -> int:
        """Drops former box keys that were replaced up to a time; returns how many."""
        former = self.former
        kept = tuple(key for key in former if key.replaced_at > before)
        if kept != former:
            self._change(former=kept)
        return len(former) - len(kept)

    def change_passphrase(self, passphrase: str) -> None:
        """The same keys under another passphrase; raises InputRefusedError for a short one."""
        _check_passphrase(passphrase)
        lock = PassphraseKey.derive(passphrase, self._entropy(len(self.lock.salt)))
        self._write(self._serving.contents, lock)
        self.lock = lock

    def _change(self, **changes: object) -> None:
        contents: _Contents = replace(self._serving.contents, **changes)  # type: ignore[arg-type]
        self._write(contents, self.lock)
        self._serving = self._serve(contents)

    def _write(self, contents: _Contents, lock: PassphraseKey) -> None:
        write_whole(self._path, lock.seal_vault(canonical.encode(_to_json(contents)), self._entropy), mode=0o600)

    def _serve(self, contents: _Contents) -> _Serving:
        others = [BoxKey(key.box) for key in contents.former]
        if contents.next is not None:
            others.append(BoxKey(contents.next.keys.box))
        current = contents.current
        return _Serving(contents, current.signer(self._entropy), BoxKeys(current.box, tuple(others)))


def create_keystore(path: Path, passphrase: str, entropy: Callable[[int], bytes], suite: int = ED25519) -> Keystore:
    """Draws new keys and writes them.

    Raises KeystoreError when the file is there already, InputRefusedError for a short passphrase, InputError for the
    suite.
    """
    if path.exists():
        raise KeystoreError(f"{path} exists already; choose another home or open this one")
    _check_passphrase(passphrase)
    contents = _Contents(entropy(KEY_BYTES), entropy(KEY_BYTES), KeyPair.draw(suite, entropy))
    write_whole(path, seal_vault(passphrase, canonical.encode(_to_json(contents)), entropy), mode=0o600)
    return open_keystore(path, passphrase, entropy)


def open_keystore(path: Path, passphrase: str, entropy: Callable[[int], bytes]) -> Keystore:
    """Opens the keys; the signer draws its nonces from `entropy`.

    Raises PassphraseError, or KeystoreError when the file is missing or damaged.
    """
    try:
        document = path.read_bytes()
    except OSError as error:
        raise KeystoreError(f"{path} can't be read: make the home with 'dataspace org init'") from error
    try:
        lock, plaintext = unlock_vault(passphrase, document)
        return Keystore(path, lock, _from_json(canonical.decode(plaintext)), entropy)
    except OpenError:
        raise PassphraseError() from None
    except (FormatError, InputError, ValueError, KeyError, TypeError):
        # what these say may be of the plaintext
        raise KeystoreError(f"{path} is damaged; restore it from its backup") from None


def _check_passphrase(passphrase: str) -> None:
    """Before keys are put under it, never when they are opened: homes of before the rule stay usable."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise InputRefusedError(f"the passphrase is too short; choose one of at least {LEAST_PASSPHRASE} characters")


def _to_json(contents: _Contents) -> dict[str, Json]:
    document: dict[str, Json] = {
        "account": contents.account.hex(),
        "vault": contents.vault.hex(),
        **_pair_to_json(contents.current),
        "former": [
            {"box": key.box.hex(), "replaced_at": key.replaced_at, "distrusted_from": key.distrusted_from}
            for key in contents.former
        ],
        "unsettled": contents.unsettled,
    }
    if contents.next is not None:
        document["next"] = {
            **_pair_to_json(contents.next.keys),
            "transaction": contents.next.transaction.hex(),
            "distrusted_from": contents.next.distrusted_from,
        }
    return document


def _pair_to_json(keys: KeyPair) -> dict[str, Json]:
    return {"suite": str(keys.suite), "signing": keys.signing.hex(), "box": keys.box.hex()}


def _from_json(document: Json) -> _Contents:
    """Files of before rotations hold only the keys that serve, and those of before SM2 no suite."""
    if not isinstance(document, dict):
        raise FormatError("the vault holds no keys")
    following = document.get("next")
    return _Contents(
        account=bytes.fromhex(document["account"]),
        vault=bytes.fromhex(document["vault"]),
        current=_pair_from_json(document),
        former=tuple(
            FormerKey(bytes.fromhex(key["box"]), int(key["replaced_at"]), int(key.get("distrusted_from", 0)))
            for key in document.get("former", ())
        ),
        next=None
        if following is None
        else NextKeys(
            _pair_from_json(following), bytes.fromhex(following["transaction"]), int(following["distrusted_from"])
        ),
        unsettled=bool(document.get("unsettled", False)),
    )


def _pair_from_json(document: dict[str, str]) -> KeyPair:
    suite = int(document.get("suite", ED25519))
    return KeyPair(suite, bytes.fromhex(document["signing"]), bytes.fromhex(document["box"]))
