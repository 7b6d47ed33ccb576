"""Anthropic's usage in OpenAI's numbers.

Anthropic counts cached tokens beside `input_tokens`, OpenAI inside of `prompt_tokens`. Both count thoughts inside of
the answer. The lifetimes of cache writes have no name at OpenAI, so they keep Anthropic's, as do the service tier and
the number of searches.
"""

from typing import Any

_LIFETIMES = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


class AnthropicUsage:
    """The usage of one answer, put together from its reports: in a stream the later ones are totals, too."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        # The cache is inside of `input_tokens`.
        self._is_inside = False

    def note(self, usage: Any) -> None:
        """Keep what another report says: the larger of two numbers, since some servers fill up with zeros."""
        if isinstance(usage, dict):
            self._is_inside = self._is_inside or (bool(self._told) and _counts_as_openai(usage))
            _merge(self._told, usage)

    @property
    def is_told(self) -> bool:
        return "output_tokens" in self._told or "input_tokens" in self._told

    def for_chat(self, *, is_whole: bool = True) -> dict[str, Any]:
        """OpenAI's `usage`; only of the prompt if the answer is not whole, since its number then stands for nothing.

        Anything that is no count stays under its own name, for `gateway.proxy.usage` to judge.
        """
        told = self._told
        counts = {
            name: told.get(name, 0) for name in (
                "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"
            )
        }  # fmt: skip
        created = told.get("cache_creation")
        lifetimes = (
            {name: created[name] for name in _LIFETIMES if name in created}
            if isinstance(created, dict)
            else {}
        )
        details = told.get("output_tokens_details")
        thought = details.get("thinking_tokens") if isinstance(details, dict) else None
        if not all(map(_is_count, (*counts.values(), *lifetimes.values(), thought or 0))):
            return dict(told)
        written = max(counts["cache_creation_input_tokens"], sum(lifetimes.values()))
        cached = counts["cache_read_input_tokens"] + written
        prompt = max(counts["input_tokens"], cached) if self._is_inside else counts["input_tokens"] + cached
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": counts["output_tokens"],
            "total_tokens": prompt + counts["output_tokens"],
            "prompt_tokens_details": {
                "cached_tokens": counts["cache_read_input_tokens"],
                "cache_write_tokens": written,
            },
        }
        if not is_whole:
            del usage["completion_tokens"], usage["total_tokens"]
        elif thought is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": thought}
        if any(lifetimes.values()):
            usage["cache_creation"] = lifetimes
        if isinstance(told.get("service_tier"), str):
            usage["service_tier"] = told["service_tier"]
        if isinstance(told.get("server_tool_use"), dict):
            usage["server_tool_use"] = told["server_tool_use"]
        return usage


def _merge(known: dict[str, Any], told: dict[str, Any]) -> None:
    for name, value in told.items():
        before = known.get(name)
        if value is None:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            _merge(before, value)
        elif isinstance(value, dict):
            known[name] = {}
            _merge(known[name], value)
        elif not (_is_count(before) and _is_count(value) and before > value):
            known[name] = value


def _counts_as_openai(usage: dict[str, Any]) -> bool:
    """Whether a later report has the cache under OpenAI's name too, and no prompt: Alibaba tells the whole at first."""
    details, cached = usage.get("prompt_tokens_details"), usage.get("cache_read_input_tokens")
    return (
        "input_tokens" not in usage
        and _is_count(cached)
        and isinstance(details, dict)
        and details.get("cached_tokens") == cached
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
