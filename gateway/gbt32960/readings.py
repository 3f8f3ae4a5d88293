"""A vehicle's message as a row of readings: the columns of `gateway.gbt32960.items`, and what reading it showed.

Fields marked invalid or abnormal have no reading, as a missing one has none; they are counted. A number outside its
range stays. The VIN, the ICCID, battery codes and user-defined bytes are no readings.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from capsule.rows import Reading, Row
from gateway.gbt32960.fields import Mark
from gateway.gbt32960.frame import Command
from gateway.gbt32960.message import Login, Logout, Report

__all__ = ["MAX_READINGS", "row_of"]

MAX_READINGS: Final = 1_000
"""A frame holds 1,024 columns; a report with more keeps its first ones, and is marked incomplete."""

_SOUTH: Final = 0x02
_WEST: Final = 0x04


def row_of(content: Login | Logout | Report, *, verified: bool = False) -> Row:
    """The row of a message. `verified`: the vehicle's own signature held."""
    match content:
        case Login():
            return Row(content.time, {"cmd": int(Command.LOGIN), "login_number": content.number})
        case Logout():
            return Row(content.time, {"cmd": int(Command.LOGOUT), "login_number": content.number})
    values: dict[str, Reading] = {"cmd": int(Command.RESENT if content.resent else Command.REALTIME)}
    marks: Counter[str] = Counter()
    incomplete = content.unread is not None
    for entry in content.entries:
        column, value = entry.column, entry.value
        if value.mark is not Mark.GOOD:
            marks[f"fields_{value.mark}"] += 1
        if value.number is None:
            continue
        if column in values:
            marks["fields_repeated"] += 1  # the first one counts
        elif len(values) >= MAX_READINGS:
            incomplete = True
        else:
            values[column] = value.number
    for column, bit in (("lat_deg", _SOUTH), ("lon_deg", _WEST)):
        if column in values and int(values.get("pos_flag", 0)) & bit:
            values[column] = -values[column]
    values |= marks
    if content.user_data:
        values["user_data_items"] = len(content.user_data)
    if content.signature is not None:
        values["vehicle_signature"] = int(verified)
    if incomplete:
        values["incomplete"] = 1
    return Row(content.time, values)
