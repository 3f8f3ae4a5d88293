"""Structured logs: one JSON object a line on standard error. What is logged holds no readings and no secrets."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Final

__all__ = ["JsonLines", "log_as_json"]

_LOGGERS: Final = ("dataspace", "uvicorn")
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`, what the call gave as `extra`, and the `error` with its trace."""

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        content |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info is not None and record.exc_info[0] is not None:
            content["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
            content["trace"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False, default=str)


def log_as_json(level: int = logging.INFO) -> None:
    """Turns the logs of this process into JSON lines on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
