"""A client's request: the few fields that the gateway itself must understand. The rest passes through."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from gateway.contract import Mode, Usage
from gateway.proxy.body import NOTHING, Body, with_member
from gateway.proxy.chat_fields import LARGEST_OUTPUT, NUMBERS, asks_to_think, fields_of, plain_chat
from gateway.proxy.delivered import COMPRESSED_SOUND, RAW_SOUND, Delivered
from gateway.proxy.errors import bad_request
from gateway.proxy.evidence import count_dropped
from gateway.proxy.index import Price, Route
from gateway.proxy.limits import EstimatedUsage
from gateway.proxy.media import hides_letters
from gateway.proxy.tokens import estimate_texts, estimate_with_media, with_margin
from gateway.proxy.usage import Reported
from gateway.proxy.usage_bounds import Bounds, bounds_of

if TYPE_CHECKING:
    from gateway.proxy.messages_calls import Relayed

# Fields that make a backend read more than the text of a request, apart from `video`, `image_url`, `audio_url` and
# `input_audio`: media, files, its own search.
_BRINGS_MORE = re.compile(
    rb'"(?:image|file|web_search|mcp'
    rb'|(?:plugins|search_parameters|prediction|data_sources|documents|previous_response_id)")'
)
_WITH_USAGE = b'{"include_usage":true}'
_RAW_SOUNDS = ("pcm16", "pcm", "wav")


class ParsedRequest(msgspec.Struct):
    """One call as the client sent it. `body` is its JSON, changed only where something must change."""

    model: str
    mode: Mode
    body: Body
    is_stream: bool = False
    # A chat of plain texts, without any field that could be refused for what is in it, or that only some targets take.
    is_ordinary: bool = False
    # The client wants usage in the stream. The gateway requests it in any case.
    wants_usage: bool = False
    input_estimate: int = 0  # tokens
    # Of them, those of pictures, sounds and files, which may in fact have only a few.
    media_estimate: int = 0
    # The number of vectors requested.
    inputs: int = 1
    # The prompt may have more than its text: media, files, the backend's own search.
    may_bring_more: bool = False
    # A field requests reasoning, which the backend may hide.
    may_think: bool = False
    # The sound of the answer is uncompressed.
    is_sound_raw: bool = False
    # The most bytes of the answers that repeat the prompt, because the client asked for that.
    echoed_bytes: int = 0
    # The client speaks the Messages API; then `relayed` is what backends of that API get, if there are any.
    is_messages: bool = False
    relayed: Relayed | None = None
    # The call as sent, for another model, if `body` is a translation for the targets of one.
    untranslated: Body | None = None
    # The client's own values of fields that the gateway replaces and an answer repeats.
    repeated: dict[str, Any] = {}
    # What a Responses call says about storing its answer (`gateway.proxy.responses.storage`).
    storage: object = None
    # What the gateway put into `body` and no client may see, even if a backend repeats it.
    secrets: tuple[str, ...] = ()
    # The most tokens of one answer, as sent; 0 if not sent.
    named_output: int = 0
    # The number of answers requested.
    choices: int = 1

    @property
    def content_type(self) -> str:
        """Of what is sent to a backend."""
        return "application/json"

    @property
    def accept(self) -> str:
        """The type of the answer that is asked for."""
        return "text/event-stream" if self.is_stream else "application/json"

    def is_priced_by(self, price: Price) -> bool:
        """Whether a price has every kind that such a call uses in any case."""
        return price.covers(self.mode)

    def cost(self, price: Price, usage: Usage) -> int:
        """What a call with this usage counts for limits on money, in nano-units."""
        return price.cost(usage)

    def usage_of_dropped(self, route: Route, reported: Reported | None, size: int) -> Usage:
        """The usage of an answer of `size` bytes that was read but not kept, by its own report if it has one."""
        return count_dropped(reported, self.bounds(route, self.choices), size)

    def let_go(self) -> None:
        """Drop the body: the answer has begun, so no other backend needs it."""
        self.body = NOTHING
        self.relayed = self.untranslated = None

    def estimate(self, route: Route, price: Price | None, default_output_tokens: int) -> EstimatedUsage:
        """The most that this call may use."""
        input_tokens = with_margin(self.input_estimate)
        if is_embedding := self.mode == "embedding":
            output_tokens = 0
        else:
            most = self.named_output or route.config.max_output_tokens or default_output_tokens
            output_tokens = most * self.choices
        return EstimatedUsage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            is_output_named=is_embedding or self.named_output > 0,
            input_nano=price.per_call + input_tokens * price.per_input_token if price else 0,
            output_nano=output_tokens * price.per_output_token if price else 0,
        )

    def written(self, delivered: Delivered) -> Delivered:
        """What was delivered without a prompt that the answers repeat: it is no evidence of output, nor against it."""
        if not self.echoed_bytes:
            return delivered
        echoed = min(self.echoed_bytes, delivered.bytes)
        return replace(delivered, bytes=delivered.bytes - echoed, other=delivered.other + echoed)

    def bounds(self, route: Route, came: int) -> Bounds:
        """The possible token counts of this call, of which `came` choices arrived."""
        choices = self.choices if self.choices < came else came
        is_embedding = self.mode == "embedding"
        return bounds_of(
            self.input_estimate,
            with_margin(self.input_estimate),
            media=self.media_estimate,
            named_output=0 if is_embedding else self.named_output * choices,
            longest_output=route.config.max_output_tokens,
            choices=choices,
            is_embedding=is_embedding,
            may_bring_more=self.may_bring_more,
            may_think=self.may_think,
            characters_of_a_sound_token=RAW_SOUND if self.is_sound_raw else COMPRESSED_SOUND,
        )


def parse_request(raw: bytes, mode: Mode) -> ParsedRequest:
    """Read a call's body. Raises Refusal (400) naming the field that is missing or wrong."""
    body = Body(raw)
    # Read everything from the body now: it may be large, and is dropped before the answer ends.
    if mode == "chat":
        return _plain_chat(body) or _any_chat(body)
    parsed = ParsedRequest(model_of(body), mode, body)
    if is_empty(body.raw_of("input"), b'"['):
        raise bad_request("`input` must be a text or a list that is not empty.", param="input")
    parsed.may_think = any(map(asks_to_think, body.names()))
    _look_closely(parsed)
    return parsed


def _plain_chat(body: Body) -> ParsedRequest | None:
    """A chat of plain texts, which need not be searched. None says nothing."""
    fields = fields_of(tuple(body.names()))
    chat = plain_chat(body.raw) if fields.are_plain else None
    if chat is None or not chat.model or not chat.messages:
        return None
    size = 0
    for name in fields.prompt:
        size += body.size_of(name)
    parsed = ParsedRequest(
        chat.model,
        "chat",
        body,
        input_estimate=estimate_texts(size, len(chat.messages)),
        may_think=fields.may_think,
        is_ordinary=fields.are_ordinary,
        # Backends differ in which one they apply.
        named_output=max(chat.max_completion_tokens or 0, chat.max_tokens or 0),
        choices=chat.n or 1,
    )
    if chat.stream:
        read_stream(parsed)
    return parsed


def _any_chat(body: Body) -> ParsedRequest:
    parsed = ParsedRequest(model_of(body), "chat", body)
    messages = body.items_of("messages")
    if not messages or not all(memoryview(one)[0] == ord("{") for one in messages):
        raise bad_request("`messages` must be a list with at least one message.", param="messages")
    numbers = read_numbers(body, NUMBERS)
    # Backends differ in which one they apply.
    parsed.named_output = max(numbers["max_completion_tokens"], numbers["max_tokens"])
    parsed.choices = numbers["n"] or 1
    read_stream(parsed)
    parsed.may_think = any(map(asks_to_think, body.names()))
    sound = body.get("audio") if body.size_of("audio") else None
    parsed.is_sound_raw = isinstance(sound, dict) and sound.get("format") in _RAW_SOUNDS
    _look_closely(parsed)
    return parsed


def _look_closely(parsed: ParsedRequest) -> None:
    """Search a body for whatever may be in it."""
    body = parsed.body
    parsed.input_estimate, parsed.media_estimate = estimate_with_media(body, parsed.mode)
    parsed.may_bring_more = brings_more(body)
    given = body.items_of("input")
    # Otherwise the list holds the token ids of one text.
    if given and memoryview(given[0])[0] in b'"[':
        parsed.inputs = len(given)


def brings_more(body: Body) -> bool:
    """Whether a backend may read more than the text of a call."""
    outline = body.outline
    # Few searches, and one that stops at quotation marks only: a dozen of them took a fifth of a call of 8 kB.
    return (
        _BRINGS_MORE.search(outline) is not None
        or outline.find(b"video") >= 0
        or (
            outline.find(b'_url"') >= 0
            and (outline.find(b'image_url"') >= 0 or outline.find(b'audio_url"') >= 0)
        )
        or outline.find(b'input_audio"') >= 0
        or hides_letters(outline)
    )


def model_of(body: Body) -> str:
    """The public name of the model. Raises Refusal (400) without one."""
    model = body.simple("model")
    if not isinstance(model, str) or not model:
        raise bad_request("Name a model: `model` must be a text, as GET /v1/models lists it.", param="model")
    return model


def read_numbers(body: Body, names: Iterable[str], least: int = 1) -> dict[str, int]:
    """Whole numbers of a call, 0 for those that are not sent. Raises Refusal (400) for other values."""
    numbers = {}
    for name in names:
        number = body.simple(name)
        if number is not None and (type(number) is not int or not least <= number <= LARGEST_OUTPUT):
            raise bad_request(
                f"`{name}` must be a whole number from {least} to {LARGEST_OUTPUT:,}.", param=name
            )
        numbers[name] = number or 0
    return numbers


def read_stream(parsed: ParsedRequest) -> None:
    """Note whether a call is streamed, and have its stream report usage. Raises Refusal (400)."""
    body = parsed.body
    stream = body.simple("stream")
    if not isinstance(stream, bool | None):
        raise bad_request("`stream` must be true or false.", param="stream")
    if not stream:
        return
    options = body.get("stream_options")
    if not isinstance(options, dict | None):
        raise bad_request("`stream_options` must be an object.", param="stream_options")
    parsed.is_stream = True
    parsed.wants_usage = bool((options or {}).get("include_usage"))
    if not options:
        body.replace_raw("stream_options", _WITH_USAGE)
    elif options.get("include_usage") is not True:
        raw_options = with_member(body.raw_of("stream_options"), "include_usage", True)
        body.replace_raw("stream_options", raw_options)


def is_empty(raw: bytes | None, openings: bytes) -> bool:
    """Whether a value is absent, begins with none of `openings`, or is empty."""
    return raw is None or raw[0] not in openings or not raw[1:-1].strip()
