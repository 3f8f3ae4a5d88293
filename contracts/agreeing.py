"""A chain seen through two or more endpoints that must agree.

Every answer about a block, call, log, receipt or proof is asked of all endpoints and compared; two that differ raise
ChainDisagreementError with both answers. Endpoints may be a few blocks apart: the lowest head of all is the newest
block here, and everything is asked at or below it. An endpoint that does not answer is passed over while two others do,
and that is told once, in the log; so is its return.
Use endpoints of different organisations: agreement proves nothing about one operator's two nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from capsule.errors import InputError
from capsule.ids import Address, Digest
from contracts.chain import Block, Chain, RawLog, StorageProof, TxReceipt, Verification
from contracts.errors import (
    ChainDisagreementError,
    ChainRefusedError,
    ChainSlowError,
    ChainUnreachableError,
    LedgerError,
    NonceConflictError,
    PinMismatchError,
    RevertedError,
)
from contracts.headers import Header

__all__ = ["AgreeingChain"]

_T = TypeVar("_T")
_LOG: Final = logging.getLogger("dataspace.chain")
_QUORUM: Final = 2
_EVIDENCE_LENGTH: Final = 2_000


class AgreeingChain:
    """A `Chain` over at least two others. `lag`: how many blocks an endpoint may be behind the first of them."""

    verification: Verification = "agreeing"

    def __init__(self, chains: Sequence[Chain], *, lag: int = 5) -> None:
        if len(chains) < _QUORUM:
            raise InputError("agreement takes at least two endpoints")
        if len({id(chain) for chain in chains}) != len(chains):
            raise InputError("one endpoint given twice agrees with itself and proves nothing")
        self._chains = tuple(chains)
        self._lag = lag
        self._silent: set[int] = set()

    def __repr__(self) -> str:
        return f"AgreeingChain({', '.join(map(repr, self._chains))})"

    def check_chain(self, chain_id: int, genesis: Digest) -> None:
        """Asks each endpoint alone which chain it is of, after an answer that all together did not give.

        Raises PinMismatchError that names each of another chain, and beside them each that does not answer.
        """
        strangers: list[str] = []
        silent: list[str] = []
        for chain in self._chains:
            try:
                found = chain.chain_id(), chain.block(0).hash
            except LedgerError as error:
                silent.append(str(error))
                continue
            if found != (chain_id, genesis):
                strangers.append(
                    f"{chain!r} is of another chain than the pinned one: chain {found[0]}, block 0 {found[1]}"
                )
        if strangers:
            raise PinMismatchError("; ".join((*strangers, *silent)) + "; correct the URLs")

    # Blocks and receipts

    def chain_id(self) -> int:
        return self._agree("the chain id", lambda chain: chain.chain_id())

    def head(self) -> Block:
        """The newest block that all have; raises ChainDisagreementError when one is too far behind."""
        return self._lowest("the newest block", lambda chain: chain.head(), self._lag)

    def finalized(self) -> Block:
        """The newest block that all call final."""
        return self._lowest("the newest final block", lambda chain: chain.finalized(), None)

    def block(self, number: int) -> Block:
        return self._agree(f"block {number}", lambda chain: chain.block(number))

    def blocks(self, numbers: Sequence[int]) -> tuple[Block, ...]:
        return self._agree(f"blocks {numbers[0]} to {numbers[-1]}", lambda chain: chain.blocks(numbers))

    def header(self, number: int) -> Header:
        """Honest nodes may hold different seals of one block: what must agree is its hash."""
        answers = self._ask(lambda chain: chain.header(number))
        self._same(f"the header of block {number}", [(chain, header.hash) for chain, header in answers])
        return answers[0][1]

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        """Raises ChainRefusedError for blocks that not all endpoints have: half an answer looks like a whole one."""
        head = self.head().number
        if last > head:
            raise ChainRefusedError(f"not all endpoints have block {last} yet; the newest that all have is {head}")
        return self._agree(f"the logs of blocks {first} to {last}", lambda chain: chain.logs(addresses, first, last))

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        """None also while not all endpoints have reached its block."""
        # The head first: an endpoint that had the block by then must have the receipt.
        answers = self._ask(lambda chain: (chain.head().number, chain.receipt(transaction)))
        found = [(chain, receipt) for chain, (_, receipt) in answers if receipt is not None]
        if not found:
            return None
        for chain, (head, receipt) in answers:
            if receipt is None and head >= found[0][1].block_number:
                evidence = [found[0], (chain, f"no receipt, at head {head}")]
                raise self._disagreement(f"the receipt of {transaction}", evidence)
        if len(found) < len(answers):
            return None
        return self._same(f"the receipt of {transaction}", found)

    def block_receipts(self, number: int) -> tuple[TxReceipt, ...]:
        return self._agree(f"the receipts of block {number}", lambda chain: chain.block_receipts(number))

    # State

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        number = self.head().number if at is None else at

        def ask(chain: Chain) -> bytes | tuple[str, tuple[object, ...]]:
            try:
                return chain.call(to, data, at=number, sender=sender)
            except RevertedError as error:
                return error.name, error.arguments

        answer = self._agree(f"the call 0x{data[:4].hex()} of {to} at block {number}", ask)
        if isinstance(answer, bytes):
            return answer
        raise RevertedError(*answer)

    def code(self, address: Address) -> bytes:
        return self._agree(f"the code of {address}", lambda chain: chain.code(address))

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        question = f"storage of {address} at block {block}"
        return self._agree(question, lambda chain: chain.storage_proof(address, slots, block))

    def nonce(self, account: Address) -> int:
        """The highest: an endpoint may not have heard of the last transaction yet."""
        return max(answer for _, answer in self._ask(lambda chain: chain.nonce(account)))

    def balance(self, account: Address) -> int:
        """The lowest, for the same reason."""
        return min(answer for _, answer in self._ask(lambda chain: chain.balance(account)))

    def gas_price(self) -> int:
        return max(answer for _, answer in self._ask(lambda chain: chain.gas_price()))

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes, value: int) -> int:
        return max(answer for _, answer in self._ask(lambda chain: chain.estimate_gas(sender, to, data, value)))

    # Sending

    def send(self, raw: bytes) -> Digest:
        """To all of them: one that withholds a transaction must not be able to stop it. One taking it is enough."""
        taken: Digest | None = None
        failures: list[LedgerError] = []
        for chain in self._chains:
            try:
                taken = chain.send(raw)
            except (ChainUnreachableError, ChainRefusedError, NonceConflictError) as error:
                failures.append(error)
        if taken is not None:
            return taken
        # An endpoint that did not answer may have it all the same: that leaves doubt, the others' refusals do not.
        raise next((error for error in failures if isinstance(error, ChainUnreachableError)), failures[0])

    # Comparing

    def _ask(self, question: Callable[[Chain], _T]) -> list[tuple[Chain, _T]]:
        answers: list[tuple[Chain, _T]] = []
        silent: list[ChainUnreachableError] = []
        for place, chain in enumerate(self._chains):
            try:
                answers.append((chain, question(chain)))
                self._tell(place, None)
            except ChainUnreachableError as error:
                silent.append(error)
                self._tell(place, error)
        if len(answers) < _QUORUM:
            # Where one of them was slow, asking for less may help.
            slow = any(isinstance(error, ChainSlowError) for error in silent)
            kind = ChainSlowError if slow else ChainUnreachableError
            raise kind(f"fewer than {_QUORUM} endpoints answer: {'; '.join(map(str, silent))}")
        return answers

    def _tell(self, place: int, error: ChainUnreachableError | None) -> None:
        if error is not None and place not in self._silent:
            self._silent.add(place)
            _LOG.warning("%s; it is passed over while two others answer", error)
        elif error is None and place in self._silent:
            self._silent.discard(place)
            _LOG.warning("%r answers again", self._chains[place])

    def _agree(self, subject: str, question: Callable[[Chain], _T]) -> _T:
        return self._same(subject, self._ask(question))

    def _same(self, subject: str, answers: Sequence[tuple[Chain, _T]]) -> _T:
        first = answers[0]
        for other in answers[1:]:
            if other[1] != first[1]:
                raise self._disagreement(subject, _where_they_part(first, other))
        return first[1]

    def _lowest(self, subject: str, question: Callable[[Chain], Block], lag: int | None) -> Block:
        answers = self._ask(question)
        low = min(answers, key=lambda answer: answer[1].number)
        high = max(answers, key=lambda answer: answer[1].number)
        if lag is not None and high[1].number - low[1].number > lag:
            raise self._disagreement(subject, (low, high))
        same = self.block(low[1].number)
        if same != low[1]:
            raise self._disagreement(subject, (low, (low[0], same)))
        return same

    def _disagreement(self, subject: str, answers: Sequence[tuple[Chain, object]]) -> ChainDisagreementError:
        evidence = tuple((repr(chain), repr(answer)[:_EVIDENCE_LENGTH]) for chain, answer in answers)
        return ChainDisagreementError(subject, evidence)


def _where_they_part(
    first: tuple[Chain, object], other: tuple[Chain, object]
) -> tuple[tuple[Chain, object], tuple[Chain, object]]:
    """Of two long answers the first items that differ: evidence has to show the lie, not what stands before it."""
    ours, theirs = first[1], other[1]
    if not isinstance(ours, tuple) or not isinstance(theirs, tuple):
        return first, other
    shorter = min(len(ours), len(theirs))
    at = next((place for place in range(shorter) if ours[place] != theirs[place]), shorter)
    return (first[0], _Item(at, ours)), (other[0], _Item(at, theirs))


class _Item:
    """One item of an answer, as evidence."""

    def __init__(self, at: int, answer: tuple[object, ...]) -> None:
        self._text = (
            f"{len(answer)} items, number {at + 1}: {answer[at]!r}"
            if at < len(answer)
            else (f"{len(answer)} items, none at {at + 1}")
        )

    def __repr__(self) -> str:
        return self._text
