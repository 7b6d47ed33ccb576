"""The few fields of a Responses call that the gateway itself must understand, and what it refuses by name.

Refused is what refers to something that a server stores for our account, what runs at a provider and is billed beside
tokens, and what the gateway would not see the end of.
"""

import re
from typing import Any

from gateway.proxy.body import Body, parse
from gateway.proxy.chat_fields import asks_to_think
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.parsed_requests import (
    ParsedRequest,
    brings_more,
    is_empty,
    model_of,
    read_numbers,
)
from gateway.proxy.responses.storage import Storage
from gateway.proxy.tokens import estimate_text

# Fields of this API that are engine controls, or state, in a chat. Each is checked here.
OWN_FIELDS = frozenset((
    "max_output_tokens", "store", "background", "previous_response_id", "conversation", "prompt", "moderation",
))  # fmt: skip
# Whose values the gateway replaces by the tenant's own; the answer repeats them.
_REPEATED = ("user", "safety_identifier", "prompt_cache_key")
# What a conversation consists of without the help of a server.
_ITEMS = frozenset((
    "message", "reasoning", "compaction", "function_call", "function_call_output", "custom_tool_call",
    "custom_tool_call_output", "computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output",
    "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output",
))  # fmt: skip
# Tools that the client itself runs.
_TOOLS = frozenset((
    "function", "custom", "local_shell", "shell", "apply_patch", "computer", "computer_use_preview",
))  # fmt: skip
_DATA = re.compile(rb'"(?:image_url|file_data|file_url|data)"\s*+:\s*+"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOKENS_PER_OTHER_PART = 1000
_TOKENS_PER_ITEM = 4
# Fields that no backend adds to the prompt.
_NO_PROMPT = frozenset((
    "input", "model", "max_output_tokens", "max_tool_calls", "stream", "stream_options", "user", "metadata",
    "temperature", "top_p", "top_logprobs", "service_tier", "safety_identifier", "prompt_cache_key", "store",
    "background", "include", "parallel_tool_calls", "truncation",
))  # fmt: skip


def parse_responses(raw: bytes) -> ParsedRequest:
    """Read a Responses call's body. Raises Refusal (400) naming the field that is missing, wrong or not available."""
    body = Body(raw)
    parsed = ParsedRequest(model_of(body), "responses", body, wants_usage=True)
    given = body.raw_of("input")
    if given is None or is_empty(given, b'"['):
        raise bad_request("`input` must be a text or a list that is not empty.", param="input")
    items = body.items_of("input") or []
    for at, item in enumerate(items):
        _check_item(parse(bytes(item), f"input[{at}]"), f"input[{at}]")
    for at, tool in enumerate(body.items_of("tools") or ()):
        _check_tool(parse(bytes(tool), f"tools[{at}]"), f"tools[{at}]")
    parsed.storage = _check_state(body)
    parsed.named_output = read_numbers(body, ("max_output_tokens",))["max_output_tokens"]
    stream = body.simple("stream")
    if not isinstance(stream, bool | None):
        raise bad_request("`stream` must be true or false.", param="stream")
    parsed.is_stream = bool(stream)
    parsed.input_estimate, parsed.media_estimate = _estimate(body, given, len(items))
    parsed.may_bring_more = brings_more(body)
    parsed.may_think = any(map(asks_to_think, body.names()))
    parsed.repeated = {name: body.simple(name) for name in _REPEATED if body.raw_of(name) is not None}
    return parsed


def _check_state(body: Body) -> Storage:
    """What the call says about storing its answer. Refuses what servers keep for our account in any other way."""
    for name in ("background", "conversation", "prompt", "moderation"):
        value = body.raw_of(name)
        if value not in (None, b"null", b"false"):
            raise _unavailable(name, _REASONS[name])
    store = body.simple("store")
    if not isinstance(store, bool | None):
        raise bad_request("`store` must be true or false.", param="store")
    options = body.get("prompt_cache_options")
    if isinstance(options, dict) and options.get("comparison_response_id") is not None:
        raise _unavailable("prompt_cache_options.comparison_response_id", _STORED)
    previous = body.simple("previous_response_id")
    if not isinstance(previous, str | None):
        raise bad_request("`previous_response_id` must be a text.", param="previous_response_id")
    return Storage(store, previous or "")


_STORED = "refers to an answer that a server stores, and none is stored here. Send the earlier items with each call."
_REASONS = {
    "background": "would let a call go on after its answer, which the gateway could neither limit nor meter. Omit it.",
    "conversation": "refers to a conversation that a server stores. Send the earlier items with each call.",
    "prompt": "refers to a prompt that a server stores. Send its text as `instructions`.",
    "moderation": "asks for a second model, which is not metered here. Call /v1/moderations instead.",
}


def _check_item(item: Any, path: str) -> None:
    if not isinstance(item, dict):
        raise bad_request(f"`{path}` must be an object.", param=path)
    # A message need not say that it is one; an id alone refers to an item that a server stores.
    kind = item.get("type", "message" if "role" in item else "item_reference")
    if kind == "item_reference":
        raise _unavailable(path, "refers to an item that a server stores. Send the item itself.")
    if not isinstance(kind, str) or kind not in _ITEMS:
        raise _unavailable(f"{path}.type", "is not available here.")
    if kind == "reasoning" and not item.get("encrypted_content") and not item.get("content"):
        raise _unavailable(
            path,
            "refers to reasoning that a server stores. Ask for it with `include: "
            '["reasoning.encrypted_content"]` and send it complete, or omit it.',
        )
    if kind == "compaction" and not item.get("encrypted_content"):
        raise _unavailable(path, "refers to an item that a server stores. Send the item itself.")
    _check_environment(item, path)


def _check_tool(tool: Any, path: str) -> None:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        raise bad_request(f"`{path}` must be an object with a `type`.", param=path)
    if kind not in _TOOLS:
        raise _unavailable(
            f"{path}.type",
            f"is `{kind[:40]}`, which runs at the provider and is not metered here, so it is not available.",
        )
    _check_environment(tool, path)


def _check_environment(value: dict[str, Any], path: str) -> None:
    """A shell runs where the client is, or else in a container of our account."""
    place = value.get("environment")
    if place is not None and not (isinstance(place, dict) and place.get("type") == "local"):
        raise _unavailable(f"{path}.environment", "is not available here, except `local`.")


def _estimate(body: Body, given: bytes, items: int) -> tuple[int, int]:
    """The approximate tokens in the prompt, as `gateway.proxy.tokens` estimates a chat's; and in its media."""
    data = [found.end() - found.start() for found in _DATA.finditer(given)] if items else []
    beside = sum(body.size_of(name) for name in set(body.names()) if name not in _NO_PROMPT)
    text = estimate_text(len(given) - sum(data) + beside)
    media = _TOKENS_PER_OTHER_PART * len(data)
    return text + _TOKENS_PER_ITEM * items + media, media


def _unavailable(param: str, problem: str) -> Refusal:
    return bad_request(f"`{param}` {problem}", code="unsupported_parameter", param=param)
