"""What the rules over custody, results, devices, documents and operation logs mean."""

from __future__ import annotations

from typing import Final

from audit import remedies as to_do
from audit.meanings.meaning import Table, meanings
from audit.remedies import Accused

__all__ = ["MEANINGS"]

_NOBODY, _PROVIDER, _NODE, _HOLDER = Accused.NOBODY, Accused.PROVIDER, Accused.COMPUTE_NODE, Accused.HOLDER
_GATEWAY, _LOGGER = Accused.GATEWAY, Accused.LOGGER

_TABLE: Final[Table] = {
    "release-by-non-holder": (
        _HOLDER,
        "holder index deal block",
        to_do.DOUBT_CONTRACTS,
        "Somebody decided over a share that it does not hold.",
        "不持有该份额者作出了决定。",
    ),
    "decision-repeated": (
        _HOLDER,
        "holder count",
        to_do.DOUBT_CONTRACTS,
        "A holder decided twice over one use.",
        "持有方对同一次使用作出两次决定。",
    ),
    "release-out-of-time": (
        _HOLDER,
        "holder reason released",
        to_do.DOUBT_CONTRACTS,
        "A share left its holder for a use or opening that was over, not open yet, or of a replaced deal.",
        "在使用或收集已结束、尚未开放或分配已被取代时释放了份额。",
    ),
    "release-after-revocation": (
        _HOLDER,
        "holder released revoked",
        to_do.DOUBT_CONTRACTS,
        "A share left its holder for a grant that had been taken back.",
        "授权撤销后仍释放了份额。",
    ),
    "released-after-shred": (
        _HOLDER,
        "holder deal shredded source released block",
        to_do.REPLACE_HOLDER,
        "A holder stated that its share is destroyed, and released it later: one is false, or it kept a copy.",
        "持有方声明份额已销毁,其后却又释放:要么留有副本,要么两者之一为假。",
    ),
    "completed-without-releases": (
        _NODE,
        "releases threshold provider",
        to_do.DOUBT_CONTRACTS,
        "A use has a result although its key can't have been rebuilt from what was released.",
        "所释放的份额不足以恢复密钥,却有计算结果。",
    ),
    "silent-holder": (
        _HOLDER,
        "holder deadline index",
        to_do.REMIND_HOLDER,
        "A holder neither released nor refused while it could.",
        "持有方在期限内既未释放也未拒绝。",
    ),
    "use-unclosed": (
        _NODE,
        "releases state compute_node deadline ended reason",
        to_do.SUSPEND_NODE,
        "The compute node took the key and accounts for nothing: no receipt, no true accusation.",
        "计算方取得密钥后未作任何交代:既无回执,也无成立的指控。",
    ),
    "deal-mismatch": (
        _PROVIDER,
        "deal fields version deal_hash",
        to_do.FIX_OFFER,
        "The deal that holders and auditors read is not the one on chain.",
        "持有方与审计方所读的分配文件与链上不符。",
    ),
    "deal-borrowed": (
        _NOBODY,
        "deal_hash other version deal",
        to_do.FIX_OFFER,
        "A provider names another asset's deal as its own, to have its shares released for itself.",
        "将其他资产的分配据为己有,以骗取他人份额。",
    ),
    "capsule-borrowed": (
        _NOBODY,
        "capsule_root other version block",
        to_do.FIX_OFFER,
        "Another's capsule is offered as one's own.",
        "将他人胶囊作为自己的资产发布。",
    ),
    "opening-mismatch": (
        _PROVIDER,
        "version deal reason block",
        to_do.DOUBT_CONTRACTS,
        "Shares were asked for outside what the deal says: another deal, missing keys, a shorter wait.",
        "收集份额的请求不符合分配规定:分配、密钥或等待时间有误。",
    ),
    "deal-without-opening": (
        _PROVIDER,
        "version deal releases threshold block",
        to_do.ENCRYPT_AGAIN,
        "The key was dealt anew although too few old shares were gathered for it: somebody had kept the key.",
        "未收集足够的旧份额即重新分配密钥:说明有人留存了密钥。",
    ),
    "rebind-without-opening": (
        _PROVIDER,
        "version earlier block",
        to_do.ENCRYPT_AGAIN,
        "A capsule got a new policy although too few of its shares were gathered: somebody had kept the key.",
        "未收集足够的份额即为胶囊重新绑定策略:说明有人留存了密钥。",
    ),
    "share-wrong": (
        _HOLDER,
        "holder reason index accusation",
        to_do.REPLACE_HOLDER,
        "A holder released something else than the share that it had accepted.",
        "持有方释放的并非其已确认的份额。",
    ),
    "false-accusation": (
        Accused.ACCUSER,
        "accuser holder reason accusation",
        to_do.SUSPEND_NODE,
        "A good share was called wrong, to keep the key without a receipt or to blame its holder.",
        "将正确的份额指为有误,以规避回执或嫁祸持有方。",
    ),
    "receipt-hash-mismatch": (
        _NODE,
        "stated reason",
        to_do.SUSPEND_NODE,
        "The receipt that is served is not the one that closed the use.",
        "所提供的回执并非关闭该次使用的回执。",
    ),
    "receipt-signature-invalid": (
        _NODE,
        "compute_node reason receipt",
        to_do.SUSPEND_NODE,
        "Nobody whom the chain knows signed the receipt.",
        "回执没有链上所登记密钥的有效签名。",
    ),
    "receipt-content-mismatch": (
        _NODE,
        "fields receipt",
        to_do.SUSPEND_NODE,
        "The receipt says other grants, capsules, algorithm, rows or times than the ledger.",
        "回执所载授权、胶囊、算法、行数或时间与账本不符。",
    ),
    "attestation-not-met": (
        _NODE,
        "level allowed",
        to_do.SUSPEND_NODE,
        "A run completed in a runtime that less vouches for than the policy asks for.",
        "运行环境的证明级别低于策略要求。",
    ),
    "epsilon-exceeded": (
        _NODE,
        "spent limit compute_node",
        to_do.SUSPEND_NODE,
        "A compute node answered without the noise, or for more of the privacy budget, than the policy asks for.",
        "计算方输出了未加噪的结果，或超出策略限定的隐私预算。",
    ),
    "result-not-reproduced": (
        _NODE,
        "fields receipt compute_node regulator reexecution stated reproduced",
        to_do.HEAR_BOTH,
        "A regulator repeated the use of a deterministic algorithm, and one of the two receipts is false.",
        "监管方重复执行了确定性算法的使用,两份回执中必有一份不实。",
    ),
    "decision-mismatch": (
        _HOLDER,
        "holder reason decision",
        to_do.HEAR_BOTH,
        "A holder's signed reasons are not those of what it did on chain.",
        "持有方签名的决定与其链上行为不一致。",
    ),
    "capsule-root-mismatch": (
        _PROVIDER,
        "version reason capsule_root",
        to_do.FIX_OFFER,
        "The file that the provider serves is not the capsule that it published.",
        "提供方所提供的文件并非其发布的胶囊。",
    ),
    "anchor-discontinuity": (
        _GATEWAY,
        "number gateway reason block",
        to_do.DOUBT_CONTRACTS,
        "A gateway's batches do not follow each other.",
        "网关的批次前后不衔接。",
    ),
    "batch-index-mismatch": (
        _GATEWAY,
        "number reason index_root",
        to_do.HEAR_GATEWAY,
        "The batch that a gateway serves is not the one that it anchored.",
        "网关所提供的批次与其锚定的不符。",
    ),
    "device-unknown": (
        _GATEWAY,
        "number gateway",
        to_do.HEAR_GATEWAY,
        "A gateway anchored frames of a device that nobody enrolled, or that was retired.",
        "网关锚定了未登记或已停用设备的数据帧。",
    ),
    "device-gap": (
        Accused.SIGNING_GATEWAY,
        "first last",
        to_do.HEAR_GATEWAY,
        "Frames that a device made, and that later frames build on, are in nobody's batch.",
        "设备产生且后续帧所依赖的数据帧未见于任何批次。",
    ),
    "device-fork": (
        _NOBODY,
        "sequence batches evidence",
        to_do.STOP_DEVICE,
        "Two histories under one device key: the owner, a thief or a copy signed twice.",
        "同一设备密钥下出现两段历史:所有者、盗用者或副本重复签名。",
    ),
    "device-replay": (
        _NOBODY,
        "first last",
        to_do.STOP_DEVICE,
        "The same frames were anchored twice, to count twice.",
        "同一数据帧被重复锚定,以重复计数。",
    ),
    "device-tail-missing": (
        _GATEWAY,
        "gateway sequence received last receipt",
        to_do.HEAR_GATEWAY,
        "A gateway signed for a frame and never anchored it.",
        "网关签收了数据帧却始终未锚定。",
    ),
    "document-not-served": (
        Accused.OWNER,
        "owner kind digest due",
        to_do.ASK_OWNER,
        "A document that the chain names can't be had from who must have it.",
        "链上引用的文件无法从应持有者处取得。",
    ),
    "document-mismatch": (
        Accused.OWNER,
        "owner kind digest reason",
        to_do.ASK_OWNER,
        "What is served under a digest does not have it.",
        "所提供的内容与其摘要不符。",
    ),
    "log-not-served": (
        _LOGGER,
        "account first size root due",
        to_do.TAKE_LOG,
        "A node anchored a head and hides what is behind it.",
        "节点锚定了日志头,却不提供其内容。",
    ),
    "log-inconsistent": (
        _LOGGER,
        "account reason size root",
        to_do.TAKE_LOG,
        "A log was changed after its head was anchored or named, or its head is not its owner's.",
        "日志在日志头被锚定或引用之后遭到改动,或日志头并非其所属方签名。",
    ),
    "log-entry-missing": (
        _LOGGER,
        "account event block size root",
        to_do.TAKE_LOG,
        "A node did on chain what its own log is silent about.",
        "节点在链上有操作,而自身日志只字未提。",
    ),
    "log-event-missing": (
        _LOGGER,
        "account act subject position digest due",
        to_do.TAKE_LOG,
        "A node logged a decision, receipt or accusation that the chain never saw, and does not take it back.",
        "节点记录了链上从未出现的决定、回执或指控,且未予撤销。",
    ),
    "log-anchored-late": (
        _LOGGER,
        "account count event block due",
        to_do.TAKE_LOG,
        "A node left itself time to write its log afterwards.",
        "节点迟延锚定日志,留出了事后补写的时间。",
    ),
}

MEANINGS: Final = meanings(_TABLE)
