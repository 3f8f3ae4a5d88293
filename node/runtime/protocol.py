"""What passes between a compute node and its runtime: a job in, a few messages out.

A job holds one-time keys: it exists in memory and in a pipe, never in a file.

Invariant: an outcome that is no result consists of codes of a fixed list, numbers of this page's choosing and ids that
the compute node gave in; so no text that an algorithm, an engine or a capsule's bytes made can leave in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from capsule.algorithm import Algorithm, Parameters
from capsule.attestation import Level
from capsule.box import BoxKey
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.errors import InputError
from capsule.ids import Address, Bytes32, DeviceId, Digest
from capsule.privacy import NO_EPSILON, Epsilon
from capsule.receipt import GUARD_PASSED, SourceVerdict
from capsule.source import Anchor, DeviceKey

__all__ = [
    "CIPHER_PROVIDER",
    "MAX_CAPSULES",
    "MAX_MEMBER_BYTES",
    "MISSING",
    "PROBE",
    "REASONS",
    "SM2_LIBRARY",
    "Answered",
    "Broken",
    "CapsuleInput",
    "Completed",
    "Job",
    "Limits",
    "Message",
    "Outcome",
    "Ready",
    "Refused",
]

MAX_CAPSULES: Final = 16
MAX_MEMBER_BYTES: Final = 64 << 20
"""What a runtime is told of earlier answers, over all capsules of a job, and what it may add to it."""
CIPHER_PROVIDER: Final = "DATASPACE_CIPHER_PROVIDER"
"""The environment variable that names the cipher provider: this process's choice, which its runtimes share."""
SM2_LIBRARY: Final = "DATASPACE_SM2_LIBRARY"
"""The same for the SM2 library."""

PROBE: Final = "probe"
"""Stands for the capsules in the arguments of a runtime that shall only shut itself in."""

REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "share": {
        "wrong": "a released share is not the one that was dealt to its holder",
        "missing": "the released shares do not suffice to rebuild the key",
        "key": "all shares are the ones dealt, and they do not make the key that the provider committed to",
    },
    "capsule": {
        "deal": "capsule, deal and chain do not name the same asset, policy and key",
        "policy": "the policy that came with the job is not the one that deal and capsule name",
        "columns": "the capsule's table has none of the columns that its policy lets algorithms see",
        "root": "the capsule's bytes are not those of the root on chain",
        "unopened": "the capsule does not open with its key",
        "media-type": "the runtime can't read data of the capsule's media type",
        "table": "the capsule's data is no table of plain columns with the time column that its schema names",
        "source": "the capsule's device frames do not verify against the devices' keys and anchors on chain",
    },
    "algorithm": {
        "code": "the code is not the one that the algorithm's manifest names",
        "product": "the policy does not list the algorithm",
        "parameter": "the parameters are not those that manifest and statement take",
        "statement": "the code is not one SELECT statement of the kind that may run",
        "module": "the code is no WebAssembly module of the kind that may run",
        "import": "the module imports more than standard input, standard output and its own end",
        "table": "the statement reads a table that is no capsule's",
        "function": "the statement uses a function, type or name that may not be used",
        "groups": "the policy asks for a group size, and the group column is not known to count rows of one capsule",
        "deterministic": "the manifest calls the algorithm deterministic, and the code may not be",
        "privacy": "the statement is not of the form that noise can be drawn for as the algorithm's manifest promises",
        "noiseless": "the policy lets out only answers with noise, and the algorithm's manifest promises none",
        "failed": "the algorithm failed while it ran",
        "crashed": "the algorithm ended the process that ran it",
    },
    "runtime": {
        "measurement": "the policy does not list this runtime",
        "attestation": "the policy asks for a runtime that more vouches for than vouches for this one",
    },
    "guard": {
        "schema": "the result is not of the columns that the algorithm's manifest names",
        "rows": "the result has more rows than the policy lets out at once",
        "budget": "the result has more rows than the buyer's budget has left",
        "epsilon": "the answer would spend more privacy budget than the policy gives one answer, or the buyer has left",
        "group": "the result has a row that stands for fewer rows than the policy's least group size",
        "bytes": "the result has more bytes than the policy lets out at once",
        "group-budget": "the result has more groups than the buyer may still ask for",
        "difference": "the result and what this buyer was told before would single out fewer rows than the policy's "
        "least group size",
    },
    "limits": {
        "time": "the run took longer than this compute node allows",
        "cpu": "the run took more processor time than this compute node allows",
        "fuel": "the module took more steps than this compute node allows",
        "memory": "the run took more memory than this compute node allows",
        "output": "the result is larger than this compute node allows",
        "history": "this compute node can't remember more of what this buyer was told",
    },
}
"""Why a run can be refused: a sentence for each reason, by kind."""

MISSING: Final = frozenset(
    ("execve", "fork", "landlock", "linux", "open", "parent", "prctl", "pyseccomp", "single thread", "socket")
)
"""What a runtime can lack to be protected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may take. `memory_bytes` is for everything after start: ciphertext, plaintext, table and engine.

    `fuel` is what a module may spend, about one for each of its instructions.
    """

    wall_seconds: float = 60.0
    cpu_seconds: int = 120
    memory_bytes: int = 2 << 30
    output_bytes: int = 16 << 20
    threads: int = 1
    fuel: int = 20_000_000_000

    def __post_init__(self) -> None:
        bounds = (self.wall_seconds, self.cpu_seconds, self.memory_bytes, self.output_bytes, self.threads, self.fuel)
        if min(bounds) <= 0:
            raise InputError("a runtime's limits are above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a completed answer stood for on one capsule, which the compute node keeps for the next.

    `groups` were asked, `epsilon` of a privacy budget was spent. `members` says which rows of the capsule stood behind
    each group, as far as earlier answers don't say so; only a runtime reads it.
    """

    groups: int
    epsilon: Epsilon = NO_EPSILON
    members: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.groups < 0 or len(self.members) > MAX_MEMBER_BYTES:
            raise InputError("an answer stood for a number of groups, and for members within their limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class CapsuleInput:
    """One capsule of a job: what the chain pins of it, and what opens it.

    `policy` is the document whose digest is `policy_hash`: the runtime reads it again, and takes the stricter of it and
    what follows. `one_time_keys` and `releases` (sealed) are by position in the deal; 0 is the provider. `max_rows`,
    `rows_left` (the buyer's budget) and `min_group` are its policy's; None is without limit. `groups_declared`: that
    policy takes this algorithm's word for the size of its groups. `attestation`: the levels it takes, any when empty.
    `max_bytes` is of the result. `suppress_groups`: rows for groups below `min_group` are left out. `groups_left` is
    the buyer's budget, and `earlier` the members of what this buyer was told of the same rows. `epsilon_per_use`
    and `epsilon_left` (the buyer's budget): where either is given, the answer has to be private. `columns` are those
    that an algorithm sees, all where there are none: the runtime takes them from the policy alone.
    """

    chain_id: int
    access: Address
    use: Bytes32
    deal: Deal
    capsule_root: Digest
    policy_hash: Digest
    policy: Json
    one_time_keys: Mapping[int, BoxKey] = field(repr=False)
    releases: Mapping[int, bytes] = field(repr=False)
    max_rows: int | None = None
    rows_left: int | None = None
    min_group: int = 1
    groups_declared: bool = False
    max_bytes: int | None = None
    suppress_groups: bool = False
    groups_left: int | None = None
    earlier: tuple[bytes, ...] = field(default=(), repr=False)
    attestation: tuple[Level, ...] = ()
    epsilon_per_use: Epsilon | None = None
    epsilon_left: Epsilon | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run: capsules in the order of their tables, the algorithm with code and parameters, whom the result is for.

    `device_keys` and `anchors` are what the chain says of the devices behind the capsules. `level` is who vouches for
    the runtime, as the compute node says.
    """

    capsules: tuple[CapsuleInput, ...]
    algorithm: Algorithm
    code: bytes
    parameters: Parameters
    result_key: bytes
    result_salt: bytes = field(repr=False)
    device_keys: Mapping[DeviceId, tuple[DeviceKey, ...]] = field(default_factory=dict)
    anchors: tuple[Anchor, ...] = ()
    level: Level = Level.SOFTWARE

    def __post_init__(self) -> None:
        if not 1 <= len(self.capsules) <= MAX_CAPSULES:
            raise InputError(f"a job opens 1 to {MAX_CAPSULES} capsules")
        if len(self.result_key) != 32 or len(self.result_salt) != 32:
            raise InputError("a result key and a result salt have 32 bytes")
        if sum(len(members) for one in self.capsules for members in one.earlier) > MAX_MEMBER_BYTES:
            raise InputError(f"a job tells of earlier answers in at most {MAX_MEMBER_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Ready:
    """The runtime is shut in and starts to work. `missing` is empty when it is protected."""

    measurement: Digest
    missing: tuple[str, ...]

    @property
    def protected(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class Broken:
    """The runtime gives up before or instead of an outcome. `missing` is what it lacks to be protected, `where` the
    place in its own code with the error's type."""

    missing: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A result that passed the guard, sealed for the buyer. `output_hash` is salted; `sealed_result_hash` is the plain
    SHA-256 of the sealed bytes. `answered` is what it stood for, by capsule in the job's order."""

    sealed_result: bytes = field(repr=False)
    sealed_result_hash: Digest
    output_hash: Digest
    rows_in: int
    rows_out: int
    answered: tuple[Answered, ...]
    source: SourceVerdict
    measurement: Digest
    protected: bool

    @property
    def guard(self) -> str:
        return GUARD_PASSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No result. `kind` and `reason` are of REASONS; `capsule` is the place of the capsule concerned in the job.

    `holder` with its `index` is at fault: for share "wrong" the one who released it, provable by publishing that
    one-time key; for share "key" the provider who dealt, whose release is right, so that there is nothing to publish.
    """

    kind: str
    reason: str
    holder: Address | None = None
    index: int | None = None
    capsule: int | None = None
    measurement: Digest
    protected: bool

    def __post_init__(self) -> None:
        if self.reason not in REASONS.get(self.kind, {}):
            raise InputError("not a reason that a runtime gives")

    def spent(self, job: Job) -> Epsilon:
        """What the refusal spends of a privacy budget: it may tell of rows that were looked at, so that it counts as
        the answer would have, unless it came before."""
        looked = {"algorithm": self.reason in ("failed", "crashed"), "guard": self.reason != "epsilon", "limits": True}
        return job.algorithm.epsilon if looked.get(self.kind, False) else NO_EPSILON

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return REASONS[self.kind][self.reason]


Outcome: TypeAlias = Completed | Refused
Message: TypeAlias = Ready | Broken | Completed | Refused
