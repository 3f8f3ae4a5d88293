"""Values that the tests of this package share: deterministic, small, and all different."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from capsule.box import BoxKey
from capsule.deal import Deal, DealHolder
from capsule.digest import Domain
from capsule.ids import Address, AssetId, Digest
from capsule.key import DataKey, deal_parts, key_commitment
from capsule.sealing import Sealed, SealPlan, seal
from capsule.share import ShareSecret
from capsule.signature import Ed25519Signer, PublicKey
from capsule.terms import Terms


def entropy_of(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def account(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


DOMAIN = Domain(1337, account(0xD1))
OTHER_DOMAIN = Domain(1338, account(0xD1))
SIGNER = Ed25519Signer(bytes(range(32)))
SIGNER_KEY = PublicKey(SIGNER.suite, SIGNER.public_key)
OTHER_SIGNER = Ed25519Signer(bytes(range(1, 33)))
OTHER_KEY = PublicKey(OTHER_SIGNER.suite, OTHER_SIGNER.public_key)
DATA_KEY = DataKey(b"data key 16 byte")
OTHER_DATA_KEY = DataKey(b"other key 16 byt")
POLICY_HASH = digest(0xF0)
ASSET = AssetId(digest(0xA5))
PROVIDER = account(0x9A)
TERMS = Terms(
    compiler=1,
    not_before=1_700_000_000,
    not_after=1_800_000_000,
    purposes=("grid planning", "论文"),
    algorithms=(digest(1), digest(2)),
    buyers=(account(1),),
    buyer_roles=2,
    compute_nodes=(account(2), account(3)),
    holders=(),
    least_threshold=2,
    provider_share_required=True,
    seconds_per_grant=86_400,
    seconds_per_use=600,
    uses_per_grant=3,
    uses_per_buyer=5,
    uses_total=50,
    rows_per_buyer=2**63,
    automatic_grant=False,
    compute_by_buyer=False,
    compute_by_custodian=False,
)

PLAN = SealPlan(
    asset=ASSET,
    policy_hash=POLICY_HASH,
    media_type="text/csv",
    schema={"time_column": "time", "columns": [{"name": "soc", "unit": "%"}]},
    provider=PROVIDER,
    sealed_at=1_750_000_000,
    chunk_size=16,
)


@dataclass(frozen=True)
class Capsule:
    """A capsule in memory with what was sealed."""

    data: bytes
    plaintext: bytes
    sealed: Sealed

    @property
    def stream(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def capsule_of(plaintext: bytes, *, plan: SealPlan = PLAN, key: DataKey = DATA_KEY, seed: int = 1) -> Capsule:
    sink = io.BytesIO()
    sealed = seal(io.BytesIO(plaintext), sink, plan, SIGNER, key, DOMAIN, entropy_of(seed))
    return Capsule(sink.getvalue(), plaintext, sealed)


def box_of(index: int) -> BoxKey:
    return BoxKey.generate(entropy_of(1000 + index))


@dataclass(frozen=True)
class Dealt:
    """A deal with every holder's part, position 0 the provider's."""

    deal: Deal
    secrets: tuple[ShareSecret, ...]

    def with_deal(self, **changes: object) -> Deal:
        return replace(self.deal, **changes)  # type: ignore[arg-type]


def dealt(
    threshold: int = 2, count: int = 3, *, provider_required: bool = True, key: DataKey = DATA_KEY, seed: int = 2
) -> Dealt:
    entropy = entropy_of(seed)
    parts = deal_parts(key, threshold, count, provider_required, entropy)
    secrets = tuple(
        ShareSecret(index, part, entropy(32)) for index, part in enumerate((parts.provider_part, *parts.shares))
    )
    holders = tuple(
        DealHolder(account(index) if index else PROVIDER, index, secret.commitment)
        for index, secret in enumerate(secrets)
    )
    deal = Deal(
        chain_id=DOMAIN.chain_id,
        access=account(0xAC),
        asset=ASSET,
        version=1,
        provider=PROVIDER,
        capsule_id=entropy(16),
        capsule_root=digest(0xCA),
        policy_hash=POLICY_HASH,
        terms_hash=TERMS.hash,
        key_commitment=key_commitment(key),
        number=1,
        threshold=threshold,
        provider_required=provider_required,
        waiting_seconds=86_400,
        holders=holders,
    )
    return Dealt(deal, secrets)
