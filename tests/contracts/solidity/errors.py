"""Which tests exercise which errors, so that one test can say that none is left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final

from tests.contracts.solidity.evm import CONTRACTS, load
from tests.contracts.solidity.space import Space

__all__ = ["EXERCISED", "declared_errors", "exercises"]

EXERCISED: Final[set[str]] = set()


def exercises(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test of refusals: each of these errors must have been met when it ends."""
    EXERCISED.update(names)

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(space: Space, **arguments: object) -> None:
            test(space=space, **arguments)
            missing = set(names) - space.refusals
            assert not missing, f"not met: {missing}"

        return run

    return mark


def declared_errors() -> set[str]:
    """Errors of our own interfaces; those of OpenZeppelin carry other names."""
    return {
        item["name"]
        for contract in CONTRACTS
        for item in load(contract)["abi"]
        if item["type"] == "error" and item["name"].startswith(contract)
    }
