"""The operator's calls about what readings say: hourly indicators as a table, and marked readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import StreamingResponse

from capsule.ids import DeviceId
from gateway.errors import CallerError
from gateway.gateway import Gateway
from gateway.indicator_table import TableFormat
from gateway.readings import parse_time

__all__ = ["add_indicator_routes"]

_CHUNK_BYTES: Final = 1 << 18
_MEDIA: Final = {TableFormat.CSV: "text/csv", TableFormat.PARQUET: "application/vnd.apache.parquet"}
_MAX_MARKS: Final = 10_000

From = Annotated[str | None, Query(alias="from")]
To = Annotated[str | None, Query(alias="to")]


def add_indicator_routes(app: FastAPI, gateway: Gateway, operator: Callable[..., None]) -> None:
    """`operator` refuses whoever does not bear the token."""
    guard = [Depends(operator)]

    @app.get("/v1/indicators", dependencies=guard)
    def indicators(
        device: str,
        start: From = None,
        end: To = None,
        capacity: Annotated[float | None, Query(gt=0, allow_inf_nan=False)] = None,
        written_as: Annotated[TableFormat, Query(alias="format")] = TableFormat.CSV,
    ) -> StreamingResponse:
        """A device's hours in a period as CSV or Parquet. `capacity`: its nominal energy in kWh."""
        with ExitStack() as stack:
            spool = stack.enter_context(SpooledTemporaryFile(gateway.settings.max_export_bytes_in_memory))
            summary = gateway.indicators(
                DeviceId.parse(device), spool, written_as, start=_time(start), end=_time(end), capacity=capacity
            )
            spool.seek(0)
            stack.pop_all()  # the answer closes it
        told = {
            "hours": summary.hours,
            "rows": summary.rows,
            "readings": summary.readings,
            "marked-readings": summary.marked_readings,
            "unordered-rows": summary.unordered,
            "energy-in-kwh": summary.energy_in_kwh,
            "energy-out-kwh": summary.energy_out_kwh,
            "round-trip-efficiency": summary.round_trip_efficiency,
        }
        headers = {f"dataspace-{name}": f"{value:.9g}" for name, value in told.items() if value is not None}
        return StreamingResponse(_chunks(spool), media_type=_MEDIA[written_as], headers=headers)

    @app.get("/v1/marks", dependencies=guard)
    def marks(
        device: str,
        start: From = None,
        end: To = None,
        limit: Annotated[int, Query(ge=0, le=_MAX_MARKS)] = 100,
    ) -> dict[str, Any]:
        """A device's marked readings in frames of a period: how many by rule, and the first `limit` marks."""
        by_rule, found = gateway.marks(DeviceId.parse(device), limit, start=_time(start), end=_time(end))
        return {
            "marked_readings": sum(by_rule.values()),
            "by_rule": by_rule,
            "marks": [
                {
                    "sequence": mark.sequence,
                    "frame": "0x" + mark.frame.hex(),
                    "column": mark.column,
                    "rule": mark.rule,
                    "rows": mark.rows,
                    "readings": mark.readings,
                    "time": mark.time,
                    "detail": mark.detail,
                }
                for mark in found
            ],
        }


def _time(text: str | None) -> float | None:
    try:
        return None if text is None else float(parse_time(text))
    except ValueError as exc:
        raise CallerError(str(exc)) from exc


def _chunks(spool: SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    with spool:
        while chunk := spool.read(_CHUNK_BYTES):
            yield chunk
