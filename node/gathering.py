"""What a run needs, brought together: its capsules, their deals, policies and releases, and what the chain says of
their devices. What comes from a provider is kept, and is checked against the ledger here or by the runtime.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capsule import canonical
from capsule.algorithm import Algorithm, Parameters
from capsule.box import BoxKey
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.errors import FormatError
from capsule.header import Header
from capsule.ids import Address, Bytes32, DeviceId, Digest
from capsule.opening import inspect
from capsule.order import Order
from capsule.policy.compiler import compile_policy
from capsule.policy.groups import is_counted, takes_word, verify_groups
from capsule.privacy import NO_EPSILON, Epsilon
from capsule.source import Anchor, DeviceKey
from contracts.events import CustodyDealt, UseOpened
from node.answers import History, earlier, history_of
from node.context import Context
from node.errors import HomeError, RefusedError, RuntimeRefusedError
from node.home import create_whole
from node.runtime.protocol import MAX_MEMBER_BYTES, CapsuleInput, Job
from node.store import RunRow, Store

__all__ = ["Gathered", "Gathering", "Repeat", "one_time_name"]


def one_time_name(order: Digest, grant: int, holder: int) -> str:
    """The store's name of the one-time key of a holder, for the grant at a position of an order."""
    return f"one-time/{order}/{grant}/{holder}"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A run that re-executes another: the receipt that it repeats, and the salt of that receipt's output."""

    receipt: Digest
    salt: bytes

    @staticmethod
    def name(order: Digest) -> str:
        """The store's name of what `order` repeats."""
        return f"repeat/{order}"

    def encode(self) -> bytes:
        return bytes(self.receipt) + self.salt

    @classmethod
    def of(cls, order: Digest, store: Store) -> "Repeat | None":
        """What an order repeats; None for an order of its own."""
        kept = store.secret(cls.name(order))
        return None if kept is None else cls(Digest(kept[:32]), kept[32:])


@dataclass(frozen=True, slots=True)
class Gathered:
    """A job with its sealed files in the job's order. `fetched` tells which of them were fetched just now."""

    job: Job
    capsules: tuple[Path, ...]
    fetched: tuple[bool, ...]


class Gathering:
    """One compute node's way to what its runs need."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def gather(self, row: RunRow, order: Order, uses: Sequence[UseOpened]) -> Gathered:
        """All that a released order needs.

        Raises PeerError while a provider does not give it, RefusedError when this home lost its part, CapsuleError for
        a deal or a policy that its provider published and nobody can read, RuntimeRefusedError ("limits", "history")
        where earlier answers are more than a runtime is told.
        """
        context = self._context
        digest = Digest.parse(row.order_hash)
        algorithm = Algorithm.from_json(self._own("algorithm", Digest.parse(row.algorithm)))
        code = self._own("code", algorithm.code_hash)
        times = Counter(opened.pin.asset for opened in uses)
        inputs = tuple(
            self._input(digest, position, opened, algorithm, times[opened.pin.asset])
            for position, opened in enumerate(uses)
        )
        if sum(len(members) for one in inputs for members in one.earlier) > MAX_MEMBER_BYTES:
            raise RuntimeRefusedError("limits", "history")
        capsules, fetched = zip(*(self._capsule(opened) for opened in uses), strict=True)
        keys, anchors = self._sources(capsules)
        repeat = Repeat.of(digest, context.store)
        job = Job(
            capsules=inputs,
            algorithm=algorithm,
            code=algorithm.read_code(str(code)),
            parameters=Parameters.from_json(canonical.decode(row.parameters)),
            result_key=bytes(order.result_key),
            result_salt=context.entropy(32) if repeat is None else repeat.salt,
            device_keys=keys,
            anchors=anchors,
            level=context.attester.level,
        )
        return Gathered(job, capsules, fetched)

    def verify_groups(self, order: Order, algorithm: Algorithm) -> None:
        """Raises PolicyError for an algorithm that the policy of one of the order's grants can never let run.

        Raises PeerError while a provider does not give its policy.
        """
        if is_counted(algorithm):
            return
        for grant in order.grants:
            pin = self._context.view.grant(grant).pin
            provider = self._context.view.deals[pin.asset, pin.version, pin.deal].holders[0]
            verify_groups(compile_policy(self._fetched(provider, "policy", pin.policy_hash)), algorithm)

    def forget_capsule(self, gathered: Gathered, position: int) -> None:
        """Drops a file that is not the capsule under its root, so that the next run fetches it again.

        Raises RefusedError where it was an older copy: then this run has not seen yet what the provider serves.
        """
        path = gathered.capsules[position]
        if self._context.store.offering(gathered.job.capsules[position].capsule_root) is not None:
            return
        path.unlink(missing_ok=True)
        if not gathered.fetched[position]:
            raise RefusedError("the kept capsule", f"{path.name} is not the one under its root; it is fetched again")

    def dealt(self, opened: UseOpened) -> CustodyDealt:
        """The deal that a use pins."""
        pin = opened.pin
        return self._context.view.deals[pin.asset, pin.version, pin.deal]

    def _input(self, order: Digest, position: int, opened: UseOpened, algorithm: Algorithm, times: int) -> CapsuleInput:
        """What opens one capsule: the deal, the releases, and what its policy lets out; `times` capsules of the order
        are of its asset."""
        context = self._context
        pin = opened.pin
        provider = self.dealt(opened).holders[0]
        document = self._fetched(provider, "policy", pin.policy_hash)
        policy = compile_policy(document)
        releases = context.view.releases[opened.use]
        deal = Deal.from_json(self._fetched(provider, "deal", pin.deal_hash))
        buyer = context.view.grant(opened.grant).buyer
        _, rows_used, _ = context.ledger.access.counts_of(pin.asset, buyer)
        # a repeated answer goes to nobody: what others were told has no part in it
        history = None if Repeat.of(order, context.store) else history_of(context.store, buyer, pin.asset)
        budget = context.ledger.access.grant_of(opened.grant).rows_per_buyer
        secrets = {index: context.store.secret(one_time_name(order, position, index)) for index in releases}
        return CapsuleInput(
            chain_id=context.ledger.domain.chain_id,
            access=context.ledger.access.address,
            use=opened.use,
            deal=deal,
            capsule_root=pin.capsule_root,
            policy_hash=pin.policy_hash,
            policy=document,
            one_time_keys={index: BoxKey(secret) for index, secret in secrets.items() if secret is not None},
            releases={index: released.sealed_share for index, released in releases.items()},
            max_rows=policy.runtime.max_rows,
            rows_left=max(0, budget - rows_used),
            min_group=policy.runtime.min_group,
            max_bytes=policy.runtime.max_bytes,
            suppress_groups=policy.runtime.suppress_groups,
            groups_left=None if history is None else max(0, policy.runtime.groups_per_buyer - history.groups),
            epsilon_per_use=policy.runtime.epsilon_per_use,
            epsilon_left=_epsilon_left(policy.runtime.epsilon_per_buyer, history, times),
            earlier=() if history is None else earlier(history, deal.capsule_id),
            attestation=policy.holder.attestation,
            groups_declared=takes_word(policy, algorithm),
        )

    def _capsule(self, opened: UseOpened) -> tuple[Path, bool]:
        """The sealed file that a use pins, from this node's own folder or its provider; whether it was fetched."""
        context = self._context
        pin = opened.pin
        path = context.home.folder("capsules") / f"{pin.capsule_root}.dsc"
        if path.exists():
            return path, False
        size = context.view.version(pin.asset, pin.version).capsule_size
        if size > context.settings.max_capsule_bytes:
            raise RefusedError("the capsule", f"its {size} bytes are more than max_capsule_bytes allows")
        with create_whole(path) as sink:
            route = f"/v1/capsules/{pin.capsule_root}"
            context.peers.download(context.endpoint_of(self.dealt(opened).holders[0]), route, sink, size)
        return path, True

    def _sources(self, capsules: Sequence[Path]) -> tuple[dict[DeviceId, tuple[DeviceKey, ...]], tuple[Anchor, ...]]:
        """What the chain says of the devices and batches that the capsules' headers name."""
        view = self._context.view
        headers = [header for header in map(_header, capsules) if header is not None]
        devices = {device for header in headers for device in header.devices}
        batches = dict.fromkeys((batch.gateway, batch.number) for header in headers for batch in header.source)
        return (
            {device: view.device_keys[device] for device in devices if device in view.device_keys},
            tuple(view.anchors[batch] for batch in batches if batch in view.anchors),
        )

    def _fetched(self, owner: Address, kind: str, digest: Bytes32) -> Json:
        """A document of another participant, which is kept once its digest was checked."""
        context = self._context
        content = context.store.document(kind, digest)
        if content is not None:
            return canonical.decode(content)
        document = context.fetch_verified(owner, kind, digest)
        context.store.put_document(kind, digest, document)
        return document

    def _own(self, kind: str, digest: Digest) -> Json:
        content = self._context.store.document(kind, digest)
        if content is None:
            raise RefusedError("the run", f"this home lost its {kind} {digest}")
        return canonical.decode(content)


def _epsilon_left(budget: Epsilon | None, history: History | None, times: int) -> Epsilon | None:
    """What each of `times` capsules of one asset may spend: an answer is counted for each of them."""
    if budget is None:
        return None
    return Epsilon(budget.less(NO_EPSILON if history is None else history.epsilon).millionths // times)


def _header(capsule: Path) -> Header | None:
    """None for a file that is no capsule, which the runtime refuses by its root."""
    try:
        with capsule.open("rb") as stream:
            return inspect(stream)
    except FormatError:
        return None
    except OSError as error:
        raise HomeError(f"the capsule {capsule} can't be read: {error.strerror}") from error
