"""A whole data space with real documents on the embedded chain: what honest nodes and gateways would write and serve.

Every organisation keeps its operation log, and anchors it before time moves on.

Every call of the main job is here, with real capsules, deals, shares, orders, receipts, decisions, frames and batches,
so that an auditor can check all of it. Documents land in one table, as if each owner served its own.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from capsule import canonical
from capsule.agreement import Agreement, Signatures
from capsule.algorithm import Algorithm, Column, ColumnType, Parameters, code_digest
from capsule.batch import BatchDocument, BatchFrame, BatchRef, build_batch
from capsule.box import BoxKey
from capsule.box_statement import box_key_statement
from capsule.deal import BLINDING_SIZE, Deal, DealHolder, blind
from capsule.decision import RefusalReason, ShareDecision, sign_decision
from capsule.frame import Frame, Mark, frame_hash, sign_frame
from capsule.frame_receipt import FrameReceipt, SignedFrameReceipt, sign_frame_receipt
from capsule.ids import Address, AssetId, Bytes32, DeviceId, Digest, FleetId, GrantId, RequestId, Uscc, UseId
from capsule.key import DataKey, deal_parts, key_commitment
from capsule.oplog import EMPTY_HEAD, PASSED, Act, LogEntry, LogHead, LogSegment, sign_head
from capsule.order import Order, order_hash
from capsule.policy.compiler import Compiled, compile_policy
from capsule.policy.offer import offer
from capsule.receipt import (
    FAILURES,
    GUARD_PASSED,
    GUARD_REFUSED,
    CloseReason,
    Receipt,
    SourceVerdict,
    output_digest,
    sign_receipt,
)
from capsule.rows import Row
from capsule.sealing import Sealed, SealPlan, seal
from capsule.share import Release, ShareSecret, seal_release
from capsule.shred import ShredStatement, shred_name, sign_shred
from capsule.signature import Ed25519Signer
from capsule.tree import TreeHasher, leaf_hash
from contracts.account import Account
from contracts.deploy import deploy
from contracts.embedded import EmbeddedChain
from contracts.events import (
    AccessGranted,
    AccessRequested,
    AssetRegistered,
    CapsulePublished,
    CustodyDealt,
    DealOpened,
    DevicesEnrolled,
    UseOpened,
)
from contracts.ledger import Ledger
from contracts.roles import Role
from contracts.structs import Batch, Pin
from tests.sim.quick_chain import QuickChain

__all__ = ["MEASUREMENT", "PURPOSE", "Clock", "DataSpace", "Device", "Granted", "Offered", "Opened", "Party"]

START: Final = 1_750_000_000
PURPOSE: Final = "grid planning"
NOTHING: Final = Digest(bytes(32))
MEASUREMENT: Final = Digest(b"\x07" * 32)
_FUNDS: Final = 10**18


class Clock:
    """Unix seconds that only move when told to; `before` they do, what is due is done."""

    def __init__(self, now: int = START) -> None:
        self.now = now
        self.before: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return float(self.now)

    def advance(self, seconds: int) -> None:
        self.before()
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Party:
    """One organisation: its ledger (with its account), signing key and box key."""

    name: str
    ledger: Ledger
    signer: Ed25519Signer
    box: BoxKey

    @property
    def account(self) -> Address:
        assert self.ledger.account is not None
        return self.ledger.account.address

    @property
    def key(self) -> Account:
        assert self.ledger.account is not None
        return self.ledger.account


@dataclass(slots=True)
class Device:
    """A device that signs frames, and what it has sent so far. `last` is its newest frame's hash."""

    id: DeviceId
    signer: Ed25519Signer
    sequence: int = 0
    last: Digest = NOTHING
    receipts: list[SignedFrameReceipt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Offered:
    """A published asset with its deal: what a request pins, and every holder's secret by position."""

    pin: Pin
    compiled: Compiled
    deal: Deal
    data_key: DataKey
    secrets: tuple[ShareSecret, ...]
    holders: tuple[Party, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant on an offered asset."""

    offered: Offered
    request: RequestId
    id: GrantId
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Opened:
    """An open use: its one-time keys' secrets by holder position."""

    granted: Granted
    event: UseOpened
    keys: tuple[BoxKey, ...]

    @property
    def id(self) -> UseId:
        return self.event.use


class DataSpace:
    """A founded data space. Deterministic but for sealed boxes and the sharing library's own coefficients.

    On the embedded chain in a folder, or on a quick one without.
    """

    def __init__(self, folder: Path | None, seed: int = 1) -> None:
        self.clock = Clock()
        self.random = random.Random(seed)
        self.chain: EmbeddedChain | QuickChain = (
            QuickChain(self.clock, self.entropy) if folder is None else EmbeddedChain.open(folder, clock=self.clock)
        )
        self.documents: dict[tuple[str, bytes], bytes] = {}
        self.logs: dict[Address, list[LogEntry]] = {}
        self._trees: dict[Address, TreeHasher] = {}
        self._anchored: dict[Address, tuple[LogHead, tuple[Digest, ...]]] = {}
        self.clock.before = self.anchor_logs
        directory = deploy(self.chain, self.chain.faucet, confirmations=0, finalized_tag=False)
        self.operator = Ledger.connect(self.chain, directory, self.chain.faucet)
        self.provider = self.admit("provider", Role.PROVIDER)
        self.buyer = self.admit("buyer", Role.BUYER | Role.COMPUTE)
        self.custodians = tuple(self.admit(f"custodian {number}", Role.CUSTODIAN) for number in (1, 2, 3))
        self.compute = self.admit("compute node", Role.COMPUTE)
        self.gateway = self.admit("gateway", Role.GATEWAY)
        self.regulator = self.admit("regulator", Role.REGULATOR)
        self.algorithm = Algorithm(
            kind="sql",
            code_hash=code_digest(b"select 1"),
            parameters=(),
            output=(Column("total", ColumnType.NUMBER),),
        )
        self._orders = 0
        self._batches: dict[Address, list[BatchDocument]] = {}

    def close(self) -> None:
        self.chain.close()

    def entropy(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def digest(self) -> Digest:
        return Digest(self.entropy(32))

    @property
    def now(self) -> int:
        return self.clock.now

    def serve(self, kind: str, key: bytes, document: canonical.Json) -> None:
        self.documents[kind, bytes(key)] = canonical.encode(document)

    # Operation logs

    def record(self, party: Party, act: Act, subject: Bytes32, reason: str = "", **digests: Bytes32) -> None:
        """An organisation's next entry."""
        entry = LogEntry(act, self.now, subject, digests, reason)
        self.logs.setdefault(party.account, []).append(entry)
        self._trees.setdefault(party.account, TreeHasher()).append(entry.leaf)

    def log_head(self, party: Party) -> LogHead:
        tree = self._trees.setdefault(party.account, TreeHasher())
        return LogHead(tree.size, tree.root())

    def anchor_logs(self) -> None:
        """Each organisation with new entries anchors its head, and serves what lies behind it."""
        for party in (self.provider, self.buyer, *self.custodians, self.compute, self.regulator):
            before, peaks = self._anchored.get(party.account, (EMPTY_HEAD, ()))
            head = self.log_head(party)
            if head == before:
                continue
            segment = LogSegment(
                account=party.account,
                first=before.size,
                peaks=peaks,
                entries=tuple(self.logs[party.account][before.size :]),
                note=sign_head(head, party.account, party.signer, self.operator.domain),
            )
            self.serve("log-segment", head.root, segment.to_json())
            previous = before.root if before.size else NOTHING
            party.ledger.operation_log.anchor_head(head.size, head.root, previous)
            self._anchored[party.account] = head, self._trees[party.account].peaks

    # Organisations

    def admit(self, name: str, roles: Role) -> Party:
        """A new organisation with keys and endpoint."""
        party = Party(
            name,
            self.operator.as_account(Account.generate(self.entropy)),
            Ed25519Signer.generate(self.entropy),
            BoxKey.generate(self.entropy),
        )
        code = Uscc.make(f"91350100{self.random.randrange(10**9):09d}")
        self.operator.participants.admit(party.account, code, self.digest(), roles, value=_FUNDS)
        statement = box_key_statement(self.operator.domain, party.account, party.box.public)
        party.ledger.participants.set_keys(
            party.signer.suite, party.signer.public_key, party.box.public, party.signer.sign(statement)
        )
        party.ledger.participants.set_endpoint(f"https://{name.replace(' ', '-')}.example")
        return party

    # Devices

    def enroll(self) -> Device:
        device = Device(DeviceId(self.entropy(32)), Ed25519Signer.generate(self.entropy))
        self.provider.ledger.devices.enroll(device.id, 1, device.signer.public_key, self.digest())
        return device

    def frame(self, device: Device, *, gateway: Party | None = None, sequence: int | None = None) -> BatchFrame:
        """The device's next frame, signed for by a gateway; the receipt is in the device owner's statement."""
        taker = gateway or self.gateway
        number = device.sequence + 1 if sequence is None else sequence
        previous = NOTHING if number == 1 else device.last
        rows = (Row(float(self.now), {"power": self.random.random()}),)
        data = sign_frame(Frame(device.id, number, previous, None, Mark.SIGNED, rows), device.signer)
        made = BatchFrame(device.id, number, previous, frame_hash(data), leaf_hash(data))
        device.sequence, device.last = number, made.hash
        receipt = FrameReceipt(taker.account, device.id, number, made.hash, self.now)
        device.receipts.append(sign_frame_receipt(receipt, taker.signer, self.operator.domain))
        self.serve(
            "device-statement",
            device.id,
            {
                "kind": "dataspace/device-statement",
                "version": 1,
                "device": str(device.id),
                "receipts": [canonical.decode(one.to_bytes()) for one in device.receipts[-3:]],
            },
        )
        return made

    def anchor(self, frames: Sequence[BatchFrame], *, gateway: Party | None = None) -> BatchDocument:
        """Anchors a gateway's next batch and serves its document."""
        taker = gateway or self.gateway
        before = self._batches.setdefault(taker.account, [])
        predecessor = before[-1].batch.frames_root if before else NOTHING
        document = build_batch(taker.account, len(before) + 1, predecessor, frames)
        before.append(document)
        batch = document.batch
        taker.ledger.devices.anchor(
            Batch(
                number=batch.number,
                predecessor=batch.predecessor,
                size=batch.size,
                frames_root=batch.frames_root,
                index_root=batch.index_root,
                incidents_root=batch.incidents_root,
            )
        )
        self.documents["batch", bytes(batch.frames_root)] = document.to_bytes()
        return document

    # Assets

    def register(self) -> AssetId:
        return self.provider.ledger.assets.register(self.digest()).event(AssetRegistered).asset

    def offer(self, asset: AssetId, *, threshold: int = 2, provider_share: bool = True, **terms: object) -> Offered:
        """Publishes a small capsule, deals its key, and has every holder accept. `parents`: roots of its lineage."""
        published, compiled, data_key, capsule_id = self.publish(
            asset, threshold=threshold, provider_share=provider_share, **terms
        )
        return self.deal(published, compiled, data_key, capsule_id, threshold)

    def publish(
        self,
        asset: AssetId,
        *,
        threshold: int = 2,
        provider_share: bool = True,
        parents: tuple[Digest, ...] = (),
        **terms: object,
    ) -> tuple[CapsulePublished, Compiled, DataKey, bytes]:
        """Seals a small capsule under a policy and publishes it; also its meaning, its key and its id."""
        sealed, compiled, data_key = self.seal(
            asset, threshold=threshold, provider_share=provider_share, parents=parents, **terms
        )
        # the capsule's first deal comes later; the entry can name none yet
        self.record(self.provider, Act.SEAL, sealed.root, asset=asset, deal=NOTHING, policy=compiled.policy_hash)
        published = self.provider.ledger.assets.publish(
            asset, sealed.root, sealed.size, compiled.policy_hash, self.digest(), compiled.terms
        ).event(CapsulePublished)
        return published, compiled, data_key, sealed.header.capsule_id

    def seal(
        self, asset: AssetId, *, threshold: int, provider_share: bool, parents: tuple[Digest, ...], **terms: object
    ) -> tuple[Sealed, Compiled, DataKey]:
        """A small capsule under a policy, both served."""
        asked = {"uses_per_grant": 2, "rows_per_buyer": 1000, "seconds_per_use": 600, **terms}
        policy = offer(
            asset=asset,
            provider=self.provider.account,
            purposes=(PURPOSE,),
            algorithms=(self.algorithm.hash,),
            provider_share=provider_share,
            least_threshold=threshold,
            measurements=(MEASUREMENT,),
            **asked,  # type: ignore[arg-type]
        )
        compiled = compile_policy(policy)
        self.serve("policy", compiled.policy_hash, policy)
        data_key = DataKey.generate(self.entropy)
        plan = SealPlan(
            asset=asset,
            policy_hash=compiled.policy_hash,
            media_type="text/csv",
            schema={},
            provider=self.provider.account,
            sealed_at=self.now,
            lineage=parents,
            source=tuple(
                BatchRef(document.batch.gateway, document.batch.number, document.batch.frames_root)
                for documents in self._batches.values()
                for document in documents
            ),
        )
        file = io.BytesIO()
        source = io.BytesIO(b"time,power\n1,2\n")
        sealed = seal(source, file, plan, self.provider.signer, data_key, self.operator.domain, self.entropy)
        self.documents["capsule", bytes(sealed.root)] = file.getvalue()
        return sealed, compiled, data_key

    def deal(
        self, published: CapsulePublished, compiled: Compiled, data_key: DataKey, capsule_id: bytes, threshold: int
    ) -> Offered:
        """Deals the key of a version anew, and has every holder accept."""
        required = compiled.terms.provider_share_required
        parts = deal_parts(data_key, threshold, len(self.custodians), required, self.entropy)
        holders = (self.provider, *self.custodians)
        secrets = tuple(
            ShareSecret(index, part, self.entropy(BLINDING_SIZE))
            for index, part in enumerate((parts.provider_part, *parts.shares))
        )
        number = self.provider.ledger.assets.version_of(published.asset, published.version).deals + 1
        deal = Deal(
            chain_id=self.operator.domain.chain_id,
            access=self.operator.access.address,
            asset=published.asset,
            version=published.version,
            provider=self.provider.account,
            capsule_id=capsule_id,
            capsule_root=published.capsule_root,
            policy_hash=published.policy_hash,
            terms_hash=published.terms_hash,
            key_commitment=key_commitment(data_key),
            number=number,
            threshold=threshold,
            provider_required=required,
            waiting_seconds=0,
            holders=tuple(
                DealHolder(holder.account, index, blind(index, secret.share, secret.blinding))
                for index, (holder, secret) in enumerate(zip(holders, secrets, strict=True))
            ),
        )
        self.serve("deal", deal.hash, deal.to_json())
        self.record(self.provider, Act.DEAL, deal.hash, capsule_root=deal.capsule_root, terms=deal.terms_hash)
        accounts = tuple(holder.account for holder in holders)
        dealt = self.provider.ledger.assets.deal(
            published.asset, published.version, deal.hash, threshold, 0, accounts, compiled.terms
        ).event(CustodyDealt)
        for holder in holders if required else holders[1:]:
            holder.ledger.assets.accept_share(published.asset, published.version, dealt.deal, deal.hash)
        pin = Pin(
            asset=published.asset,
            version=published.version,
            capsule_root=published.capsule_root,
            policy_hash=published.policy_hash,
            terms_hash=published.terms_hash,
            deal=dealt.deal,
            deal_hash=deal.hash,
        )
        return Offered(pin, compiled, deal, data_key, secrets, holders)

    def redeal(self, offered: Offered) -> Offered:
        """Opens the deal, gathers all shares and deals anew: other shares of the same key."""
        keys = tuple(BoxKey.generate(self.entropy) for _ in offered.holders)
        opened = self.provider.ledger.assets.open_deal(
            offered.pin.asset, offered.pin.version, [Bytes32(key.public) for key in keys], "a custodian leaves"
        ).event(DealOpened)
        for index, holder in enumerate(offered.holders):
            if index or offered.deal.provider_required:
                self._release(offered, opened.opening, index, holder, keys[index].public)
        published = CapsulePublished(
            log=opened.log,
            seq=0,
            asset_seq=0,
            asset=offered.pin.asset,
            version=offered.pin.version,
            capsule_root=offered.pin.capsule_root,
            capsule_size=0,
            policy_hash=offered.pin.policy_hash,
            terms_hash=offered.pin.terms_hash,
            metadata_hash=NOTHING,
            terms=offered.compiled.terms,
        )
        deal = offered.deal
        return self.deal(published, offered.compiled, offered.data_key, deal.capsule_id, deal.threshold)

    # Access

    def request(
        self, offered: Offered, compute: Party | None = None
    ) -> tuple[AccessRequested, Agreement, tuple[AccessGranted, ...]]:
        """The buyer asks; the terms may grant at once."""
        node = compute or self.compute
        agreement = Agreement(
            asset=offered.pin.asset,
            version=offered.pin.version,
            policy_hash=offered.pin.policy_hash,
            terms_hash=offered.pin.terms_hash,
            purpose=PURPOSE,
            algorithm=self.algorithm.hash,
            buyer=self.buyer.account,
            provider=self.provider.account,
            compute_node=node.account,
            salt=self.entropy(32),
        )
        self.serve("agreement", agreement.hash, agreement.to_json())
        self.agree(agreement, on_offer=offered.compiled.terms.automatic_grant)
        sent = self.buyer.ledger.access.request(
            offered.pin,
            PURPOSE,
            self.algorithm.hash,
            node.account,
            agreement.hash,
            offered.compiled.terms,
        )
        granted = tuple(event for event in sent.events if isinstance(event, AccessGranted))
        return sent.event(AccessRequested), agreement, granted

    def agree(self, agreement: Agreement, *, on_offer: bool = False) -> Signatures:
        """Both sides sign; `on_offer`: the provider signed its offer, once for all."""
        domain = self.operator.domain.chain_id, self.operator.access.address
        theirs = agreement.offer if on_offer else agreement
        signatures = Signatures(
            agreement.hash,
            self.buyer.key.sign_typed(agreement.typed_data(*domain)),
            self.provider.key.sign_typed(theirs.typed_data(*domain)),
            on_offer=on_offer,
        )
        self.serve("agreement-signatures", agreement.hash, signatures.to_json())
        return signatures

    def grant(self, offered: Offered, compute: Party | None = None) -> Granted:
        """A request that the terms or the provider grant."""
        requested, agreement, granted = self.request(offered, compute)
        if not granted:
            terms = offered.compiled.terms
            self.record(self.provider, Act.GRANT, requested.request, agreement=agreement.hash, terms=terms.hash)
            sent = self.provider.ledger.access.grant(requested.request, PURPOSE, agreement.hash, terms, terms)
            granted = (sent.event(AccessGranted),)
        return Granted(offered, requested.request, granted[0].grant, agreement)

    def deny(self, request: RequestId, reason: int) -> None:
        self.record(self.provider, Act.DENIAL, request, str(reason))
        self.provider.ledger.access.deny(request, reason)

    def revoke(self, granted: Granted, reason: int) -> None:
        self.record(self.provider, Act.REVOCATION, granted.id, str(reason))
        self.provider.ledger.access.revoke(granted.id, reason)

    def shred(self, offered: Offered, index: int) -> ShredStatement:
        """A holder destroys its part of a deal, and says so."""
        holder = offered.holders[index]
        statement = ShredStatement(
            deal=offered.deal.hash, holder=holder.account, index=index, time=self.now, salt=self.entropy(32)
        )
        signed = sign_shred(statement, holder.signer, self.operator.domain)
        self.serve("shred-statement", shred_name(offered.deal.hash, holder.account), signed.to_json())
        self.record(holder, Act.SHRED, offered.deal.hash, statement=statement.hash)
        return statement

    def open(self, *granted: Granted, seconds: int = 500, parameters: Digest | None = None) -> tuple[Opened, ...]:
        """One order over some grants, and the uses that it opens."""
        self._orders += 1
        order = Order(
            grants=tuple(one.id for one in granted),
            number=self._orders,
            algorithm=self.algorithm.hash,
            parameters=parameters or Parameters({}, self.entropy(32)).hash,
            compute_node=self.compute.account,
            result_key=Bytes32(BoxKey.generate(self.entropy).public),
            deadline=self.now + seconds,
        )
        chain_id, access = self.operator.domain.chain_id, self.operator.access.address
        signature = self.buyer.key.sign_order(order, chain_id, access)
        keys = tuple(tuple(BoxKey.generate(self.entropy) for _ in one.offered.holders) for one in granted)
        public = [[Bytes32(key.public) for key in row] for row in keys]
        sent = self.compute.ledger.access.open_use(order, signature, MEASUREMENT, public)
        events = [event for event in sent.events if isinstance(event, UseOpened)]
        digest, algorithm = events[0].order_hash, self.algorithm
        self.record(
            self.compute,
            Act.ORDER,
            digest,
            algorithm=algorithm.hash,
            code=algorithm.code_hash,
            parameters=order.parameters,
        )
        self.record(self.compute, Act.USE, digest, measurement=MEASUREMENT)
        return tuple(Opened(*one) for one in zip(granted, events, keys, strict=True))

    def release(self, opened: Opened, *indexes: int, forged: bool = False) -> None:
        """Holders at some positions release; a forged share is random bytes under the true opening."""
        for index in indexes:
            holder = opened.granted.offered.holders[index]
            self._release(opened.granted.offered, opened.id, index, holder, opened.keys[index].public, forged=forged)

    def _release(
        self, offered: Offered, use: Bytes32, index: int, holder: Party, public: bytes, *, forged: bool = False
    ) -> None:
        secret = offered.secrets[index]
        release = Release(
            chain_id=self.operator.domain.chain_id,
            access=self.operator.access.address,
            use=use,
            deal=offered.deal.hash,
            index=index,
            share=self.entropy(16) if forged else secret.share,
            blinding=secret.blinding,
        )
        decision = self._decide(offered, use, index, holder, RefusalReason.NONE)
        holder.ledger.access.release_share(use, decision, seal_release(release, public))

    def refuse(self, opened: Opened, *indexes: int) -> None:
        for index in indexes:
            holder = opened.granted.offered.holders[index]
            reason = RefusalReason.OWN_LIMIT
            decision = self._decide(opened.granted.offered, opened.id, index, holder, reason)
            holder.ledger.access.refuse_share(opened.id, reason, decision)

    def _decide(self, offered: Offered, use: Bytes32, index: int, holder: Party, reason: RefusalReason) -> Digest:
        decision = ShareDecision(
            use=use,
            deal=offered.deal.hash,
            holder=holder.account,
            index=index,
            outcome="refused" if reason else "released",
            reason=reason,
            view="own node",
            block=self.chain.head().number,
            decided_at=self.now,
            salt=self.entropy(32),
            log_head=self.log_head(holder),
        )
        signed = sign_decision(decision, holder.signer, self.operator.domain)
        self.serve("decision", decision.hash, signed.to_json())
        stated = reason.name.lower() if reason else decision.outcome
        self.record(holder, Act.DECISION, use, stated, deal=decision.deal, decision=decision.hash)
        return decision.hash

    def complete(self, *opened: Opened, rows: int = 10) -> Receipt:
        """The compute node closes an order's uses with a receipt."""
        receipt = self.receipt(*opened, rows=rows)
        self.sign(receipt)
        self.compute.ledger.access.close_use(receipt.order_hash, True, 0, receipt.hash, self.digest(), rows)
        return receipt

    def reexecute(
        self, of: Receipt, offered: Offered, output: Digest, party: Party, parameters: Digest | None = None
    ) -> Receipt:
        """A party buys and computes for itself what a receipt is about, and says what came out."""
        buyer, compute = self.buyer, self.compute
        self.buyer = self.compute = party
        (use,) = self.open(self.grant(offered), parameters=parameters or of.parameters)
        self.release(use, 0, 1, 2, 3)
        receipt = replace(self.receipt(use, rows=of.rows_out, output=output), reexecutes=of.hash)
        self.sign(receipt)
        party.ledger.access.close_use(receipt.order_hash, True, 0, receipt.hash, self.digest(), receipt.rows_out)
        self.buyer, self.compute = buyer, compute
        return receipt

    def fail_with_receipt(self, *opened: Opened, reason: int) -> Receipt:
        """The compute node closes an order's uses as failed, with a receipt of the failure."""
        receipt = replace(
            self.receipt(*opened, rows=0, verdict=FAILURES[reason]),
            output=NOTHING,
            rows_in=0,
            guard=GUARD_REFUSED,
            failure=FAILURES[reason],
        )
        self.sign(receipt)
        self.fail(opened[0], reason, receipt.hash)
        return receipt

    def sign(self, receipt: Receipt) -> None:
        """The compute node signs a receipt and serves it."""
        signed = sign_receipt(receipt, self.compute.signer, self.operator.domain)
        self.serve("receipt", receipt.hash, signed.to_json())
        self.record(self.compute, Act.RECEIPT, receipt.order_hash, receipt=receipt.hash)

    def receipt(self, *opened: Opened, rows: int, verdict: str = PASSED, output: Digest | None = None) -> Receipt:
        """What the compute node says of a completed order."""
        order = opened[0].event.order
        access = self.operator.access.address
        output = output or (output_digest(b"result", self.entropy(32)) if verdict == PASSED else NOTHING)
        self.record(self.compute, Act.VERDICT, opened[0].event.order_hash, verdict, answers=NOTHING, output=output)
        return Receipt(
            order_hash=order_hash(order, self.operator.domain.chain_id, access),
            uses=tuple(one.id for one in opened),
            grants=order.grants,
            agreements=tuple(one.granted.agreement.hash for one in opened),
            capsule_roots=tuple(one.event.pin.capsule_root for one in opened),
            algorithm=order.algorithm,
            parameters=order.parameters,
            output=output,
            rows_in=100,
            rows_out=rows,
            guard=GUARD_PASSED,
            source=SourceVerdict("declared"),
            measurement=MEASUREMENT,
            protected=True,
            log_head=self.log_head(self.compute),
            opened_at=self.now,
            closed_at=self.now,
            compute_node=self.compute.account,
        )

    def fail(self, opened: Opened, reason: int, document_hash: Digest = NOTHING) -> None:
        """The compute node closes an order as failed."""
        if reason == CloseReason.SHARE_WRONG:
            self.record(self.compute, Act.ACCUSATION, opened.event.order_hash, accusation=document_hash)
        self.compute.ledger.access.close_use(opened.event.order_hash, False, reason, document_hash, NOTHING, 0)

    def fleet(self) -> FleetId:
        return self.provider.ledger.devices.enroll_many(self.digest(), 3, self.digest()).event(DevicesEnrolled).fleet
