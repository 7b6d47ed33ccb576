"""`/v1/images/generations`: pictures, whole or as a stream of partial ones.

Counted in the tokens that the answer reports, as OpenAI's GPT Image models do; otherwise in pictures of a size.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.contract import Usage
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.apis.answers import answer_of
from gateway.proxy.apis.counting import Told, checked
from gateway.proxy.apis.events import TypedEvents
from gateway.proxy.apis.reading import begun, switch, text, tokens_of, whole_number
from gateway.proxy.body import Body
from gateway.proxy.client_answers import ClientStream
from gateway.proxy.delivered import MOST_TOKENS_OF_AN_IMAGE, Delivered
from gateway.proxy.dialects.common import Identity
from gateway.proxy.errors import bad_request
from gateway.proxy.index import Backend, Route
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.unit_requests import UnitRequest, as_units
from gateway.proxy.usage import tier_in
from gateway.proxy.whole_answers import PlainAnswer

MOST_IMAGES: Final = 100
# In a call for pictures, `background` is what is behind them.
OWN_FIELDS: Final = frozenset(("background",))
# Kinds of usage with a size, the longer side first; all others are `image_output`.
SIZES: Final = frozenset(("256x256", "512x512", "1024x1024", "1536x1024", "1792x1024"))
HD_SIZES: Final = frozenset(("1024x1024", "1792x1024"))
_USUAL_SIZE: Final = "1024x1024"
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_ENDS = frozenset(("image_generation.completed",))
_PART = "image_generation.partial_image"
# They would call another model, or ask for pictures by the gigabyte, beside what is counted.
_NOT_COUNTED = ("svg", "frame_count")


def read(raw: bytes, headers: Mapping[str, str]) -> ParsedRequest:
    """A call for pictures. Raises Refusal (400)."""
    body = Body(raw)
    parsed = begun(body, "image_generation")
    prompt = text(body, "prompt")
    for name in _NOT_COUNTED:
        if body.get(name) is not None:
            raise bad_request(
                f"`{name}` is not available here. Omit it.", code="unsupported_parameter", param=name
            )
    pictures = whole_number(body, "n", MOST_IMAGES) or 1
    size, quality = (_word(body, name) for name in ("size", "quality"))
    parsed.inputs = pictures
    parsed.is_stream = switch(body, "stream")
    parsed.largest_input = len(prompt.encode())
    parsed.size = size
    parsed.own_usage = {kind_of(size or _USUAL_SIZE, quality): pictures}
    tokens = {"input": tokens_of(parsed.largest_input), "image": pictures * MOST_TOKENS_OF_AN_IMAGE}
    parsed.possible_usage = (parsed.own_usage, tokens)
    return parsed


def kind_of(size: str, quality: str = "") -> str:
    """The kind of usage of a picture: by its size, and for two sizes by whether it is `hd`."""
    found = _SIZE.fullmatch(size)
    longer, shorter = sorted(map(int, found.groups()), reverse=True) if found else (0, 0)
    name = f"{longer}x{shorter}"
    if name not in SIZES:
        return "image_output"
    return f"image_output_{name}_hd" if quality == "hd" and name in HD_SIZES else f"image_output_{name}"


def stream(parsed: ParsedRequest, backend: Backend, names: Names, identity: Identity) -> ClientStream:
    """The stream of a call for pictures.

    Args:
        parsed: the call.
        backend: who answers.
        names: puts the public name into events.
        identity: not used.
    """
    return _Pictures(as_units(parsed), names)


def read_answer(parsed: ParsedRequest, names: Names, content: bytes, identity: Identity) -> PlainAnswer:
    """A whole answer. Raises FailedAnswer for an error, or without a picture.

    Args:
        parsed: the call.
        names: of the backend.
        content: the answer as it came.
        identity: not used.
    """
    call = as_units(parsed)
    content, whole, told = checked(content, call)
    pictures = whole.get("data")
    if not isinstance(pictures, list) or not pictures or not all(map(_is_picture, pictures)):
        raise FailedAnswer(502, reason="no picture")
    call.own_usage, call.is_own_usage_exact = _usage_of(call, len(pictures), whole)
    delivered = Delivered(pieces=len(pictures), images=len(pictures))
    return answer_of(content, told, delivered, tier=tier_in(whole))


class _Pictures(TypedEvents):
    """Pictures as events, each with its own size; and with its own tokens, or the last event with those of all."""

    def __init__(self, parsed: UnitRequest, names: Names) -> None:
        super().__init__(parsed, names, ends=_ENDS, output="image")
        self._whole = 0
        # The last event with a whole picture.
        self._last: dict[str, Any] = {}

    def counted(self, parsed: ParsedRequest, route: Route, *, is_failed: bool) -> tuple[Usage, bool]:
        if is_failed:
            # Only whole pictures were delivered.
            return (self._as_came().own_usage, False) if self._whole else ({}, True)
        return super().counted(parsed, route, is_failed=is_failed)

    def _call(self) -> UnitRequest:
        return self._as_came() if self.is_finished and self._whole else self._parsed

    def _as_came(self) -> UnitRequest:
        usage, is_exact = _usage_of(self._parsed, self._whole, self._last)
        return msgspec.structs.replace(self._parsed, own_usage=usage, is_own_usage_exact=is_exact)

    def _note(self, content: dict[str, Any], data: bytes) -> None:
        images, before = self.delivered.images, self._told.tokens
        super()._note(content, data)
        if self.delivered.images == images or content.get("type") == _PART:
            return
        self._whole += 1
        self._last = {name: content.get(name) for name in ("size", "quality")}
        told = self._told.tokens
        if before is not None and told is not None and told is not before:
            self._told = Told(None, before.plus(told))


def _usage_of(call: UnitRequest, pictures: int, told: dict[str, Any]) -> tuple[Usage, bool]:
    """So many pictures of the size that the answer or the call names, and whether one of them does.

    Args:
        call: the call.
        pictures: how many came.
        told: the answer, or the event with the last picture.
    """
    stated = told.get("size")
    size = stated if isinstance(stated, str) else call.size
    quality = str(told.get("quality") or ("hd" if "_hd" in next(iter(call.own_usage)) else ""))
    return {kind_of(size or _USUAL_SIZE, quality): pictures}, _SIZE.fullmatch(size) is not None


def _is_picture(one: Any) -> bool:
    return isinstance(one, dict) and bool(one.get("b64_json") or one.get("url"))


def _word(body: Body, name: str) -> str:
    given = body.simple(name)
    if given is not None and (not isinstance(given, str) or len(given) > 40):
        raise bad_request(f"`{name}` must be a text of at most 40 characters.", param=name)
    return given or ""
