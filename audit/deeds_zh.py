"""Each kind of event in a few Chinese words; the English ones stand in `audit.deeds`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from contracts import events as ev
from contracts.roles import role_names

__all__ = ["ROLES_ZH", "words_zh"]

ROLES_ZH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "provider": "数据提供方",
        "buyer": "数据使用方",
        "custodian": "密钥托管方",
        "compute": "计算方",
        "gateway": "设备网关",
        "regulator": "监管方",
    }
)


def words_zh(event: ev.Event) -> str:
    """The event in a few Chinese words."""
    say = _WORDS.get(type(event))
    return type(event).__name__ if say is None else say(event)


def _roles(roles: int, none: str) -> str:
    return "、".join(ROLES_ZH.get(name, name) for name in role_names(roles)) or none


def _closed(event: Any) -> str:
    late = "逾期" if event.late else ""
    if event.completed:
        return f"{late}结束使用：完成，输出 {event.rows_out} 行"
    return f"{late}结束使用：失败，原因代码 {event.reason}"


_WORDS: Final[Mapping[type[ev.Event], Callable[[Any], str]]] = MappingProxyType(
    {
        ev.EntrySet: lambda event: f"登记合约 {event.name}",
        ev.ParticipantAdmitted: lambda event: f"准入，角色：{_roles(event.roles, '参与方')}",
        ev.RolesChanged: lambda event: f"角色变更为：{_roles(event.roles, '无')}",
        ev.ParticipantSuspended: lambda event: f"暂停资格：{event.reason}",
        ev.ParticipantReinstated: lambda event: f"恢复资格：{event.reason}",
        ev.KeysSet: lambda event: "设置密钥",
        ev.EndpointSet: lambda event: f"设置服务地址 {event.endpoint}",
        ev.LogHeadAnchored: lambda event: f"锚定操作日志，共 {event.size} 条",
        ev.AssetRegistered: lambda event: "登记资产",
        ev.CapsulePublished: lambda event: f"发布第 {event.version} 版，{event.capsule_size} 字节",
        ev.AssetRetired: lambda event: f"下架资产：{event.reason}",
        ev.CustodyDealt: lambda event: (
            f"分配第 {event.version} 版密钥：{len(event.holders) - 1} 个托管方中需 {event.threshold} 个"
        ),
        ev.CustodyAccepted: lambda event: f"接受第 {event.index} 号份额",
        ev.DealOpened: lambda event: f"请求交出第 {event.deal} 号分配的份额：{event.reason}",
        ev.AccessRequested: lambda event: f"申请访问，用途：{event.purpose}",
        ev.AccessGranted: lambda event: "按条款自动授权" if event.automatic else "授权访问",
        ev.AccessDenied: lambda event: f"拒绝授权，原因代码 {event.reason}",
        ev.AccessRevoked: lambda event: f"撤销授权，原因代码 {event.reason}",
        ev.UseOpened: lambda event: f"凭第 {event.order.number} 号指令开始使用",
        ev.ShareReleased: lambda event: f"释放第 {event.index} 号份额",
        ev.ShareRefused: lambda event: f"拒绝释放第 {event.index} 号份额，原因代码 {event.reason}",
        ev.UseClosed: _closed,
        ev.UseExpired: lambda event: "使用逾期" + ("，次数退回" if event.given_back else "，次数已消耗"),
        ev.AccessPaused: lambda event: "暂停访问",
        ev.AccessUnpaused: lambda event: "恢复访问",
        ev.DeviceEnrolled: lambda event: "登记设备",
        ev.DevicesEnrolled: lambda event: f"批量登记 {event.size} 台设备",
        ev.DeviceRotated: lambda event: "更换设备密钥",
        ev.DeviceRetired: lambda event: "停用设备",
        ev.BatchAnchored: lambda event: f"锚定第 {event.number} 批，{event.batch.size} 帧",
    }
)
