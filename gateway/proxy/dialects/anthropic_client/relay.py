"""A Messages call passed on to a Messages backend: the client's own bytes, and the answer's, but for names.

Translating twice would lose signatures, citations and cache marks. The gateway still counts through one path: each
event is also translated to chunks, which `gateway.proxy.streaming.EventStream` reads.
"""

import re
from collections.abc import Callable
from typing import Any

from gateway.proxy.body import Body
from gateway.proxy.dialects.anthropic_backend.stream import MessagesToChunks
from gateway.proxy.dialects.anthropic_client.errors import error_event, error_type
from gateway.proxy.dialects.anthropic_client.fields import (
    FREE_TOOLS,
    IDLE,
    ONLY_ANTHROPIC,
    READ,
    TOOLS_OF_CLIENTS,
)
from gateway.proxy.dialects.common import EventReader, Identity, malformed, parse_exactly, untranslatable
from gateway.proxy.whole_answers import as_json, dumped, parse

# Tokens.
LARGEST_OUTPUT = 10_000_000
_BETAS = re.compile(r"[a-z0-9-]{1,64}(?:\s*,\s*[a-z0-9-]{1,64}){0,31}")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
# Thoughts that are not Anthropic's: the gateway gives those of other models an empty signature.
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')
_PASSED = frozenset((
    "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "ping",
))  # fmt: skip

# Events in which a backend may name a model that refused or took over, and a sign that it does.
_NAMES_MODELS = frozenset(("content_block_start", "message_delta"))
_A_MODEL = re.compile(rb'model"\s*:')


def check_call(body: Body) -> None:
    """Check a Messages call that is passed on, beyond what `parse_messages` checks of every one.

    Raises Refusal (400) naming a field that is wrong, or that would use what is not metered, or not the tenant's.
    """
    for name in body.names():
        if name in IDLE:
            value = body.get(name)
            if value is not None and value not in IDLE[name]:
                raise untranslatable(name, "is not available here. Omit it.")
        elif name not in READ and name not in ONLY_ANTHROPIC:
            raise untranslatable(name, "is not available here. Omit it.")
    for number, raw in enumerate(body.items_of("tools") or ()):
        tool = parse(bytes(raw))
        kind = tool.get("type") if isinstance(tool, dict) else ""
        if kind not in (None, "custom") and not str(kind).startswith((*TOOLS_OF_CLIENTS, *FREE_TOOLS)):
            raise untranslatable(
                f"tools[{number}].type",
                "runs at the provider and is not metered here, so it is not available.",
            )


def check_stream(body: Body) -> bool:
    """Whether a call is streamed. Raises Refusal (400) if the field is neither true nor false."""
    stream = body.simple("stream")
    if not isinstance(stream, bool | None):
        raise malformed("stream", "be true or false")
    return bool(stream)


def passed_call(body: Body, model: str, user_id: str | None) -> bytes:
    """The client's bytes with the backend's name of the model.

    `user_id` replaces the one in `metadata`: the gateway makes it unique to the tenant. Thoughts of other models, which
    a conversation may have from another route, are left out.
    """
    changes: dict[str, Any] = {"model": model}
    if user_id is not None:
        changes["metadata"] = {"user_id": user_id}
    messages = body.raw_of("messages") or b""
    if _UNSIGNED.search(messages):
        changes["messages"] = [_without_foreign_thoughts(one) for one in parse_exactly(messages)]
    return body.encode(changes)


def user_of(body: Body) -> str | None:
    """The user that a call names, if any. Raises Refusal (400) if it is no text."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict | None):
        raise malformed("metadata", "be an object")
    user = (metadata or {}).get("user_id")
    if not isinstance(user, str | None):
        raise malformed("metadata.user_id", "be a text")
    return user


def _without_foreign_thoughts(message: Any) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    kept = [
        one
        for one in content
        if not (isinstance(one, dict) and one.get("type") == "thinking" and one.get("signature") == "")
    ]
    return {**message, "content": kept}


def passed_headers(version: str | None, betas: str | None) -> dict[str, str]:
    """The client's own headers that mean something to the backend: the version of the API, and its betas.

    A beta alone costs nothing: what it allows needs a field, and fields are checked. Headers that are malformed are
    left out, as are betas that sign in.
    """
    headers = {}
    if version and _VERSION.fullmatch(version):
        headers["anthropic-version"] = version
    if betas and _BETAS.fullmatch(betas):
        kept = [one for one in re.split(r"\s*,\s*", betas) if not one.startswith("oauth-")]
        if kept:
            headers["anthropic-beta"] = ",".join(kept)
    return headers


class MessagesRelay:
    """Passes one backend's stream on to a client of the same dialect, and translates it for the gateway's own count."""

    def __init__(self, identity: Identity, clean: Callable[[str], str]) -> None:
        """`clean` removes the backend's names from the sentence of an error."""
        self._identity = identity
        self._clean = clean
        self._reader = EventReader()
        self._chunks = MessagesToChunks(identity)
        self._is_over = False

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """As `MessagesToChunks.usage_so_far`."""
        return self._chunks.usage_so_far

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Events for the client, and the same as chunks, for `EventStream`.

        Raises StreamTooStrange if an event does not end within 16 MiB.
        """
        return b"".join(map(self._event, self._reader.feed(data))), self._chunks.feed(data)

    def end(self) -> tuple[bytes, bytes]:
        """The rest at the end of the stream, in both forms."""
        return b"".join(map(self._event, self._reader.end())), self._chunks.end()

    def _event(self, data: bytes) -> bytes:
        if self._is_over:
            return b""
        if not data:
            return b":\n\n"
        try:
            event = parse_exactly(data)
        except ValueError:
            return b""
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "message_start" and isinstance(event.get("message"), dict):
            return _written(
                "message_start", dumped({**event, "message": _renamed(event["message"], self._identity)})
            )
        if kind == "error":
            self._is_over = True
            told = event.get("error")
            told = told if isinstance(told, dict) else {}
            sentence = told.get("message")
            return error_event(
                _status_of(told.get("type")),
                self._clean(sentence if isinstance(sentence, str) else ""),
                self._identity.call_id,
            )
        # Kinds that are not known may name anything.
        if not isinstance(kind, str) or kind not in _PASSED:
            return b""
        self._is_over = kind == "message_stop"
        if kind in _NAMES_MODELS and _A_MODEL.search(data):
            data = dumped(_without_models(event, self._identity.model))
        return _written(kind, data)


def passed_answer(original: bytes, identity: Identity) -> bytes:
    """A whole answer for the client. Raises ValueError if it is no message; the gateway counts it through
    `anthropic_backend.answer.chat_completion`, and checks it, first.
    """
    answer = parse_exactly(as_json(original))
    if not isinstance(answer, dict) or answer.get("type") != "message":
        raise ValueError("no message")
    return dumped(_renamed(answer, identity))


def _renamed(message: dict[str, Any], identity: Identity) -> dict[str, Any]:
    """A message under the gateway's names; only members that clients read."""
    kept = {name: message[name] for name in _MEMBERS if name in message}
    kept |= {"id": f"msg_{identity.call_id}", "model": identity.model}
    if isinstance(kept.get("usage"), dict):
        kept["usage"] = {name: value for name, value in kept["usage"].items() if name != "inference_geo"}
    for name in ("content", "stop_details", "usage"):
        if name in kept:
            kept[name] = _without_models(kept[name], identity.model)
    return kept


def _without_models(told: Any, public: str) -> Any:
    """What a backend tells, with the public name for each model in it; none that it recommends can be called here."""
    if isinstance(told, list):
        return [_without_models(one, public) for one in told]
    if not isinstance(told, dict):
        return told
    kept = {}
    for name, value in told.items():
        if name == "model" and isinstance(value, str):
            kept[name] = public
        elif name == "input":
            # What the model wrote for a tool.
            kept[name] = value
        elif name != "recommended_model":
            kept[name] = _without_models(value, public)
    return kept


_MEMBERS = ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage")


def _status_of(kind: Any) -> int:
    return next((status for status in _STATUSES if error_type(status) == kind), 500)


_STATUSES = (400, 401, 402, 403, 404, 409, 413, 429, 503, 504)


def _written(kind: str, data: bytes) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
