"""What a capsule's own policy lets out, read by the runtime itself.

The compute node's process says what its policy lets out; it may be stricter than the policy, never wider. The policy is
the one whose digest stands in the capsule's header, under which its key is wrapped, so that nobody can hand another to
an honest runtime.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from capsule.algorithm import Algorithm
from capsule.attestation import Level, is_met
from capsule.errors import CapsuleError
from capsule.ids import Digest
from capsule.policy.compiler import Compiled, compile_policy
from capsule.policy.groups import takes_word
from node.errors import RuntimeRefusedError
from node.runtime.guard import least
from node.runtime.protocol import CapsuleInput

__all__ = ["under_policy"]

_NO_GROUPS: Final = 1


def under_policy(one: CapsuleInput, algorithm: Algorithm, measurement: Digest, level: Level) -> CapsuleInput:
    """The capsule with the stricter of each bound: what its compute node said, and its policy.

    Raises RuntimeRefusedError: "capsule" for a policy that is not the pinned one, "algorithm" for an algorithm that it
    does not list, "runtime" for a runtime that it does not.
    """
    policy = _pinned(one)
    if policy.terms.algorithms and algorithm.hash not in policy.terms.algorithms:
        raise RuntimeRefusedError("algorithm", "product")
    if policy.holder.measurements and measurement not in policy.holder.measurements:
        raise RuntimeRefusedError("runtime", "measurement")
    if not is_met(level, one.attestation) or not is_met(level, policy.holder.attestation):
        raise RuntimeRefusedError("runtime", "attestation")
    asks = policy.runtime.min_group > _NO_GROUPS
    return replace(
        one,
        max_rows=least((one.max_rows, policy.runtime.max_rows)),
        rows_left=least((one.rows_left, policy.terms.rows_per_buyer)),
        min_group=max(one.min_group, policy.runtime.min_group),
        max_bytes=least((one.max_bytes, policy.runtime.max_bytes)),
        suppress_groups=one.suppress_groups and policy.runtime.suppress_groups,
        groups_left=least((one.groups_left, policy.runtime.groups_per_buyer)),
        epsilon_per_use=least((one.epsilon_per_use, policy.runtime.epsilon_per_use)),
        epsilon_left=least((one.epsilon_left, policy.runtime.epsilon_per_buyer)),
        columns=policy.runtime.columns,
        groups_declared=one.groups_declared and (not asks or takes_word(policy, algorithm)),
    )


def _pinned(one: CapsuleInput) -> Compiled:
    try:
        policy = compile_policy(one.policy)
    except CapsuleError:
        raise RuntimeRefusedError("capsule", "policy") from None
    if policy.policy_hash != one.policy_hash:
        raise RuntimeRefusedError("capsule", "policy")
    return policy
