"""The buyer's question, fitted to the columns that a device has: energy by the hour, or else means by the hour."""

from collections.abc import Sequence
from dataclasses import dataclass

from capsule.algorithm import Algorithm
from scripts.algorithm import sql_algorithm

__all__ = ["Question", "question_for"]

POWER_COLUMNS = ("M5BAT_P", "P_AC", "power", "p_ac")


@dataclass(frozen=True, slots=True)
class Question:
    """SQL over the table `readings`, its manifest, and the parameters of a run."""

    sql: str
    algorithm: Algorithm
    parameters: dict[str, float]


def question_for(time_column: str, columns: Sequence[str], step_seconds: float) -> Question:
    """Hourly energy charged and discharged and round-trip efficiency where there is a power column (kW, discharge
    positive); else the mean and extremes of the first column. The last row is the whole period."""
    hour = f"date_trunc('hour', \"{time_column}\")"
    power = next((name for name in POWER_COLUMNS if name in columns), None)
    if power is not None:
        sql = f"""SELECT {hour} AS hour,
       sum(greatest(-"{power}", 0)) * $step_seconds / 3600 AS charged_kwh,
       sum(greatest("{power}", 0)) * $step_seconds / 3600 AS discharged_kwh,
       sum(greatest("{power}", 0)) / nullif(CAST(sum(greatest(-"{power}", 0)) AS DOUBLE), 0) AS round_trip_efficiency,
       count(*) AS group_size
FROM readings
GROUP BY ROLLUP ({hour})
ORDER BY ALL NULLS LAST"""  # noqa: S608 - the names are this demo's own columns, and the runtime checks the statement
        output = ["hour:time", "charged_kwh:number", "discharged_kwh:number", "round_trip_efficiency:number"]
        manifest = sql_algorithm(
            sql, [*output, "group_size:integer"], ["step_seconds:number"], "group_size", deterministic=True
        )
        return Question(sql, manifest, {"step_seconds": step_seconds})
    first = columns[0]
    sql = f"""SELECT {hour} AS hour,
       CAST(avg("{first}") AS DOUBLE) AS mean,
       CAST(min("{first}") AS DOUBLE) AS least,
       CAST(max("{first}") AS DOUBLE) AS most,
       count(*) AS group_size
FROM readings
GROUP BY ROLLUP ({hour})
ORDER BY ALL NULLS LAST"""  # noqa: S608
    output = ["hour:time", "mean:number", "least:number", "most:number", "group_size:integer"]
    return Question(sql, sql_algorithm(sql, output, (), "group_size", deterministic=True), {})
