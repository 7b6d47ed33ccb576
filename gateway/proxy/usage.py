"""What backends say about the tokens of a call, in every dialect that is in use; read, not believed.

The names are those of OpenAI (chat and Responses), Anthropic, Gemini, Bedrock, Cohere, DeepSeek, Moonshot, Mistral,
OpenRouter, Perplexity, Qwen, xAI, Groq, vLLM, llama.cpp and Ollama. `gateway.proxy.evidence` compares what is read
here with the bytes that went through.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

LARGEST_COUNT = 10_000_000  # tokens; no window and no answer is longer

_PROMPT = (
    "prompt_tokens",
    "promptTokens",
    "promptTokenCount",
    "prompt_token_count",
    "prompt_eval_count",
    "input_token_count",
)
_INPUT = (
    "input_tokens",
    "inputTokens",
)  # Responses: all of the prompt; Anthropic, Bedrock: what no cache had
_COMPLETION = (
    "completion_tokens",
    "output_tokens",
    "completionTokens",
    "outputTokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "output_token_count",
    "eval_count",
)
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")
_CACHE_READ = (
    "cached_tokens",
    "num_cached_tokens",
    "prompt_cache_hit_tokens",
    "cached_input_tokens",
    "cache_read_tokens",
    "cachedContentTokenCount",
    "cached_content_token_count",
    "cache_read",
)
_CACHE_READ_BESIDE = ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
_CACHE_WRITE = ("cache_write_tokens", "cache_creation_tokens", "cached_creation_tokens", "cache_creation")
_CACHE_WRITE_BESIDE = (
    "cache_creation_input_tokens",
    "cacheCreationInputTokens",
    "cacheWriteInputTokens",
    "cacheWriteInputTokenCount",
)
_CREATED = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_REASONING = (
    "reasoning_tokens",
    "reasoningTokens",
    "thinking_tokens",
    "reasoning_output_tokens",
    "reasoning",
)
_THOUGHTS = ("thoughtsTokenCount", "thoughts_token_count")  # Gemini's, beside the candidates
_TOOL_PROMPT = ("toolUsePromptTokenCount", "tool_use_prompt_token_count")  # Gemini's, beside the prompt
_AUDIO = ("audio_tokens", "audioTokens", "audio")
_IMAGE = ("image_tokens", "imageTokens", "image")
_VIDEO = ("video_tokens", "videoTokens")  # frames: billed as images
_INSIDE = (
    "prompt_tokens_details",
    "input_tokens_details",
    "prompt_token_details",
    "input_token_details",
    "promptTokensDetails",
    "prompt_tokens_detail",
)
_OUTSIDE = (
    "completion_tokens_details",
    "output_tokens_details",
    "completion_token_details",
    "output_token_details",
    "candidatesTokensDetails",
    "candidates_tokens_details",
)
_OF_CACHE = ("cached_tokens_details", "cacheTokensDetails", "cache_tokens_details")  # fmt: skip


@dataclass(slots=True)
class Reported:
    """The numbers of one or several usage objects. None: not told, or told as something that is no number."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    audio_in: int = 0
    image_in: int = 0
    cached_audio: int = 0  # inside `cache_read`, and inside `audio_in`
    cached_image: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    is_cache_beside: bool = False  # by the dialect: cached tokens are not in `prompt`
    is_reasoning_beside: bool = False
    is_clean: bool = True  # False: some number was negative, fractional, too large or none at all

    def merge(self, other: "Reported") -> None:
        """Take the larger of each number: what grows in a stream ends with its largest, and zeros are placeholders."""
        is_complete = True
        is_new = False
        for name in _COUNTS:
            mine, its = getattr(self, name), getattr(other, name)
            if its is not None and (mine is None or its > mine):
                setattr(self, name, its)
                is_new = True
            elif its != mine:
                is_complete = False
        self.is_cache_beside = self.is_cache_beside or other.is_cache_beside
        self.is_reasoning_beside = self.is_reasoning_beside or other.is_reasoning_beside
        if is_new:
            self.is_clean = other.is_clean and (self.is_clean or is_complete)


_COUNTS = tuple(one.name for one in fields(Reported) if not one.name.startswith("is_"))


def read_usage(content: Any) -> Reported | None:
    """All that an answer, or an event of a stream, says about tokens; None if it says nothing."""
    result: Reported | None = None
    for usage in _usage_objects(content):
        one = _read(usage)
        if result is None:
            result = one
        else:
            result.merge(one)
    return result


def _usage_objects(content: Any) -> Iterator[dict[str, Any]]:
    """Wherever usage is told: under its own names, inside a choice (Moonshot), for Groq, llama.cpp, Ollama."""
    if not isinstance(content, dict):
        return
    choices = content.get("choices")
    places = [content, content.get("x_groq"), content.get("message")]
    places += choices if isinstance(choices, list) else []
    for place in places:
        if isinstance(place, dict):
            for name in ("usage", "usageMetadata", "usage_metadata"):
                usage = place.get(name)
                if isinstance(usage, dict):
                    yield usage
                    yield from (
                        usage[one] for one in ("tokens", "billed_units") if isinstance(usage.get(one), dict)
                    )
    if "prompt_eval_count" in content or "eval_count" in content:
        yield {name: content.get(name) for name in ("prompt_eval_count", "eval_count")}
    timings = content.get("timings")
    if isinstance(timings, dict) and type(timings.get("prompt_n")) is int:
        cached = timings.get("cache_n")
        cached = cached if type(cached) is int else 0
        yield {
            "prompt_tokens": timings["prompt_n"] + cached,
            "completion_tokens": timings.get("predicted_n"),
            "cached_tokens": cached,
        }


def _read(usage: dict[str, Any]) -> Reported:
    numbers = _Numbers()
    inside = [_by_modality(usage.get(name)) for name in _INSIDE]
    outside = [_by_modality(usage.get(name)) for name in _OUTSIDE]
    of_cache = [_by_modality(place.get(name)) for name in _OF_CACHE for place in (usage, *inside)]
    prompt = numbers.largest([usage], _PROMPT)
    own_input = numbers.largest([usage], _INPUT)
    beside = ((usage, _CACHE_READ_BESIDE), (usage, _CACHE_WRITE_BESIDE))
    read_beside, write_beside = (numbers.largest([place], names) or 0 for place, names in beside)
    created = [usage.get("cache_creation"), *(place.get("cache_creation") for place in inside)]
    written = [
        sum(numbers.largest([one], [name]) or 0 for name in _CREATED)
        for one in created
        if isinstance(one, dict)
    ]
    hit, missed = (
        numbers.largest([usage], [name]) for name in ("prompt_cache_hit_tokens", "prompt_cache_miss_tokens")
    )
    if prompt is None and own_input is None and missed is not None:
        prompt = missed + (hit or 0)
    thoughts = numbers.largest([usage], _THOUGHTS)
    tool_prompt = numbers.largest([usage], _TOOL_PROMPT) or 0
    counted = [value for value in (prompt, own_input) if value is not None]
    return Reported(
        prompt=max(counted) + tool_prompt if counted else None,
        completion=numbers.largest([usage], _COMPLETION),
        total=numbers.largest([usage], _TOTAL),
        cache_read=max(
            read_beside, numbers.largest([usage, *inside], (*_CACHE_READ, *_CACHE_READ_BESIDE)) or 0
        ),
        cache_write=max(
            write_beside,
            *written,
            numbers.largest([usage, *inside], (*_CACHE_WRITE, *_CACHE_WRITE_BESIDE)) or 0,
        ),
        audio_in=numbers.largest(inside, _AUDIO) or 0,
        image_in=(numbers.largest(inside, _IMAGE) or 0) + (numbers.largest(inside, _VIDEO) or 0),
        cached_audio=numbers.largest(of_cache, _AUDIO) or 0,
        cached_image=(numbers.largest(of_cache, _IMAGE) or 0) + (numbers.largest(of_cache, _VIDEO) or 0),
        reasoning=max(thoughts or 0, numbers.largest([usage, *outside], _REASONING) or 0),
        audio_out=numbers.largest(outside, _AUDIO) or 0,
        image_out=(numbers.largest(outside, _IMAGE) or 0) + (numbers.largest(outside, _VIDEO) or 0),
        is_cache_beside=not prompt and bool(read_beside or write_beside),
        is_reasoning_beside=thoughts is not None,
        is_clean=numbers.is_clean,
    )


def _by_modality(details: Any) -> dict[str, Any]:
    """Details as a dictionary; Gemini's list of modalities as the names of the others."""
    if isinstance(details, dict):
        return details
    result: dict[str, Any] = {}
    for one in details if isinstance(details, list) else ():
        if isinstance(one, dict):
            name = f"{str(one.get('modality', '')).lower()}_tokens"
            result[name] = one.get("tokenCount", one.get("token_count"))
    return result


class _Numbers:
    """Reads numbers, and remembers whether one of them was none."""

    def __init__(self) -> None:
        self.is_clean = True

    def largest(self, places: Iterable[dict[str, Any]], names: Iterable[str]) -> int | None:
        """The largest number under any of the names."""
        result: int | None = None
        for place in places:
            for name in names:
                value = place.get(name)
                if value is None or isinstance(value, dict | list):  # details under the name of a count
                    continue
                number = self._number(value)
                if number is not None and (result is None or number > result):
                    result = number
        return result

    def _number(self, value: Any) -> int | None:
        """A count. Whole floats and texts of digits are numbers; a fraction is rounded up, and not clean."""
        if isinstance(value, str) and len(value) < 40:
            try:
                value = float(value)
            except ValueError:
                value = None
        if isinstance(value, float) and math.isfinite(value):
            self.is_clean = self.is_clean and value.is_integer()
            value = math.ceil(value)
        if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
            self.is_clean = False
            return None
        return value
