"""Validators that T pins, and whose seals make a header count.

What is covered: QBFT headers in Besu's format, sealed by two thirds of the pinned set; a set that changes is followed
through headers that two thirds of the set before and of the new one sealed. What is not: votes are not counted again
(the seals of the old set stand for them); sets kept in a validator contract are taken to be the pinned one; seals of
IBFT 2.0, Clique or Quorum's Istanbul are not read; keys of former validators that were stolen later could seal another
past, so pin the newest set that you know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capsule.ids import Address
from contracts.chain import Chain
from contracts.errors import ChainIntegrityError
from contracts.headers import Header, Sealed, verify_seals

__all__ = ["Validators", "find_steps", "verify_header"]


@dataclass(frozen=True, slots=True)
class Validators:
    """The validators that served at a block, as whoever trusts them learnt outside the chain."""

    block: int
    accounts: frozenset[Address]


def verify_header(header: Header, sets: Sequence[frozenset[Address]]) -> Sealed:
    """A header sealed by one of the sets that `follow_seals` gave. Raises ChainIntegrityError."""
    for members in sets[:-1]:
        try:
            return verify_seals(header, members)
        except ChainIntegrityError:
            continue
    return verify_seals(header, sets[-1])


def find_steps(chain: Chain, number: int, trusted: Validators) -> tuple[Header, ...]:
    """Headers that lead from the trusted set to the one that sealed block `number`; none where it sealed it itself.

    Looks for the last block that a set sealed by halving, and goes on from there. Ends short, with what it has, where
    the set changed so much at once that no header joins old and new: then nothing leads there.
    """
    target = chain.header(number)
    steps: list[Header] = []
    members, low = trusted.accounts, trusted.block
    while low < number and not _is_sealed(target, members):
        first, last = low, number
        while last - first > 1:
            middle = (first + last) // 2
            if _is_sealed(chain.header(middle), members):
                first = middle
            else:
                last = middle
        if first == low:
            break
        step = chain.header(first)
        following = verify_seals(step, members).validators
        if following == members:
            break
        steps.append(step)
        members, low = following, first
    return tuple(steps)


def _is_sealed(header: Header, members: frozenset[Address]) -> bool:
    try:
        verify_seals(header, members)
    except ChainIntegrityError:
        return False
    return True
