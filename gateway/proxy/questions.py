"""What a client asks for: the few fields that the gateway itself must understand. The rest passes through."""

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.contract import Mode
from gateway.proxy.errors import bad_request
from gateway.proxy.index import Price, Route
from gateway.proxy.limits import Demand
from gateway.proxy.tokens import estimate_prompt, with_margin

_LARGEST_OUTPUT = 10_000_000


@dataclass(slots=True)
class Question:
    """One call as the client sent it. `body` is its JSON, changed only where a field says so."""

    model: str
    mode: Mode
    body: dict[str, Any]
    is_stream: bool = False
    wants_usage: bool = False  # in the stream; the gateway asks for it in any case
    input_estimate: int = 0  # tokens

    def demand(self, route: Route, price: Price | None, default_output_tokens: int) -> Demand:
        """The most that this call may use."""
        input_tokens = with_margin(self.input_estimate)
        output_tokens, is_named = self._output_tokens(route.config.max_output_tokens or default_output_tokens)
        return Demand(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            is_output_named=is_named,
            input_nano=price.per_call + input_tokens * price.per_input_token if price else 0,
            output_nano=output_tokens * price.per_output_token if price else 0,
        )

    def _output_tokens(self, default: int) -> tuple[int, bool]:
        if self.mode == "embedding":
            return 0, True
        choices = self.body.get("n") or 1
        maxima = (self.body.get("max_completion_tokens"), self.body.get("max_tokens"))
        named = max(maximum or 0 for maximum in maxima)  # backends differ in which one they obey
        return (named or default) * choices, bool(named)


def read_question(raw: bytes, mode: Mode) -> Question:
    """Read a call's body. Raises Refusal (400) naming the field that is missing or wrong."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request("Name a model: `model` must be a text, as GET /v1/models lists it.", param="model")
    question = Question(model, mode, body)
    if mode == "chat":
        _check_chat(question)
    elif not isinstance(body.get("input"), str | list) or not body["input"]:
        raise bad_request("`input` must be a text or a list that is not empty.", param="input")
    question.input_estimate = estimate_prompt(body, mode)
    return question


def _check_chat(question: Question) -> None:
    body = question.body
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise bad_request("`messages` must be a list with at least one message.", param="messages")
    for name in ("max_tokens", "max_completion_tokens", "n"):
        number = body.get(name)
        if number is not None and (type(number) is not int or not 1 <= number <= _LARGEST_OUTPUT):
            raise bad_request(f"`{name}` must be a whole number from 1 to {_LARGEST_OUTPUT:,}.", param=name)
    stream = body.get("stream")
    if not isinstance(stream, bool | None):
        raise bad_request("`stream` must be true or false.", param="stream")
    if not stream:
        return
    options = body.get("stream_options")
    if not isinstance(options, dict | None):
        raise bad_request("`stream_options` must be an object.", param="stream_options")
    question.is_stream = True
    question.wants_usage = bool((options or {}).get("include_usage"))
    body["stream_options"] = {**(options or {}), "include_usage": True}
