"""The provider's side of an offer: seal a capsule, publish it, deal its key.

The data key lives only inside `seal`: when it returns, the capsule is a whole file and the key is split, each share
sealed to its holder. What then goes on chain is done stage by stage, each stage once, so that `finish` resumes after
a crash. A new deal of a capsule and a rebound capsule (`node.dealing`) go through the same stages.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from capsule import canonical
from capsule.batch import BatchRef
from capsule.box_statement import box_key_statement
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.dealing import DealPlan, deal_key
from capsule.digest import document_digest
from capsule.errors import CapsuleError
from capsule.header import Header
from capsule.ids import Address, AssetId, DeviceId, Digest
from capsule.key import DataKey
from capsule.oplog import Act, LogEntry
from capsule.policy.compiler import Compiled, compile_policy
from capsule.sealing import Sealed, SealPlan, seal
from capsule.share import seal_share
from capsule.signature import PublicKey
from contracts.errors import RevertedError
from contracts.events import AssetRegistered
from contracts.structs import Asset
from node.agreements import Agreements
from node.context import Context
from node.custody import Custody, SharePackage
from node.errors import InputRefusedError, PeerError, RefusedError, StoreError, UnknownError
from node.holding import is_for
from node.home import PART, create_whole, move_whole
from node.store import DealingRow, OfferingRow

__all__ = ["Catalogue", "CustodyPlan", "Offering", "Plaintext"]

SEALED, PUBLISHED, DEALT, DELIVERED = "sealed", "published", "dealt", "delivered"


@dataclass(frozen=True, slots=True)
class Plaintext:
    """What goes into a capsule. `batches` and `devices` name the source of device data, empty for anything else."""

    stream: BinaryIO
    size: int
    media_type: str
    schema: Json
    batches: tuple[BatchRef, ...] = ()
    devices: tuple[DeviceId, ...] = ()


@dataclass(frozen=True, slots=True)
class CustodyPlan:
    """Who holds the key: custodians in the order of their share index, how many of them are needed, and the waiting
    time before shares may be gathered for another deal.
    """

    custodians: tuple[Address, ...]
    threshold: int
    waiting_seconds: int = 86_400


@dataclass(frozen=True, slots=True)
class Offering:
    """A version of an asset, as this provider put it up."""

    asset: AssetId
    version: int
    capsule: Path
    capsule_root: Digest
    capsule_size: int
    policy_hash: Digest
    deal_hash: Digest
    stage: str


class Catalogue:
    """One provider's assets."""

    def __init__(self, context: Context, custody: Custody, agreements: Agreements) -> None:
        self._context = context
        self._custody = custody
        self._agreements = agreements
        self._turn = threading.Lock()

    def register(self, metadata: Json) -> AssetId:
        """Registers an asset. `metadata` is kept as a document; only its salted hash goes on chain."""
        context = self._context
        document = {"content": metadata, "salt": context.entropy(32).hex()}
        digest = document_digest("metadata", document)
        context.store.put_document("metadata", digest, document)
        return context.ledger.assets.register(digest).event(AssetRegistered).asset

    def seal(self, asset: AssetId, plaintext: Plaintext, policy: Json, custody: CustodyPlan) -> Offering:
        """Seals the next version of an asset and splits its key; nothing is on chain yet.

        Raises PolicyError for a term that can't be enforced, InputRefusedError for custodians that don't fit,
        RefusedError for one without a trustworthy box key, HomeError for a full disk; then nothing was written.
        """
        context = self._context
        compiled = self.check(asset, policy, custody)
        version = self.own_asset(asset).versions + 1
        boxes = self.box_keys(custody.custodians)
        data_key = DataKey.generate(context.entropy)
        plan = SealPlan(
            asset=asset,
            policy_hash=compiled.policy_hash,
            media_type=plaintext.media_type,
            schema=plaintext.schema,
            plaintext_size=plaintext.size,
            source=plaintext.batches,
            devices=plaintext.devices,
            provider=context.account,
            sealed_at=context.clock(),
        )
        with self.draft() as draft:
            with create_whole(draft) as sink:
                signer, domain = context.keystore.signer, context.ledger.domain
                workers = os.cpu_count() or 1
                sealed = seal(plaintext.stream, sink, plan, signer, data_key, domain, context.entropy, workers=workers)
            deal, shares = self.split(data_key, sealed.header, sealed.root, version, 1, compiled, custody, boxes)
            return self.keep(draft, sealed, policy, deal, shares)

    def own_asset(self, asset: AssetId) -> Asset:
        """An asset of this provider that is still offered; UnknownError or InputRefusedError for any other."""
        known = self._context.ledger.assets.asset_of(asset)
        if known.provider != self._context.account:
            raise UnknownError("asset of this provider", str(asset))
        if known.retired:
            raise InputRefusedError(f"the asset {asset} is retired; register another")
        return known

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """A place for a capsule that has no name yet; what is left there at the end is cleared away."""
        draft = self._context.home.folder("capsules") / f".{self._context.entropy(8).hex()}{PART}"
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def check(self, asset: AssetId, policy: Json, custody: CustodyPlan) -> Compiled:
        """What a policy means, once it can be enforced, is for this asset, and the custodians fit it.

        Raises PolicyError or InputRefusedError.
        """
        compiled = compile_policy(policy)
        custodians, terms = custody.custodians, compiled.terms
        if len({*custodians, self._context.account}) != len(custodians) + 1:
            raise InputRefusedError("a deal names each custodian once, and not its provider")
        if not max(1, terms.least_threshold) <= custody.threshold <= len(custodians):
            raise InputRefusedError(
                f"threshold {custody.threshold} of {len(custodians)} custodians; the policy asks for at least "
                f"{terms.least_threshold}"
            )
        strangers = [str(one) for one in custodians if terms.holders and one not in terms.holders]
        if strangers:
            raise InputRefusedError(f"the policy does not allow the custodian {', '.join(strangers)}")
        if not is_for(compiled, asset):
            raise InputRefusedError(f"the policy is for the asset {compiled.holder.asset}, not for {asset}")
        return compiled

    def keep(
        self, draft: Path, sealed: Sealed, policy: Json, deal: Deal, shares: list[Json], *rows: DealingRow
    ) -> Offering:
        """The capsule under its root and its offering, with the `rows` that led to it: all or none."""
        store = self._context.store
        header = sealed.header
        salt = self._context.entropy(32).hex()
        metadata: Json = {"media_type": header.media_type, "schema": header.schema, "salt": salt}
        metadata_hash = document_digest("metadata", metadata)
        row = OfferingRow(
            capsule_root=str(sealed.root),
            asset=str(deal.asset),
            stage=SEALED,
            policy=str(deal.policy_hash),
            metadata_hash=str(metadata_hash),
            capsule_size=sealed.size,
            deal=str(deal.hash),
            version=deal.version,
            shares=canonical.encode(shares),
        )
        sealing = {"asset": deal.asset, "deal": deal.hash, "policy": deal.policy_hash}
        capsule = self.capsule_path(sealed.root)
        move_whole(draft, capsule)
        try:
            store.save(
                store.document_row("policy", deal.policy_hash, policy),
                store.document_row("deal", deal.hash, deal.to_json()),
                store.document_row("metadata", metadata_hash, metadata),
                row,
                *rows,
                log=[LogEntry(Act.SEAL, self._context.clock(), sealed.root, sealing), self._dealt(deal)],
            )
        except StoreError:
            capsule.unlink(missing_ok=True)
            raise
        return _offering(row, capsule)

    def keep_deal(self, capsule_root: Digest, deal: Deal, shares: list[Json], *rows: DealingRow) -> None:
        """A new deal in the place of an offering's older one, with the `rows` that led to it: all or none."""
        store = self._context.store
        row = self._row(capsule_root)
        row.stage, row.deal, row.shares = PUBLISHED, str(deal.hash), canonical.encode(shares)
        store.save(store.document_row("deal", deal.hash, deal.to_json()), row, *rows, log=[self._dealt(deal)])

    def _dealt(self, deal: Deal) -> LogEntry:
        digests = {"capsule_root": deal.capsule_root, "terms": deal.terms_hash}
        return LogEntry(Act.DEAL, self._context.clock(), deal.hash, digests)

    def finish(self, capsule_root: Digest) -> Offering:
        """Takes a sealed offering through publishing, dealing and delivery, from the stage that it has reached.

        A custodian that can't be reached leaves the stage at `dealt` and raises PeerError; run it again later. Raises
        InputRefusedError when another capsule or deal has taken this one's number on chain.
        """
        with self._turn:
            return self._finish(capsule_root)

    def _finish(self, capsule_root: Digest) -> Offering:
        context = self._context
        row = self._row(capsule_root)
        deal = self.deal(Digest.parse(row.deal))
        policy = self.policy(Digest.parse(row.policy))
        compiled = compile_policy(policy)
        assets = context.ledger.assets
        if row.stage == SEALED:
            if assets.asset_of(deal.asset).versions < deal.version:
                assets.publish(
                    deal.asset,
                    capsule_root,
                    row.capsule_size,
                    compiled.policy_hash,
                    Digest.parse(row.metadata_hash),
                    compiled.terms,
                )
            if assets.version_of(deal.asset, deal.version).capsule_root != capsule_root:
                raise InputRefusedError(f"version {deal.version} is another capsule by now; seal this one again")
            self._agreements.offer(deal.asset, deal.version, compiled.policy_hash, compiled.terms.hash)
            row = self._advance(row, PUBLISHED)
        if row.stage == PUBLISHED:
            if assets.version_of(deal.asset, deal.version).deals < deal.number:
                holders = tuple(holder.account for holder in deal.holders)
                transaction = assets.deal(
                    deal.asset, deal.version, deal.hash, deal.threshold, deal.waiting_seconds, holders, compiled.terms
                )
                context.ledger.wait_final(transaction)
            if assets.deal_of(deal.asset, deal.version, deal.number).deal_hash != deal.hash:
                raise InputRefusedError(f"deal {deal.number} of this version is another one by now; seal it again")
            row = self._advance(row, DEALT)
        if row.stage == DEALT:
            self._deliver(deal, policy, canonical.decode(row.shares))
            row = self._advance(row, DELIVERED)
        return _offering(row, self.capsule_path(capsule_root))

    def offerings(self) -> tuple[Offering, ...]:
        """All offerings of this provider, with the stage that each has reached."""
        rows = self._context.store.offerings()
        return tuple(_offering(row, self.capsule_path(Digest.parse(row.capsule_root))) for row in rows)

    def retire(self, asset: AssetId, reason: str) -> Digest:
        """No more requests, grants or uses of an asset; returns the transaction's hash."""
        return self._context.ledger.assets.retire(asset, reason).hash

    def capsule_path(self, root: Digest) -> Path:
        """Where this node keeps the capsule with this root."""
        return self._context.home.folder("capsules") / f"{root}.dsc"

    def split(
        self,
        data_key: DataKey,
        header: Header,
        root: Digest,
        version: int,
        number: int,
        compiled: Compiled,
        custody: CustodyPlan,
        custodian_boxes: Sequence[bytes],
    ) -> tuple[Deal, list[Json]]:
        """Cuts the key of a capsule anew: the deal with this number of this version, and each share sealed to its
        holder.
        """
        context = self._context
        plan = DealPlan(
            chain_id=context.ledger.domain.chain_id,
            access=context.ledger.access.address,
            version=version,
            number=number,
            custodians=custody.custodians,
            threshold=custody.threshold,
            waiting_seconds=custody.waiting_seconds,
        )
        dealt = deal_key(data_key, header, root, plan, compiled.terms, context.entropy)
        boxes = (context.keystore.box.public, *custodian_boxes)
        shares: list[Json] = [
            seal_share(secret, dealt.deal, box).to_json() for secret, box in zip(dealt.secrets, boxes, strict=True)
        ]
        return dealt.deal, shares

    def box_keys(self, custodians: Sequence[Address]) -> list[bytes]:
        """The custodians' box keys from final chain state, each signed by its owner's signing key."""
        context = self._context
        final = context.ledger.final_block().number
        boxes = []
        for custodian in custodians:
            try:
                keys = context.ledger.participants.keys_at(custodian, final, at=final)
                key = PublicKey(keys.suite, keys.signing_key)
                key.verify(box_key_statement(context.ledger.domain, custodian, keys.box_key), keys.box_key_signature)
            except RevertedError as error:
                raise RefusedError(f"the custodian {custodian}", "it has no keys on chain") from error
            except CapsuleError as error:
                raise RefusedError(f"the custodian {custodian}", f"its box key is not its own: {error}") from error
            boxes.append(bytes(keys.box_key))
        return boxes

    def _deliver(self, deal: Deal, policy: Json, shares: Json) -> None:
        """Hands every holder its share; each accepts on chain by itself. Raises the last PeerError after trying all."""
        failed: PeerError | None = None
        if not isinstance(shares, list) or len(shares) != len(deal.holders):
            raise InputRefusedError("the stored shares are damaged or destroyed; seal the capsule again")
        own, *others = zip(deal.holders, shares, strict=True)
        if deal.provider_required:
            self._custody.accept(SharePackage(deal.to_json(), policy, own[1]))
        for holder, share in others:
            package: Json = {"deal": deal.to_json(), "policy": policy, "share": share}
            try:
                self._context.post(holder.account, "/v1/custody/shares", package)
            except PeerError as error:
                failed = error
        if failed:
            raise failed

    def _advance(self, row: OfferingRow, stage: str) -> OfferingRow:
        row.stage = stage
        self._context.store.set_stage(row.capsule_root, stage)
        return row

    def _row(self, capsule_root: Digest) -> OfferingRow:
        row = self._context.store.offering(capsule_root)
        if row is None:
            raise UnknownError("offering", str(capsule_root))
        return row

    def deal(self, digest: Digest) -> Deal:
        """A deal that this provider made; UnknownError for any other."""
        return Deal.from_json(self._document("deal", digest))

    def policy(self, digest: Digest) -> Json:
        """A policy that this provider published under; UnknownError for any other."""
        return self._document("policy", digest)

    def _document(self, kind: str, digest: Digest) -> Json:
        content = self._context.store.document(kind, digest)
        if content is None:
            raise UnknownError(kind, str(digest))
        return canonical.decode(content)


def _offering(row: OfferingRow, capsule: Path) -> Offering:
    return Offering(
        asset=AssetId.parse(row.asset),
        version=row.version,
        capsule=capsule,
        capsule_root=Digest.parse(row.capsule_root),
        capsule_size=row.capsule_size,
        policy_hash=Digest.parse(row.policy),
        deal_hash=Digest.parse(row.deal),
        stage=row.stage,
    )
