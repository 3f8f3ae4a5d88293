"""What a node remembers: documents by digest, held shares, offerings, openings, orders, runs, decisions, and its
operation log. SQLite, durable on commit.

Secrets (one-time keys, result keys, the provider's draft parts) and what answers stood for rest sealed under the
home's vault key.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Field, Session, SQLModel, col, create_engine, delete, func, select, update

from capsule import canonical
from capsule.canonical import Json
from capsule.ids import Address, AssetId, Bytes32, Digest
from capsule.oplog import LogEntry, LogHead
from capsule.tree import TreeHasher
from capsule.vault import VaultKey
from node.errors import StoreError
from node.log_table import LogAnchorRow, LogPendingRow, LogRow, append, head_at, protect, size_of, tree_at

__all__ = [
    "AnswerRow",
    "AnsweredRow",
    "DealingRow",
    "DecisionRow",
    "HeldShareRow",
    "OfferingRow",
    "OrderRow",
    "RunRow",
    "Store",
]


class DocumentRow(SQLModel, table=True):
    __tablename__ = "node_documents"
    kind: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    content: bytes


class SecretRow(SQLModel, table=True):
    __tablename__ = "node_secrets"
    name: str = Field(primary_key=True)
    sealed: bytes


class HeldShareRow(SQLModel, table=True):
    """One share that this organisation holds, sealed to its box key, under its deal's hash; empty once destroyed."""

    __tablename__ = "node_held_shares"
    deal: str = Field(primary_key=True)
    position: int
    policy: str
    sealed: bytes


class OfferingRow(SQLModel, table=True):
    """A sealed capsule on its way to the market, or its newest deal; `stage` names the last step that is done."""

    __tablename__ = "node_offerings"
    capsule_root: str = Field(primary_key=True)
    asset: str
    stage: str
    policy: str
    metadata_hash: str
    capsule_size: int
    deal: str
    version: int
    shares: bytes


class DealingRow(SQLModel, table=True):
    """An opening of a deal of this provider, and what it leads to; `state` is drawn, opened, made or ended.

    `keys` names its one-time keys. `capsule_root` and `made` are the offering and the deal that came of it.
    """

    __tablename__ = "node_dealings"
    keys: str = Field(primary_key=True)
    asset: str
    version: int
    number: int
    state: str
    reason: str
    opening: str = ""
    capsule_root: str = ""
    made: str = ""


class AnswerRow(SQLModel, table=True):
    """What a person at this holder said to an opening of a deal; the newest word counts until it was acted on."""

    __tablename__ = "node_answers"
    opening: str = Field(primary_key=True)
    confirmed: bool
    note: str
    answered_at: int


class DecisionRow(SQLModel, table=True):
    """What this holder last decided on a use or an opening; on chain stands what its transaction said."""

    __tablename__ = "node_decisions"
    use: str = Field(primary_key=True)
    decided_at: int
    outcome: str
    reason: int
    digest: str


class OrderRow(SQLModel, table=True):
    """An order that this buyer signed."""

    __tablename__ = "node_orders"
    order_hash: str = Field(primary_key=True)
    number: str
    compute_node: str
    placed_at: int


class RunRow(SQLModel, table=True):
    """An order that this compute node works on; `state` is ordered, opened, ran or ended."""

    __tablename__ = "node_runs"
    order_hash: str = Field(primary_key=True)
    state: str
    signature: bytes
    order: bytes
    algorithm: str
    parameters: bytes
    outcome: bytes = b""
    note: str = ""


class AnsweredRow(SQLModel, table=True):
    """What one completed answer stood for on one capsule of its order, sealed; `number` counts the answers of a buyer
    on an asset from 1, and `head` is the running digest up to this one."""

    __tablename__ = "node_answered"
    order_hash: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    buyer: str = Field(index=True)
    asset: str
    number: int
    head: str
    sealed: bytes


class Store:
    """The home's database, mode 0600. Every method is one transaction; raises StoreError when the disk fails."""

    def __init__(self, path: Path, vault: VaultKey, entropy: Callable[[int], bytes]) -> None:
        self._path = path
        self._vault = vault
        self._entropy = entropy
        try:
            # SQLite gives its side files the mode of the main one
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(path) from error
        self._engine: Engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})
        event.listen(self._engine, "connect", _durable)
        try:
            SQLModel.metadata.create_all(
                self._engine,
                tables=[
                    SQLModel.metadata.tables[row.__tablename__]
                    for row in (
                        DocumentRow,
                        SecretRow,
                        HeldShareRow,
                        OfferingRow,
                        DealingRow,
                        AnswerRow,
                        DecisionRow,
                        OrderRow,
                        RunRow,
                        AnsweredRow,
                        LogRow,
                        LogPendingRow,
                        LogAnchorRow,
                    )
                ],
            )
            with self._engine.begin() as connection:
                protect(connection)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise StoreError(path) from error

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._engine) as session:
                yield session
        except SQLAlchemyError as error:
            raise StoreError(self._path) from error

    def save(self, *rows: SQLModel, log: Sequence[LogEntry] = ()) -> None:
        """Writes rows, each new or in place of its older self, and adds entries to the operation log; all or none."""
        with self._session() as session:
            if log:
                # nobody else may read the log's end before this has added to it
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
                append(session, log)
            for row in rows:
                session.merge(row)
            session.commit()

    def document_row(self, kind: str, digest: Bytes32, document: Json) -> DocumentRow:
        """The row of a document, for `save` together with others."""
        return DocumentRow(kind=kind, digest=str(digest), content=canonical.encode(document))

    def secret_row(self, name: str, secret: bytes) -> SecretRow:
        """The row of a secret, sealed, for `save` together with others."""
        return SecretRow(name=name, sealed=self.sealed(secret))

    def sealed(self, secret: bytes) -> bytes:
        """Bytes as they rest in a sealed column; `opened` reads them."""
        return self._vault.seal(secret, self._entropy)

    def opened(self, sealed: bytes) -> bytes:
        return self._vault.open(sealed)

    def put_document(self, kind: str, digest: Bytes32, document: Json) -> None:
        self.save(self.document_row(kind, digest, document))

    def document(self, kind: str, digest: Bytes32) -> bytes | None:
        """The canonical bytes of a document, or None when this node does not have it."""
        with self._session() as session:
            row = session.get(DocumentRow, (kind, str(digest)))
            return row.content if row else None

    def secret(self, name: str) -> bytes | None:
        with self._session() as session:
            row = session.get(SecretRow, name)
            return self.opened(row.sealed) if row else None

    def forget_secrets(self, prefix: str) -> None:
        """Deletes the secrets whose names start with `prefix`."""
        with self._session() as session:
            session.exec(delete(SecretRow).where(col(SecretRow.name).startswith(prefix, autoescape=True)))
            session.commit()

    def held_share(self, deal: Bytes32) -> HeldShareRow | None:
        with self._session() as session:
            return session.get(HeldShareRow, str(deal))

    def held_deals(self) -> Sequence[Digest]:
        """The deals whose share this organisation still has."""
        with self._session() as session:
            held = select(HeldShareRow.deal).where(func.length(HeldShareRow.sealed) > 0)
            return [Digest.parse(deal) for deal in session.exec(held).all()]

    def settle(self) -> None:
        """Moves all that was written into the database file and empties its write-ahead log, as far as readers let."""
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        except SQLAlchemyError as error:
            raise StoreError(self._path) from error

    def renew_shares(self, renewed: Callable[[bytes], bytes]) -> None:
        """Passes every share at rest, and every list of a deal's shares, through `renewed`; all or none."""
        with self._session() as session:
            # before the first read, so that nobody writes a row between its reading and its writing
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            for held in session.exec(select(HeldShareRow).where(func.length(HeldShareRow.sealed) > 0)):
                held.sealed = renewed(held.sealed)
            for offering in session.exec(select(OfferingRow).where(func.length(OfferingRow.shares) > 0)):
                offering.shares = renewed(offering.shares)
            session.commit()

    def forget_share(self, deal: Bytes32) -> None:
        """Deletes the share held under a deal, if there is one."""
        with self._session() as session:
            session.exec(delete(HeldShareRow).where(col(HeldShareRow.deal) == str(deal)))
            session.commit()

    def offering(self, capsule_root: Bytes32) -> OfferingRow | None:
        with self._session() as session:
            return session.get(OfferingRow, str(capsule_root))

    def set_stage(self, capsule_root: str, stage: str) -> None:
        """The stage alone: the offering's shares may have been destroyed meanwhile."""
        with self._session() as session:
            session.exec(update(OfferingRow).where(col(OfferingRow.capsule_root) == capsule_root).values(stage=stage))
            session.commit()

    def offering_of_deal(self, deal: Bytes32) -> OfferingRow | None:
        """The offering whose newest deal this is."""
        with self._session() as session:
            return session.exec(select(OfferingRow).where(OfferingRow.deal == str(deal))).first()

    def dealings(self) -> Sequence[DealingRow]:
        """All openings that this provider asked for and that have not led to their end."""
        with self._session() as session:
            rows = session.exec(select(DealingRow).where(DealingRow.state != "ended")).all()
        return sorted(rows, key=lambda row: (row.asset, row.version, row.number))

    def answer(self, opening: Bytes32) -> AnswerRow | None:
        with self._session() as session:
            return session.get(AnswerRow, str(opening))

    def offerings(self) -> Sequence[OfferingRow]:
        with self._session() as session:
            rows = session.exec(select(OfferingRow)).all()
        return sorted(rows, key=lambda row: (row.asset, row.version))

    def decision(self, use: Bytes32) -> DecisionRow | None:
        with self._session() as session:
            return session.get(DecisionRow, str(use))

    def released_uses(self) -> frozenset[str]:
        """The uses, and openings, that this node decided to release its share for."""
        with self._session() as session:
            return frozenset(session.exec(select(DecisionRow.use).where(DecisionRow.outcome == "released")).all())

    def releases_since(self, time: int, besides: Bytes32) -> int:
        """How many shares this node released since a unix time, not counting one for the use `besides`."""
        with self._session() as session:
            counted = select(func.count()).where(
                DecisionRow.outcome == "released", DecisionRow.decided_at >= time, DecisionRow.use != str(besides)
            )
            return session.exec(counted).one()

    def order(self, order_hash: Bytes32) -> OrderRow | None:
        with self._session() as session:
            return session.get(OrderRow, str(order_hash))

    def run(self, order_hash: Bytes32) -> RunRow | None:
        with self._session() as session:
            return session.get(RunRow, str(order_hash))

    def unfinished_runs(self) -> Sequence[RunRow]:
        with self._session() as session:
            return session.exec(select(RunRow).where(RunRow.state != "ended").order_by(RunRow.order_hash)).all()

    def answered(self, buyer: Address, asset: AssetId) -> Sequence[AnsweredRow]:
        """What completed answers stood for, oldest first."""
        with self._session() as session:
            chosen = select(AnsweredRow).where(AnsweredRow.buyer == str(buyer), AnsweredRow.asset == str(asset))
            return session.exec(chosen.order_by(col(AnsweredRow.number))).all()

    def log_head(self, size: int | None = None) -> LogHead:
        """The operation log's head at a size, by default now; InputError where it is shorter."""
        with self._session() as session:
            return head_at(session, size_of(session) if size is None else size)

    def log_tree(self, size: int) -> TreeHasher:
        """The tree over the log's first `size` entries; InputError where there are fewer."""
        with self._session() as session:
            return tree_at(session, size)

    def log_rows(self, first: int, last: int) -> Sequence[LogRow]:
        """The entries from position `first` up to before `last`."""
        with self._session() as session:
            chosen = select(LogRow).where(LogRow.position >= first, LogRow.position < last)
            return session.exec(chosen.order_by(col(LogRow.position))).all()

    def log_leaves(self, size: int) -> Sequence[bytes]:
        """The leaf hashes of the first `size` entries."""
        with self._session() as session:
            chosen = select(LogRow.leaf).where(LogRow.position < size)
            return session.exec(chosen.order_by(col(LogRow.position))).all()

    def log_pending(self) -> Sequence[tuple[LogPendingRow, LogEntry]]:
        """The entries that wait for their chain event, in their order."""
        with self._session() as session:
            waiting = session.exec(
                select(LogPendingRow, LogRow.entry)
                .join(LogRow, col(LogRow.position) == col(LogPendingRow.position))
                .order_by(col(LogPendingRow.position))
            ).all()
            return [(row, LogEntry.from_json(canonical.decode(entry))) for row, entry in waiting]

    def settle_log(self, row: LogPendingRow, dropped: Sequence[LogEntry] = ()) -> None:
        """An entry waits no more: its event is final, or `dropped` says that it will never be."""
        with self._session() as session:
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            append(session, dropped)
            session.exec(delete(LogPendingRow).where(col(LogPendingRow.position) == row.position))
            session.commit()

    def log_anchor(self, root: Bytes32) -> LogAnchorRow | None:
        with self._session() as session:
            return session.get(LogAnchorRow, str(root))

    def log_anchored(self) -> int:
        """The size of the newest head that the chain took."""
        with self._session() as session:
            size = session.exec(select(func.max(LogAnchorRow.size)).where(LogAnchorRow.taken)).one()
            return size or 0


def _durable(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()
