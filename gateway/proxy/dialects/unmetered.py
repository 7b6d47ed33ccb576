"""Refuse what a provider would do, and bill, beside answering a chat: its own searches and tools.

The Messages and Responses APIs have rules of their own for this. Engines of ours bill nothing, so their calls pass.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from deployments.engine_controls import fold, folded
from gateway.proxy.body import Body, parse
from gateway.proxy.dialects.common import malformed, untranslatable
from gateway.proxy.errors import Refusal

# Fields that have a provider search, as OpenAI, xAI, Qwen, OpenRouter and their proxies name them.
_SEARCHES: Final = folded(
    "web_search_options web_search web_search_params enable_web_search use_web_search search_parameters enable_search"
    " use_search force_search forced_search online_search google_search search"
)
# It chooses how a model searches that does nothing else, and that has a price per call.
_OF_SEARCHING_MODELS: Final = "web_search_options"
_ABOUT_TOOLS: Final = "runs at the provider and is not metered here, so it is not available."
# Tools that Gemini's proxies take without a type, or beside one.
_UNTYPED: Final = (
    "googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval", "enterpriseWebSearch",
    "enterprise_web_search", "urlContext", "url_context", "googleMaps", "google_maps", "codeExecution",
    "code_execution", "computerUse", "computer_use", "fileSearch", "file_search", "retrieval", "web_search", "mcp",
)  # fmt: skip
_Own = Literal["function", "custom"] | msgspec.UnsetType
_ABSENT: Final = msgspec.UNSET
# Each member is checked each time it appears; those of no interest are not built.
_Tool = msgspec.defstruct(
    "_Tool",
    [
        ("type", _Own, _ABSENT),
        ("function", msgspec.Raw | msgspec.UnsetType, _ABSENT),
        *((name, None, None) for name in _UNTYPED),
    ],
    gc=False,
)
_TOOLS: Final = msgspec.json.Decoder(list[_Tool] | None)  # type: ignore[valid-type]


def require_no_search(body: Body, names: Sequence[str], *, is_shaped: bool) -> None:
    """Raises Refusal (400) for a field that has a provider search for a chat.

    Args:
        body: the call.
        names: of its fields.
        is_shaped: this kind of provider takes `web_search_options` only for models that search anyway.
    """
    for name in names:
        if fold(name) in _SEARCHES and not (is_shaped and name == _OF_SEARCHING_MODELS):
            value = body.get(name)
            is_off = isinstance(value, dict) and value.get("mode") == "off"
            if value not in (None, False) and not is_off:
                raise untranslatable(
                    name, "asks for a search, which is not metered here, so it is not available. Omit it."
                )


def require_own_tools(body: Body) -> None:
    """Raises Refusal (400) for tools that are not the client's own functions."""
    raw = body.raw_of("tools")
    if raw is None:
        return
    try:
        if all(one.type is not _ABSENT or one.function is not _ABSENT for one in _TOOLS.decode(raw) or ()):
            return
    except msgspec.DecodeError:
        pass
    raise _about(parse(raw, "tools"))


def _about(tools: Any) -> Refusal:
    """What is wrong with tools of which one is not the client's own."""
    if not isinstance(tools, list):
        return malformed("tools", "be a list")
    for at, tool in enumerate(tools):
        path = f"tools[{at}]"
        if not isinstance(tool, dict):
            return malformed(path, "be an object with a `type`")
        kind = tool.get("type")
        if kind is not None and not isinstance(kind, str):
            return malformed(f"{path}.type", "be a text")
        if kind is not None and kind not in ("function", "custom"):
            return untranslatable(f"{path}.type", f"is `{kind[:40]}`, which {_ABOUT_TOOLS}")
        for name in _UNTYPED:
            if tool.get(name) is not None:
                return untranslatable(f"{path}.{name}", _ABOUT_TOOLS)
        if kind is None and "function" not in tool:
            return malformed(path, "be an object with a `type`")
    return malformed("tools", "be functions")
