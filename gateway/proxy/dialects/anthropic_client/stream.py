"""Chat completion chunks as a stream of Messages events, event by event."""

from typing import Any

from gateway.proxy.dialects.anthropic_client.answer import (
    beginning,
    call_name,
    calls_in,
    messages_usage,
    stop_reason,
    thoughts_in,
    words_in,
)
from gateway.proxy.dialects.anthropic_client.errors import error_event
from gateway.proxy.dialects.common import EventReader, Identity, parse_exactly
from gateway.proxy.usage import Reported, read_usage
from gateway.proxy.whole_answers import dumped, tells_usage

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_BROKE_OFF = "The model stopped in the middle of its answer. Try again."


class _Block:
    """One content block. Pieces wait in it until it is its turn."""

    __slots__ = ("id", "kind", "name", "number", "pieces")

    def __init__(self, kind: str, number: int = 0) -> None:
        self.kind = kind
        # Of a tool call: its number in the chunks, its id, and its name.
        self.number = number
        self.id = self.name = ""
        self.pieces: list[str] = []


class ChunksToMessages:
    """Translates one stream as `gateway.proxy.streaming.EventStream` returns it: whole events with public names.

    Messages events have one open block at a time, chunks may mix them. So the first call of a tool is passed on piece
    by piece; whatever comes beside it waits for the end, when its arguments are known to be complete.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._reader = EventReader()
        self._is_begun = self._is_over = False
        # The open block, and whether its beginning was sent; a call waits for its name.
        self._open: _Block | None = None
        self._is_open_sent = False
        self._waiting: list[_Block] = []
        self._index = 0
        self._tools = 0
        self._choice: dict[str, Any] = {}
        self._reported: Reported | None = None

    def feed(self, data: bytes) -> bytes:
        """The events for the chunks in what was received; a ping for a chunk that has to wait.

        Raises StreamTooStrange if an event does not end within 16 MiB.
        """
        return b"".join(map(self._translate, self._reader.feed(data)))

    def end(self) -> bytes:
        """The end of the message: its last blocks, why it stopped, its usage. Empty if nothing has begun."""
        last = b"".join(map(self._translate, self._reader.end()))
        if not self._is_begun or self._is_over:
            return last
        self._is_over = True
        last += self._close()
        for block in self._waiting:
            self._open, self._is_open_sent = block, False
            last += self._send_open(is_last=True) + self._close()
        reason, sequence = stop_reason(self._choice, has_tools=self._tools > 0)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        last += _event("message_delta", delta=delta, usage=messages_usage(self._reported))
        return last + _event("message_stop")

    def fail(self, status: int, message: str) -> bytes:
        """The last event of a stream that failed; nothing follows. Empty if the message has ended already."""
        if self._is_over:
            return b""
        self._is_over = True
        return error_event(status, message, self._identity.call_id)

    def _translate(self, data: bytes) -> bytes:
        if self._is_over or data == b"[DONE]":
            return b""
        if not data:
            return PING if self._is_begun else b":\n\n"
        try:
            chunk = parse_exactly(data)
        except ValueError:
            return b""
        if not isinstance(chunk, dict):
            return b""
        if isinstance(chunk.get("error"), dict):
            told = chunk["error"].get("message")
            return self.fail(500, told if isinstance(told, str) else _BROKE_OFF)
        if tells_usage(data):
            self._note_usage(chunk)
        choices = chunk.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(first, dict) or first.get("index", 0) not in (0, "0"):
            return b""
        begun = b""
        if not self._is_begun:
            self._is_begun = True
            begun = _event("message_start", message=beginning(self._identity))
        delta = first.get("delta")
        if not delta and self._open is None:
            # Some servers send the whole message at the end: nothing new after pieces of it.
            delta = first.get("message")
        events = self._take(delta) if isinstance(delta, dict) else b""
        if first.get("finish_reason"):
            self._choice = first
        return begun + events

    def _note_usage(self, chunk: dict[str, Any]) -> None:
        reported = read_usage(chunk)
        if reported is None:
            return
        if self._reported is None:
            self._reported = reported
        else:
            self._reported.merge(reported)

    def _take(self, delta: dict[str, Any]) -> bytes:
        events = b""
        if thoughts := thoughts_in(delta):
            events += self._words("thinking", thoughts)
        if words := words_in(delta):
            events += self._words("text", words)
        for call in calls_in(delta):
            events += self._call(call)
        return events or (PING if self._waiting else b"")

    def _words(self, kind: str, words: str) -> bytes:
        if self._open is not None and self._open.kind == "tool_use":
            if not self._waiting or self._waiting[-1].kind != kind:
                self._waiting.append(_Block(kind))
            self._waiting[-1].pieces.append(words)
            return b""
        closed = b""
        if self._open is None or self._open.kind != kind:
            closed = self._close()
            self._open, self._is_open_sent = _Block(kind), False
        self._open.pieces.append(words)
        return closed + self._send_open()

    def _call(self, call: dict[str, Any]) -> bytes:
        # `gateway.proxy.tool_numbers` has numbered those in deltas.
        number = call.get("index", self._tools)
        block = next((one for one in self._calls() if one.number == number), None)
        events = b""
        if block is None:
            block = _Block("tool_use", number)
            block.id = call_name(call, self._tools, self._identity)
            self._tools += 1
            if self._open is not None and self._open.kind == "tool_use":
                self._waiting.append(block)
            else:
                events = self._close()
                self._open, self._is_open_sent = block, False
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        if isinstance(function.get("name"), str) and not block.name:
            block.name = function["name"]
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = dumped(arguments).decode()
        if isinstance(arguments, str) and arguments:
            block.pieces.append(arguments)
        return events + self._send_open() if block is self._open else events

    def _calls(self) -> list[_Block]:
        return [one for one in (self._open, *self._waiting) if one is not None and one.kind == "tool_use"]

    def _send_open(self, *, is_last: bool = False) -> bytes:
        """What is new of the open block: its beginning, and its pieces as one."""
        block = self._open
        if block is None or (block.kind == "tool_use" and not block.name and not is_last):
            return b""
        events = b""
        if not self._is_open_sent:
            self._is_open_sent = True
            events = _event("content_block_start", index=self._index, content_block=_begun(block))
        piece = "".join(block.pieces)
        block.pieces.clear()
        if piece:
            events += _event("content_block_delta", index=self._index, delta=_delta(block.kind, piece))
        return events

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        events = self._send_open(is_last=True)
        self._open = None
        self._index += 1
        return events + _event("content_block_stop", index=self._index - 1)


def _begun(block: _Block) -> dict[str, Any]:
    if block.kind == "tool_use":
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
    if block.kind == "thinking":
        # Only Anthropic signs thoughts.
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _delta(kind: str, piece: str) -> dict[str, Any]:
    if kind == "tool_use":
        return {"type": "input_json_delta", "partial_json": piece}
    if kind == "thinking":
        return {"type": "thinking_delta", "thinking": piece}
    return {"type": "text_delta", "text": piece}


def _event(kind: str, **members: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + dumped({"type": kind, **members}) + b"\n\n"
