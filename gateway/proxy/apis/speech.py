"""`/v1/audio/speech`: a text as sound, which is passed on as it comes, or as events with pieces of it.

Counted in the characters of the text, or in the tokens that a stream of events reports at its end.
"""

import re
from collections.abc import Mapping

from gateway.contract import Usage
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.apis.counting import Told, checked, counted_so_far
from gateway.proxy.apis.events import TypedEvents
from gateway.proxy.apis.reading import begun, text, tokens_of
from gateway.proxy.body import Body
from gateway.proxy.client_answers import ClientStream
from gateway.proxy.dialects.common import Identity
from gateway.proxy.errors import bad_request
from gateway.proxy.index import Backend, Route
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.unit_requests import UnitRequest, as_units
from gateway.proxy.whole_answers import PlainAnswer

# In a call for speech, `speed` is that of the voice.
OWN_FIELDS = frozenset(("speed",))
_ENDS = frozenset(("speech.audio.done",))
_SOUND = re.compile(r"(?:audio/[a-z0-9][a-z0-9.+-]{0,40})(?:;\s*[a-z]+=[a-z0-9-]{1,20}){0,3}")
# Tokens of sound for a character: some 25 a second, and no voice speaks slower than five characters a second.
_TOKENS_OF_A_CHARACTER = 5


def read(raw: bytes, headers: Mapping[str, str]) -> ParsedRequest:
    """A call for speech. Raises Refusal (400)."""
    body = Body(raw)
    parsed = begun(body, "audio_speech")
    words = text(body, "input")
    if not isinstance(body.simple("voice"), str | None):
        raise bad_request(
            "`voice` must be the name of a voice. Voices stored at a provider are not available here.",
            code="unsupported_parameter",
            param="voice",
        )
    if body.simple("stream_format") not in (None, "audio", "sse"):
        raise bad_request("`stream_format` must be `audio` or `sse`.", param="stream_format")
    parsed.is_stream = body.simple("stream_format") == "sse"
    parsed.accept = "text/event-stream" if parsed.is_stream else "*/*"
    parsed.largest_input = len(words.encode()) + body.size_of("instructions")
    parsed.own_usage = {"character": len(words)}
    parsed.is_own_usage_exact = True
    tokens = {"input": tokens_of(parsed.largest_input), "audio": len(words) * _TOKENS_OF_A_CHARACTER}
    parsed.possible_usage = (parsed.own_usage, tokens)
    return parsed


class Sound(ClientStream):
    """A sound, passed on byte by byte. It is complete if its connection says so."""

    def __init__(self, parsed: UnitRequest, names: Names) -> None:
        super().__init__(names, hides_usage=False)
        self._parsed = parsed
        self._is_over = False

    def opened(self, content_type: str) -> None:
        kind = content_type.lower().strip()
        self.headers = {"content-type": kind if _SOUND.fullmatch(kind) else "application/octet-stream"}

    @property
    def is_finished(self) -> bool:
        return self._is_over and self.delivered.pieces > 0

    @property
    def is_certain(self) -> bool:
        return True

    @property
    def may_bring_more(self) -> bool:
        return not self._is_over

    @property
    def is_usage_known(self) -> bool:
        return True

    @property
    def has_begun(self) -> bool:
        return self.delivered.pieces > 0

    def feed(self, data: bytes) -> bytes:
        self.delivered.pieces += bool(data)
        self.delivered.sound += len(data)
        return data

    def end(self) -> bytes:
        self._is_over = True
        return b""

    def last_words(self) -> bytes:
        return b""

    def failed(self, event: bytes) -> bytes | None:
        """None: only a broken connection tells a client that a sound is not complete."""
        return None

    def counted(self, parsed: ParsedRequest, route: Route, *, is_failed: bool) -> tuple[Usage, bool]:
        return counted_so_far(self._parsed, Told(), self.delivered, "audio", is_failed=is_failed)


def is_streamed(parsed: ParsedRequest, content_type: str) -> bool:
    """Whether an answer of this type is passed on as it comes: all but JSON and web pages, which can only be errors."""
    return not content_type.lower().startswith(("application/json", "text/html"))


def stream(parsed: ParsedRequest, backend: Backend, names: Names, identity: Identity) -> ClientStream:
    """The sound of a call, or its events.

    Args:
        parsed: the call.
        backend: who answers.
        names: puts the public name into events.
        identity: not used.
    """
    if parsed.is_stream:
        return TypedEvents(as_units(parsed), names, ends=_ENDS, output="audio")
    return Sound(as_units(parsed), names)


def read_answer(parsed: ParsedRequest, names: Names, content: bytes, identity: Identity) -> PlainAnswer:
    """Raises FailedAnswer: neither JSON nor a web page is a sound.

    Args:
        parsed: the call.
        names: of the backend.
        content: the answer as it came.
        identity: not used.
    """
    checked(content, as_units(parsed))
    raise FailedAnswer(502, reason="no sound")
