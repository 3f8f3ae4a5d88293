"""Real events by the hundred thousand, cheaply, on an anvil node: for measuring whoever reads them.

Each organisation here has a contract for an account, which makes a hundred calls to the ledger in one transaction. The
events are the ledger's own, with its sequence numbers and running heads: anchored batches, anchored log heads,
registered assets and endpoints, in equal parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import orjson
import urllib3

from capsule.ids import Address, Digest, Uscc
from contracts.account import Account
from contracts.bindings import Assets, Devices, OperationLog, Participants
from contracts.chain import TxReceipt
from contracts.decode import EventDecoder
from contracts.deploy import deploy
from contracts.ledger import Ledger
from contracts.roles import Role
from contracts.rpc import RpcChain
from contracts.structs import Batch
from contracts.transaction import Sender, Transaction
from scripts.bench.local_node import FAUCET

__all__ = ["BLOCK_GAS", "CALLS", "ManyEvents"]

CALLS: Final = 100
"""Events of one transaction."""

_ORGANISATIONS: Final = 8
_GAS: Final = 16_000_000
BLOCK_GAS: Final = 400_000_000
"""What blocks of thousands of calls need."""
# Calldata is a target (32 bytes), a size (32 bytes) and payloads of that size: the target is called with each.
_CALL_EACH: Final = bytes.fromhex(
    "6040"  # at = 64
    "5b80361115602857"  # while at < calldatasize, else done
    "602035"  # size
    "8082600037"  # copies the payload to memory
    "6000600082600060006000355af1"  # calls the target with it
    "15602a57"  # refused?
    "01600256"  # at += size, again
    "5b00"  # done
    "5b3d600060003e3d6000fd"  # refuses with the target's reason
)


class ManyEvents:
    """A ledger on an anvil node, and organisations that can make it emit."""

    def __init__(self, url: str, *, confirmations: int = 0) -> None:
        self._url = url
        self._http = urllib3.PoolManager()
        operator = Account(FAUCET)
        chain = RpcChain(url, own_node=True)
        self.directory = deploy(chain, operator, confirmations=confirmations, finalized_tag=False)
        self._ledger = Ledger.connect(chain, self.directory, operator)
        self._sender = operator.address
        self._organisations = [self._found(number) for number in range(_ORGANISATIONS)]
        self._made = 0

    def _found(self, number: int) -> _Organisation:
        creating = Sender(self._ledger.chain, self._ledger.account, EventDecoder({}), None)  # type: ignore[arg-type]
        size = len(_CALL_EACH)
        init = bytes.fromhex(f"60{size:02x}80600b6000396000f3") + _CALL_EACH
        receipt = creating.transact(None, init)
        assert receipt.contract is not None  # noqa: S101
        code = Uscc.make(f"9135010000000{number:04d}")
        self._ledger.participants.admit(receipt.contract, code, _digest(number), Role.GATEWAY | Role.PROVIDER)
        return _Organisation(receipt.contract, self._ledger)

    def transactions(self, count: int) -> list[dict[str, str]]:
        """The next so many, as `eth_sendTransaction` takes them; each is a hundred events."""
        made = []
        for _ in range(count):
            turn, self._made = self._made, self._made + 1
            organisation = self._organisations[turn // 4 % _ORGANISATIONS]
            data = organisation.calls(turn % 4)
            made.append(
                {
                    "from": str(self._sender),
                    "to": str(organisation.account),
                    "gas": hex(_GAS),
                    "data": "0x" + data.hex(),
                }
            )
        return made

    def fill(self, events: int, *, transactions_per_block: int = 1) -> int:
        """Puts at least so many events into blocks; returns how many."""
        self.ask("evm_setAutomine", False)
        left = -(-events // CALLS)
        done = 0
        while left:
            count = min(left, 40 * transactions_per_block)
            for start in range(0, count, transactions_per_block):
                batch = self.transactions(min(transactions_per_block, count - start))
                self.ask_all([*[("eth_sendTransaction", [one]) for one in batch], ("evm_mine", [])])
            left -= count
            done += count
        self.ask("evm_setAutomine", True)
        return done * CALLS

    def ask(self, method: str, *params: object) -> object:
        return self.ask_all([(method, list(params))])[0]

    def ask_all(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        body = [
            {"jsonrpc": "2.0", "id": place, "method": method, "params": params}
            for place, (method, params) in enumerate(calls)
        ]
        answer = self._http.request(
            "POST", self._url, body=orjson.dumps(body), headers={"Content-Type": "application/json"}, timeout=120
        )
        results = sorted(orjson.loads(answer.data), key=lambda one: one["id"])
        for one in results:
            if "error" in one:
                raise SystemExit(f"anvil refused: {one['error']}")
        return [one["result"] for one in results]


class _Organisation:
    """One contract account, and where its counters stand."""

    def __init__(self, account: Address, ledger: Ledger) -> None:
        self.account = account
        self._written = _Written()
        chain, addresses = ledger.chain, ledger.addresses
        self._devices = Devices(chain, addresses["Devices"], self._written)  # type: ignore[arg-type]
        self._log = OperationLog(chain, addresses["OperationLog"], self._written)  # type: ignore[arg-type]
        self._assets = Assets(chain, addresses["Assets"], self._written)  # type: ignore[arg-type]
        self._participants = Participants(chain, addresses["Participants"], self._written)  # type: ignore[arg-type]
        self._number = 0
        self._root = self._frames = Digest(bytes(32))
        self._size = self._batch = 0

    def calls(self, kind: int) -> bytes:
        for _ in range(CALLS):
            self._number += 1
            fresh = _digest(self._number)
            match kind:
                case 0:
                    self._batch += 1
                    self._devices.anchor(
                        Batch(
                            number=self._batch,
                            predecessor=self._frames,
                            size=100,
                            frames_root=fresh,
                            index_root=_digest(-self._number),
                            incidents_root=fresh,
                        )
                    )
                    self._frames = fresh
                case 1:
                    self._size += 1 + self._number % 7
                    self._log.anchor_head(self._size, fresh, self._root)
                    self._root = fresh
                case 2:
                    self._assets.register(fresh)
                case _:
                    self._participants.set_endpoint(f"https://gateway-{self._number:08d}.example:8440/")
        target, payloads = self._written.taken()
        return bytes(12) + target + len(payloads[0]).to_bytes(32, "big") + b"".join(payloads)


class _Written:
    """Stands where a sender stands and keeps what would be sent."""

    account = Account(FAUCET)

    def __init__(self) -> None:
        self._calls: list[tuple[Address, bytes]] = []

    def send(self, to: Address, data: bytes, value: int = 0) -> Transaction:
        self._calls.append((to, data))
        receipt: TxReceipt | None = None
        return receipt  # type: ignore[return-value]

    def taken(self) -> tuple[Address, list[bytes]]:
        calls, self._calls = self._calls, []
        return calls[0][0], [data for _, data in calls]


def _digest(number: int) -> Digest:
    return Digest(sha256(number.to_bytes(8, "big", signed=True)).digest())
