"""The ledger of one data space: its contracts on one chain, pinned, with typed calls and events.

Invariants: a Ledger exists only after the pin held (chain id, genesis, Directory) and every entry was there; addresses
come from the Directory alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from capsule.digest import Domain
from capsule.ids import Address, Digest
from contracts.account import Account
from contracts.bindings import Access, Assets, Devices, Directory, OperationLog, Participants
from contracts.chain import Block, Chain, RawLog
from contracts.decode import EventDecoder
from contracts.errors import ChainUnreachableError, PinMismatchError, RevertedError, TransactionPendingError
from contracts.events import Event
from contracts.transaction import Patience, Sender, Transaction

__all__ = ["Ledger", "Pin"]

_HEAD_CALL = bytes.fromhex("8f7dcfa3")
"""ISequenced.head(): every contract of the set answers it, an address without code answers nothing."""
_ENTRIES = ("Participants", "Assets", "Access", "Devices", "OperationLog")


@dataclass(frozen=True, slots=True)
class Pin:
    """What a node trusts about its chain, from outside the chain: chain id, hash of block 0, Directory."""

    chain_id: int
    genesis_hash: Digest
    directory: Address

    def __str__(self) -> str:
        return f"chain {self.chain_id} with block 0 {self.genesis_hash} and Directory {self.directory}"


class Ledger:
    """Use `Ledger.connect`. Views take `at`, a block number; sending methods wait for the block, not for finality."""

    def __init__(
        self, chain: Chain, pin: Pin, addresses: Mapping[str, Address], account: Account | None, patience: Patience
    ) -> None:
        self.chain = chain
        self.account = account
        self.pin = pin
        self.domain = Domain(pin.chain_id, pin.directory)
        self.addresses: Mapping[str, Address] = MappingProxyType(dict(addresses))
        self.decoder = EventDecoder({address: name for name, address in addresses.items()})
        self._patience = patience
        self.sender = Sender(chain, account, self.decoder, patience) if account else None
        self.directory = Directory(chain, addresses["Directory"], self.sender)
        self.participants = Participants(chain, addresses["Participants"], self.sender)
        self.assets = Assets(chain, addresses["Assets"], self.sender)
        self.access = Access(chain, addresses["Access"], self.sender)
        self.devices = Devices(chain, addresses["Devices"], self.sender)
        self.operation_log = OperationLog(chain, addresses["OperationLog"], self.sender)
        self._confirmations, self._finalized_tag = self.directory.finality()

    @classmethod
    def connect(
        cls,
        chain: Chain,
        directory: Address,
        account: Account | None = None,
        pin: Pin | None = None,
        *,
        patience: Patience | None = None,
    ) -> Ledger:
        """Opens the contract set of `directory`; without an account for reading only.

        Raises PinMismatchError where chain id, block 0, the Directory's own genesis hash or its address differ from
        `pin`, or the Directory is none or incomplete. Without a pin, the chain's own answers are pinned: good enough
        for a first look, not for a node.
        """
        genesis = chain.block(0).hash
        found = Pin(chain.chain_id(), genesis, directory)
        if pin is not None and found != pin:
            raise PinMismatchError(
                f"this is another chain than the pinned one; check its URL: pinned {pin}, found {found}"
            )
        if not chain.code(directory):
            raise PinMismatchError(f"there is no contract at {directory}")
        book = Directory(chain, directory, None)
        addresses = {"Directory": directory}
        try:
            if book.genesis_hash() != genesis:
                raise PinMismatchError(
                    f"Directory {directory} was made for a chain with another block 0 than {genesis}"
                )
            for name in _ENTRIES:
                addresses[name] = book.entry_of(name)
        except RevertedError as error:
            raise PinMismatchError(f"{directory} is not a Directory: {error}") from error
        missing = [name for name, address in addresses.items() if address == Address.ZERO]
        if missing:
            raise PinMismatchError(f"Directory {directory} has no entry for {', '.join(missing)}")
        return cls(chain, found, addresses, account, patience or Patience())

    def as_account(self, account: Account) -> Ledger:
        """The same ledger, sending with another account."""
        return Ledger(self.chain, self.pin, self.addresses, account, self._patience)

    def final_block(self) -> Block:
        """The newest block that the Directory's rule calls final."""
        if self._finalized_tag:
            return self.chain.finalized()
        head = self.chain.head()
        if self._confirmations == 0:
            return head
        return self.chain.block(max(0, head.number - self._confirmations))

    def absent_at(self, block: int) -> tuple[str, ...]:
        """Names of the contracts that were not deployed yet after a block.

        Raises ChainRefusedError where the node has no such block, or its state no more.
        """
        return tuple(
            name for name, address in self.addresses.items() if not self.chain.call(address, _HEAD_CALL, at=block)
        )

    def raw_logs(self, first: int, last: int) -> tuple[RawLog, ...]:
        """Logs of all contracts of the set in blocks first..last, both included, in chain order."""
        return self.chain.logs(tuple(self.addresses.values()), first, last)

    def events(self, first: int, last: int) -> tuple[Event, ...]:
        """The same logs as typed events; raises ChainIntegrityError for a log that our contracts can't have emitted."""
        return self.decoder.decode_all(self.raw_logs(first, last))

    def decode(self, logs: Iterable[RawLog]) -> tuple[Event, ...]:
        """Typed events of logs fetched elsewhere."""
        return self.decoder.decode_all(logs)

    def wait_final(self, transaction: Transaction, timeout: float | None = None) -> Transaction:
        """Waits until the transaction's block is final; `timeout` in seconds (None: as long as for a block).

        A reorganisation may move it: the answer names the block that became final. Raises TransactionPendingError when
        time runs out.
        """
        patience = self._patience
        start, pause = patience.monotonic(), patience.poll
        limit = patience.block if timeout is None else timeout
        while True:
            with contextlib.suppress(ChainUnreachableError):
                final = self.final_block()
                receipt = self.chain.receipt(transaction.hash)
                if receipt is not None and receipt.block_number <= final.number:
                    block = self.chain.block(receipt.block_number)
                    if block.hash == receipt.block_hash:
                        return replace(
                            transaction,
                            block_number=block.number,
                            timestamp=block.timestamp,
                            events=tuple(
                                self.decoder.decode(log) for log in receipt.logs if self.decoder.knows(log.address)
                            ),
                        )
            if patience.monotonic() - start > limit:
                raise TransactionPendingError(transaction.hash, f"its block is not final after {limit:g} s")
            patience.sleep(pause)
            pause = min(2 * pause, patience.poll_most)
