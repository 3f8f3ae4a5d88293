"""Whether an algorithm can keep a policy's least group size: known before any key is asked for.

SQL is counted by the engine, and needs a group column to count in. What a module says of its groups nobody can check:
the policy must take its word for it, and name the module.
"""

from __future__ import annotations

from capsule.algorithm import Algorithm
from capsule.errors import PolicyError
from capsule.policy.compiler import Compiled

__all__ = ["is_counted", "takes_word", "verify_groups"]

_TERM = "ds:groupSize"


def is_counted(algorithm: Algorithm) -> bool:
    """Whether the engine can count its groups, so that no policy's group size stands in its way."""
    return algorithm.kind == "sql" and algorithm.group_column is not None


def takes_word(policy: Compiled, algorithm: Algorithm) -> bool:
    """Whether the policy takes this algorithm's own word for the size of its groups."""
    return policy.runtime.declared_groups and algorithm.hash in policy.terms.algorithms


def verify_groups(policy: Compiled, algorithm: Algorithm) -> Algorithm:
    """The algorithm, unless it can never run under this policy; then PolicyError with what would help."""
    if policy.runtime.min_group <= 1 or is_counted(algorithm):
        return algorithm
    if algorithm.kind == "wasm" and not takes_word(policy, algorithm):
        raise PolicyError(
            _TERM,
            "nobody can count the groups of a module; ask the provider for ds:declaredGroups with this algorithm "
            "under product, or bring SQL",
        )
    if algorithm.group_column is None:
        raise PolicyError(_TERM, "the algorithm names no group column; make it again with --group-column")
    return algorithm
