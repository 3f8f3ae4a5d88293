"""The provider's side of an offer: seal a capsule, publish it, deal its key.

The data key lives only inside `seal`: when it returns, the capsule is a whole file and the key is split, each share
sealed to its holder. What then goes on chain is done stage by stage, each stage once, so that `finish` resumes after
a crash.
"""

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from capsule import canonical
from capsule.batch import BatchRef
from capsule.box_statement import box_key_statement
from capsule.canonical import Json
from capsule.deal import Deal, DealHolder, blind
from capsule.digest import document_digest
from capsule.errors import CapsuleError
from capsule.ids import Address, AssetId, DeviceId, Digest
from capsule.key import DataKey, deal_parts
from capsule.policy.compiler import Compiled, compile_policy
from capsule.sealing import Sealed, SealPlan, seal
from capsule.share import ShareSecret, seal_share
from capsule.signature import PublicKey
from contracts.errors import RevertedError
from contracts.events import AssetRegistered
from node.context import Context
from node.custody import Custody, SharePackage
from node.errors import InputRefusedError, PeerError, RefusedError, StoreError, UnknownError
from node.home import PART, create_whole, move_whole
from node.store import OfferingRow

__all__ = ["Catalogue", "CustodyPlan", "Offering", "Plaintext"]

STAGES = ("sealed", "published", "dealt", "delivered")


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

    def __init__(self, context: Context, custody: Custody) -> None:
        self._context = context
        self._custody = custody
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
        compiled = self._check(policy, custody)
        if compiled.holder.asset not in (None, asset):
            raise InputRefusedError(f"the policy is for the asset {compiled.holder.asset}, not for {asset}")
        known = context.ledger.assets.asset_of(asset)
        if known.provider != context.account:
            raise UnknownError("asset of this provider", str(asset))
        if known.retired:
            raise InputRefusedError(f"the asset {asset} is retired; register another")
        version = known.versions + 1
        boxes = self._box_keys(custody.custodians)
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
        draft = context.home.folder("capsules") / f".{context.entropy(8).hex()}{PART}"
        with contextlib.ExitStack() as stack:
            stack.callback(draft.unlink, missing_ok=True)
            with create_whole(draft) as sink:
                signer, domain = context.keystore.signer, context.ledger.domain
                workers = os.cpu_count() or 1
                sealed = seal(plaintext.stream, sink, plan, signer, data_key, domain, context.entropy, workers=workers)
            deal, shares = self._split(data_key, sealed, version, compiled, custody, boxes)
            return self._keep(draft, sealed, policy, deal, shares)

    def _check(self, policy: Json, custody: CustodyPlan) -> Compiled:
        """What the policy means, once it can be enforced and the custodians fit it."""
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
        return compiled

    def _keep(self, draft: Path, sealed: Sealed, policy: Json, deal: Deal, shares: list[Json]) -> Offering:
        """The capsule under its root and its offering, both or none."""
        store = self._context.store
        header = sealed.header
        salt = self._context.entropy(32).hex()
        metadata: Json = {"media_type": header.media_type, "schema": header.schema, "salt": salt}
        metadata_hash = document_digest("metadata", metadata)
        row = OfferingRow(
            capsule_root=str(sealed.root),
            asset=str(deal.asset),
            stage=STAGES[0],
            policy=str(deal.policy_hash),
            metadata_hash=str(metadata_hash),
            capsule_size=sealed.size,
            deal=str(deal.hash),
            version=deal.version,
            shares=canonical.encode(shares),
        )
        capsule = self.capsule_path(sealed.root)
        move_whole(draft, capsule)
        try:
            store.save(
                store.document_row("policy", deal.policy_hash, policy),
                store.document_row("deal", deal.hash, deal.to_json()),
                store.document_row("metadata", metadata_hash, metadata),
                row,
            )
        except StoreError:
            capsule.unlink(missing_ok=True)
            raise
        return _offering(row, capsule)

    def finish(self, capsule_root: Digest) -> Offering:
        """Takes a sealed offering through publishing, dealing and delivery, from the stage that it has reached.

        A custodian that can't be reached leaves the stage at `dealt` and raises PeerError; run it again later. Raises
        InputRefusedError when another capsule or deal has taken this one's number on chain.
        """
        with self._turn:
            return self._finish(capsule_root)

    def _finish(self, capsule_root: Digest) -> Offering:
        context = self._context
        row = context.store.offering(capsule_root)
        if row is None:
            raise UnknownError("offering", str(capsule_root))
        deal = Deal.from_json(self._document("deal", Digest.parse(row.deal)))
        policy = self._document("policy", Digest.parse(row.policy))
        compiled = compile_policy(policy)
        assets = context.ledger.assets
        if row.stage == "sealed":
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
            row = self._advance(row, "published")
        if row.stage == "published":
            if assets.version_of(deal.asset, deal.version).deals < deal.number:
                holders = tuple(holder.account for holder in deal.holders)
                transaction = assets.deal(
                    deal.asset, deal.version, deal.hash, deal.threshold, deal.waiting_seconds, holders, compiled.terms
                )
                context.ledger.wait_final(transaction)
            if assets.deal_of(deal.asset, deal.version, deal.number).deal_hash != deal.hash:
                raise InputRefusedError(f"deal {deal.number} of this version is another one by now; seal it again")
            row = self._advance(row, "dealt")
        if row.stage == "dealt":
            self._deliver(deal, policy, canonical.decode(row.shares))
            row = self._advance(row, "delivered")
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

    def _split(
        self,
        data_key: DataKey,
        sealed: Sealed,
        version: int,
        compiled: Compiled,
        custody: CustodyPlan,
        custodian_boxes: Sequence[bytes],
    ) -> tuple[Deal, list[Json]]:
        context = self._context
        required = compiled.terms.provider_share_required
        parts = deal_parts(data_key, custody.threshold, len(custody.custodians), required, context.entropy)
        secrets = [ShareSecret(0, parts.provider_part, context.entropy(32))]
        secrets += [ShareSecret(i, share, context.entropy(32)) for i, share in enumerate(parts.shares, start=1)]
        accounts = (context.account, *custody.custodians)
        deal = Deal(
            chain_id=context.ledger.domain.chain_id,
            access=context.ledger.access.address,
            asset=sealed.header.asset,
            version=version,
            provider=context.account,
            capsule_id=sealed.header.capsule_id,
            capsule_root=sealed.root,
            policy_hash=compiled.policy_hash,
            terms_hash=compiled.terms.hash,
            key_commitment=sealed.header.key_commitment,
            number=1,
            threshold=custody.threshold,
            provider_required=required,
            waiting_seconds=custody.waiting_seconds,
            holders=tuple(
                DealHolder(account, secret.index, blind(secret.index, secret.share, secret.blinding))
                for account, secret in zip(accounts, secrets, strict=True)
            ),
        )
        boxes = (context.keystore.box.public, *custodian_boxes)
        shares: list[Json] = [
            seal_share(secret, deal, box).to_json() for secret, box in zip(secrets, boxes, strict=True)
        ]
        return deal, shares

    def _box_keys(self, custodians: Sequence[Address]) -> list[bytes]:
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
        if not isinstance(shares, list):
            raise InputRefusedError("the stored shares are damaged; seal the capsule again")
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
        self._context.store.save(row)
        return row

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
