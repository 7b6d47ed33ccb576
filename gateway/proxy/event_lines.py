"""The lines of server-sent events."""

import re
from typing import Any

from gateway.proxy.members import parse_all
from gateway.proxy.whole_answers import parse, tells_usage

LINE = re.compile(rb"\r\n|\n|\r")
USAGE = re.compile(rb'"usage\w*"\s*:\s*\{')
FINISH = re.compile(rb'"finish(?:_reason|Reason|_details)"\s*+:\s*+(?!null|""|\{\}|false)')
LARGEST_EVENT = 16 * 1024 * 1024
# Bytes of an event from which on it is long.
LONG_EVENT = 64 * 1024
# Bytes that are looked at again, since the end of an event may be cut.
_LONGEST_END = 3
# The second is what is left of "\r\n\r\n" behind its first byte.
_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")
_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")


class LongEvent:
    """The beginning of an event that comes in many reads: put together once, not once for each of them."""

    __slots__ = ("_parts", "_seam", "_size")

    def __init__(self, begun: bytes) -> None:
        self._parts = [begun]
        self._size = len(begun)
        self._seam = begun[-_LONGEST_END:]

    def may_end(self, data: bytes) -> bool:
        """Add what came. Whether the event may have an end now, or is too large."""
        self._parts.append(data)
        self._size += len(data)
        seam = self._seam + data
        self._seam = seam[-_LONGEST_END:]
        return self._size > LARGEST_EVENT or any(seam.find(end) >= 0 for end in _ENDS)

    @property
    def whole(self) -> bytes:
        """All that came of it."""
        return b"".join(self._parts)


def parsed(data: bytes) -> Any:
    """An event's JSON; with repeated members if it may report usage. Raises ValueError."""
    return parse_all(data) if tells_usage(data) else parse(data)


def is_only_usage(content: Any) -> bool:
    """Whether an event reports usage and has no choices."""
    return isinstance(content, dict) and not content.get("choices") and isinstance(content.get("usage"), dict)


def is_json(line: bytes) -> bool:
    """Whether a line is JSON as servers write it."""
    try:
        parse(line)
    except ValueError:
        return False
    return True


def data_of(event: bytes) -> bytes:
    """The data of an event; empty if it has none."""
    return b"\n".join([line[5:].strip() for line in LINE.split(event) if line.startswith(b"data:")])


def is_half(event: bytes) -> bool:
    """Whether the connection broke in the middle of this event: its data begin like an object but are not one."""
    data = b"".join(line[5:].strip() for line in LINE.split(event) if line.startswith(b"data:"))
    if not data.startswith(b"{"):
        return False
    try:
        parse(data)
    except ValueError:
        return True
    return False


def split_events(events: bytes) -> list[bytes]:
    """Single events, each with its terminator."""
    result, start = [], 0
    for end in _END_OF_EVENT.finditer(events):
        result.append(events[start : end.end()])
        start = end.end()
    result.append(events[start:])
    return result


def end_of_texts(events: bytes) -> int:
    """Where the first event begins that ends a choice or the stream, or reports usage; 0 for none, or the first."""
    first = events.find(b"[DONE]")
    if events.find(b'"finish') >= 0 and (found := FINISH.search(events)):
        first = found.start() if first < 0 else min(first, found.start())
    if events.find(b'"usage') >= 0 and (found := USAGE.search(events)):
        first = found.start() if first < 0 else min(first, found.start())
    if first <= 0:
        return 0
    end = max(events.rfind(b"\n\n", 0, first) + 2, events.rfind(b"\n\r\n", 0, first) + 3)
    return end if end > 3 else 0
