"""`/v1/audio/transcriptions`: the words of a sound file, sent as a form.

Counted in the seconds or tokens that the answer reports; otherwise in the seconds that the file plays: by its header if
it is WAV, else a guess from its size (gateway/proxy/apis/sounds.py).
"""

import re
from collections.abc import Mapping

from deployments.engine_controls import fold, names_medium
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.apis.answers import answer_of
from gateway.proxy.apis.counting import Told, checked, milliseconds
from gateway.proxy.apis.events import TypedEvents
from gateway.proxy.apis.form import Form
from gateway.proxy.apis.reading import begun, switch, tokens_of
from gateway.proxy.apis.sounds import length_of
from gateway.proxy.client_answers import ClientStream
from gateway.proxy.controls import controls_in, narrowed
from gateway.proxy.delivered import Delivered
from gateway.proxy.dialects.common import Identity
from gateway.proxy.errors import bad_request
from gateway.proxy.index import Backend, Index, Route
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.unit_requests import as_units
from gateway.proxy.usage import tier_in
from gateway.proxy.whole_answers import PlainAnswer, parse

# OpenAI's, and Mistral's.
_ENDS = frozenset(("transcript.text.done", "transcription.done"))
# Answers that are no JSON, and so report no usage.
_TEXTS = ("text", "srt", "vtt")
_TEXT = "text/plain; charset=utf-8"
# What a proxy in between says in place of an answer.
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)
# Fields about media that point to nothing outside of the form.
_KNOWN_MEDIA = frozenset(("file", "known_speaker_names[]", "known_speaker_references[]"))
# Tokens in a second, of sound and of its words.
_SOUND_TOKENS = 25
_WORD_TOKENS = 10


def read(raw: bytes, headers: Mapping[str, str]) -> ParsedRequest:
    """A call for a transcript. Raises Refusal (400)."""
    form = Form(raw, headers.get("content-type", ""))
    parsed = begun(form, "audio_transcription")
    if not form.has_file("file") or not (sound := form.raw_of("file")):
        raise bad_request("`file` must be a sound file that is not empty.", param="file")
    for name in form.names():
        if names_medium(fold(name)) and name not in _KNOWN_MEDIA:
            raise bad_request(
                f"`{name}` is not available here. Send the sound itself as `file`.",
                code="unsupported_parameter",
                param=name,
            )
    parsed.is_stream = switch(form, "stream")
    parsed.content_type = form.content_type
    parsed.accept = "text/event-stream, application/json" if parsed.is_stream else "*/*"
    parsed.is_text = form.simple("response_format") in _TEXTS
    length, is_exact = length_of(sound)
    # No sound has less than a kilobit in a second.
    parsed.most_units = 8 * len(sound) + 1000
    words = sum(form.size_of(name) for name in set(form.names()) if name != "file")
    # A token of sound has at least one byte.
    parsed.largest_input = words + len(sound)
    parsed.own_usage, parsed.is_own_usage_exact = {"audio_input_seconds": length}, is_exact
    seconds = -(-length // 1000)
    tokens = {
        "input": tokens_of(words),
        "audio": seconds * _SOUND_TOKENS,
        "output": seconds * _WORD_TOKENS,
    }
    parsed.possible_usage = (parsed.own_usage, tokens)
    return parsed


def fit(parsed: ParsedRequest, headers: Mapping[str, str], index: Index, route: Route) -> Route:
    """As `gateway.proxy.endpoint.fit`; a form has no references to media but those that `read` refuses.

    Args:
        parsed: the call.
        headers: of the request.
        index: the configuration.
        route: those that serve this key and mode.
    """
    return narrowed(route, controls_in(parsed.body, route.separating_fields))


def is_streamed(parsed: ParsedRequest, content_type: str) -> bool:
    """Whether an answer of this type is a stream. Whisper ignores the wish and answers as a whole."""
    return parsed.is_stream and content_type.startswith("text/event-stream")


def stream(parsed: ParsedRequest, backend: Backend, names: Names, identity: Identity) -> ClientStream:
    """The stream of a transcript.

    Args:
        parsed: the call.
        backend: who answers.
        names: puts the public name into events.
        identity: not used.
    """
    return TypedEvents(as_units(parsed), names, ends=_ENDS, output="output")


def read_answer(parsed: ParsedRequest, names: Names, content: bytes, identity: Identity) -> PlainAnswer:
    """A whole answer. Raises FailedAnswer for an error, a web page, or without a text.

    Args:
        parsed: the call.
        names: of the backend.
        content: the answer as it came.
        identity: not used.
    """
    if as_units(parsed).is_text and _PAGE.match(content):
        raise FailedAnswer(502, reason="a web page")
    if as_units(parsed).is_text and not _is_object(content):
        return answer_of(content, Told(), Delivered(bytes=len(content), pieces=1), _TEXT)
    content, whole, told = checked(content, as_units(parsed))
    words = whole.get("text")
    if not isinstance(words, str):
        raise FailedAnswer(502, reason="no text")
    if told == Told() and (length := milliseconds(whole.get("duration"))):
        told = Told({"audio_input_seconds": length})
    delivered = Delivered(bytes=len(words.encode(errors="replace")), pieces=1)
    return answer_of(content, told, delivered, tier=tier_in(whole))


def _is_object(content: bytes) -> bool:
    """Whether an answer is a JSON object, as an error is. Words may begin with a bracket, too."""
    try:
        return content.lstrip().startswith(b"{") and isinstance(parse(content), dict)
    except (ValueError, RecursionError):
        return False
