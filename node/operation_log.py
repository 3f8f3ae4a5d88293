"""This node's operation log: what it did and refused, its signed heads, and their anchoring on chain.

Entries are written by whoever acts, in the transaction of the act (`Store.save`). Here they are let go once their
chain event is final, or answered by an entry that says that the chain did not take the act; heads are signed, anchored
within the set time after the oldest entry that no anchored head contains, and served with their proofs.

A head is signed only over what is committed. A home restored from an older backup has lost entries that the chain
knows a head of: nothing is anchored then, since no log can begin with both.
"""

import threading

from capsule import canonical
from capsule.canonical import Json
from capsule.decision import RELEASED
from capsule.errors import InputError
from capsule.ids import Bytes32, Digest, OpeningId, UseId
from capsule.oplog import EMPTY_HEAD, MAX_SEGMENT, Act, LogEntry, LogHead, LogSegment, sign_head
from capsule.tree import Tree
from contracts.events import UseClosed
from node.context import Context
from node.errors import InputRefusedError, LogForkedError, UnknownError
from node.log_table import LogAnchorRow

__all__ = ["MAX_ENTRIES", "OperationLog"]

MAX_ENTRIES = 1_000
NOT_TAKEN = "not taken"
NOTHING = Digest(bytes(32))


class OperationLog:
    """One node's log."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turn = threading.Lock()
        self._signed: tuple[LogHead, bytes, str] | None = None

    def keep_up(self) -> None:
        """One round: settle what waits for the chain, then anchor if the oldest open entry has waited long enough.

        Raises LogForkedError, LedgerError; a later round tries again.
        """
        context = self._context
        with self._turn:
            self._settle()
            anchored = context.store.log_anchored()
            oldest = context.store.log_rows(anchored, anchored + 1)
            if oldest and context.clock() - oldest[0].at >= context.settings.log_anchor_seconds:
                self._anchor()

    def anchor(self) -> LogHead:
        """Settles and anchors all there is, now; returns the anchored head."""
        with self._turn:
            self._settle()
            return self._anchor()

    def head(self) -> str:
        """The head of all entries as a signed note. Signed once for each head, however often it is asked for."""
        with self._turn:
            return self._note(self._context.store.log_head())

    def segment(self, root: Bytes32) -> Json:
        """The segment up to an anchored head, named by its root; UnknownError for any other."""
        store = self._context.store
        row = store.log_anchor(root)
        if row is None:
            raise UnknownError("log segment", str(root))
        entries = tuple(LogEntry.from_json(canonical.decode(one.entry)) for one in store.log_rows(row.first, row.size))
        peaks = store.log_tree(row.first).peaks
        return LogSegment(self._context.account, row.first, peaks, entries, row.note).to_json()

    def entries(self, first: int, last: int) -> list[Json]:
        """The entries from position `first` up to before `last`, at most MAX_ENTRIES."""
        rows = self._context.store.log_rows(first, min(last, first + MAX_ENTRIES))
        return [canonical.decode(row.entry) for row in rows]

    def inclusion(self, index: int, size: int) -> tuple[Digest, ...]:
        """Inclusion proof of the entry at `index` in the tree of `size` entries (RFC 9162, 2.1.3)."""
        return self._tree(size).proof(index)

    def consistency(self, first: int, second: int) -> tuple[Digest, ...]:
        """Consistency proof between the trees of `first` and of `second` entries (RFC 9162, 2.1.4)."""
        return self._tree(second).consistency(first)

    def _tree(self, size: int) -> Tree:
        leaves = self._context.store.log_leaves(size)
        if len(leaves) != size:
            raise InputRefusedError(f"the log has {len(leaves)} entries; ask for a size up to that")
        return Tree(leaves)

    def _anchor(self) -> LogHead:
        context = self._context
        account, contract = context.account, context.ledger.operation_log
        size, root = contract.last_head_of(account)
        before = LogHead(size, root) if size else EMPTY_HEAD
        try:
            known = context.store.log_head(before.size)
        except InputError as error:
            raise LogForkedError(before.size) from error
        if known != before:
            raise LogForkedError(before.size)
        self._taken(before)
        end = context.store.log_head().size
        while before.size < end:
            head = context.store.log_head(min(end, before.size + MAX_SEGMENT))
            row = LogAnchorRow(
                root=str(head.root), first=before.size, size=head.size, note=self._note(head), taken=False
            )
            # kept before it is named on chain, so that it can be served from then on
            context.store.save(row)
            contract.anchor_head(head.size, head.root, before.root if before.size else NOTHING)
            self._taken(head)
            before = head
        return before

    def _taken(self, head: LogHead) -> None:
        row = self._context.store.log_anchor(head.root)
        if row is not None and not row.taken:
            row.taken = True
            self._context.store.save(row)

    def _note(self, head: LogHead) -> str:
        context = self._context
        signer = context.keystore.signer
        if self._signed is None or self._signed[:2] != (head, signer.public_key):
            note = sign_head(head, context.account, signer, context.ledger.domain)
            self._signed = head, signer.public_key, note
        return self._signed[2]

    def _settle(self) -> None:
        """Lets go of entries whose event is final; says of those that can have none any more that they have none."""
        context = self._context
        waiting = context.store.log_pending()
        if not waiting:
            return
        context.view.refresh()
        for row, entry in waiting:
            digest = Digest.parse(row.digest)
            known = self._known(entry)
            if digest in known:
                context.store.settle_log(row)
            elif known or self._is_over(entry):
                dropped = LogEntry(Act.DROPPED, context.clock(), digest, {}, NOT_TAKEN)
                context.store.settle_log(row, [dropped])

    def _known(self, entry: LogEntry) -> set[Digest]:
        """What the final chain has in the place of an entry's decision, receipt or accusation."""
        view, account = self._context.view, self._context.account
        if entry.act is Act.DECISION:
            released, refused = view.releases.get(entry.subject, {}), view.refusals.get(entry.subject, {})
            known = {one.decision_hash for one in released.values() if one.holder == account}
            return known | {one.decision_hash for one in refused.values() if one.holder == account}
        ends = (view.ended.get(opened.use) for opened in view.uses_of(Digest(entry.subject)))
        return {end.receipt_hash for end in ends if isinstance(end, UseClosed)}

    def _is_over(self, entry: LogEntry) -> bool:
        """Whether the chain takes nothing more about an entry's subject."""
        view = self._context.view
        if entry.act is not Act.DECISION:
            uses = view.uses_of(Digest(entry.subject))
            return bool(uses) and all(opened.use in view.ended for opened in uses)
        opening = view.openings.get(OpeningId(entry.subject))
        if opening is not None:
            return not view.is_in_force(opening)
        use = view.uses.get(UseId(entry.subject))
        late = use is not None and view.final is not None and view.final.timestamp >= use.deadline
        return (late and entry.reason == RELEASED) or UseId(entry.subject) in view.ended
