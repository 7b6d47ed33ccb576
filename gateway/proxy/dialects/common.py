"""What both directions share: refusals by name, the identity of an answer, and framing of events."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.proxy.body import parse as parse_once
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.event_lines import LARGEST_EVENT, LONG_EVENT, LongEvent
from gateway.proxy.streaming import StreamTooStrange
from gateway.proxy.whole_answers import dumped, parse

# Levels of a tool's arguments.
_DEEPEST = 128
_BOM = b"\xef\xbb\xbf"
# A number that the fast reader may round.
_LONG_NUMBER = re.compile(rb"\d{16}")
_TOOL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Identity(msgspec.Struct, frozen=True, gc=False):
    """What an answer says about itself: nothing of it comes from the backend."""

    # The call's id, without a prefix; letters, digits, `-` and `_`.
    call_id: str
    # The model's public name.
    model: str
    created: int  # seconds since 1970


def untranslatable(path: str, why: str) -> Refusal:
    """400 naming a part of a call that the backend's API has no equal for. `why` goes on after the path."""
    return bad_request(f"`{path}` {why}", code="unsupported_parameter", param=path)


def malformed(path: str, must: str) -> Refusal:
    """400 naming a part of a call that its own API does not allow. `must` goes on after the path."""
    return bad_request(f"`{path}` must {must}.", param=path)


def check_idle(call: Mapping[str, Any], name: str, idle: tuple[Any, ...]) -> None:
    """Refuse a field by name (400) unless its value is one of `idle`, with which it asks for nothing.

    True and 1 differ, 0 and 0.0 do not.
    """
    value = call[name]
    if any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in idle):
        return
    default = f" other than `{dumped(idle[0]).decode()}`" if idle else ""
    raise untranslatable(name, f"is not available for this model{default}. Omit it, or choose another model.")


def tool_id(given: str) -> str:
    """The id of a tool call in a form that every API takes: unchanged if possible, else the same for the same id."""
    if _TOOL_ID.fullmatch(given):
        return given
    return "call_" + hashlib.sha256(b"tool call " + given.encode(errors="replace")).hexdigest()[:24]


def object_in(text: str) -> dict[str, Any] | None:
    """A JSON object, with integers of any size; None if the text is anything else, or nested too deeply."""
    try:
        built = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(built, dict):
        return None
    level: list[Any] = [built]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return built
    return None


def call_in(raw: bytes) -> dict[str, Any]:
    """A client's call, with integers of any size. `raw` was read as a `gateway.proxy.body.Body` before.

    Raises Refusal (400) if it is no object, or if an object in it has two members of one name.
    """
    call = parse_once(raw, "body")
    if not isinstance(call, dict):
        raise malformed("body", "be a JSON object")
    if _LONG_NUMBER.search(raw) is None:
        return call
    exact: dict[str, Any] = json.loads(raw)
    return exact


def parse_exactly(data: bytes) -> Any:
    """JSON as servers write it, with integers of any size. Raises ValueError."""
    if _LONG_NUMBER.search(data) is None:
        return parse(data)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return parse(data)


def _no_number(word: str) -> None:
    raise ValueError(word)


class EventReader:
    """Finds the data of server-sent events, wherever the reads are cut and whatever ends the lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._long: LongEvent | None = None
        # The last read ended with a carriage return, whose line feed may follow.
        self._is_cut = False

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that is now whole, in order; empty for a comment, which keeps a connection alive.

        Raises StreamTooStrange if an event does not end within 16 MiB.
        """
        if self._is_cut and data:
            data = data.removeprefix(b"\n")
            self._is_cut = False
        if b"\r" in data:
            self._is_cut = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._long is not None:
            if not self._long.may_end(data):
                return []
            self._rest, self._long, data = self._long.whole, None, b""
        whole = self._rest + data
        if b"\n\n" not in whole:
            if len(whole) > LARGEST_EVENT:
                raise StreamTooStrange
            self._rest, self._long = whole, LongEvent(whole) if len(whole) >= LONG_EVENT else None
            return []
        *events, self._rest = whole.split(b"\n\n")
        return [
            found for event in events if (found := _data_of(event)) or event.lstrip(b"\n").startswith(b":")
        ]

    def end(self) -> list[bytes]:
        """The data of the last event, if a server omits the last empty line."""
        rest, self._rest = self._long.whole if self._long is not None else self._rest, b""
        found = _data_of(rest)
        return [found] if found else []


def _data_of(event: bytes) -> bytes:
    lines = event.strip(b"\n").removeprefix(_BOM).split(b"\n")
    found = b"\n".join([line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")])
    if not found and lines[0].startswith(b"{"):
        # Plain JSON instead of an event.
        return b"\n".join(lines)
    return found
