"""The catalogue of rules: what the auditor looks for, how bad a breach is, and what it rests on.

Labels (DESIGN section 9): `proven` follows from chain events alone, `checked` from documents that their owner must
serve, `attested` from one party's signature. A rule's texts are templates over the names of its findings' evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from audit.meanings import access, custody
from audit.remedies import Accused

__all__ = ["RULES", "Accused", "Label", "Rule", "Severity"]


class Severity(StrEnum):
    """How bad. `CRITICAL`: the record itself can't be trusted, or data was opened against its terms."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"


class Label(StrEnum):
    """What a finding rests on."""

    PROVEN = "proven"
    CHECKED = "checked"
    ATTESTED = "attested"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its id, how bad a breach is, what it rests on, its section of the design, and its texts.

    `text_*` are templates of what a finding says, `means_*` what a breach means, `remedy_*` what to do about it.
    `evidence` are names that every finding carries.
    """

    id: str
    severity: Severity
    label: Label
    section: str
    text_en: str
    text_zh: str
    means_en: str
    means_zh: str
    accused: Accused
    evidence: tuple[str, ...]
    remedy_en: str
    remedy_zh: str


_CRITICAL, _HIGH, _MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM
_PROVEN, _CHECKED, _ATTESTED = Label.PROVEN, Label.CHECKED, Label.ATTESTED

# id, severity, label, section of the design: what it says of a breach
_CATALOGUE: Final = {
    # the record itself
    ("seq-gap", _CRITICAL, _PROVEN, "3"): (
        "Events {first} to {last} of {contract} are {what}.",
        "{contract} 的第 {first} 至 {last} 号事件不连续（{what}）。",
    ),
    ("heads-mismatch", _CRITICAL, _PROVEN, "3"): (
        "The {events} events of {contract} do not re-hash to its head: computed {computed}, {source} says {claimed}.",
        "{contract} 的事件重新计算后与链头不符：由 {events} 条事件算得 {computed}，{source} 给出 {claimed}。",
    ),
    ("checkpoint-behind", _CRITICAL, _PROVEN, "3"): (
        "The endpoint serves the chain up to block {served}, but a signed checkpoint reaches block {checkpoint}.",
        "节点只提供到第 {served} 块的数据，而已签名的检查点已到第 {checkpoint} 块。",
    ),
    ("checkpoint-mismatch", _CRITICAL, _PROVEN, "3"): (
        "{contract} at block {block}: the checkpoint says {expected}, the index computes {computed}.",
        "{contract} 在第 {block} 块：检查点为 {expected}，索引算得 {computed}。",
    ),
    ("event-unmatched", _CRITICAL, _PROVEN, "3"): (
        "{event} speaks of {missing}, which no earlier event made.",
        "{event} 提到的 {missing} 在此前的事件中并不存在。",
    ),
    # participants
    ("participant-inactive-acted", _HIGH, _PROVEN, "3"): (
        "{account} acted ({event}) without being an active {role}.",
        "{account} 在不具备有效{role}身份时执行了 {event}。",
    ),
    ("acted-while-paused", _HIGH, _PROVEN, "13"): (
        "{account} acted ({event}) in block {block}, while access was paused since block {paused}.",
        "{account} 在第 {block} 块执行了 {event}，而访问自第 {paused} 块起已暂停。",
    ),
    ("box-key-signature-invalid", _HIGH, _PROVEN, "3"): (
        "The box key of {account} is not signed by its signing key: {reason}.",
        "{account} 的加密公钥没有其签名密钥的有效签名：{reason}。",
    ),
    ("log-head-discontinuity", _HIGH, _PROVEN, "3"): (
        "The operation log of {account} does not continue: {reason}.",
        "{account} 的操作日志不连续：{reason}。",
    ),
    # terms and pinning
    ("terms-hash-mismatch", _CRITICAL, _PROVEN, "3"): (
        "Version {version} states terms that hash to {computed}, not to its terms hash {stated}.",
        "第 {version} 版所列条款的摘要为 {computed}，与声明的 {stated} 不符。",
    ),
    ("policy-terms-mismatch", _HIGH, _CHECKED, "3"): (
        "The policy of version {version} does not compile to its terms: {reason}.",
        "第 {version} 版的策略无法编译为其链上条款：{reason}。",
    ),
    ("pin-mismatch", _CRITICAL, _PROVEN, "3"): (
        "What {event} pins is not what the ledger held: {fields}.",
        "{event} 固定的内容与账本不符：{fields}。",
    ),
    ("grant-while-live", _HIGH, _PROVEN, "3"): (
        "The grant was made by the terms themselves while buyer {buyer} had live grant {live} on the asset.",
        "该授权由条款自动作出，而买方 {buyer} 对该资产仍持有有效授权 {live}。",
    ),
    ("grant-wider", _CRITICAL, _PROVEN, "3"): (
        "The grant is wider than the terms of its version in: {fields}.",
        "授权超出该版本条款的范围：{fields}。",
    ),
    ("terms-violated", _HIGH, _PROVEN, "3"): (
        "The grant breaks its terms: {reason}.",
        "授权违反条款：{reason}。",
    ),
    ("deal-outside-terms", _HIGH, _PROVEN, "3"): (
        "Deal {deal} of version {version} does not keep to the terms: {reason}.",
        "第 {version} 版的第 {deal} 号分配不符合条款：{reason}。",
    ),
    ("derived-policy-wider", _HIGH, _CHECKED, "6"): (
        "Version {version} is derived from version {parent_version} of {parent}, whose policy its own goes past in: "
        "{terms}.",
        "第 {version} 版派生自 {parent} 的第 {parent_version} 版，其策略超出了后者的策略：{terms}。",
    ),
    ("measurement-not-allowed", _HIGH, _CHECKED, "3"): (
        "The use names runtime {measurement}, which the policy does not list ({allowed}).",
        "该次使用的运行环境 {measurement} 不在策略所列之内（{allowed}）。",
    ),
    ("grant-without-request", _CRITICAL, _PROVEN, "3"): (
        "The grant does not answer a pending request of its buyer: {reason}.",
        "该授权没有对应的买方待批请求：{reason}。",
    ),
    ("compute-node-involved", _HIGH, _PROVEN, "3"): (
        "Compute node {compute_node} is also {role} and the terms do not name that exception.",
        "计算方 {compute_node} 同时是{role}，而条款没有列出这一例外。",
    ),
    # orders and uses
    ("use-without-grant", _CRITICAL, _PROVEN, "3"): (
        "The use stands under grant {grant}: {reason}.",
        "该次使用所依据的授权 {grant}：{reason}。",
    ),
    ("use-before-start", _CRITICAL, _PROVEN, "3"): (
        "The use was opened at {opened}, before its grant starts at {not_before}.",
        "该次使用于 {opened} 开启，早于授权生效时间 {not_before}。",
    ),
    ("use-after-expiry", _CRITICAL, _PROVEN, "3"): (
        "The use was opened at {opened}; {what} ended at {ended}.",
        "该次使用于 {opened} 开启，而 {what} 已于 {ended} 到期。",
    ),
    ("use-after-revocation", _CRITICAL, _PROVEN, "3"): (
        "The use was opened in block {opened}, after its grant was revoked in block {revoked}.",
        "该次使用在第 {opened} 块开启，晚于授权在第 {revoked} 块被撤销。",
    ),
    ("use-of-replaced-deal", _HIGH, _PROVEN, "3"): (
        "The use was opened under deal {deal}, which deal {current} had replaced.",
        "该次使用依据的第 {deal} 号密钥分配已被第 {current} 号取代。",
    ),
    ("uses-exceeded", _CRITICAL, _PROVEN, "3"): (
        "The use is number {number} where {scope} allows {limit}.",
        "该次使用为第 {number} 次，而{scope}只允许 {limit} 次。",
    ),
    ("rows-exceeded", _CRITICAL, _PROVEN, "3"): (
        "With this use buyer {buyer} took {rows} rows of the asset where {limit} are allowed.",
        "至此买方 {buyer} 共取得该资产 {rows} 行，而上限为 {limit} 行。",
    ),
    ("deadline-wrong", _HIGH, _PROVEN, "3"): (
        "The use carries deadline {stated}; order and terms give {computed}.",
        "该次使用的截止时间为 {stated}，按订单与条款应为 {computed}。",
    ),
    ("give-back-wrong", _HIGH, _PROVEN, "3"): (
        "The use ended with {releases} custodians' releases; given back: {given_back}. It comes back only without any.",
        "该次使用结束时已有 {releases} 个托管方释放，是否退还次数：{given_back}；仅在没有任何释放时才退还。",
    ),
    ("order-signature-invalid", _CRITICAL, _PROVEN, "3"): (
        "The order is not signed by buyer {buyer}: {reason}.",
        "订单没有买方 {buyer} 的有效签名：{reason}。",
    ),
    ("order-mismatch", _HIGH, _PROVEN, "3"): (
        "Order {order} does not fit its use: {reason}.",
        "订单 {order} 与该次使用不符：{reason}。",
    ),
    ("order-reused", _CRITICAL, _PROVEN, "3"): (
        "Order number {number} of buyer {buyer} was used before, by use {earlier}.",
        "买方 {buyer} 的第 {number} 号订单此前已用于 {earlier}。",
    ),
    # custody
    ("release-by-non-holder", _CRITICAL, _PROVEN, "3"): (
        "{holder} decided at position {index}, which is not its own in the pinned deal.",
        "{holder} 以第 {index} 位的身份作出决定，但在固定的分配中并不持有该位置。",
    ),
    ("decision-repeated", _HIGH, _PROVEN, "3"): (
        "{holder} decided {count} times about one use.",
        "{holder} 对同一次使用作出了 {count} 次决定。",
    ),
    ("release-out-of-time", _CRITICAL, _PROVEN, "3"): (
        "{holder} released its share when the use was {reason}.",
        "{holder} 释放份额时，该次使用已{reason}。",
    ),
    ("release-after-revocation", _CRITICAL, _PROVEN, "3"): (
        "{holder} released in block {released}, after the grant was revoked in block {revoked}.",
        "{holder} 在第 {released} 块释放份额，晚于授权在第 {revoked} 块被撤销。",
    ),
    ("completed-without-releases", _CRITICAL, _PROVEN, "3"): (
        "The use was closed as completed with {releases} of {threshold} custodians' releases (provider: {provider}).",
        "该次使用以完成状态关闭，但只有 {releases} 份托管方释放（需要 {threshold} 份；提供方：{provider}）。",
    ),
    ("silent-holder", _MEDIUM, _PROVEN, "9"): (
        "{holder} neither released nor refused before the deadline {deadline}.",
        "{holder} 在截止时间 {deadline} 前既未释放也未拒绝。",
    ),
    ("use-unclosed", _HIGH, _CHECKED, "3"): (
        "{releases} shares were released, enough for the key, and no receipt or proven accusation accounts for the use "
        "(deadline {deadline}, ended in block {ended}, reason {reason}).",
        "已释放 {releases} 份份额，足以恢复密钥，但该次使用既无有效回执，也无成立的指控"
        "（截止时间 {deadline}，结束区块 {ended}，关闭原因 {reason}）。",
    ),
    ("deal-mismatch", _HIGH, _CHECKED, "5"): (
        "The deal document does not equal what the ledger says of deal {deal}: {fields}.",
        "分配文件与账本中第 {deal} 号分配不符：{fields}。",
    ),
    ("deal-borrowed", _CRITICAL, _PROVEN, "5"): (
        "Deal {deal_hash} was dealt before, for asset {other}.",
        "分配 {deal_hash} 此前已用于资产 {other}。",
    ),
    ("capsule-borrowed", _HIGH, _PROVEN, "4"): (
        "Capsule {capsule_root} was published before, as asset {other}.",
        "胶囊 {capsule_root} 此前已作为资产 {other} 发布。",
    ),
    ("opening-mismatch", _HIGH, _PROVEN, "5"): (
        "What asks for the shares of deal {deal} of version {version} does not fit the ledger: {reason}.",
        "对第 {version} 版第 {deal} 号分配的份额收集与账本不符：{reason}。",
    ),
    ("deal-without-opening", _HIGH, _PROVEN, "5"): (
        "Deal {deal} of version {version} was made when {releases} shares had been released for it where {threshold} "
        "are needed.",
        "第 {version} 版的第 {deal} 号分配作出时，仅有 {releases} 份份额为此释放（需要 {threshold} 份）。",
    ),
    ("rebind-without-opening", _HIGH, _CHECKED, "5"): (
        "Version {version} is the capsule of version {earlier} again; too few of its shares were released for that.",
        "第 {version} 版是第 {earlier} 版胶囊的重新绑定，但为此释放的份额不足。",
    ),
    ("released-after-shred", _HIGH, _ATTESTED, "5"): (
        "{holder} stated at {shredded} that its part of deal {deal} is destroyed ({source}), and released it at "
        "{released}.",
        "{holder} 于 {shredded} 声明其在分配 {deal} 中的部分已销毁（{source}），却于 {released} 释放了该部分。",
    ),
    ("share-wrong", _HIGH, _CHECKED, "3"): (
        "The share that {holder} released does not open to what was dealt: {reason}.",
        "{holder} 释放的份额与分配承诺不符：{reason}。",
    ),
    ("false-accusation", _HIGH, _CHECKED, "3"): (
        "{accuser} accuses {holder} of a wrong share, but {reason}.",
        "{accuser} 指控 {holder} 的份额有误，但指控不成立（{reason}）。",
    ),
    # results
    ("receipt-hash-mismatch", _HIGH, _CHECKED, "7"): (
        "What is served as receipt {stated} is another: {reason}.",
        "以 {stated} 之名提供的回执并非该回执：{reason}。",
    ),
    ("receipt-signature-invalid", _HIGH, _CHECKED, "7"): (
        "The receipt is not signed by the key that {compute_node} had when it closed the use: {reason}.",
        "回执没有计算方 {compute_node} 关闭使用时密钥的有效签名：{reason}。",
    ),
    ("attestation-not-met", _HIGH, _CHECKED, "7"): (
        "The use completed at level {level}, and its policy asks for {allowed}.",
        "该次使用在 {level} 级别完成，策略要求 {allowed}。",
    ),
    ("epsilon-exceeded", _HIGH, _CHECKED, "7"): (
        "Receipts of compute node {compute_node} say that the buyer got answers for epsilon {spent}, and the policy "
        "gives {limit}.",
        "计算方 {compute_node} 的回执载明使用方已消耗隐私预算 {spent}，策略限定为 {limit}。",
    ),
    ("receipt-content-mismatch", _HIGH, _CHECKED, "7"): (
        "The receipt contradicts the ledger in: {fields}.",
        "回执内容与账本不符：{fields}。",
    ),
    ("result-not-reproduced", _HIGH, _ATTESTED, "7"): (
        "Regulator {regulator} repeated the use, and receipt {receipt} of compute node {compute_node} differs from "
        "that run in: {fields} (output stated {stated}, reproduced {reproduced}, re-execution {reexecution}).",
        "监管方 {regulator} 重新执行了该次使用，计算方 {compute_node} 的回执 {receipt} 与重新执行的结果不一致：{fields}"
        "（回执所述输出 {stated}，复现输出 {reproduced}，重新执行回执 {reexecution}）。",
    ),
    ("decision-mismatch", _MEDIUM, _ATTESTED, "5"): (
        "The decision that {holder} serves does not fit what it did on chain: {reason}.",
        "{holder} 提供的决定文件与其链上行为不符：{reason}。",
    ),
    ("agreement-mismatch", _MEDIUM, _CHECKED, "3"): (
        "The agreement document contradicts the grant in: {fields}.",
        "合约文件与授权不符：{fields}。",
    ),
    ("agreement-unsigned", _HIGH, _CHECKED, "6"): (
        "Not both sides signed the agreement {agreement} behind the grant: {reason}.",
        "授权所依据的合约 {agreement} 未经双方签名：{reason}。",
    ),
    ("capsule-root-mismatch", _HIGH, _CHECKED, "4"): (
        "The capsule file served for version {version} is not the published one: {reason}.",
        "所提供的第 {version} 版胶囊文件与已发布的不符：{reason}。",
    ),
    # devices
    ("anchor-discontinuity", _HIGH, _PROVEN, "8"): (
        "Batch {number} of gateway {gateway} does not continue the one before: {reason}.",
        "网关 {gateway} 的第 {number} 批与前一批不连续：{reason}。",
    ),
    ("batch-index-mismatch", _HIGH, _CHECKED, "8"): (
        "The index of batch {number} does not fit its anchor: {reason}.",
        "第 {number} 批的索引与锚定内容不符：{reason}。",
    ),
    ("device-unknown", _HIGH, _CHECKED, "8"): (
        "Batch {number} of gateway {gateway} holds frames of a device that is not enrolled.",
        "网关 {gateway} 的第 {number} 批含有未登记设备的数据帧。",
    ),
    ("device-gap", _HIGH, _CHECKED, "8"): (
        "Frames {first} to {last} are in no batch.",
        "第 {first} 至 {last} 号数据帧不在任何批次中。",
    ),
    ("device-fork", _CRITICAL, _CHECKED, "8"): (
        "Two histories of the device differ at frame {sequence}: {batches}.",
        "设备在第 {sequence} 帧出现两段不同的历史：{batches}。",
    ),
    ("device-replay", _HIGH, _CHECKED, "8"): (
        "Frames {first} to {last} are anchored more than once.",
        "第 {first} 至 {last} 号数据帧被重复锚定。",
    ),
    ("device-tail-missing", _HIGH, _ATTESTED, "8"): (
        "Gateway {gateway} signed for frame {sequence} at {received}, but its batches end at frame {last}.",
        "网关 {gateway} 于 {received} 签收第 {sequence} 帧，但其批次只到第 {last} 帧。",
    ),
    # documents
    ("document-not-served", _MEDIUM, _CHECKED, "9"): (
        "{owner} does not serve {kind} {digest}.",
        "{owner} 未提供 {kind} 文件 {digest}。",
    ),
    ("document-mismatch", _MEDIUM, _CHECKED, "9"): (
        "What {owner} serves as {kind} {digest} is something else: {reason}.",
        "{owner} 以 {kind} {digest} 之名提供的并非该文件：{reason}。",
    ),
    # operation logs
    ("log-not-served", _MEDIUM, _CHECKED, "9"): (
        "{account} does not serve entries {first} to {size} of its operation log, which head {root} is anchored for.",
        "{account} 未提供其操作日志第 {first} 至 {size} 条，而链上已锚定其日志头 {root}。",
    ),
    ("log-inconsistent", _CRITICAL, _CHECKED, "9"): (
        "The operation log of {account} is not one that is only added to, at head {root} of size {size}: {reason}.",
        "{account} 的操作日志在大小为 {size} 的日志头 {root} 处并非只增不改：{reason}。",
    ),
    ("log-entry-missing", _HIGH, _CHECKED, "9"): (
        "{account} did what {event} in block {block} says, but its operation log, anchored since, has no such entry.",
        "第 {block} 块的 {event} 表明 {account} 有此操作，但其此后锚定的操作日志中并无相应条目。",
    ),
    ("log-anchored-late", _MEDIUM, _CHECKED, "9"): (
        "{account} did not anchor its operation log in time for {count} of its acts; the first, {event} in block "
        "{block}, was due by {due}.",
        "{account} 有 {count} 项操作未按时锚定操作日志；首项为第 {block} 块的 {event}，期限为 {due}。",
    ),
    ("log-event-missing", _HIGH, _CHECKED, "9"): (
        "{account} logged a {act} about {subject} as entry {position}, which the ledger never saw by {due}.",
        "{account} 在日志第 {position} 条记录了关于 {subject} 的 {act}，但截至 {due} 账本上并无相应事件。",
    ),
}


_MEANINGS: Final = {**access.MEANINGS, **custody.MEANINGS}


def _rule(known: tuple[str, Severity, Label, str], text_en: str, text_zh: str) -> Rule:
    more = _MEANINGS[known[0]]
    return Rule(*known, text_en, text_zh, more.en, more.zh, more.accused, more.evidence, more.remedy.en, more.remedy.zh)


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {known[0]: _rule(known, *texts) for known, texts in _CATALOGUE.items()}
)
