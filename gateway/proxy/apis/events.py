"""Streams of typed events: transcripts, speech and pictures as they are made."""

import re
from typing import Any

import orjson

from gateway.contract import Usage
from gateway.proxy.answer_errors import FailedAnswer, error_in
from gateway.proxy.apis.counting import MEMBERS, UNREADABLE, Told, counted_so_far, told_by
from gateway.proxy.client_answers import ClientStream
from gateway.proxy.index import Route
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.streaming import StreamTooStrange
from gateway.proxy.unit_requests import UnitRequest
from gateway.proxy.usage import tier_in

_END = re.compile(rb"\r?\n\r?\n")
# Bytes of a mark that is not complete.
_LONGEST_END = 3
_LARGEST_EVENT = 32 * 1024 * 1024
_EVENT_NAME = re.compile(rb"[a-z_.-]{1,60}")
# Members with what a model made; nothing in them is changed.
WORDS = frozenset((
    "text", "delta", "audio", "b64_json", "segments", "words", "logprobs", "language", "languages", "results", "data",
    "revised_prompt", "speaker", "type", "task",
))  # fmt: skip


class TypedEvents(ClientStream):
    """One backend's stream of JSON events, each with a `type`; or of a chat's chunks, as vLLM sends transcripts."""

    def __init__(self, parsed: UnitRequest, names: Names, *, ends: frozenset[str], output: str) -> None:
        """Args:
        parsed: the call.
        names: puts the public name into events.
        ends: types of events that end an answer.
        output: the kind of the tokens of the answer.
        """
        super().__init__(names, hides_usage=False, choices=parsed.inputs)
        self._parsed = parsed
        self._ends = ends
        self._output = output
        self._told = Told()
        self._ended = 0
        self._is_over = False
        self._has_mark = False
        # What has come of the next event, its size, and its last bytes.
        self._pieces: list[bytes] = []
        self._size = 0
        self._tail = b""

    @property
    def is_finished(self) -> bool:
        is_ended = self._ended >= self._choices or (self._is_over and self._ended > 0)
        return is_ended and self.has_begun

    @property
    def is_certain(self) -> bool:
        return True

    @property
    def may_bring_more(self) -> bool:
        return not self.is_done

    @property
    def is_usage_known(self) -> bool:
        return self._told != Told()

    @property
    def has_begun(self) -> bool:
        # There may be no words to write down, but no sound and no picture is no answer.
        return bool(self.delivered.pieces or (self._ended and self._output == "output"))

    def feed(self, data: bytes) -> bytes:
        self._pieces.append(data)
        self._size += len(data)
        # A picture comes in many pieces: only the newest is searched.
        newest = self._tail + data
        self._tail = newest[-_LONGEST_END:]
        if b"\n\n" not in newest and b"\n\r\n" not in newest:
            if self._size > _LARGEST_EVENT:
                raise StreamTooStrange
            return b""
        whole, passed, start = b"".join(self._pieces), [], 0
        for end in _END.finditer(whole, len(whole) - len(newest)):
            passed.append(self._pass_one(whole[start : end.start()]))
            start = end.end()
        self._pieces, self._size = [whole[start:]], len(whole) - start
        return b"".join(passed)

    def end(self) -> bytes:
        rest = b"".join(self._pieces)
        # Some servers omit the last empty line; an event that is cut off is no JSON.
        passed = self._pass_one(rest) if rest.rstrip().endswith((b"}", b"[DONE]")) else b""
        self._is_over = True
        return passed

    def last_words(self) -> bytes:
        return b"data: [DONE]\n\n" if self._has_mark else b""

    def counted(self, parsed: ParsedRequest, route: Route, *, is_failed: bool) -> tuple[Usage, bool]:
        usage, is_exact = counted_so_far(
            self._call(), self._told, self.delivered, self._output, is_failed=is_failed
        )
        return usage, is_exact and (self.is_finished or self._told == Told())

    def _call(self) -> UnitRequest:
        """The call, with its own usage if nothing is told."""
        return self._parsed

    def _pass_one(self, event: bytes) -> bytes:
        return self._look_into(event) if self.error is None and not self.is_done else b""

    def _look_into(self, event: bytes) -> bytes:
        """One event for the client; empty for a comment, the mark of the end, and an error."""
        lines = event.splitlines()
        data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
        name = next((line[6:].strip() for line in lines if line.startswith(b"event:")), b"")
        if not data:
            return b""
        if data == b"[DONE]":
            self._has_mark = True
            self.is_done = self._is_over = True
            return b""
        try:
            content = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.error = FailedAnswer(502, data.decode(errors="replace"))
            return b""
        failed = error_in(content, is_error=name == b"error")
        if failed is not None or not isinstance(content, dict):
            self.error = failed or FailedAnswer(502, reason="an event that is no object")
            return b""
        try:
            passed = b"data: " + self._names.in_answer(data, WORDS) + b"\n\n"
        except UNREADABLE:
            self.error = FailedAnswer(502, reason="an event that not every reader reads")
            return b""
        self._note(content, data)
        return b"event: " + name + b"\n" + passed if _EVENT_NAME.fullmatch(name) else passed

    def _note(self, content: dict[str, Any], data: bytes) -> None:
        told = told_by(data, MEMBERS.decode(data)) if b'"usage"' in data else Told()
        if told != Told():
            self._told = told
        self.service_tier = tier_in(content) or self.service_tier
        for name in ("delta", "text"):
            self._add(content.get(name))
        if isinstance(content.get("audio"), str):
            self.delivered.pieces += 1
            self.delivered.sound += len(content["audio"])
        if isinstance(content.get("b64_json"), str) or isinstance(content.get("url"), str):
            self.delivered.pieces += 1
            self.delivered.images += 1
        choices = content.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                delta = choice.get("delta")
                self._add(delta.get("content") if isinstance(delta, dict) else None)
                self._ended += bool(choice.get("finish_reason"))
        if str(content.get("type")) in self._ends:
            self._ended += 1
            # Otherwise its usage may follow.
            self.is_done = self.is_finished and told != Told()

    def _add(self, text: Any) -> None:
        if isinstance(text, str) and text:
            self.delivered.pieces += 1
            self.delivered.bytes += len(text.encode(errors="replace"))
