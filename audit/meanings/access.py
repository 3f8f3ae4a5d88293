"""What the rules over record, organisations, terms, grants, orders and uses mean."""

from __future__ import annotations

from typing import Final

from audit import remedies as to_do
from audit.meanings.meaning import Table, meanings
from audit.remedies import Accused, Remedy

__all__ = ["MEANINGS"]

_NOBODY, _ACTOR, _PROVIDER, _BUYER = Accused.NOBODY, Accused.ACTOR, Accused.PROVIDER, Accused.BUYER
_NODE, _LOGGER = Accused.COMPUTE_NODE, Accused.LOGGER

_TABLE: Final[Table] = {
    "seq-gap": (
        _NOBODY,
        "contract first last what",
        to_do.ASK_ANOTHER,
        "The endpoint leaves events out, or gives some twice: each contract counts its events without gaps.",
        "节点遗漏或重复提供事件:每个合约的事件序号是连续的。",
    ),
    "heads-mismatch": (
        _NOBODY,
        "contract computed events source claimed seq block",
        to_do.ASK_ANOTHER,
        "An event is not as the contract emitted it: the running head that the chain keeps is another.",
        "事件内容与合约所发出的不一致:链上滚动头值不同。",
    ),
    "checkpoint-behind": (
        _NOBODY,
        "served checkpoint block_hash",
        to_do.ASK_ANOTHER,
        "The endpoint hides the newest blocks: others have signed for later ones.",
        "节点隐瞒最新区块:他方已对更新的区块签名。",
    ),
    "checkpoint-mismatch": (
        _NOBODY,
        "contract block expected computed",
        to_do.ASK_ANOTHER,
        "The index is of another history than the one that the checkpoint's signers saw.",
        "索引所载历史与检查点签署者所见不同。",
    ),
    "event-unmatched": (
        _NOBODY,
        "event missing block transaction",
        to_do.DOUBT_CONTRACTS,
        "An event speaks of something that no earlier event made, which the contracts can't emit.",
        "事件提及此前从未产生的对象,合约不可能发出此类事件。",
    ),
    "participant-inactive-acted": (
        _ACTOR,
        "account event role block transaction",
        to_do.DOUBT_CONTRACTS,
        "Somebody who was not admitted, was suspended, or lacked the role made a call that needs it.",
        "未获准入、已被暂停或不具备相应角色的账户执行了需要该角色的操作。",
    ),
    "acted-while-paused": (
        _ACTOR,
        "account event block transaction paused",
        to_do.DOUBT_CONTRACTS,
        "A request, grant, opening or release happened while access was paused.",
        "在访问暂停期间发生了申请、授权、开启使用或释放份额。",
    ),
    "box-key-signature-invalid": (
        _ACTOR,
        "account reason box_key block",
        Remedy(
            "Deal no share to this account until it has set keys anew and confirmed their fingerprints outside the "
            "chain.",
            "在其重新设置密钥并于链外核对指纹之前,不得向该账户分配份额。",
        ),
        "The key under which shares are sealed for an organisation is not bound to its signing key.",
        "用于为该机构封装份额的加密公钥未与其签名密钥绑定。",
    ),
    "log-head-discontinuity": (
        _LOGGER,
        "account reason block",
        to_do.DOUBT_CONTRACTS,
        "A log head on chain does not follow the one before: the log shrank, or named another predecessor.",
        "链上日志头未承接前一个:日志缩短,或所指前一头值有误。",
    ),
    "terms-hash-mismatch": (
        _PROVIDER,
        "version computed stated",
        to_do.DOUBT_CONTRACTS,
        "The terms that stand on chain are not those that requests and grants pin by their hash.",
        "链上条款与申请、授权以摘要固定的条款不符。",
    ),
    "policy-terms-mismatch": (
        _PROVIDER,
        "version reason policy_hash",
        to_do.FIX_OFFER,
        "The policy that people read says something else than the terms that the chain enforces.",
        "供人阅读的策略与链上执行的条款不一致。",
    ),
    "derived-policy-wider": (
        _PROVIDER,
        "version parent parent_version terms parent_root",
        to_do.FIX_OFFER,
        "Data made from other capsules is offered for more than one of their policies lets through.",
        "由其他胶囊派生的数据,其开放范围超出了某一来源的策略。",
    ),
    "deal-outside-terms": (
        _PROVIDER,
        "version deal reason",
        to_do.DOUBT_CONTRACTS,
        "The key was dealt to holders, or with a threshold, that the terms do not allow.",
        "密钥分配的持有方或门限不符合条款。",
    ),
    "pin-mismatch": (
        _NOBODY,
        "event fields block",
        to_do.DOUBT_CONTRACTS,
        "A request, grant or use pins a version, root, policy, terms or deal that the ledger did not have.",
        "申请、授权或使用所固定的版本、根、策略、条款或分配与账本不符。",
    ),
    "grant-without-request": (
        _PROVIDER,
        "reason block",
        to_do.DOUBT_CONTRACTS,
        "Access was granted that nobody had asked for, or twice, or after a denial.",
        "在无申请、重复或已拒绝的情况下作出授权。",
    ),
    "grant-while-live": (
        _BUYER,
        "buyer live block",
        to_do.DOUBT_CONTRACTS,
        "A buyer got a second automatic grant while it had a live one: a way around the count.",
        "买方在持有有效授权时又获得自动授权,从而规避次数限制。",
    ),
    "grant-wider": (
        _PROVIDER,
        "fields terms_hash",
        to_do.DOUBT_CONTRACTS,
        "A grant gives more than its offer.",
        "授权超出要约。",
    ),
    "terms-violated": (
        _PROVIDER,
        "reason block",
        to_do.DOUBT_CONTRACTS,
        "A grant was made for a purpose, algorithm, buyer, compute node or time that its terms exclude.",
        "授权的用途、算法、买方、计算方或时间为条款所排除。",
    ),
    "compute-node-involved": (
        _NODE,
        "compute_node role",
        to_do.DOUBT_CONTRACTS,
        "The party that sees the data in memory is also the buyer or a custodian, without the terms saying so.",
        "在内存中接触数据的计算方同时是买方或托管方,而条款未予许可。",
    ),
    "measurement-not-allowed": (
        _NODE,
        "measurement allowed",
        to_do.SUSPEND_NODE,
        "A use ran on a runtime that the policy does not list.",
        "该次使用在策略未列出的运行环境上进行。",
    ),
    "agreement-unsigned": (
        Accused.GRANTOR,
        "reason agreement",
        to_do.REVOKE_GRANT,
        "A grant stands under a contract that one side never signed, or signed otherwise: nobody can be held to it.",
        "授权所依据的合约缺少一方的有效签名,无法据此追究任何一方。",
    ),
    "agreement-mismatch": (
        _PROVIDER,
        "fields agreement",
        to_do.REVOKE_GRANT,
        "The contract behind a grant says something else than the grant: provider and buyer agreed to two things.",
        "授权所依据的合约与授权内容不一致。",
    ),
    "use-without-grant": (
        _NODE,
        "grant reason",
        to_do.DOUBT_CONTRACTS,
        "A capsule was opened with no grant before it.",
        "在没有授权的情况下开启了使用。",
    ),
    "use-before-start": (
        _NODE,
        "opened not_before",
        to_do.DOUBT_CONTRACTS,
        "A use began before its grant.",
        "使用早于授权的生效时间。",
    ),
    "use-after-expiry": (
        _NODE,
        "opened what ended",
        to_do.DOUBT_CONTRACTS,
        "A use began after its grant, order or asset had ended.",
        "使用开始时授权、订单或资产已终止。",
    ),
    "use-after-revocation": (
        _NODE,
        "opened revoked grant",
        to_do.DOUBT_CONTRACTS,
        "A use began under a grant that had been taken back.",
        "使用开始时授权已被撤销。",
    ),
    "use-of-replaced-deal": (
        _NODE,
        "deal current",
        to_do.DOUBT_CONTRACTS,
        "A use began under old shares, after the key had been dealt anew.",
        "密钥重新分配之后仍以旧份额开启使用。",
    ),
    "uses-exceeded": (
        _NODE,
        "number scope limit grant buyer",
        to_do.DOUBT_CONTRACTS,
        "More uses than the terms count for the grant, the buyer or the asset.",
        "使用次数超过授权、买方或资产的上限。",
    ),
    "rows-exceeded": (
        _NODE,
        "buyer rows limit",
        to_do.DOUBT_CONTRACTS,
        "A buyer took more rows of an asset than the terms allow over all its grants.",
        "买方就该资产取得的行数超过条款上限。",
    ),
    "deadline-wrong": (
        _NODE,
        "stated computed",
        to_do.DOUBT_CONTRACTS,
        "A use ran longer or shorter than order and terms say.",
        "使用期限与订单及条款不符。",
    ),
    "give-back-wrong": (
        _NODE,
        "releases threshold given_back",
        to_do.DOUBT_CONTRACTS,
        "A use came back to the count although a share had left its holder, or stayed spent although none had.",
        "已有份额释放却退还了次数,或没有释放却未退还。",
    ),
    "order-signature-invalid": (
        _NODE,
        "buyer reason order",
        to_do.DOUBT_CONTRACTS,
        "A use that the buyer did not order.",
        "该次使用并非买方所订。",
    ),
    "order-mismatch": (
        _NODE,
        "order reason",
        to_do.DOUBT_CONTRACTS,
        "A use for another grant, algorithm or compute node than the buyer ordered.",
        "使用的授权、算法或计算方与订单不符。",
    ),
    "order-reused": (
        _NODE,
        "number buyer earlier",
        to_do.DOUBT_CONTRACTS,
        "One order served twice.",
        "同一订单被使用两次。",
    ),
}

MEANINGS: Final = meanings(_TABLE)
