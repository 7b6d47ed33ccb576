"""What of a Responses answer a client gets: the public name, the model's words, its own settings, and numbers."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from gateway.proxy.names import Names
from gateway.proxy.whole_answers import dumped

# Settings of the call, which the answer repeats.
_SETTINGS = frozenset((
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "temperature", "top_p",
    "tool_choice", "tools", "top_logprobs", "reasoning", "text", "truncation", "background", "store", "object",
    "created_at", "completed_at", "status", "incomplete_details", "frequency_penalty", "presence_penalty",
    "prompt_cache_retention",
))  # fmt: skip
# Members of items and events with what the model wrote, and for which tool.
_WORDS = frozenset((
    "arguments", "input", "name", "output", "action", "operation", "encrypted_content", "delta", "text", "refusal",
    "logprobs", "obfuscation", "namespace",
))  # fmt: skip
_PARTS = ("content", "summary")
_INSIDE = ("item", "part")
_IDS = ("id", "call_id", "item_id")
_KINDS = ("type", "status", "role", "phase")
_KIND = re.compile(r"[a-z_.]{1,60}")
_NUMBERS = ("sequence_number", "output_index", "content_index", "summary_index")


class ResponseNames(Names):
    """Puts the public name into one backend's answers of the Responses API. Unknown members are left out of them."""

    def __init__(
        self,
        names: Names,
        own_id: str,
        seal: Callable[[str], str] | None = None,
        repeated: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Args:
        names: those of the backend.
        own_id: the id of an answer that is not stored.
        seal: gives the client's id of a stored answer for the backend's; None: it is not stored.
        repeated: the client's own values of what the gateway replaced.
        """
        super().__init__(names.backend, names._public_name, names._secrets)
        self._own_id = own_id
        self._seal = seal
        self._repeated = repeated

    def in_response(self, response: dict[str, Any]) -> dict[str, Any]:
        """A whole answer for the client."""
        kept: dict[str, Any] = {}
        for name, value in response.items():
            if name == "model":
                kept[name] = self._public_name
            elif name == "id":
                is_stored = response.get("store") is not False
                kept[name] = self._seal(str(value)) if self._seal and is_stored else self._own_id
            elif name == "previous_response_id":
                kept[name] = self._seal(str(value)) if self._seal and value else None
            elif name == "output" and isinstance(value, list):
                kept[name] = [self.in_item(item) for item in value]
            elif name == "usage":
                kept[name] = self._tally(value)
            elif name == "service_tier" and isinstance(value, str):
                kept[name] = self._text(name, value, "")
            elif name == "error":
                kept[name] = None
            elif name in ("user", "safety_identifier", "prompt_cache_key"):
                kept[name] = self._repeated.get(name)
            elif name in _SETTINGS:
                kept[name] = self._without_secrets(value)
        return kept

    def in_item(self, item: Any) -> Any:
        """One item of an answer, or a part of one."""
        if not isinstance(item, dict):
            return None
        return self._members(item)

    def in_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """One event of a stream."""
        response = event.get("response")
        if isinstance(response, dict):
            return {**self._members({**event, "response": None}), "response": self.in_response(response)}
        return self._members(event)

    def _members(self, place: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in place.items():
            if name in _IDS and isinstance(value, str):
                kept[name] = orjson.loads(self._id(dumped(value)))
            elif name in _WORDS or (name in _NUMBERS and isinstance(value, int)):
                kept[name] = value
            elif name in _KINDS and isinstance(value, str) and _KIND.fullmatch(value):
                # A backend's host may have the same name as one of them.
                kept[name] = value
            elif name in _INSIDE and isinstance(value, dict):
                kept[name] = self.in_item(value)
            elif name in _PARTS and isinstance(value, list):
                kept[name] = [self.in_item(part) for part in value]
            else:
                kept |= self._cleaned("", {name: value}, "")
        return kept

    def _without_secrets(self, value: Any) -> Any:
        """A setting of the client, unless the backend put something of ours into it."""
        if not isinstance(value, str | list | dict) or not self._secrets:
            return value
        text = dumped(value).decode(errors="replace")
        return None if any(secret in text for secret in self._secrets if secret) else value
