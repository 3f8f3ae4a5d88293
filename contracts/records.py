# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""Records of events by contract and topic 0: from topics and data to the place in the sequence and the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from contracts.words import blob, tail, text
from contracts.writing import (
    account,
    code,
    entry_name,
    listed,
    number,
    quoted,
    regular,
)

__all__ = ["RECORDS", "Record", "Recorder"]

Record = tuple[int, str, int, str]
"""`seq`, subject ("" for none) and its own number, and the record's text (`audit.record`)."""

Recorder = Callable[[tuple[bytes, ...], bytes], Record]


def _entry_set(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        64,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"entry":"',
                account(data[32:64]),
                '","name":"',
                entry_name(topic1),
                '","seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _endpoint_set(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        64,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:64].hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"account":"',
                account(topic1),
                '","endpoint":',
                quoted(text(data, tail(data, 0, 32))),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _keys_set(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        192,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000,
    )
    words = data[:192].hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"account":"',
                account(topic1),
                '","box_key":"0x',
                words[192:256],
                '","box_key_signature":"0x',
                blob(data, tail(data, 0, 128)).hex(),
                '","distrusted_from":',
                str(int(words[368:384], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                ',"signing_key":"0x',
                blob(data, tail(data, 0, 64)).hex(),
                '","suite":',
                str(int(words[112:128], 16)),
                "}",
            )
        ),
    )


def _participant_admitted(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        128,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"account":"',
                account(topic1),
                '","funded":',
                str(int(words[240:256], 16)),
                ',"identity_hash":"0x',
                words[64:128],
                '","roles":',
                str(int(words[176:192], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                ',"uscc":"',
                code(topic2),
                '"}',
            )
        ),
    )


def _participant_reinstated(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        64,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:64].hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"account":"',
                account(topic1),
                '","reason":',
                quoted(text(data, tail(data, 0, 32))),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _participant_suspended(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        64,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:64].hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"account":"',
                account(topic1),
                '","reason":',
                quoted(text(data, tail(data, 0, 32))),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _roles_changed(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        64,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"account":"',
                account(topic1),
                '","roles":',
                str(int(words[112:128], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _asset_registered(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        96,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic1.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic1.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"metadata_hash":"0x',
                words[128:192],
                '","provider":"',
                account(topic2),
                '","seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _asset_retired(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        96,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:96].hex()
    return (
        int(words[48:64], 16),
        f"0x{topic1.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic1.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"reason":',
                quoted(text(data, tail(data, 0, 64))),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _custody_accepted(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2, topic3 = regular(
        topics,
        4,
        data,
        96,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic1.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic1.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"deal_hash":"0x',
                topic2.hex(),
                '","holder":"',
                account(topic3),
                '","index":',
                str(int(words[176:192], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _deal_opened(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        224,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:224].hex()
    return (
        int(words[48:64], 16),
        f"0x{topic1.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic1.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"deal":',
                str(int(words[240:256], 16)),
                ',"one_time_keys":[',
                listed(data, tail(data, 0, 160)),
                '],"opening":"0x',
                topic2.hex(),
                '","reason":',
                quoted(text(data, tail(data, 0, 192))),
                ',"releasable_from":',
                str(int(words[304:320], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                ',"version":',
                str(int(words[176:192], 16)),
                "}",
            )
        ),
    )


def _access_denied(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        96,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF0000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic2.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic2.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"reason":',
                str(int(words[176:192], 16)),
                ',"request":"0x',
                topic1.hex(),
                '","seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _access_paused(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        32,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"operator":"',
                account(topic1),
                '","seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _access_requested(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2, topic3 = regular(
        topics,
        4,
        data,
        416,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:416].hex()
    return (
        int(words[48:64], 16),
        f"0x{topic2.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"agreement_hash":"0x',
                words[768:832],
                '","algorithm":"0x',
                words[640:704],
                '","asset":"0x',
                topic2.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"buyer":"',
                account(topic3),
                '","compute_node":"',
                account(data[352:384]),
                '","pin":{"asset":"0x',
                words[128:192],
                '","capsule_root":"0x',
                words[256:320],
                '","deal":',
                str(int(words[496:512], 16)),
                ',"deal_hash":"0x',
                words[512:576],
                '","policy_hash":"0x',
                words[320:384],
                '","terms_hash":"0x',
                words[384:448],
                '","version":',
                str(int(words[240:256], 16)),
                '},"purpose":',
                quoted(text(data, tail(data, 0, 288))),
                ',"request":"0x',
                topic1.hex(),
                '","seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _access_revoked(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        96,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF0000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic2.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic2.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"grant":"0x',
                topic1.hex(),
                '","reason":',
                str(int(words[176:192], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _access_unpaused(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        32,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"operator":"',
                account(topic1),
                '","seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _share_refused(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2, topic3 = regular(
        topics,
        4,
        data,
        160,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic2.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic2.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"decision_hash":"0x',
                words[256:320],
                '","holder":"',
                account(topic3),
                '","index":',
                str(int(words[176:192], 16)),
                ',"reason":',
                str(int(words[240:256], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                ',"use":"0x',
                topic1.hex(),
                '"}',
            )
        ),
    )


def _share_released(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2, topic3 = regular(
        topics,
        4,
        data,
        160,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:160].hex()
    return (
        int(words[48:64], 16),
        f"0x{topic2.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic2.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"decision_hash":"0x',
                words[192:256],
                '","holder":"',
                account(topic3),
                '","index":',
                str(int(words[176:192], 16)),
                ',"sealed_share":"0x',
                blob(data, tail(data, 0, 128)).hex(),
                '","seq":',
                str(int(words[48:64], 16)),
                ',"use":"0x',
                topic1.hex(),
                '"}',
            )
        ),
    )


def _use_closed(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2, topic3 = regular(
        topics,
        4,
        data,
        288,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic3.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic3.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"completed":',
                "true" if data[95] else "false",
                ',"given_back":',
                "true" if data[159] else "false",
                ',"grant":"0x',
                topic2.hex(),
                '","late":',
                "true" if data[127] else "false",
                ',"reason":',
                str(int(words[368:384], 16)),
                ',"receipt_hash":"0x',
                words[384:448],
                '","result_hash":"0x',
                words[448:512],
                '","rows_out":',
                str(int(words[560:576], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                ',"use":"0x',
                topic1.hex(),
                '"}',
            )
        ),
    )


def _use_expired(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2, topic3 = regular(
        topics,
        4,
        data,
        96,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic3.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"asset":"0x',
                topic3.hex(),
                '","asset_seq":',
                str(int(words[112:128], 16)),
                ',"given_back":',
                "true" if data[95] else "false",
                ',"grant":"0x',
                topic2.hex(),
                '","seq":',
                str(int(words[48:64], 16)),
                ',"use":"0x',
                topic1.hex(),
                '"}',
            )
        ),
    )


def _batch_anchored(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        224,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"batch":{"frames_root":"0x',
                words[256:320],
                '","incidents_root":"0x',
                words[384:448],
                '","index_root":"0x',
                words[320:384],
                '","number":',
                str(int(words[112:128], 16)),
                ',"predecessor":"0x',
                words[128:192],
                '","size":',
                str(int(words[240:256], 16)),
                '},"gateway":"',
                account(topic1),
                '","number":',
                str(number(topic2)),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _device_enrolled(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        192,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data[:192].hex()
    return (
        int(words[48:64], 16),
        f"0x{topic1.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"device":"0x',
                topic1.hex(),
                '","device_seq":',
                str(int(words[112:128], 16)),
                ',"fleet":"0x',
                words[320:384],
                '","model_hash":"0x',
                words[256:320],
                '","owner":"',
                account(topic2),
                '","public_key":"0x',
                blob(data, tail(data, 0, 96)).hex(),
                '","seq":',
                str(int(words[48:64], 16)),
                ',"suite":',
                str(int(words[176:192], 16)),
                "}",
            )
        ),
    )


def _device_retired(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        64,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        f"0x{topic1.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"device":"0x',
                topic1.hex(),
                '","device_seq":',
                str(int(words[112:128], 16)),
                ',"seq":',
                str(int(words[48:64], 16)),
                "}",
            )
        ),
    )


def _device_rotated(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        192,
        False,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000,
    )
    words = data[:192].hex()
    return (
        int(words[48:64], 16),
        f"0x{topic1.hex()}",
        int(words[112:128], 16),
        "".join(
            (
                '{"device":"0x',
                topic1.hex(),
                '","device_seq":',
                str(int(words[112:128], 16)),
                ',"distrusted_from":',
                str(int(words[368:384], 16)),
                ',"overlap_until":',
                str(int(words[304:320], 16)),
                ',"public_key":"0x',
                blob(data, tail(data, 0, 96)).hex(),
                '","seq":',
                str(int(words[48:64], 16)),
                ',"suite":',
                str(int(words[176:192], 16)),
                "}",
            )
        ),
    )


def _devices_enrolled(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1, topic2 = regular(
        topics,
        3,
        data,
        128,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE00000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"fleet":"0x',
                topic1.hex(),
                '","model_hash":"0x',
                words[192:256],
                '","owner":"',
                account(topic2),
                '","root":"0x',
                words[64:128],
                '","seq":',
                str(int(words[48:64], 16)),
                ',"size":',
                str(int(words[176:192], 16)),
                "}",
            )
        ),
    )


def _log_head_anchored(topics: tuple[bytes, ...], data: bytes) -> Record:
    _, topic1 = regular(
        topics,
        2,
        data,
        128,
        True,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE0000000000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,
    )
    words = data.hex()
    return (
        int(words[48:64], 16),
        "",
        0,
        "".join(
            (
                '{"account":"',
                account(topic1),
                '","previous":"0x',
                words[192:256],
                '","root":"0x',
                words[128:192],
                '","seq":',
                str(int(words[48:64], 16)),
                ',"size":',
                str(int(words[112:128], 16)),
                "}",
            )
        ),
    )


RECORDS: Final[Mapping[str, Mapping[bytes, tuple[str, Recorder]]]] = {
    "Directory": {
        bytes.fromhex("9d0ca317e9410a9c79151f5b56d136cd912d331bb7f45b4c54a435d08b55c3fd"): (
            "EntrySet",
            _entry_set,
        ),
    },
    "Participants": {
        bytes.fromhex("a0920c01fcb63821aa1941650534e68cb5fa8db3cde4962be7d0e6c48807d9c1"): (
            "EndpointSet",
            _endpoint_set,
        ),
        bytes.fromhex("8dcf355da3ad2b9d9e9b53d6bfd0e3db27a6c0c55a80570f72acf70c9a405bda"): (
            "KeysSet",
            _keys_set,
        ),
        bytes.fromhex("e80bbfea009d9513bd97d5ed5f3580aa47226359d7a573ab398f7df3844a355c"): (
            "ParticipantAdmitted",
            _participant_admitted,
        ),
        bytes.fromhex("2444d6389c503f52386f8994048eaeb18b98437e0ebea4fc6648062ba40790f7"): (
            "ParticipantReinstated",
            _participant_reinstated,
        ),
        bytes.fromhex("a08bdc05acb444d4e4d1c6da86e4e8f3f6ec7c0f6d68b9646a3f8ecdb7c16a35"): (
            "ParticipantSuspended",
            _participant_suspended,
        ),
        bytes.fromhex("8b8a3c0e1a8e122a1c16c07fe8cadc318da2120007959bdb4d3fcf26abea8f37"): (
            "RolesChanged",
            _roles_changed,
        ),
    },
    "Assets": {
        bytes.fromhex("fec0414e2781b43d5077c5ab83f4184b336f425059f67cb142744e103403f946"): (
            "AssetRegistered",
            _asset_registered,
        ),
        bytes.fromhex("ad8592eff5dd929c4bd0fb8cacf11c0a17aa19c61414a8ba493b0dd1371c0144"): (
            "AssetRetired",
            _asset_retired,
        ),
        bytes.fromhex("f91e5b651c696a3e455aa0c943062376182fd6b9eb17b81a860d36d573291f93"): (
            "CustodyAccepted",
            _custody_accepted,
        ),
        bytes.fromhex("0d73011a2cb6eefd66314ede72e3dbb2e52808830284407b2311832b1a5773d5"): (
            "DealOpened",
            _deal_opened,
        ),
    },
    "Access": {
        bytes.fromhex("e7e317a44e0d9e0d6b7072fd6fa1f2088ecf88a23d34c6de961b9ef647535eff"): (
            "AccessDenied",
            _access_denied,
        ),
        bytes.fromhex("aad461fbe274f0f7a67c4bd846dd1db29461c1c3803831e610051e606fc45891"): (
            "AccessPaused",
            _access_paused,
        ),
        bytes.fromhex("4fd4d83a4ebd8b0459c38bbbf56c35918783a56e4b9e8f16c6d19b330efb343d"): (
            "AccessRequested",
            _access_requested,
        ),
        bytes.fromhex("3e271ad960c3fdac1ba05b19758d2a3e90e3f0916e23eaa44478aa45d35614a7"): (
            "AccessRevoked",
            _access_revoked,
        ),
        bytes.fromhex("a75c19e678df207fd22e32c8cc5d987ddd064dbac3c9a4acf45779f1e266497c"): (
            "AccessUnpaused",
            _access_unpaused,
        ),
        bytes.fromhex("307e0de1f7fd1a222f43b67a521848a6d679a53ecebe0ee83adb4ff79a64520e"): (
            "ShareRefused",
            _share_refused,
        ),
        bytes.fromhex("f8711e0b6c8e997c45517c84afab9c962b1becdd451f3bf5c5325c8ee983b144"): (
            "ShareReleased",
            _share_released,
        ),
        bytes.fromhex("c7a9901824f14e61c02778784254163737dc2ce4ea1255987c23081f54a0f93e"): (
            "UseClosed",
            _use_closed,
        ),
        bytes.fromhex("0808442be9e2b9efff8a906bf6f160abb383e36c5eeb47189e7200688443b377"): (
            "UseExpired",
            _use_expired,
        ),
    },
    "Devices": {
        bytes.fromhex("32e2723553f1278bd1633654af416b1830bbd942d4a103558d1337f872883d1f"): (
            "BatchAnchored",
            _batch_anchored,
        ),
        bytes.fromhex("0b72011c5997eda47f61ab510c59244ea890617981ffc5453cb5df7cfe4ccf9a"): (
            "DeviceEnrolled",
            _device_enrolled,
        ),
        bytes.fromhex("ad25e8af12d09f6b40055cc8760227c83a3445e7e70e05da03ebc0385b221e78"): (
            "DeviceRetired",
            _device_retired,
        ),
        bytes.fromhex("1639781675164b867fc019cad2854d6830e7762a136e9ac5bffc578bb3c9d125"): (
            "DeviceRotated",
            _device_rotated,
        ),
        bytes.fromhex("53eb2c21c60191275d93b2b47492ccc9dfc1eaee4d665203e389092a0f519dcf"): (
            "DevicesEnrolled",
            _devices_enrolled,
        ),
    },
    "OperationLog": {
        bytes.fromhex("b73a75a4afd4c4c4386fee3789740c0ade03e5a3f596aa5f9e202a76d7b3faa5"): (
            "LogHeadAnchored",
            _log_head_anchored,
        ),
    },
}
