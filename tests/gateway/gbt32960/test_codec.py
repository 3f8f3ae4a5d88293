"""Envelope, splitting and item tables of both editions, against bytes written out by hand and messages of others."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import reduce
from operator import xor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.ids import DeviceId
from capsule.senml import pack_rows
from gateway.gbt32960.errors import Answer, EnvelopeError, LayoutError, MessageError, RefusedError
from gateway.gbt32960.fields import Mark
from gateway.gbt32960.frame import (
    MAX_MESSAGE_BYTES,
    Command,
    Edition,
    Splitter,
    answer,
    read_message,
    write_message,
)
from gateway.gbt32960.items import ITEMS
from gateway.gbt32960.message import Heartbeat, Login, Logout, Report, TimeSync, decode, encode_time, read_time
from gateway.gbt32960.readings import MAX_READINGS, row_of
from tests.gateway.gbt32960.vehicles import command, fixtures, live_messages, login

AT = 1_577_674_311
TIME = encode_time(AT)
OLD, NEW = Edition.E2016, Edition.E2025
HEARTBEAT = bytes.fromhex("232307FE") + b"123456789" + bytes(8) + bytes.fromhex("010000C9")


def reported(items: str, edition: Edition = OLD) -> Report:
    content = decode(read_message(command(Command.REALTIME, TIME + bytes.fromhex(items), edition=edition)))
    assert isinstance(content, Report)
    return content


def numbers(items: str, edition: Edition = OLD) -> dict[str, int | float | None]:
    return {entry.column: entry.value.number for entry in reported(items, edition).entries}


# ------------------------------------------------------------------------------------------------------------ envelope


def test_the_standard_s_heartbeat_is_read_and_written() -> None:
    message = read_message(HEARTBEAT)
    assert decode(message) == Heartbeat()
    assert write_message(OLD, Command.HEARTBEAT, b"123456789", b"") == HEARTBEAT
    assert read_message(answer(message, Answer.OK)).answer == Answer.OK


def test_of_the_31_fixtures_29_are_read_and_two_refused_with_the_reason() -> None:
    refused, read = [], 0
    for row in fixtures():
        try:
            message = read_message(bytes.fromhex(row["hex"]))
            if message.is_command:
                decode(message)
            read += 1
            assert row["check"] == "ok"
        except MessageError as exc:
            refused.append((row["check"], str(exc)))
    assert read == 29
    assert refused == [
        ("bcc", "the check byte is EA, the message's is E8"),
        ("len 24!=31", "the message has 24 bytes, its length field says 31"),
    ]


def test_times_are_beijing_time() -> None:
    assert read_time(bytes((19, 12, 30, 10, 51, 51))) == 1_577_674_311 == AT  # 02:51:51 UTC
    assert encode_time(AT) == bytes((19, 12, 30, 10, 51, 51))
    with pytest.raises(LayoutError, match="is no date"):
        read_time(bytes((19, 2, 30, 0, 0, 0)))


def test_an_answer_keeps_the_time_alone_and_2016_knows_few_flags() -> None:
    for edition, flag in ((OLD, Answer.ERROR), (NEW, Answer.SIGNATURE)):
        given_answer = read_message(answer(read_message(login(AT, edition=edition)), Answer.SIGNATURE))
        assert (given_answer.edition, given_answer.answer, given_answer.data) == (edition, flag, TIME)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_any_chunking_gives_the_same_messages(sizes: list[int], seed: int) -> None:
    chance = random.Random(seed)
    sent = [HEARTBEAT, login(AT), command(Command.RESENT, chance.randbytes(900), edition=NEW)] * 3
    stream, splitter, got, at = b"".join(sent), Splitter(), [], 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        splitter.feed(stream[at : at + size])
        at += size
        while (raw := splitter.next()) is not None:
            got.append(raw)
    assert got == sent
    assert splitter.pending == 0


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused_or_waited_for(data: bytes) -> None:
    splitter = Splitter()
    splitter.feed(data)
    with suppress(MessageError):
        while (raw := splitter.next()) is not None:
            decode(read_message(raw))
    assert splitter.pending <= MAX_MESSAGE_BYTES


@given(st.binary(max_size=300), st.sampled_from(Edition), st.integers(0, 255), st.integers(0, 255))
@settings(max_examples=400, deadline=None)
def test_random_data_units_are_read_or_refused(body: bytes, edition: Edition, kind: int, first: int) -> None:
    raw = write_message(edition, kind, b"X", TIME + bytes((first,)) + body)
    with suppress(LayoutError, RefusedError):
        decode(read_message(raw))


def test_changed_real_messages_are_read_or_refused() -> None:
    chance = random.Random(7)
    for message in chance.sample(live_messages(), 40):
        for _ in range(10):
            changed = bytearray(message[:-1])
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(24, len(changed))] = chance.randrange(256)
            whole = bytes(changed) + bytes((reduce(xor, changed[2:]),))
            with suppress(LayoutError, RefusedError):
                content = decode(read_message(whole))
                assert isinstance(content, Login | Logout | Report)
                pack_rows(DeviceId(bytes(32)), [row_of(content)], {})


def test_huge_counts_and_lengths_are_refused_before_anything_is_made_of_them() -> None:
    with pytest.raises(LayoutError, match="cells_here of cell voltages is 200, which needs 400 bytes"):
        reported("08 01 01 143d 272b 0090 0001 c8 0e06")
    with pytest.raises(LayoutError, match="temp_probes of battery temperatures is 65533"):
        reported("09 01 01 fffd 2f")
    with pytest.raises(LayoutError, match="motors of drive motors is 253"):
        reported("02 fd 01")
    with pytest.raises(EnvelopeError, match="length field says 65535"):
        read_message(b"##" + bytes(20) + b"\xff\xff" + bytes(10))
    with pytest.raises(LayoutError, match="3 bytes follow"):
        decode(read_message(command(Command.HEARTBEAT, b"abc")))


def test_what_is_encrypted_or_not_offered_is_named() -> None:
    with pytest.raises(RefusedError, match=r"encrypted \(SM4\)") as refused:
        decode(read_message(command(Command.REALTIME, TIME, edition=NEW, encryption=5)))
    assert refused.value.answer is Answer.DECRYPTION
    with pytest.raises(RefusedError, match=r"command 09 \(activation\) is not offered here"):
        decode(read_message(command(Command.ACTIVATION, TIME, edition=NEW)))
    assert decode(read_message(command(Command.TIME))) == TimeSync()


def test_logins_of_both_editions_keep_their_battery_codes() -> None:
    head = TIME + b"\0\x0c" + b"8" * 20
    old = decode(read_message(command(Command.LOGIN, head + b"\x02\x03" + b"abcdef")))
    new = decode(read_message(command(Command.LOGIN, head + b"\x02\x01\x02" + b"p" * 72, edition=NEW)))
    assert isinstance(old, Login)
    assert isinstance(new, Login)
    assert (old.number, old.packs) == (12, (b"abc", b"def"))
    assert new.packs == (b"p" * 24,) * 3
    assert "8888" not in repr(old)


# -------------------------------------------------------------------------------------------------------------- items


def test_values_outside_of_their_enumerations_are_kept_and_marked() -> None:
    content = reported("01 0405 07 003A 00001A0A 0064 0063 03 06 02 007B 02 03")
    values = {entry.column: entry.value for entry in content.entries}
    shown = {column: value.number for column, value in values.items() if value.mark is Mark.GOOD}
    assert {column: value.number for column, value in values.items() if value.mark is Mark.OUTSIDE} == {
        "vehicle_state": 4,
        "charge_state": 5,
        "run_mode": 7,
        "dcdc": 6,
    }
    assert shown == {
        "speed_kmh": 5.8,
        "mileage_km": 666.6,
        "voltage_V": 10.0,
        "current_A": -990.1,
        "soc_pct": 3,
        "gear_byte": 2,
        "insulation_kohm": 123,
        "accel_pct": 2,
        "brake_pct": 3,
    }
    assert row_of(content).values["fields_outside"] == 4
    assert row_of(content).values["run_mode"] == 7


def test_invalid_and_abnormal_fields_have_no_reading_and_are_counted() -> None:
    content = reported("01 ff fe 01 ffff fffffffe fffe 2710 ff fe 0f ffff fe ff")
    row = row_of(content)
    assert row.values == {
        "cmd": 2,
        "run_mode": 1,
        "current_A": 0.0,
        "gear_byte": 15,
        "fields_invalid": 5,
        "fields_abnormal": 5,
    }


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            "02 02 01 04 2e 5147 4e84 32 143d 271e 02 01 00 0000 0000 28 1388 0000",
            {"motors": 2, "motor_rpm": 807, "motor_torque_Nm": 10.0, "motor_controller_degC": 6, "motor_A": 1.4}
            | {"motor2_number": 2, "motor2_rpm": -20_000, "motor2_torque_Nm": -2000.0, "motor2_degC": 0}
            | {"motor2_V": 500.0, "motor2_A": -1000.0},
        ),
        (
            "03 0bb8 0064 0032 0002 3c 28 0320 01 0064 02 015e 03 01",
            {"fc_V": 300.0, "fc_A": 10.0, "fc_consumption_kg_100km": 0.5, "fc_probes": 2, "fc_probe1_degC": 20}
            | {"fc_probe2_degC": 0, "hydrogen_max_degC": 40.0, "hydrogen_max_degC_probe": 1}
            | {"hydrogen_max_mg_kg": 100, "hydrogen_max_MPa": 35.0, "hydrogen_pressure_sensor": 3, "fc_dcdc": 1},
        ),
        ("04 01 07d0 02bc", {"engine_state": 1, "engine_rpm": 2_000, "engine_consumption_l_100km": 7.0}),
        (
            "06 01 29 0e24 02 81 0de8 01 2f 30 01 04 2e",
            {"cell_voltage_max_number": 41, "cell_voltage_max_V": 3.62, "cell_voltage_min_pack": 2}
            | {"cell_voltage_min_V": 3.56, "temperature_max_degC": 8, "temperature_min_degC": 6},
        ),
        (
            "07 03 00000041 01 00010203 00 00 02 00000001 ffffffff",
            {"max_alarm_level": 3, "general_alarm_bits": 0x41, "battery_faults": 1, "battery_fault1_code": 0x010203}
            | {"motor_faults": 0, "other_faults": 2, "other_fault2_code": 0xFFFFFFFF},
        ),
        (
            "08 02 01 143d 272b 00d2 00c9 02 0e06 0e10 02 0fa0 0000 0001 0001 01 ea60",
            {"packs": 2, "pack_V": 518.1, "pack_A": 2.7, "cells": 210, "first_cell": 201, "cells_here": 2}
            | {"pack_cell201_V": 3.59, "pack_cell202_V": 3.6, "pack2_V": 400.0, "pack2_A": -1000.0, "cells2": 1}
            | {"pack2_cell1_V": 60.0},
        ),
        (
            "09 01 01 0003 28 00 fa",
            {"temp_probes": 3, "pack_probe1_degC": 0, "pack_probe2_degC": -40, "pack_probe3_degC": 210},
        ),
    ],
    ids=["motors", "fuel cell", "engine", "extremes", "alarms", "cells", "temperatures"],
)
def test_items_of_2016(items: str, expected: dict[str, int | float]) -> None:
    got = numbers(items)
    assert {column: got[column] for column in expected} == expected
    assert all(entry.value.mark is Mark.GOOD for entry in reported(items).entries)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            "01 02 03 01 1388 0000ea60 ea60 0000 50 02 0f 2710",
            {
                "vehicle_state": 2,
                "charge_state": 3,
                "run_mode": 1,
                "speed_kmh": 500.0,
                "mileage_km": 6_000.0,
                "voltage_V": 6_000.0,
            }
            | {"current_A": -3000.0, "soc_pct": 80, "dcdc": 2, "gear_byte": 15, "insulation_kohm": 10_000},
        ),
        (
            "02 01 01 01 50 80e8 00030dd8 5a",
            {"motors": 1, "motor_number": 1, "motor_state": 1, "motor_controller_degC": 40, "motor_rpm": 1_000}
            | {"motor_torque_Nm": 15.2, "motor_degC": 50},
        ),
        (
            "03 0050 01 2710 02 02bc 03 01 5a 3c",
            {"hydrogen_max_degC": 40, "hydrogen_max_degC_probe": 1, "hydrogen_max_pct": 1.0}
            | {"hydrogen_concentration_sensor": 2, "hydrogen_max_MPa": 70.0, "hydrogen_pressure_sensor": 3}
            | {"fc_dcdc": 1, "hydrogen_left_pct": 90, "fc_dcdc_degC": 20},
        ),
        ("04 0bb8", {"engine_rpm": 3_000}),
        (
            "05 00 02 072036a8 01eacabc",
            {"pos_flag": 0, "coordinate_system": 2, "lon_deg": 119.551656, "lat_deg": 32.16454},
        ),
        (
            "06 04 00800000 00 00 00 00 01 17 04",
            {"max_alarm_level": 4, "general_alarm_bits": 1 << 23, "battery_faults": 0, "motor_faults": 0}
            | {"engine_faults": 0, "other_faults": 0, "alarms": 1, "alarm1_bit": 23, "alarm1_level": 4},
        ),
        (
            "07 01 01 0fa0 7530 0003 0ce4 0ce5 0ce6",
            {"packs": 1, "pack_number": 1, "pack_V": 400.0, "pack_A": 0.0, "cells": 3}
            | {"pack_cell1_V": 3.3, "pack_cell2_V": 3.301, "pack_cell3_V": 3.302},
        ),
        (
            "08 02 01 0001 41 02 0001 42",
            {"temperature_packs": 2, "temperature_pack_number": 1, "temp_probes": 1, "pack_probe1_degC": 25}
            | {"temperature_pack2_number": 2, "temp_probes2": 1, "pack2_probe1_degC": 26},
        ),
        (
            "30 01 01 0bb8 07d0 05dc 03e8 3c 0002 5a 5b",
            {"stacks": 1, "stack_number": 1, "stack_V": 300.0, "stack_A": 200.0, "stack_hydrogen_kPa": 50.0}
            | {"stack_air_kPa": 0.0, "stack_air_degC": 20, "stack_probes": 2, "stack_probe1_degC": 50}
            | {"stack_probe2_degC": 51},
        ),
        (
            "31 01 1388 7594 0002 0a8c 0a8d 0001 41",
            {"capacitor_number": 1, "capacitor_V": 500.0, "capacitor_A": 10.0, "capacitor_cells": 2}
            | {"capacitor_cell1_V": 2.7, "capacitor_cell2_V": 2.701, "capacitor_probes": 1}
            | {"capacitor_probe1_degC": 25},
        ),
        (
            "32 01 0102 0a8c 02 0003 0a28 01 0004 41 02 0005 3c",
            {"capacitor_voltage_max_system": 1, "capacitor_voltage_max_number": 258, "capacitor_voltage_max_V": 2.7}
            | {"capacitor_voltage_min_system": 2, "capacitor_voltage_min_number": 3, "capacitor_voltage_min_V": 2.6}
            | {"capacitor_temperature_max_system": 1, "capacitor_temperature_max_number": 4}
            | {"capacitor_temperature_max_degC": 25, "capacitor_temperature_min_system": 2}
            | {"capacitor_temperature_min_number": 5, "capacitor_temperature_min_degC": 20},
        ),
    ],
    ids=lambda value: value[:2] if isinstance(value, str) else "",
)
def test_items_of_2025(items: str, expected: dict[str, int | float]) -> None:
    assert numbers(items, NEW) == expected
    assert all(entry.value.mark is Mark.GOOD for entry in reported(items, NEW).entries)


def test_every_item_of_both_editions_is_named_above() -> None:
    assert {item.type(OLD) for item in ITEMS} - {None} == set(range(1, 10))
    assert {item.type(NEW) for item in ITEMS} - {None} == {*range(1, 9), 0x30, 0x31, 0x32}


def test_south_and_west_are_negative_and_an_invalid_position_keeps_its_flag() -> None:
    row = row_of(reported("05 07 072036a8 01eacabc"))
    assert (row.values["lon_deg"], row.values["lat_deg"], row.values["pos_flag"]) == (-119.551656, -32.16454, 7)


def test_a_count_that_is_invalid_or_abnormal_has_no_list() -> None:
    content = reported("02 ff 08 fe 07 00 00000000 ff fe 00 00")
    assert [entry.value.mark for entry in content.entries if entry.column in ("motors", "packs")] == [
        Mark.INVALID,
        Mark.ABNORMAL,
    ]
    assert content.unread is None


@pytest.mark.parametrize(
    ("edition", "kind", "name"),
    [
        (OLD, "0A", "platform exchange"),
        (OLD, "30", "reserved"),
        (NEW, "09", "platform exchange"),
        (NEW, "33", "reserved"),
    ],
)
def test_an_unknown_item_ends_the_reading_and_is_named(edition: Edition, kind: str, name: str) -> None:
    content = reported(f"04 {'01 07d0 02bc' if edition is OLD else '07d0'} {kind} 0102030405", edition)
    assert content.unread is not None
    assert content.unread.why == f"item {kind} was not read: the layout of a {name} item is not known here"
    row = row_of(content)
    assert (row.values["engine_rpm"], row.values["incomplete"]) == (2_000, 1)


def test_user_defined_items_are_passed_over_by_their_length() -> None:
    content = reported("80 0003 010203 04 01 07d0 02bc FE 0001 09")
    assert [(item.type, item.data) for item in content.user_data] == [(0x80, b"\1\2\3"), (0xFE, b"\x09")]
    assert row_of(content).values["user_data_items"] == 2


def test_more_readings_than_a_frame_holds_are_cut_and_marked() -> None:
    cells = b"\x07\x01\x01\x0f\xa0\x75\x30" + (2_000).to_bytes(2, "big") + b"\x0c\xe4" * 2_000
    row = row_of(reported(cells.hex(), NEW))
    assert len(row.values) == MAX_READINGS + 1
    assert row.values["incomplete"] == 1
