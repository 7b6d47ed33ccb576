"""A backend's answer for the client: counted and checked as chat, sent in the dialect in which the client asked."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.contract import Usage
from gateway.proxy.dialects.anthropic_backend.answer import chat_completion
from gateway.proxy.dialects.anthropic_backend.stream import MessagesToChunks
from gateway.proxy.dialects.anthropic_client.answer import message
from gateway.proxy.dialects.anthropic_client.relay import MessagesRelay, passed_answer
from gateway.proxy.dialects.anthropic_client.stream import ChunksToMessages
from gateway.proxy.dialects.common import Identity
from gateway.proxy.evidence import count_delivered, count_tokens
from gateway.proxy.index import Backend, Route
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.streaming import EventStream
from gateway.proxy.usage import Reported, read_usage
from gateway.proxy.whole_answers import BrokenAnswer, PlainAnswer

_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class ClientStream(EventStream):
    """A stream of a chat backend for a chat client. What the subclasses read or return is another dialect."""

    # Of the client's answer, beside those of every stream of events.
    headers: Mapping[str, str] = MappingProxyType({})

    def opened(self, content_type: str) -> None:
        """Note the type of the backend's answer, before the first of its data."""

    @property
    def reported_so_far(self) -> Reported | None:
        """The usage that the backend has reported, complete or not."""
        return self.reported

    def counted(self, parsed: ParsedRequest, route: Route, *, is_failed: bool) -> tuple[Usage, bool]:
        """The usage so far, and whether it is exact. `is_failed`: the backend broke off.

        `parsed` and `route` are the call's.
        """
        delivered = parsed.written(self.delivered)
        bounds = parsed.bounds(route, delivered.choices)
        count = count_delivered if is_failed else count_tokens
        is_partial = self.is_partial or not self.is_finished
        usage, is_exact = count(self.reported_so_far, bounds, delivered, is_partial=is_partial)
        return usage, is_exact and self.is_certain

    def last_words(self) -> bytes:
        """What ends a complete stream. Nothing follows."""
        return b"data: [DONE]\n\n"

    def failed(self, event: bytes) -> bytes | None:
        """A chat stream's last event, which says why it failed, for this client. Nothing follows.

        None: only a broken connection can say so.
        """
        return event


class FromMessages(ClientStream):
    """A stream of a Messages backend for a chat client."""

    def __init__(self, names: Names, identity: Identity, *, hides_usage: bool, choices: int) -> None:
        super().__init__(names, hides_usage=hides_usage, choices=choices)
        self._chunks = MessagesToChunks(identity)

    @property
    def reported_so_far(self) -> Reported | None:
        return self.reported or _reported(self._chunks.usage_so_far)

    def feed(self, data: bytes) -> bytes:
        return super().feed(self._chunks.feed(data))

    def end(self) -> bytes:
        return super().feed(self._chunks.end()) + super().end()


class ToMessages(ClientStream):
    """A stream of a chat backend for a client of the Messages API."""

    def __init__(self, names: Names, identity: Identity) -> None:
        super().__init__(names, hides_usage=False)
        self._events = ChunksToMessages(identity)

    def feed(self, data: bytes) -> bytes:
        return self._events.feed(super().feed(data))

    def end(self) -> bytes:
        return self._events.feed(super().end())

    def last_words(self) -> bytes:
        return self._events.end()

    def failed(self, event: bytes) -> bytes:
        return self._events.feed(event)


class PassedMessages(ClientStream):
    """A stream of a Messages backend for a client of the Messages API."""

    def __init__(self, names: Names, identity: Identity) -> None:
        super().__init__(names, hides_usage=False)
        self._identity = identity
        # Its own sentences of errors are never sent: see `failed`.
        self._relay = MessagesRelay(identity, lambda _: "")

    @property
    def reported_so_far(self) -> Reported | None:
        return self.reported or _reported(self._relay.usage_so_far)

    def feed(self, data: bytes) -> bytes:
        events, chunks = self._relay.feed(data)
        super().feed(chunks)
        return _without_end(events)

    def end(self) -> bytes:
        events, chunks = self._relay.end()
        super().feed(chunks)
        super().end()
        return _without_end(events)

    def last_words(self) -> bytes:
        return _MESSAGE_STOP

    def failed(self, event: bytes) -> bytes:
        return ChunksToMessages(self._identity).feed(event)


def stream_for(parsed: ParsedRequest, backend: Backend, names: Names, identity: Identity) -> ClientStream:
    """The stream from a backend to the client of a call.

    Args:
        parsed: the client's call.
        backend: who answers.
        names: puts the public name into the answer.
        identity: what a translated answer says about itself.
    """
    if parsed.is_messages:
        return PassedMessages(names, identity) if backend.is_translated else ToMessages(names, identity)
    hides_usage, choices = not parsed.wants_usage, parsed.choices
    if backend.is_translated:
        return FromMessages(names, identity, hides_usage=hides_usage, choices=choices)
    return ClientStream(names, hides_usage=hides_usage, choices=choices)


def as_chat(backend: Backend, content: bytes, identity: Identity) -> bytes:
    """A whole answer in the gateway's own dialect, for `read_answer`."""
    return chat_completion(content, identity) if backend.is_translated else content


def answer_for(
    parsed: ParsedRequest,
    backend: Backend,
    original: bytes,
    plain: PlainAnswer,
    names: Names,
    identity: Identity,
) -> bytes:
    """A whole answer for the client. Raises BrokenAnswer if it cannot be said in its dialect.

    Args:
        parsed: the call.
        backend: who answered.
        original: the answer as it came.
        plain: the answer as it was read.
        names: removes the backend's names.
        identity: what a translated answer says about itself.
    """
    if not parsed.is_messages:
        return names.in_whole(plain)
    try:
        if backend.is_translated:
            return passed_answer(original, identity)
        return message(names.in_whole(plain), identity)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BrokenAnswer("no message") from error


def _reported(usage: dict[str, Any] | None) -> Reported | None:
    return read_usage({"usage": usage}) if usage else None


def _without_end(events: bytes) -> bytes:
    """Events up to the one that ends the message. The gateway sends that one itself, after the call is on record."""
    for mark in (b"event: message_stop\n", b"event: error\n"):
        if events.startswith(mark):
            return b""
        if (at := events.find(b"\n\n" + mark)) >= 0:
            events = events[: at + 2]
    return events
