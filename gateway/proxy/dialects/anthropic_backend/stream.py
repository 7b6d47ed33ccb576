"""A stream of a Messages backend as chat completion chunks, event by event."""

from typing import Any

from gateway.proxy.dialects.anthropic_backend.answer import finish_reason
from gateway.proxy.dialects.anthropic_backend.errors import chat_error
from gateway.proxy.dialects.anthropic_backend.thinking import redacted_block, thinking_block
from gateway.proxy.dialects.anthropic_backend.usage import AnthropicUsage
from gateway.proxy.dialects.common import EventReader, Identity, parse_exactly
from gateway.proxy.whole_answers import dumped


class _Block:
    """A content block that has begun and not ended."""

    __slots__ = ("begun", "characters", "input", "kind", "signature", "tool")

    def __init__(self, block: dict[str, Any], tool: int) -> None:
        self.kind = block.get("type")
        # Of thoughts.
        self.characters = 0
        self.signature = _text(block, "signature")
        # Of a tool call: its number among them, its whole input if the block began with it, and whether a part of its
        # arguments has come.
        self.tool = tool
        self.input = block.get("input") or {}
        self.begun = False


class MessagesToChunks:
    """Translates one backend's stream; what it returns is for `gateway.proxy.streaming.EventStream`.

    The usage comes once, in an event without choices before `[DONE]`, as OpenAI sends it. `usage_so_far` has it
    earlier, for a call that does not come to its end.
    """

    def __init__(self, identity: Identity) -> None:
        self._reader = EventReader()
        head = dumped({
            "id": f"chatcmpl-{identity.call_id}",
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": identity.model,
        })  # fmt: skip
        # Everything before the choices, which is the same in every event.
        self._head = b"data: " + head[:-1]
        self._usage = AnthropicUsage()
        self._blocks: dict[int, _Block] = {}
        self._tools = 0
        # Thoughts so far, signed or not.
        self._thoughts = 0
        # It has said why it ends.
        self._is_finished = False
        self._is_over = False
        self._is_failed = False

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """OpenAI's usage so far: from the first event on, that of the prompt. None: nothing was reported."""
        return self._usage.for_chat(is_whole=self._is_finished) if self._usage.is_told else None

    def feed(self, data: bytes) -> bytes:
        """The chunks for the whole events in what was received. Nothing follows an error.

        Raises StreamTooStrange if an event does not end within 16 MiB.
        """
        return b"".join(map(self._translate, self._reader.feed(data)))

    def end(self) -> bytes:
        """The rest at the end of the stream: the last event if its end is missing, and the usage if it was not sent."""
        rest = b"".join(map(self._translate, self._reader.end()))
        return rest + (b"" if self._is_over or self._is_failed else self._usage_event())

    def _translate(self, data: bytes) -> bytes:
        if self._is_failed or self._is_over:
            return b""
        if not data:
            return b":\n\n"
        try:
            event = parse_exactly(data)
        except ValueError:
            # No event of any dialect: `EventStream` decides.
            return b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "ping":
            return b":\n\n"
        if kind == "error" or (isinstance(event, dict) and event.get("error")):
            self._is_failed = True
            return b"data: " + dumped(chat_error(event)) + b"\n\n"
        if not isinstance(kind, str):
            return b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
        return self._step(kind, event)

    def _step(self, kind: str, event: dict[str, Any]) -> bytes:
        """What an event about the course of the answer becomes; events of kinds that are not known become nothing."""
        if kind == "message_start":
            message = event.get("message")
            self._usage.note(message.get("usage") if isinstance(message, dict) else None)
            return self._chunk({"role": "assistant", "content": ""})
        if kind == "content_block_start":
            return self._begin(event)
        if kind == "content_block_stop":
            return self._close(_index(event))
        if kind == "message_delta":
            self._usage.note(event.get("usage"))
            delta = event.get("delta")
            reason = finish_reason(delta.get("stop_reason") if isinstance(delta, dict) else None)
            self._is_finished = self._is_finished or bool(reason)
            return self._chunk({}, reason) if reason else b""
        if kind == "message_stop":
            last = self._usage_event()
            self._is_over = True
            return last + b"data: [DONE]\n\n"
        return b""

    def _begin(self, event: dict[str, Any]) -> bytes:
        begun = event.get("content_block")
        if not isinstance(begun, dict):
            return b""
        block = _Block(begun, self._tools)
        self._blocks[_index(event)] = block
        if block.kind == "text":
            return self._words("content", _text(begun, "text"))
        if block.kind == "thinking":
            return self._think(block, _text(begun, "thinking"))
        if block.kind == "redacted_thinking":
            self._thoughts += 1
            return self._chunk({
                "thinking_blocks": [redacted_block(self._thoughts - 1, _text(begun, "data"))]
            })  # fmt: skip
        if block.kind == "tool_use":
            self._tools += 1
            function = {"name": begun.get("name"), "arguments": ""}
            call = {"index": block.tool, "id": begun.get("id"), "type": "function", "function": function}
            return self._chunk({"tool_calls": [call]})
        return b""

    def _delta(self, event: dict[str, Any]) -> bytes:
        block, delta = self._blocks.get(_index(event)), event.get("delta")
        if block is None or not isinstance(delta, dict):
            return b""
        kind = delta.get("type")
        if kind == "text_delta":
            return self._words("content", _text(delta, "text"))
        if kind == "thinking_delta":
            return self._think(block, _text(delta, "thinking"))
        if kind == "signature_delta":
            block.signature = _text(delta, "signature")
        elif kind == "input_json_delta" and block.kind == "tool_use":
            return self._argue(block, _text(delta, "partial_json"))
        return b""

    def _close(self, index: int) -> bytes:
        block = self._blocks.pop(index, None)
        if block is None:
            return b""
        if block.kind == "tool_use" and not block.begun:
            return self._argue(block, dumped(block.input).decode())
        if block.kind == "thinking":
            signed = thinking_block(self._thoughts, block.characters, block.signature)
            self._thoughts += 1
            return self._chunk({"thinking_blocks": [signed]})
        return b""

    def _think(self, block: _Block, words: str) -> bytes:
        block.characters += len(words)
        return self._words("reasoning_content", words)

    def _argue(self, block: _Block, arguments: str) -> bytes:
        if not arguments:
            return b""
        block.begun = True
        return self._chunk({"tool_calls": [{"index": block.tool, "function": {"arguments": arguments}}]})

    def _words(self, name: str, words: str) -> bytes:
        return self._chunk({name: words}) if words else b""

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        end = b"null" if reason is None else dumped(reason)
        return (
            self._head
            + b',"choices":[{"index":0,"delta":'
            + dumped(delta)
            + b',"finish_reason":'
            + end
            + b"}]}\n\n"
        )

    def _usage_event(self) -> bytes:
        if not self._usage.is_told or not self._is_finished:
            return b""
        return self._head + b',"choices":[],"usage":' + dumped(self._usage.for_chat()) + b"}\n\n"


def _text(place: dict[str, Any], name: str) -> str:
    value = place.get(name)
    return value if isinstance(value, str) else ""


def _index(event: dict[str, Any]) -> int:
    """Which block an event is about; servers that send one block at a time may omit it."""
    index = event.get("index")
    return index if type(index) is int else 0
