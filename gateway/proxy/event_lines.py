"""The lines of server-sent events."""

import re

from gateway.proxy.whole_answers import parse

LINE = re.compile(rb"\r\n|\n|\r")
_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")


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
