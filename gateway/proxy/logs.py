"""JSON lines on standard output. They never contain a secret, a prompt or an answer."""

import asyncio
import atexit
import logging
import os
import select
import sys
from collections import deque
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

# How long a line about a call waits for others, to be written with them; and how many wait at most.
_GATHER_SECONDS = 0.05
_MOST_WAITING = 8


def _write(text: bytes) -> None:
    """Write to standard output, without ever making a call fail: what cannot be written (disk full) is lost."""
    try:
        os.write(sys.stdout.fileno(), text)
    except (OSError, ValueError):
        return


class _Output:
    """Writes each line at once, after the lines about calls that wait."""

    def msg(self, line: bytes) -> None:
        lines.flush()
        _write(line + b"\n")

    debug = info = warning = error = critical = exception = log = msg


class _Lines:
    """Lines about each call: without the steps of structlog, only from level info, and several in one write.

    `add` is called in the event loop, `flush` by any thread.
    """

    def __init__(self) -> None:
        self.gateway_id = ""
        # 0: there is only one.
        self.worker = 0
        self._waiting: deque[bytes] = deque()
        self._is_due = False
        self.is_on = False

    def configure(self, level: str, gateway_id: str, worker: int) -> None:
        self.gateway_id, self.worker = gateway_id, worker
        self.is_on = level in ("debug", "info")

    def add(self, line: bytes) -> None:
        """Write a line of JSON within 50 ms. Ask `is_on` first."""
        self._waiting.append(line)
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._flush_late)

    def flush(self) -> None:
        """Write the lines that wait. No write is so long that a pipe would mix it with another worker's."""
        text = b""
        while self._waiting:
            try:
                line = self._waiting.popleft()
            except IndexError:  # another thread took it
                break
            if text and len(text) + len(line) >= select.PIPE_BUF:
                _write(text)
                text = b""
            text += line + b"\n"
        if text:
            _write(text)

    def _flush_late(self) -> None:
        self._is_due = False
        self.flush()


lines = _Lines()


def configure_logging(level: str, gateway_id: str, worker: int = 0) -> None:
    """Set the format of all log lines of this process. `worker` is its number if there are several."""

    def name_gateway(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["gateway"] = gateway_id
        if worker:
            line.setdefault("worker", worker)
        return line

    lines.configure(level, gateway_id, worker)
    atexit.register(lines.flush)
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
