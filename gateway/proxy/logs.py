"""JSON lines on standard output. They never contain a secret, a prompt or an answer."""

import logging
import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog

from gateway.proxy.ids import rfc3339


class _Output:
    """Standard output that never makes a call fail: a line that cannot be written (disk full) is lost."""

    def msg(self, line: bytes) -> None:
        try:
            os.write(sys.stdout.fileno(), line + b"\n")
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = exception = log = msg


class _Lines:
    """Lines that are written with every call: without the steps of structlog, and only from level info."""

    def __init__(self) -> None:
        self._source: dict[str, Any] = {}
        self._output = _Output()
        self.is_on = False

    def configure(self, level: str, gateway_id: str, worker: int) -> None:
        self._source = {"gateway": gateway_id, **({"worker": worker} if worker else {})}
        self.is_on = level in ("debug", "info")

    def info(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write a line, as `structlog.get_logger().info(event, **fields)` would."""
        if self.is_on:
            line = {"event": event, "level": "info", **self._source, **fields}
            self._output.msg(orjson.dumps({**line, "timestamp": rfc3339(time.time())}, default=str))


lines = _Lines()


def configure_logging(level: str, gateway_id: str, worker: int = 0) -> None:
    """Set the format of all log lines of this process. `worker` is its number if there are several."""

    def name_gateway(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["gateway"] = gateway_id
        if worker:
            line.setdefault("worker", worker)
        return line

    lines.configure(level, gateway_id, worker)
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
