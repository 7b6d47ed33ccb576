"""Streams of server-sent events: passed on as bytes, looked into only where usage is told.

An engine may cut its stream into pieces anywhere, so only whole events are passed on; a piece of an event
waits for its rest.
"""

import re
from typing import Any

import orjson

from gateway.proxy.names import Names

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_PIECE = re.compile(rb'"(?:content|reasoning_content|reasoning|refusal|arguments)"\s*:\s*"[^"]')
_DONE = re.compile(rb"^data:\s*\[DONE\]\s*$", re.MULTILINE)
_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")


class StreamTooStrange(Exception):
    """The backend sends something that is not a stream of events."""


class EventStream:
    """Reads one backend's stream; `usage`, `pieces` and `is_done` say what was in it so far."""

    _LARGEST_EVENT = 16 * 1024 * 1024

    def __init__(self, names: Names, *, hides_usage: bool) -> None:
        self._names = names
        self._hides_usage = hides_usage
        self._rest = b""
        self.usage: dict[str, Any] | None = None
        self.pieces = 0  # of the answer: about as many as tokens
        self.is_done = False

    def feed(self, data: bytes) -> bytes:
        """Take what came, and return what the client may have of it: whole events, without `[DONE]`.

        Raises StreamTooStrange if no end of an event comes for 16 MiB.
        """
        data = self._rest + data
        end = max(data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n"))
        if end < 0:
            if len(data) > self._LARGEST_EVENT:
                raise StreamTooStrange
            self._rest = data
            return b""
        end += 4 if data[end : end + 4] == b"\r\n\r\n" else 2
        whole, self._rest = data[:end], data[end:]
        return self._pass_on(whole)

    def end(self) -> bytes:
        """The stream is over: what is left, if a server forgot the last empty line."""
        rest, self._rest = self._rest, b""
        return self._pass_on(rest + b"\n\n") if rest.strip() else b""

    def _pass_on(self, events: bytes) -> bytes:
        done = _DONE.search(events)
        if done is not None:
            self.is_done = True
            events = events[: done.start()]
        self.pieces += len(_PIECE.findall(events))
        if _USAGE.search(events):
            events = b"".join(self._look_into(event) for event in _split(events))
        return self._names.in_events(events)

    def _look_into(self, event: bytes) -> bytes:
        """Note the usage in an event; drop an event that says nothing else and was not asked for."""
        if not _USAGE.search(event):
            return event
        data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        try:
            content = orjson.loads(data)
        except orjson.JSONDecodeError:
            return event
        if not isinstance(content, dict) or not isinstance(content.get("usage"), dict):
            return event
        self.usage = content["usage"]
        return b"" if self._hides_usage and not content.get("choices") else event


def _split(events: bytes) -> list[bytes]:
    """Single events, each with its end."""
    result, start = [], 0
    for end in _END_OF_EVENT.finditer(events):
        result.append(events[start : end.end()])
        start = end.end()
    result.append(events[start:])
    return result
