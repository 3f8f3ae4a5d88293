"""Rotation of an organisation's signing and box keys: one transaction, then everything at rest sealed and signed anew.

Every step is durable before the next, and each may be done again: 1. the next keys are on disk together with the one
signed transaction that announces them, before anybody sees it; 2. those bytes are sent until they are final, and no
others; 3. the next keys serve, the box key so far becomes a former one; 4. shares at rest are sealed to the new key in
one database transaction, and papers that wait to be named on chain are signed anew; 5. former box keys open what
reaches this home late, until they are dropped. The chain account can't be rotated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from capsule import canonical
from capsule.box import BoxKey, seal_to
from capsule.box_statement import box_key_statement
from capsule.canonical import Json
from capsule.decision import SignedDecision, sign_decision
from capsule.errors import OpenError
from capsule.ids import Bytes32, Digest
from capsule.receipt import SignedReceipt, sign_receipt
from capsule.share import SealedShare
from contracts.account import Account
from contracts.errors import NonceConflictError, RevertedError
from contracts.structs import Decision, Keys
from contracts.transaction import Transaction
from node.closing import Closing
from node.context import Context
from node.errors import InputRefusedError, KeystoreError
from node.keystore import KeyPair, NextKeys
from node.store import DocumentRow

__all__ = ["Forgotten", "Rotated", "Rotation"]

SAME_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Rotated:
    """The keys that serve now, and from when on the replaced ones are distrusted (unix seconds, 0: they are not).

    `out_of_reach`: where that is before the replaced keys served, the time up to which the signing key before them goes
    on counting; else 0. Not `new`: a rotation that had ended shortly before is the one asked for, and nothing was
    changed.
    """

    suite: int
    signing_key: bytes
    box_key: bytes
    replaced_at: int
    distrusted_from: int
    out_of_reach: int
    new: bool


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Former box keys that were dropped, and those that stay."""

    dropped: int
    kept: int


class _Recorded(Account):
    """Shows every transaction that it signs to `record` before anybody else sees it."""

    __slots__ = ("_record",)

    def __init__(self, account: Account, record: Callable[[bytes], None]) -> None:
        super().__init__(account.private_key)
        self._record = record

    def sign_transaction(self, **fields: object) -> bytes:
        raw = super().sign_transaction(**fields)  # type: ignore[arg-type]
        self._record(raw)
        return raw


class Rotation:
    """One organisation's keys over time. Let no round of work run meanwhile: see `Node.rotate_keys`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def rotate(
        self, *, suite: int | None = None, distrusted_from: int = 0, again: bool = False, keys_lost: bool = False
    ) -> Rotated:
        """Replaces both keys, or ends the rotation that was under way; killed anywhere, the same call goes on.

        `suite` of the new signing key; None: as before. `distrusted_from`: for compromised keys, the time (unix
        seconds, not in the future) from which nothing under the key that serves now counts. A rotation that ended
        within the last hour is the one asked for where it named the same time and drew a key of that suite, unless
        `again`. One under way is ended first, and then it is the one asked for unless a time or suite is given that it
        does not have. `keys_lost`: the chain may have keys that this home lost.

        Raises KeystoreError where the chain's keys are not this home's, InputRefusedError, LedgerError.
        """
        context, keystore = self._context, self._context.keystore
        if distrusted_from < 0 or distrusted_from > context.clock():
            raise InputRefusedError("keys are distrusted from a time that is past; give unix seconds of when it began")
        under_way = keystore.next is not None or keystore.unsettled
        self.resume()
        last = keystore.former[-1] if keystore.former else None
        ours = self._serve_on_chain()
        if ours and last is not None and suite in (None, keystore.signer.suite):
            if under_way and distrusted_from in (0, last.distrusted_from):
                return self._rotated(new=True)
            recent = context.clock() - last.replaced_at < SAME_SECONDS
            if recent and not again and distrusted_from == last.distrusted_from:
                return self._rotated(new=False)
        if not ours and not keys_lost:
            raise KeystoreError(
                "the keys on chain are not this home's; restore its newest backup, or say that they are lost"
            )
        self._send(KeyPair.draw(suite or keystore.signer.suite, context.entropy), distrusted_from)
        self.resume()
        return self._rotated(new=True)

    def resume(self) -> None:
        """Ends a rotation that was begun; changes nothing where there is none."""
        keystore = self._context.keystore
        if keystore.next is not None:
            keystore.promote(self._publish(keystore.next))
        if keystore.unsettled:
            self._settle()
            keystore.settle()

    def forget_former(self, keep_seconds: int) -> Forgotten:
        """Drops box keys that were replaced longer ago than that. What a provider sealed to them before it saw the
        rotation, and delivers only now, opens no more.
        """
        self._settle()
        keystore = self._context.keystore
        dropped = keystore.forget(self._context.clock() - keep_seconds)
        return Forgotten(dropped, len(keystore.former))

    def _rotated(self, *, new: bool) -> Rotated:
        keystore = self._context.keystore
        signer, last = keystore.signer, keystore.former[-1]
        since = last.distrusted_from
        # the chain takes a time for the keys that serve, and for none before them
        before = keystore.former[-2] if since and len(keystore.former) > 1 else None
        reached = before is None or before.replaced_at <= since or 0 < before.distrusted_from <= since
        return Rotated(
            suite=signer.suite,
            signing_key=signer.public_key,
            box_key=keystore.box.public,
            replaced_at=last.replaced_at,
            distrusted_from=since,
            out_of_reach=0 if before is None or reached else before.replaced_at,
            new=new,
        )

    def _serve_on_chain(self) -> bool:
        """Whether the keys that the chain has are this home's; raises KeystoreError where it has none."""
        context = self._context
        head = context.ledger.chain.head().number
        try:
            on_chain = context.ledger.participants.keys_at(context.account, head)
        except RevertedError as error:
            raise KeystoreError("there are no keys on chain to replace; run 'dataspace org announce'") from error
        signer, box = context.keystore.signer, context.keystore.box
        return _same(on_chain, signer.suite, signer.public_key, box.public)

    def _send(self, keys: KeyPair, distrusted_from: int) -> None:
        """Signs the one transaction, keeps it with its keys, and hands it over."""
        context, ledger = self._context, self._context.ledger
        account = context.keystore.account
        signer, box = keys.signer(context.entropy), BoxKey(keys.box)
        signature = signer.sign(box_key_statement(ledger.domain, account.address, box.public))
        recorded = _Recorded(account, lambda raw: context.keystore.prepare(NextKeys(keys, raw, distrusted_from)))
        participants = ledger.as_account(recorded).participants
        # the account's own turn: nobody else of this process may sign with the same nonce
        with account.turn:
            participants.rotate_keys(signer.suite, signer.public_key, Bytes32(box.public), signature, distrusted_from)

    def _publish(self, following: NextKeys) -> int:
        """Until the recorded transaction is final; returns the time of its block."""
        context, ledger = self._context, self._context.ledger
        try:
            digest = ledger.chain.send(following.transaction)
        except NonceConflictError:
            # another transaction took its place for good, so these keys were never announced
            context.keystore.withdraw()
            self._send(following.keys, following.distrusted_from)
            digest = ledger.chain.send(_prepared(context).transaction)
        done = ledger.wait_final(Transaction(digest, 0, 0, 0, ()))
        signer, box = following.keys.signer(context.entropy), BoxKey(following.keys.box)
        on_chain = ledger.participants.keys_at(context.account, done.block_number, at=done.block_number)
        if not _same(on_chain, signer.suite, signer.public_key, box.public):
            context.keystore.withdraw()
            raise KeystoreError("the chain did not take the new keys, the old ones serve on; rotate once more")
        return done.timestamp

    def _settle(self) -> None:
        store = self._context.store
        # papers first: they only say once more, under the key that serves, what they said
        store.save(*self._papers())
        store.renew_shares(self._renewed)

    def _renewed(self, content: bytes) -> bytes:
        """A share at rest, or a list of a deal's shares, with this organisation's sealed to the key that serves."""
        document = canonical.decode(content)
        if isinstance(document, list):
            return canonical.encode([self._renewed_share(share) for share in document])
        return canonical.encode(self._renewed_share(document))

    def _renewed_share(self, document: Json) -> Json:
        box = self._context.keystore.box
        share = SealedShare.from_json(document)
        for former in box.others:
            try:
                plaintext = former.open(share.sealed)
            except OpenError:
                continue
            return replace(share, sealed=seal_to(box.public, plaintext)).to_json()
        return document

    def _papers(self) -> list[DocumentRow]:
        """Decisions and receipts that are signed and not named on chain yet: they will be, after the rotation."""
        context = self._context
        store, view = context.store, context.view
        view.refresh()
        rows = []
        for use in (*(use for use in view.uses if use not in view.ended), *view.openings):
            kept = store.decision(use)
            if kept is None or context.ledger.access.decision_of(Digest(use), context.account) is not Decision.NONE:
                continue
            rows.append(self._signed_anew("decision", Digest.parse(kept.digest)))
        for run in store.unfinished_runs():
            if run.outcome:
                rows.append(self._signed_anew("receipt", Closing.decode(run.outcome).receipt_hash))
        return [row for row in rows if row is not None]

    def _signed_anew(self, kind: str, digest: Digest) -> DocumentRow | None:
        """None for a closing that names no receipt."""
        context = self._context
        signer, domain = context.keystore.signer, context.ledger.domain
        content = context.store.document(kind, digest)
        if content is None:
            return None
        document = canonical.decode(content)
        signed: SignedDecision | SignedReceipt
        if kind == "decision":
            signed = sign_decision(SignedDecision.from_json(document).decision, signer, domain)
        else:
            signed = sign_receipt(SignedReceipt.from_json(document).receipt, signer, domain)
        return context.store.document_row(kind, digest, signed.to_json())


def _prepared(context: Context) -> NextKeys:
    following = context.keystore.next
    if following is None:
        raise KeystoreError("no keys wait for the chain; rotate once more")
    return following


def _same(on_chain: Keys, suite: int, signing_key: bytes, box_key: bytes) -> bool:
    return (on_chain.suite, on_chain.signing_key, on_chain.box_key) == (suite, signing_key, box_key)
