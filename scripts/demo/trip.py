"""The main job, step by step, as the eight steps of a data space. Attacks take the same trip and change one thing."""

from collections.abc import Sequence
from pathlib import Path

from capsule import canonical
from capsule.disclosure import PURPOSE as REPEAT
from capsule.ids import AssetId, Digest
from capsule.policy.offer import offer
from contracts.events import UseOpened
from node.access import Granted, Narrowing, Requested
from node.catalogue import CustodyPlan, Offering
from node.custody import Decided
from node.intake import read_plaintext
from node.ordering import Collected, Placed
from scripts.demo.fleet import Fleet, Recorded
from scripts.demo.inspection import Inspection, Inspector
from scripts.demo.question import Question, question_for
from scripts.demo.readings import Readings
from scripts.demo.world import CUSTODIANS, ROLES, Member, World

__all__ = ["PURPOSE", "TITLES", "Trip"]

PURPOSE = "station-efficiency-benchmark"
DAY_SECONDS = 86_400
GROUP_SIZE = 10
HOLDERS = ("provider", *CUSTODIANS)
OUTPUT_ROWS = 1_000
TITLES = (
    ("Organisations are admitted on chain", "机构准入上链"),
    ("A device is enrolled with its public key", "设备公钥登记"),
    ("The device signs frames; the gateway verifies, stores and anchors them", "设备签名，网关核验、存储并锚定"),
    ("The provider seals a capsule under a policy and deals its key", "提供方封装密态胶囊并分发密钥份额"),
    ("The buyer asks for access for a purpose; the provider grants it", "使用方按用途申请，提供方授权"),
    ("The buyer orders; the compute node opens a use; the holders release", "使用方下单，计算方开启使用，托管方放行"),
    ("The runtime rebuilds the key, computes, and closes with a receipt", "运行环境重建密钥、计算并以回执关闭"),
    ("The regulator rebuilds the trail from chain events and checks it", "监管方由链上事件重建全程并核查"),
)


class Trip:
    """One trip through a world. Each step needs the ones before it, and keeps what it learns for the next."""

    def __init__(self, world: World, readings: Readings) -> None:
        self.world = world
        self.readings = readings
        self.fleet = Fleet(world, readings)
        self.question: Question = question_for(readings.time_column, readings.columns, readings.step_seconds)
        self.uses_per_grant = 2
        self.uses_per_buyer = 2
        self.seconds_per_grant = DAY_SECONDS
        self.seconds_per_use = 600
        self.lets_regulator_in = False
        self.recorded: Recorded
        self.asset: AssetId
        self.offering: Offering
        self.requested: Requested
        self.granted: Granted
        self.placed: Placed
        self.collected: Collected
        self.inspection: Inspection

    # step 1
    def admit(self) -> None:
        """The operator admits all members; each sets its keys and endpoint."""
        for name, role in ROLES.items():
            self.world.admit(self.world[name], role)

    # step 2
    def enroll(self) -> Digest:
        """The provider enrols its station's key; returns the transaction."""
        return self.fleet.enroll()

    # step 3
    def record(self) -> None:
        """The device signs and sends its frames, the gateway anchors them."""
        self.recorded = self.fleet.record()

    # step 4
    def offer(self, export: Path | None = None) -> None:
        """The provider takes its device's frames with their proofs, seals them and puts them up."""
        frames = export or self.fleet.export(self.world["provider"].home / "station.frames")
        provider = self.world["provider"]
        self.asset = provider.node.catalogue.register({"title": self.readings.title})
        self.offering = self.publish(provider, self.asset, frames)

    def publish(self, provider: Member, asset: AssetId, source: Path) -> Offering:
        """Seals a file as the next version of an asset under the trip's policy, and takes it through custody."""
        custodians = tuple(member.account for member in self.world.custodians)
        let_in = [self.world["regulator"].account] if self.lets_regulator_in else []
        policy = offer(
            asset=asset,
            provider=provider.account,
            purposes=[PURPOSE, *([REPEAT] if let_in else [])],
            algorithms=[self.question.algorithm.hash],
            buyer_roles=["buyer"],
            compute_nodes=[self.world["compute"].account, *let_in],
            compute_by_buyer=True if let_in else None,
            custodians=custodians,
            least_threshold=2,
            provider_share=True,
            seconds_per_grant=self.seconds_per_grant,
            seconds_per_use=self.seconds_per_use,
            uses_per_grant=self.uses_per_grant,
            uses_per_buyer=self.uses_per_buyer,
            output_rows=OUTPUT_ROWS,
            group_size=min(GROUP_SIZE, self.readings.rows),
        )
        with read_plaintext(source, "", self.readings.time_column) as plaintext:
            plan = CustodyPlan(custodians, threshold=2, waiting_seconds=0)
            sealed = provider.node.catalogue.seal(asset, plaintext, policy, plan)
        return provider.node.catalogue.finish(sealed.capsule_root)

    # step 5
    def request(self, buyer: str = "buyer", purpose: str = PURPOSE, question: Question | None = None) -> None:
        """The buyer asks for the asset."""
        asked = question or self.question
        self.requested = self.world[buyer].node.access.request(
            self.asset, purpose, asked.algorithm, asked.sql.encode(), self.world["compute"].account
        )

    def grant(self) -> None:
        """The provider grants the request."""
        self.granted = self.world["provider"].node.access.grant(self.requested.request, Narrowing())

    # step 6
    def order(self) -> None:
        """The buyer signs an order and hands it to the compute node."""
        self.placed = self.world["buyer"].node.ordering.place(
            (self.granted.grant,), self.question.parameters, self.seconds_per_use
        )

    def open_use(self) -> None:
        """The compute node opens the ordered use."""
        self.world["compute"].node.work()

    def release(self, holders: Sequence[str] = HOLDERS) -> tuple[tuple[str, Decided], ...]:
        """Holders look at the chain and decide, each for itself."""
        return tuple((name, decided) for name in holders for decided in self.world[name].node.work().decided)

    # step 7
    def compute(self) -> None:
        """The compute node runs what it has the releases for, and closes the use."""
        self.world["compute"].node.work()

    def collect(self) -> None:
        """The buyer fetches, checks and opens its result."""
        self.collected = self.world["buyer"].node.ordering.collect(self.placed.order_hash)

    # step 8
    def audit(self) -> Inspection:
        """All anchor their operation logs; the regulator rebuilds the trail and checks all of it."""
        self.logged = {name: member.node.log.anchor().size for name, member in self.world.members.items()}
        self.inspection = Inspector(self.world).inspect(about=getattr(self, "asset", None))
        return self.inspection

    @property
    def result_path(self) -> Path:
        return self.world["buyer"].home / "result.json"

    @property
    def receipt_path(self) -> Path:
        return self.world["buyer"].home / "receipt.json"

    @property
    def receipt_bytes(self) -> bytes:
        return canonical.encode(self.collected.signed_receipt.to_json())

    @property
    def opened(self) -> UseOpened:
        """The use that the order opened, as the compute node sees it on chain."""
        view = self.world["compute"].node.context.view
        view.refresh()
        return view.uses_of(self.placed.order_hash)[0]

    def until_granted(self) -> None:
        """Steps 1 to 5."""
        self.admit()
        self.enroll()
        self.record()
        self.offer()
        self.request()
        self.grant()

    def until_opened(self) -> None:
        """Steps 1 to 5, and the opening of step 6."""
        self.until_granted()
        self.order()
        self.open_use()

    def finish(self) -> None:
        """The rest of step 6, and step 7."""
        self.release()
        self.compute()
        self.collect()
