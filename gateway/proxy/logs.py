"""JSON lines on standard output. They never contain a secret, a prompt or an answer."""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog


class _Output:
    """Standard output that never makes a call fail: a line that cannot be written (disk full) is lost."""

    def msg(self, line: bytes) -> None:
        try:
            os.write(sys.stdout.fileno(), line + b"\n")
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = exception = log = msg


def configure_logging(level: str, gateway_id: str, worker: int = 0) -> None:
    """Set the format of all log lines of this process. `worker` is its number if there are several."""

    def name_gateway(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["gateway"] = gateway_id
        if worker:
            line.setdefault("worker", worker)
        return line

    structlog.configure(
        processors=[
            name_gateway,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line, default=str)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: _Output(),
        cache_logger_on_first_use=True,
    )
