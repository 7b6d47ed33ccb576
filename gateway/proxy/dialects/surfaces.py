"""Fit a chat call to a provider's OpenAI surface: under the names that it knows, without what it refuses.

The facts are in `deployments.providers.dialects`. What the provider would refuse anyway is refused here, before a call
is sent and in the gateway's words; a field that asks for nothing, or changes no answer, is omitted instead.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from deployments.providers.dialects import Dialect
from gateway.contract import Mode
from gateway.proxy.body import Body
from gateway.proxy.dialects.anthropic_backend.fields import IDLE
from gateway.proxy.dialects.common import untranslatable
from gateway.proxy.dialects.unmetered import require_no_search, require_own_tools
from gateway.proxy.errors import Refusal

# They change no answer. The gateway itself asks for usage where a provider has to be asked.
_HINTS = frozenset((
    "user", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "metadata",
    "service_tier", "stream_options",
))  # fmt: skip


def changes_for(body: Body, dialect: Dialect, mode: Mode = "chat") -> dict[str, Any]:
    """What must change in a client's call for this provider, for `Body.encode`: the call may go to others as well.

    Only chats have fields that providers know under other names. Raises Refusal (400) naming a field that the provider
    refuses, or what it would do and bill beside tokens. Empty for most calls.
    """
    names = body.names()
    if mode in ("chat", "completion"):
        require_no_search(body, names, is_shaped=dialect.shapes_searches)
        if any(name.casefold() == "tools" for name in names):
            require_own_tools(body)
    changes: dict[str, Any] = {}
    for name in names:
        if name in dialect.not_taken:
            if name not in _HINTS and not _asks_for_nothing(name, body.get(name)):
                raise _refused(name)
            changes[name] = None
        elif mode == "chat" and name in dialect.renamed:
            changes[name] = None
            known = dialect.renamed[name]
            if known not in names:
                changes[known] = msgspec.Raw(body.raw_of(name) or b"null")
    return changes


def fitted(chat: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """As `changes_for`, for a call that is already parsed: the call as it is sent."""
    kept = {}
    for name, value in chat.items():
        if name not in dialect.not_taken:
            kept[dialect.renamed.get(name, name)] = value
        elif name not in _HINTS and not _asks_for_nothing(name, value):
            raise _refused(name)
    return kept


def must_ask_for_usage(dialect: Dialect) -> bool:
    """Whether a streamed call has to ask for its usage; asking is an error where it need not."""
    return dialect.usage_in_streams != "unasked"


def _asks_for_nothing(name: str, value: Any) -> bool:
    idle: Iterable[Any] = IDLE.get(name, ())
    return value is None or any(
        value == one and isinstance(value, bool) is isinstance(one, bool) for one in idle
    )


def _refused(name: str) -> Refusal:
    return untranslatable(name, "is not available for this model. Omit it, or choose another model.")
