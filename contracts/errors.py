"""Errors of the ledger's Python door, split by who is at fault and whether a retry helps.

Everything that leaves `contracts` is one of these (or an error of `capsule` for a bad argument): errors of urllib3,
eth-tester, py-evm and SQLite are translated where they arise.
"""

from __future__ import annotations

__all__ = [
    "ChainDisagreementError",
    "ChainIntegrityError",
    "ChainRefusedError",
    "ChainSlowError",
    "ChainTooMuchError",
    "ChainUnreachableError",
    "DeployError",
    "HomeLockedError",
    "LedgerError",
    "NonceConflictError",
    "PinMismatchError",
    "RevertedError",
    "TransactionPendingError",
]


class LedgerError(Exception):
    """Root of all errors of this package."""


class RevertedError(LedgerError):
    """A contract refused. The caller's fault; the same call will be refused again while the state stays.

    `name` is the Solidity error's name, `arguments` its values (ids, `Address`, `Digest`, int, bool, str, bytes). A
    refusal without a custom error has the name "Error" (a reason string), "Panic" (a code), "Empty" (no data) or
    "Unknown" (data of an error that no contract here declares).
    """

    def __init__(self, name: str, arguments: tuple[object, ...] = ()) -> None:
        super().__init__(name, arguments)
        self.name = name
        self.arguments = arguments

    def __str__(self) -> str:
        return f"{self.name}({', '.join(str(argument) for argument in self.arguments)})"


class ChainUnreachableError(LedgerError):
    """The endpoint gave no usable answer. A retry helps."""


class ChainSlowError(ChainUnreachableError):
    """The endpoint gave no whole answer in time. A retry helps, or asking for less."""


class ChainRefusedError(LedgerError):
    """The endpoint answered with an error that is no revert: too little balance, an unknown block."""


class ChainTooMuchError(ChainRefusedError):
    """The endpoint does not give so much at once, or gave more than is taken. Asking for less helps."""


class ChainDisagreementError(LedgerError):
    """Two endpoints gave different answers about the same block. `evidence` holds question and both answers."""

    def __init__(self, question: str, evidence: tuple[tuple[str, str], ...]) -> None:
        super().__init__(f"endpoints disagree about {question}")
        self.question = question
        self.evidence = evidence


class ChainIntegrityError(LedgerError):
    """An answer contradicts itself or what was known: a hash, bloom, sequence number, head or encoding."""


class PinMismatchError(LedgerError):
    """Chain id, genesis hash or Directory are not the pinned ones: another chain, or another contract set."""


class HomeLockedError(LedgerError):
    """Another process holds this embedded chain."""


class DeployError(LedgerError):
    """The contract set could not be put on the chain, or its ABI files are missing or broken."""


class NonceConflictError(LedgerError):
    """Somebody else sent with this account and took the nonce. Nothing was done; a retry takes a new nonce."""


class TransactionPendingError(ChainUnreachableError):
    """A transaction may have been handed over and is in no block yet.

    The same call again on the same Ledger takes this transaction up again, and signs nothing anew.
    """

    def __init__(self, transaction: bytes, why: str) -> None:
        super().__init__(f"transaction 0x{transaction.hex()} is in no block yet: {why}")
        self.transaction = transaction
