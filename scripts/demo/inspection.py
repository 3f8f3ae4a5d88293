"""Step 8 of the demo: the regulator's audit, from chain events and from what each organisation serves."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx

from audit.bundle import bundle
from audit.checkpoints import build_checkpoint
from audit.documents import Documents, Reference
from audit.findings import Finding, Subject
from audit.follow import rebuild
from audit.index import Index
from audit.steps import Verdict
from audit.trust import Trust
from audit.verdict import check
from audit.verify import Report, verify
from capsule import canonical
from capsule.checkpoint import SignedCheckpoint, sign_checkpoint
from capsule.ids import AssetId
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


class KeptDocuments:
    """Keeps what a source serves as files <folder>/<kind>/<key>, which `audit verify --documents` reads."""

    def __init__(self, source: Documents, folder: Path) -> None:
        self._source = source
        self._folder = folder

    def fetch(self, reference: Reference) -> bytes | None:
        content = self._source.fetch(reference)
        if content is not None:
            path = self._folder / reference.kind / str(reference.key)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, content)
        return content


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the regulator found, and where it keeps its index, checkpoint, and the documents that it was served."""

    report: Report
    index: Path
    checkpoint: Path
    trust: Path
    documents: Path
    bundle: Path | None

    @property
    def verdict(self) -> Verdict:
        """The bundle checked again, from its bytes and the trust file alone."""
        if self.bundle is None:
            raise AssertionError("no bundle was made")
        return check(self.bundle.read_bytes(), Trust.from_bytes(self.trust.read_bytes()))

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
        signatures = []
        for name in SIGNATORIES:
            member = self._world[name]
            path = member.home / "audit.db"
            rebuild(member.ledger, path)
            with closing(Index.open(path)) as index:
                own = build_checkpoint(index)
            signatures.append(sign_checkpoint(own, member.account, member.keystore.signer))
        signed = SignedCheckpoint(own, tuple(signatures))
        write_whole(self._home / "checkpoint.json", canonical.encode(signed.to_json()), mode=0o644)
        return signed

    def inspect(self, checkpoint: SignedCheckpoint | None = None, about: AssetId | None = None) -> Inspection:
        """Rebuilds the index from nothing, applies every rule, and bundles the evidence about an asset."""
        signed = checkpoint or self.sign_checkpoint()
        path = self._home / "audit.db"
        rebuild(self._ledger, path, afresh=True)
        with closing(Index.open(path)) as index:
            trust = self.trust()
            served = NodeDocuments(self._world.operator, self._world.client)
            documents = KeptDocuments(served, self._home / "documents")
            report = verify(index, documents, checkpoint=signed, trust=trust)
            evidence = None
            if about is not None:
                evidence = self._home / "evidence.bundle"
                subject = Subject("asset", str(about))
                made = bundle(index, subject, documents, checkpoint=signed, ledger=self._ledger)
                write_whole(evidence, made.content, mode=0o644)
        write_whole(self._home / "trust.json", trust.to_bytes(), mode=0o644)
        checkpoint_file, trust_file = self._home / "checkpoint.json", self._home / "trust.json"
        return Inspection(report, path, checkpoint_file, trust_file, self._home / "documents", evidence)

    def trust(self) -> Trust:
        """The signatories' keys, as each of them handed them over: outside the chain that is under audit."""
        keys = {}
        for name in SIGNATORIES:
            member = self._world[name]
            keys[member.account] = member.public_key
        return Trust(self._world.operator.domain, keys, frozenset({self._world["regulator"].account}))
