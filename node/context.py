"""What every part of a node works with: the ports and keys that the composition root puts together, once."""

from collections.abc import Callable
from dataclasses import dataclass

from capsule import canonical
from capsule.attestation import Attester, Verifier
from capsule.canonical import Json
from capsule.digest import document_digest
from capsule.errors import FormatError
from capsule.ids import Address, Bytes32
from contracts.ledger import Ledger
from node.errors import PeerAnswerError, PeerUnreachableError
from node.home import Home
from node.keystore import Keystore
from node.peers import Peers
from node.settings import Settings
from node.store import Store
from node.view import LedgerView

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """One organisation's home, keys and ports. `clock` gives unix seconds, `entropy` random bytes.

    `attester` makes the quotes of this node's runtimes; `verifiers` check those of others.
    """

    home: Home
    settings: Settings
    keystore: Keystore
    store: Store
    ledger: Ledger
    view: LedgerView
    peers: Peers
    clock: Callable[[], int]
    entropy: Callable[[int], bytes]
    attester: Attester
    verifiers: tuple[Verifier, ...]

    @property
    def account(self) -> Address:
        return self.keystore.account.address

    def endpoint_of(self, account: Address) -> str:
        """The endpoint that a participant has on chain; raises PeerUnreachableError when it has none."""
        endpoint = self.ledger.participants.organisation(account).endpoint
        if not endpoint:
            raise PeerUnreachableError("")
        return endpoint

    def post(self, account: Address, path: str, document: Json) -> Json:
        """Sends a document to a participant's node."""
        return self.peers.post(self.endpoint_of(account), path, document)

    def fetch_document(self, account: Address, kind: str, digest: Bytes32) -> Json:
        """Gets a document by its digest from its owner. The caller checks the digest, as it is defined for its kind.

        Raises PeerAnswerError for what is not JSON.
        """
        path = f"/v1/documents/{kind}/{digest}"
        content = self.peers.fetch(self.endpoint_of(account), path, self.settings.max_document_bytes)
        try:
            return canonical.decode(content)
        except FormatError as error:
            raise PeerAnswerError(str(account), f"a {kind} that can't be read: {error}") from error

    def fetch_verified(self, account: Address, kind: str, digest: Bytes32) -> Json:
        """A document whose digest is that of its content; PeerAnswerError for any other."""
        document = self.fetch_document(account, kind, digest)
        if document_digest(kind, document) != digest:
            raise PeerAnswerError(str(account), f"a {kind} that is not the one named on chain")
        return document
