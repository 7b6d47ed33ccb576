"""What a request to LiteLLM asks for, checked as our own gateway checks it, and for what LiteLLM itself would obey."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from gateway.contract import Mode
from gateway.proxy.auth import authenticate, client_address, require_endpoint
from gateway.proxy.controls import controls_in, narrowed, put_apart
from gateway.proxy.dialects.unmetered import require_own_tools
from gateway.proxy.errors import Refusal, bad_request, model_not_found
from gateway.proxy.index import Index, Key, Route
from gateway.proxy.media import check_media
from gateway.proxy.parsed_requests import ParsedRequest, parse_request
from gateway.proxy.settings import Network

# LiteLLM answers each path with and without `/v1`.
_MODES: Final[Mapping[str, Mode]] = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embedding",
}
_MODELS: Final = "/v1/models"
# All others are LiteLLM's own, such as `fallbacks`, `api_base` and `mock_response`, or not metered yet.
# fmt: off
_FIELDS: Final[Mapping[Mode, frozenset[str]]] = {
    "chat": frozenset((
        "model", "messages", "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
        "max_completion_tokens", "max_tokens", "modalities", "n", "parallel_tool_calls", "prediction",
        "presence_penalty", "prompt_cache_key", "reasoning_effort", "response_format", "safety_identifier", "seed",
        "stop", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
        "verbosity",
    )),
    "embedding": frozenset(("model", "input", "dimensions", "encoding_format", "user")),
}
# fmt: on
# Names that a client chose, which backends must not mix up between tenants.
NAMES_OF_USERS: Final = ("user", "safety_identifier", "prompt_cache_key")

# LiteLLM's own headers by which a client would choose time-outs, retries, tags and callbacks; but for these:
_STEERING: Final = "x-litellm-"
_IDLE_HEADERS: Final = frozenset((
    "x-litellm-api-key", "x-litellm-call-id", "x-litellm-session-id", "x-litellm-trace-id",
))  # fmt: skip


def require_no_steering(headers: Mapping[str, str]) -> None:
    """Raises Refusal (400) for a header that LiteLLM would obey; the same is refused as a field of the body.

    With a short time-out and many retries, targets would work on attempts that nobody is billed for.

    Args:
        headers: by names in small letters.
    """
    for name in headers:
        if name.startswith(_STEERING) and name not in _IDLE_HEADERS:
            raise bad_request(
                f"The header `{name[:60]}` is not accepted here. Omit it.",
                code="unsupported_parameter",
                param=name[:60],
            )


def clear_path(path: str) -> str:
    """The path as our own gateway spells it."""
    path = path.rstrip("/")
    return path if path.startswith("/v1/") else f"/v1{path}"


def key_of(
    index: Index,
    headers: Mapping[str, str],
    peer: str,
    path: str,
    trusted_proxies: tuple[Network, ...],
) -> Key:
    """Whose request it is. Raises Refusal.

    Args:
        index: the configuration in force.
        headers: by names in small letters.
        peer: the address that is connected.
        path: as `clear_path` gives it.
        trusted_proxies: whose `X-Forwarded-For` counts.
    """
    key = authenticate(index, headers, client_address(peer, headers, trusted_proxies))
    require_endpoint(key, path)
    return key


def mode_of(method: str, path: str) -> Mode | None:
    """What a path serves; None for the list of models. Raises Refusal for all other paths of LiteLLM."""
    if method == "GET" and (path == _MODELS or path.startswith(f"{_MODELS}/")):
        return None
    if method == "POST" and path in _MODES:
        return _MODES[path]
    raise Refusal(
        404,
        "unknown_url",
        f"Unknown request URL: {method} {path[:100]}. Behind Quartermaster's keys, LiteLLM answers "
        f"{', '.join(_MODES)} and {_MODELS}.",
    )


def read_call(index: Index, key: Key, raw: bytes, mode: Mode) -> tuple[ParsedRequest, Route]:
    """A call and the part of its route that may serve it. Raises Refusal.

    Args:
        index: the configuration in force.
        key: whose call it is.
        raw: the body.
        mode: what the path serves.
    """
    if len(raw) > index.settings.max_body_bytes:
        largest = f"{index.settings.max_body_bytes:,}"
        raise Refusal(
            413, "request_too_large", f"The body is larger than {largest} bytes. Send less at once."
        )
    parsed = parse_request(raw, mode)
    route = index.route_of(parsed.model, key.config, mode)
    known = route or index.route_of(parsed.model, key.config)
    if known is None or not key.may_call(parsed.model, time.time()):
        raise model_not_found(parsed.model)
    if route is None:
        raise bad_request(
            f"The model `{parsed.model}` answers elsewhere, not here.", code="wrong_endpoint", param="model"
        )
    for name in parsed.body.names():
        if name not in _FIELDS[mode]:
            raise bad_request(
                f"`{name}` is not accepted here. Omit it.", code="unsupported_parameter", param=name
            )
    if mode == "chat":
        require_own_tools(parsed.body)
    check_media(parsed.body, index.media_hosts)
    route = narrowed(route, controls_in(parsed.body, route.separating_fields))
    put_apart(parsed.body, index.separation, key.config.tenant_id)
    return parsed, route
