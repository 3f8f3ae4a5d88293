"""Who answers for a broken rule, and what a regulator does about it, in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = [
    "ACCUSED_ZH",
    "ASK_ANOTHER",
    "ASK_OWNER",
    "DOUBT_CONTRACTS",
    "ENCRYPT_AGAIN",
    "FIX_OFFER",
    "HEAR_BOTH",
    "HEAR_GATEWAY",
    "REMIND_HOLDER",
    "REPLACE_HOLDER",
    "REVOKE_GRANT",
    "STOP_DEVICE",
    "SUSPEND_NODE",
    "TAKE_LOG",
    "Accused",
    "Remedy",
]


class Accused(StrEnum):
    """Who a finding of a rule names. Where nobody is named, the record itself does not say who lied."""

    NOBODY = "nobody: the record does not say"
    ACTOR = "the account that acted"
    PROVIDER = "the asset's provider"
    BUYER = "the buyer"
    GRANTOR = "the asset's provider; the buyer where the terms granted by themselves"
    COMPUTE_NODE = "the compute node"
    HOLDER = "the holder"
    ACCUSER = "whoever accuses"
    GATEWAY = "the gateway"
    SIGNING_GATEWAY = "the gateway that signed for the frame, where one did"
    OWNER = "whoever must have the document"
    LOGGER = "the log's owner"


ACCUSED_ZH: Final = MappingProxyType(
    {
        Accused.NOBODY: "无(记录未表明责任方)",
        Accused.ACTOR: "执行操作的账户",
        Accused.PROVIDER: "资产的提供方",
        Accused.BUYER: "买方",
        Accused.GRANTOR: "资产的提供方;自动授权时为买方",
        Accused.COMPUTE_NODE: "计算方",
        Accused.HOLDER: "份额持有方",
        Accused.ACCUSER: "提出指控的一方",
        Accused.GATEWAY: "网关",
        Accused.SIGNING_GATEWAY: "签收该帧的网关(如有)",
        Accused.OWNER: "应持有该文件的一方",
        Accused.LOGGER: "日志所属方",
    }
)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a finding."""

    en: str
    zh: str


ASK_ANOTHER: Final = Remedy(
    "Rebuild the index through an endpoint of another organisation. What differs convicts one of the two: keep both.",
    "通过另一机构的节点重建索引;两者不一致之处即可指明说谎的一方,双方应答均须留存。",
)
DOUBT_CONTRACTS: Final = Remedy(
    "The contracts refuse this. Rebuild through another endpoint and compare the contracts' code with the committed "
    "build; if it stays, the contract set is not what it should be: pause access.",
    "合约本应拒绝此操作。请通过另一节点重建索引,并将合约代码与发布版本比对;若仍存在,说明合约有异,应暂停访问。",
)
SUSPEND_NODE: Final = Remedy(
    "Hear the compute node and ask for its logs. Where it can't account for the use, have it suspended and its open "
    "grants revoked; the key counts as released.",
    "听取计算方说明并调取其日志;无法说明的,应暂停其资格并撤销相关授权,视密钥为已释放。",
)
FIX_OFFER: Final = Remedy(
    "Have the provider publish a right version and revoke grants under this one; suspend it where it does not.",
    "要求提供方发布正确的版本并撤销本版本下的授权;拒不改正的,暂停其资格。",
)
REPLACE_HOLDER: Final = Remedy(
    "Hear the holder. Have the provider deal the key anew without it, and suspend it where it can't explain.",
    "听取持有方说明;由提供方另行分配密钥并将其排除,无法说明的暂停其资格。",
)
REMIND_HOLDER: Final = Remedy(
    "Ask the holder why; where it happens again, have the provider deal the key to another.",
    "询问持有方原因;再次发生的,由提供方将密钥改由他方持有。",
)
ENCRYPT_AGAIN: Final = Remedy(
    "Treat the key as known to its provider or to whoever helped: have the data sealed and dealt again, as a version.",
    "视密钥为提供方或协助者所知:要求重新加密、重新分配,并发布新版本。",
)
STOP_DEVICE: Final = Remedy(
    "Do not rely on the device's readings of that time. Ask its owner for the frames it kept, and have its key rotated "
    "from the time at which the doubt begins.",
    "该时段的读数不得采信。向设备所有者调取其留存的数据帧,并自存疑时刻起轮换设备密钥。",
)
HEAR_GATEWAY: Final = Remedy(
    "Ask the gateway for the frames and its incidents; have it anchor what is missing, and suspend it where it can't.",
    "向网关调取数据帧与异常记录;要求补锚缺失部分,无法补锚的暂停其资格。",
)
ASK_OWNER: Final = Remedy(
    "Ask its owner for the document, and check again; it may be given by hand, as a file under its digest.",
    "要求责任方提供该文件后重新核查;也可以文件形式按摘要提交。",
)
TAKE_LOG: Final = Remedy(
    "Secure the node's log and its signed heads, and compare them with copies that others kept; what the log hides "
    "counts against its owner.",
    "保全该节点的日志与已签名的日志头,并与他方留存的副本比对;日志隐匿之处由其所属方承担。",
)
HEAR_BOTH: Final = Remedy(
    "Both documents stand under signatures: hear both sides, and hold the false one against its signer.",
    "双方文件均有签名:听取双方说明,由签署虚假文件的一方承担责任。",
)
REVOKE_GRANT: Final = Remedy(
    "Have the provider revoke the grant and answer the request anew.",
    "要求提供方撤销该授权并重新答复申请。",
)
