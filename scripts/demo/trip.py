"""The main job, step by step, as the eight steps of a data space. Attacks take the same trip and change one thing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from capsule.canonical import Json
from capsule.ids import Address, AssetId, Digest, GrantId, RequestId, UseId
from capsule.policy.offer import offer
from contracts.events import UseOpened
from node.access import Granted, Narrowing, Requested
from node.catalogue import CustodyPlan, Offering
from node.intake import read_plaintext
from node.ordering import Collected, Placed
from scripts.composition import now
from scripts.demo.question import Question, question_for
from scripts.demo.world import ROLES, Member, World

__all__ = ["PURPOSE", "Stage", "Trip"]

PURPOSE = "station-efficiency-benchmark"
DAY = 86_400
TITLES = (
    ("Organisations are admitted on chain", "机构准入上链"),
    ("A device is enrolled with its public key", "设备公钥登记"),
    ("The device signs frames; the gateway verifies, stores and anchors them", "设备签名，网关核验、存储并锚定"),
    ("The provider seals a capsule under a policy and deals its key", "提供方封装密态胶囊并分发密钥份额"),
    ("The buyer asks for access for a purpose; the provider grants it", "使用方按用途申请，提供方授权"),
    ("The buyer orders; the compute node opens a use; holders release", "使用方下单，计算方开启使用，托管方放行"),
    ("The runtime rebuilds the key, computes, and closes with a receipt", "运行环境重建密钥、计算并以回执关闭"),
    ("The regulator rebuilds the trail from chain events and checks it", "监管方由链上事件重建全程并核查"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """What one step did, for people: who, what, and the ids and transactions."""

    number: int
    lines: tuple[str, ...]

    @property
    def titles(self) -> tuple[str, str]:
        return TITLES[self.number - 1]
