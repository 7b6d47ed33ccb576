"""A stream of the Responses API: typed events, passed on as they come, and the last one when the call is on record."""

import re
from typing import Any

import orjson

from gateway.proxy.answer_errors import FailedAnswer, error_in
from gateway.proxy.client_answers import ClientStream
from gateway.proxy.dialects.common import Identity
from gateway.proxy.event_lines import data_of, split_events
from gateway.proxy.index import Backend
from gateway.proxy.members import parse_all
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.responses.answer import complete, delivered_of, names_of
from gateway.proxy.responses.names import ResponseNames
from gateway.proxy.usage import Reported, read_usage, tier_in
from gateway.proxy.whole_answers import dumped, parse

_LAST = ("response.completed", "response.incomplete")
_FAILED = ("error", "response.failed", "response.error", "response.cancelled")
_DONE = b"[DONE]"
# It becomes a line of its own in the stream.
_KIND = re.compile(r"[a-z_.]{1,60}")


class ResponseStream(ClientStream):
    """A stream of typed events. It ends with an event that has the whole answer and its usage."""

    def __init__(self, names: ResponseNames) -> None:
        super().__init__(names, hides_usage=False)
        self._response_names = names
        # The client's last event, and the number of the event before it.
        self._last = b""
        self._number = -1

    @property
    def is_finished(self) -> bool:
        return bool(self._last)

    @property
    def is_certain(self) -> bool:
        return True

    @property
    def may_bring_more(self) -> bool:
        return not self.is_done

    @property
    def is_partial(self) -> bool:
        return False

    @property
    def is_usage_known(self) -> bool:
        return self.reported is not None

    @property
    def has_begun(self) -> bool:
        return bool(self.delivered.pieces or self.is_done)

    @property
    def reported_so_far(self) -> Reported | None:
        return self.reported

    def last_words(self) -> bytes:
        return self._last

    def failed(self, event: bytes) -> bytes:
        """The event in both forms that clients read: with the error's members, and with the error as an object."""
        error = parse(data_of(event))["error"]
        own = {"type": "error", **{name: error.get(name) for name in ("code", "message", "param")}}
        return _event("error", {**own, "sequence_number": self._number + 1, "error": error})

    def _pass_on(self, events: bytes) -> bytes:
        passed = []
        for event in split_events(events):
            if self.is_done or self.error is not None:
                break
            data = data_of(event)
            if not data:
                # A comment that keeps the connection alive.
                passed.append(b":\n\n" if event.strip() else b"")
                continue
            try:
                passed.append(self._passed(data))
            except FailedAnswer as error:
                self.error = error
        return b"".join(passed)

    def _passed(self, data: bytes) -> bytes:
        """One event for the client; nothing for the last one. Raises FailedAnswer if it is an error."""
        if data == _DONE:
            self.is_done = True
            return b""
        try:
            event = parse(data)
        except ValueError:
            raise FailedAnswer(502, data.decode(errors="replace")) from None
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str) or not _KIND.fullmatch(kind) or kind in _FAILED:
            raise _failure(event)
        number = event.get("sequence_number")
        self._number = number if isinstance(number, int) else self._number + 1
        if kind in _LAST:
            self._end(event, data)
            self._last = _event(kind, self._response_names.in_event(event))
            return b""
        self._count(event, kind)
        return _event(kind, self._response_names.in_event(event))

    def _count(self, event: dict[str, Any], kind: str) -> None:  # type: ignore[override]
        text = event.get("delta")
        if kind.endswith(".delta") and isinstance(text, str) and text:
            self.delivered.pieces += 1
            self.delivered.bytes += len(text.encode(errors="replace"))
            probable = event.get("logprobs")
            self.delivered.chunks += 1 + (len(probable) if isinstance(probable, list) else 0)
        elif kind == "response.output_item.added" and _is_call(event.get("item")):
            self.delivered.tools += 1
            self.delivered.pieces += 1

    def _end(self, event: dict[str, Any], data: bytes) -> None:
        whole = delivered_of(dumped(complete(event.get("response"))["output"]))
        # Some servers send pieces only of texts, or none at all.
        self.delivered.bytes = max(self.delivered.bytes, whole.bytes)
        self.delivered.tools = max(self.delivered.tools, whole.tools)
        self.delivered.chunks = max(self.delivered.chunks, whole.chunks)
        self.delivered.pieces = self.delivered.pieces or whole.pieces
        self.reported = read_usage(parse_all(data))
        self.service_tier = tier_in(event["response"])
        self.is_done = True


def stream_responses(
    parsed: ParsedRequest, backend: Backend, names: Names, identity: Identity
) -> ResponseStream:
    """The stream from a backend to the client of a call.

    Args:
        parsed: the client's call.
        backend: who answers.
        names: those of the backend.
        identity: of the call.
    """
    return ResponseStream(names_of(parsed, backend, names, identity))


def _failure(event: Any) -> FailedAnswer:
    response = event.get("response") if isinstance(event, dict) else None
    content = response if isinstance(response, dict) else event
    return error_in(content, is_error=True) or FailedAnswer(502)


def _is_call(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("type", "")).endswith("_call")


def _event(kind: str, content: dict[str, Any]) -> bytes:
    try:
        data = orjson.dumps(content)
    except TypeError:
        data = dumped(content)
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
