"""Step 8 of the demo: the regulator's audit, from chain events and from what each organisation serves."""

from dataclasses import dataclass
from pathlib import Path

import httpx

from audit.checkpoints import build_checkpoint
from audit.documents import Reference
from audit.findings import Finding
from audit.follow import rebuild
from audit.index import Index
from audit.trust import Trust
from audit.verify import Report, verify
from capsule import canonical
from capsule.checkpoint import SignedCheckpoint, sign_checkpoint
from contracts.chain import Chain
from contracts.ledger import Ledger
from node.home import write_whole
from scripts.demo.world import World

__all__ = ["Inspection", "Inspector", "NodeDocuments"]

SIGNATORIES = ("regulator", "provider", "custodian-1")


class NodeDocuments:
    """Documents from the nodes of a demo world, by the endpoints that stand on chain."""

    def __init__(self, ledger: Ledger, client: httpx.Client) -> None:
        self._ledger = ledger
        self._client = client

    def fetch(self, reference: Reference) -> bytes | None:
        for owner in reference.owners:
            endpoint = self._ledger.participants.organisation(owner).endpoint
            if not endpoint:
                continue
            answer = self._client.get(f"{endpoint}/v1/documents/{reference.kind}/{reference.key}")
            if answer.status_code == httpx.codes.OK:
                return answer.content
        return None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the regulator found, and where it keeps its index and checkpoint."""

    report: Report
    index: Path
    checkpoint: Path
    trust: Path

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.report.findings


class Inspector:
    """The regulator's audit of one world. `chain` is what it is shown; by default the true one."""

    def __init__(self, world: World, chain: Chain | None = None) -> None:
        regulator = world["regulator"]
        self._world = world
        self._home = regulator.home
        self._ledger = regulator.ledger
        if chain is not None:
            self._ledger = Ledger.connect(chain, world.directory, None, world.operator.pin)

    def sign_checkpoint(self) -> SignedCheckpoint:
        """Regulator, provider and a custodian each rebuild the record and sign its heads."""
        checkpoint = None
        signatures = []
        for name in SIGNATORIES:
            member = self._world[name]
            path = member.home / "audit.db"
            rebuild(member.ledger, path)
            index = Index.open(path)
            try:
                own = build_checkpoint(index)
            finally:
                index.close()
            checkpoint = checkpoint or own
            signatures.append(sign_checkpoint(own, member.account, member.keystore.signer))
        if checkpoint is None:
            raise AssertionError
        signed = SignedCheckpoint(checkpoint, tuple(signatures))
        write_whole(self._home / "checkpoint.json", canonical.encode(signed.to_json()), mode=0o644)
        return signed

    def inspect(self, checkpoint: SignedCheckpoint | None = None) -> Inspection:
        """Rebuilds the index from nothing and applies every rule."""
        signed = checkpoint or self.sign_checkpoint()
        path = self._home / "audit.db"
        rebuild(self._ledger, path, afresh=True)
        index = Index.open(path)
        try:
            trust = self.trust()
            report = verify(
                index, NodeDocuments(self._world.operator, self._world.client), checkpoint=signed, trust=trust
            )
        finally:
            index.close()
        write_whole(self._home / "trust.json", trust.to_bytes(), mode=0o644)
        return Inspection(report, path, self._home / "checkpoint.json", self._home / "trust.json")

    def trust(self) -> Trust:
        """The signatories' keys, as each of them handed them over: outside the chain that is under audit."""
        keys = {}
        for name in SIGNATORIES:
            member = self._world[name]
            keys[member.account] = member.public_key
        return Trust(self._world.operator.domain, keys, frozenset({self._world["regulator"].account}))
