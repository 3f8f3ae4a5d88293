"""The status page: one document in English or Chinese, made on the server, without scripts or outside parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from gateway.overview import Overview

__all__ = ["LANGUAGES", "choose_language", "status_page"]

LANGUAGES: Final = ("en", "zh")

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Device gateway", "设备网关"),
    "account": ("Account", "账户"),
    "ready": ("Ready", "就绪"),
    "not ready": ("Not ready", "未就绪"),
    "database": ("Database", "数据库"),
    "chain": ("Chain", "区块链"),
    "role": ("Role gateway on chain", "链上网关角色"),
    "unchecked": ("Check against the chain", "与链核对"),
    "anchoring": ("Anchoring", "锚定"),
    "intake": ("Intake", "接收"),
    "process": ("Process", "进程"),
    "broker": ("MQTT broker", "MQTT 代理"),
    "numbers": ("At a glance", "概览"),
    "devices": ("Devices", "设备"),
    "frames": ("Frames stored", "已存帧"),
    "rate minute": ("Frames a second, last minute", "每秒帧数（近一分钟）"),
    "rate hour": ("Frames a second, last hour", "每秒帧数（近一小时）"),
    "queued": ("Frames in the queue", "队列中的帧"),
    "waiting": ("Frames waiting for a batch", "待成批的帧"),
    "lag": ("Oldest frame without a final anchor", "最早未锚定帧的等待时间"),
    "fleet": ("Fleet: devices heard last", "设备：最近上报"),
    "device": ("Device", "设备"),
    "sequence": ("Last sequence", "最新序号"),
    "seen": ("Last seen (UTC)", "最近时间（UTC）"),
    "incidents": ("Incidents", "异常事件"),
    "groups": ("Incidents of late, by device and kind", "近期异常事件（按设备和类型）"),
    "kind": ("Kind", "类型"),
    "range": ("Frames", "帧"),
    "count": ("Incidents", "异常事件数"),
    "when": ("Newest recorded (UTC)", "最近记录时间（UTC）"),
    "batch": ("Batch", "批次"),
    "anchors": ("Anchors", "链上锚定"),
    "stage": ("Stage", "阶段"),
    "block": ("Block", "区块"),
    "root": ("Frames root", "帧树根"),
    "implausible": ("implausible", "读数异常"),
    "anchored": ("Anchored (UTC)", "锚定时间（UTC）"),
    "built": ("stored", "已存储"),
    "sent": ("sent", "已发送"),
    "none": ("none", "无"),
    "gap": ("gap", "缺帧"),
    "reordered": ("reordered", "乱序"),
    "replay": ("replay", "重放"),
    "fork": ("fork", "分叉"),
    "late": ("late", "迟到"),
    "ahead": ("ahead", "时间超前"),
    "unanchored": ("unanchored", "未锚定"),
    "stage anchored": ("final on chain", "链上已终局"),
}

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#b3261e}
body{font:15px/1.5 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;max-width:70rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}nav{float:right}
.state{font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.75rem;margin:1rem 0}
dl div{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .75rem}dt{opacity:.75;font-size:.85rem}
dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
td.number,th.number{text-align:right}code{font-size:.85em}
"""


def choose_language(asked: str | None, accepted: str) -> str:
    """`asked` where it is one of ours, else the first of ours that an Accept-Language header names, else English."""
    if asked in LANGUAGES:
        return asked
    wanted = [part.partition(";")[0].strip().lower()[:2] for part in accepted.split(",")[:20]]
    return next((language for language in wanted if language in LANGUAGES), "en")


def status_page(language: str, account: str, seen: Overview | None, troubles: Mapping[str, str]) -> str:
    """The page in one of LANGUAGES. Without `seen` (the database can't be asked) it says only what is wrong."""
    words = {name: texts[LANGUAGES.index(language)] for name, texts in _WORDS.items()}
    other = "zh" if language == "en" else "en"
    state = (
        f'<p class="state good">● {words["ready"]}</p>'
        if not troubles
        else f'<p class="state bad">● {words["not ready"]}</p><ul>{_troubles(words, troubles)}</ul>'
    )
    body = "" if seen is None else _numbers(words, seen) + _tables(words, seen)
    return (
        f'<!doctype html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="30">'
        f"<title>{words['title']}</title><style>{_STYLE}</style></head><body>"
        f'<nav><a href="?lang={other}" lang="{other}">{"中文" if other == "zh" else "English"}</a></nav>'
        f"<header><h1>{words['title']}</h1><p>{words['account']} <code>{escape(account)}</code></p>{state}</header>"
        f"<main>{body}</main></body></html>"
    )


def _troubles(words: Mapping[str, str], troubles: Mapping[str, str]) -> str:
    """The parts alone: what a database or an endpoint says of itself is for the operator's log."""
    return "".join(f"<li>{words[part]}</li>" for part in troubles)


def _numbers(words: Mapping[str, str], seen: Overview) -> str:
    numbers = (
        ("devices", f"{seen.devices:,}"),
        ("frames", f"{seen.frames:,}"),
        ("rate minute", f"{seen.rates[0]:,.1f}"),
        ("rate hour", f"{seen.rates[1]:,.1f}"),
        ("queued", f"{seen.queued:,}"),
        ("waiting", f"{seen.waiting:,}"),
        ("lag", f"{seen.lag_seconds:,.0f} s"),
        ("incidents", f"{sum(seen.incidents.values()):,}"),
    )
    cells = "".join(f"<div><dt>{words[name]}</dt><dd>{value}</dd></div>" for name, value in numbers)
    return f"<h2>{words['numbers']}</h2><dl>{cells}</dl>"


def _tables(words: Mapping[str, str], seen: Overview) -> str:
    fleet = [(f"<code>{one.device}</code>", f"{one.last_sequence:,}", _time(one.last_seen)) for one in seen.fleet]
    incidents = [
        (
            words.get(group.kind, escape(group.kind)) + (f" <code>{escape(group.rule)}</code>" if group.rule else ""),
            f"<code>{group.device}</code>",
            f"{group.incidents:,}",
            f"{group.first:,}" if group.first == group.last else f"{group.first:,}–{group.last:,}",
            _time(group.recorded_at),
            "" if group.batch is None else f"{group.batch:,}",
        )
        for group in seen.recent_incidents
    ]
    anchors = [
        (
            f"{row.number:,}",
            f"{row.size:,}",
            words["stage anchored" if row.stage == "anchored" else row.stage],
            "" if row.block is None else f"{row.block:,}",
            _time(row.anchored_at),
            f"<code>0x{row.frames_root.hex()}</code>",
        )
        for row in seen.recent_batches
    ]
    return (
        _table(words, "fleet", ("device", "sequence", "seen"), fleet)
        + _table(words, "groups", ("kind", "device", "count", "range", "when", "batch"), incidents)
        + _table(words, "anchors", ("batch", "range", "stage", "block", "anchored", "root"), anchors)
    )


def _table(words: Mapping[str, str], title: str, heads: Iterable[str], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return f"<h2>{words[title]}</h2><p>{words['none']}</p>"
    head = "".join(f'<th scope="col">{words[name]}</th>' for name in heads)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<h2>{words[title]}</h2><div class="wide">{table}</div>'


def _time(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
