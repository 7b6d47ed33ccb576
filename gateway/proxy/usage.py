"""Read what backends report about the tokens of a call, in every dialect in use, without trusting it.

The names are those of OpenAI (chat and Responses), Anthropic, Gemini, Bedrock, Cohere, DeepSeek, Moonshot, Mistral,
OpenRouter, Perplexity, Qwen, xAI, Groq, vLLM, llama.cpp and Ollama. `gateway.proxy.evidence` compares what is read
here with the bytes that went through.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.proxy.members import Repeated, members_of, object_of, values_of

# Tokens; no context window and no answer is longer.
LARGEST_COUNT = 10_000_000

_DIGITS = re.compile(r"[0-9]+(?:\.0*)?")
_TIER = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAMES_OF_OBJECTS = ("usage", "usageMetadata", "usage_metadata")
_WRAPPERS = ("x_groq", "message", "response", "result")
_INNER = ("tokens", "billed_units")  # Cohere's

# The field for each name: at the top of a usage object, in details of the prompt, of the answer, of the cache.
# fmt: off
_TOP = {
    "prompt": "prompt_tokens promptTokens promptTokenCount prompt_token_count prompt_eval_count input_token_count",
    # Responses: the whole prompt; Anthropic, Bedrock: only its uncached part.
    "input": "input_tokens inputTokens",
    "completion": "completion_tokens output_tokens completionTokens outputTokens candidatesTokenCount "
                  "candidates_token_count output_token_count eval_count",
    "total": "total_tokens totalTokens totalTokenCount total_token_count",
    "cache_read": "cached_tokens num_cached_tokens cached_input_tokens cache_read_tokens cachedContentTokenCount "
                  "cached_content_token_count",
    "hit": "prompt_cache_hit_tokens",
    "missed": "prompt_cache_miss_tokens",
    "read_beside": "cache_read_input_tokens cacheReadInputTokens cacheReadInputTokenCount",
    "cache_write": "cache_write_tokens cache_creation_tokens",
    "write_beside": "cache_creation_input_tokens cacheCreationInputTokens cacheWriteInputTokens "
                    "cacheWriteInputTokenCount",
    "reasoning": "reasoning_tokens reasoningTokens thinking_tokens reasoning_output_tokens",
    "thoughts": "thoughtsTokenCount thoughts_token_count",  # Gemini's, beside the candidates
    "tool_prompt": "toolUsePromptTokenCount tool_use_prompt_token_count",  # Gemini's, beside the prompt
}
_MEDIA = {"audio": "audio_tokens audioTokens audio", "image": "image_tokens imageTokens image",
          "video": "video_tokens videoTokens"}
_INSIDE = {
    "cache_read": "cached_tokens cache_read_tokens cache_read_input_tokens cachedTokens cache_read",
    "cache_write": "cache_write_tokens cache_creation_tokens cached_creation_tokens cache_creation_input_tokens "
                   "cache_creation",
    **{f"{kind}_in": names for kind, names in _MEDIA.items()},
}
_OUTSIDE = {"reasoning": "reasoning_tokens thinking_tokens reasoning",
            **{f"{kind}_out": names for kind, names in _MEDIA.items()}}
_OF_CACHE = {f"cached_{kind}": names for kind, names in _MEDIA.items()}
_DETAILS = {
    "prompt_tokens_details": _INSIDE, "input_tokens_details": _INSIDE, "prompt_token_details": _INSIDE,
    "input_token_details": _INSIDE, "promptTokensDetails": _INSIDE,
    "completion_tokens_details": _OUTSIDE, "output_tokens_details": _OUTSIDE, "completion_token_details": _OUTSIDE,
    "output_token_details": _OUTSIDE, "candidatesTokensDetails": _OUTSIDE,
    "cached_tokens_details": _OF_CACHE, "cacheTokensDetails": _OF_CACHE,
}
# fmt: on
# Anthropic's cache writes by their lifetime.
_CREATED = (
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
)


def _by_name(fields_: dict[str, str]) -> dict[str, str]:
    return {name: field for field, names in fields_.items() for name in names.split()}


_FIELD_AT_TOP = _by_name(_TOP)
_FIELD_IN_DETAILS = {name: _by_name(table) for name, table in _DETAILS.items()}


class Reported(msgspec.Struct, gc=False):
    """The numbers of one or more usage objects. None: not reported, or not a number."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    # Included in `cache_write`: for an hour instead of five minutes.
    cache_write_1h: int = 0
    audio_in: int = 0
    image_in: int = 0
    # Included in both `cache_read` and `audio_in`.
    cached_audio: int = 0
    cached_image: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    # In this dialect, `prompt` does not include cached tokens.
    is_cache_beside: bool = False
    is_reasoning_beside: bool = False
    # Perplexity's: counted beside everything else; its total may or may not include it.
    is_reasoning_at_top: bool = False
    # False if any number was negative, fractional, too large or not a number.
    is_clean: bool = True

    @property
    def is_only_text(self) -> bool:
        """Whether it is clean, and mentions nothing but the prompt, the answer and their total."""
        return self == Reported(self.prompt, self.completion, self.total)

    def contradicts(self, other: "Reported") -> bool:
        """Whether the two reports differ about the prompt or the answer. A zero counts as no report."""
        pairs = zip(self._sides(), other._sides(), strict=True)
        return any(mine and its and mine != its for mine, its in pairs)

    def _sides(self) -> tuple[int, int]:
        prompt, completion = self.prompt or 0, self.completion or 0
        cache = self.cache_read + self.cache_write if self.is_cache_beside and prompt else 0
        return prompt + cache, completion + self.reasoning * self.is_reasoning_beside

    def plus(self, other: "Reported") -> "Reported":
        """Both together, of two parts of one answer. Never clean: each may also count what they share."""
        counts = {name: (getattr(self, name) or 0) + (getattr(other, name) or 0) for name in _COUNTS}
        return msgspec.structs.replace(self, **counts, is_clean=False)

    def merge(self, other: "Reported") -> None:
        """Take the larger of each number: growing numbers in a stream end at their largest; zeros are placeholders."""
        other = msgspec.structs.replace(other)
        _speak_alike(self, other)
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
        self.is_reasoning_at_top = self.is_reasoning_at_top or other.is_reasoning_at_top
        if is_new:
            self.is_clean = other.is_clean and (self.is_clean or is_complete)


def _speak_alike(one: Reported, other: Reported) -> None:
    """If only one of two dialects includes the cache, or thoughts, in its numbers, make both include them."""
    if one.prompt is not None and other.prompt is not None and one.is_cache_beside != other.is_cache_beside:
        for report in (one, other):
            if report.is_cache_beside:
                report.prompt = (report.prompt or 0) + report.cache_read + report.cache_write
                report.is_cache_beside = False
    if (
        one.completion is not None
        and other.completion is not None
        and one.is_reasoning_beside != other.is_reasoning_beside
    ):
        for report in (one, other):
            if report.is_reasoning_beside:
                report.completion = (report.completion or 0) + report.reasoning
                report.is_reasoning_beside = False


_COUNTS = tuple(name for name in Reported.__struct_fields__ if not name.startswith("is_"))


def tier_in(content: Any) -> str | None:
    """The service tier that an answer or an event names: in its usage, as Anthropic's, or beside it. None: no word."""
    if not isinstance(content, dict):
        return None
    usage = content.get("usage")
    tier = (usage.get("service_tier") if isinstance(usage, dict) else None) or content.get("service_tier")
    return tier if isinstance(tier, str) and _TIER.fullmatch(tier) else None


def read_usage(content: Any) -> Reported | None:
    """Everything that an answer, or an event of a stream, reports about tokens; None if nothing.

    Objects that contradict each other are not clean. If `content` comes from `parse_all`, an object with a repeated
    name that has different values is not clean either.
    """
    if not isinstance(content, dict):
        return None
    result: Reported | None = None
    is_ambiguous = False
    for usage, is_main, is_repeated in _usage_objects(content):
        one = _read(usage)
        is_ambiguous = is_ambiguous or is_repeated
        if result is None:
            result = one
        else:
            is_ambiguous = is_ambiguous or (is_main and one.contradicts(result))
            result.merge(one)
    if result is not None and is_ambiguous:
        result.is_clean = False
    return result


def _usage_objects(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool, bool]]:
    """All usage objects: under their own names, inside a choice (Moonshot) or its message, inside a proxy's
    wrapper (`response`, `result`), for Groq, llama.cpp, Ollama. For each, whether it covers the whole call, and
    whether the same name has another value.
    """
    places = [(content, True, False)]
    places += [(place, True, again) for name in _WRAPPERS for place, again in _under(content, name)]
    for choices, again in _under(content, "choices"):
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                inner = [choice, *values_of(choice, "message"), *values_of(choice, "delta")]
                places += [(place, False, again or isinstance(choice, Repeated)) for place in inner]
    for place, is_main, again in places:
        if not isinstance(place, dict):
            continue
        for name in _NAMES_OF_OBJECTS:
            for usage, is_repeated in _under(place, name):
                if isinstance(usage, dict):
                    yield usage, is_main, again or is_repeated
                    for inside in _INNER:
                        for one, twice in _under(usage, inside):
                            if isinstance(one, dict):
                                yield one, False, twice
    for place in _as_often_as_told(content):
        if "prompt_eval_count" in place or "eval_count" in place:
            yield {name: place.get(name) for name in ("prompt_eval_count", "eval_count")}, True, False
    for told, again in _under(content, "timings"):
        for timings in _as_often_as_told(told) if isinstance(told, dict) else ():
            if type(timings.get("prompt_n")) is int:
                cached = timings.get("cache_n")
                cached = cached if type(cached) is int else 0
                usage = {
                    "prompt_tokens": timings["prompt_n"] + cached,
                    "completion_tokens": timings.get("predicted_n"),
                    "cached_tokens": cached,
                }
                yield usage, isinstance(told, Repeated), again


def _under(place: dict[str, Any], name: str) -> list[tuple[Any, bool]]:
    """All values of a name, and whether there are several."""
    values = values_of(place, name)
    return [(value, len(values) > 1) for value in values]


def _as_often_as_told(place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The object, and a copy for each further value of a repeated name."""
    yield place
    if isinstance(place, Repeated):
        yield from ({**place, name: value} for name, value in place.earlier)


def _read(usage: dict[str, Any]) -> Reported:
    numbers = _Numbers()
    numbers.take(usage, _FIELD_AT_TOP)
    get = numbers.found.get
    prompt, own_input, missed = get("prompt"), get("input"), get("missed")
    beside = get("read_beside", 0) or get("write_beside", 0)
    if prompt is None and own_input is None and missed is not None:
        prompt = missed + get("hit", 0)
    whole = own_input if prompt is None else max(prompt, own_input or 0)
    return Reported(
        prompt=None if whole is None else whole + get("tool_prompt", 0),
        completion=get("completion"),
        total=get("total"),
        cache_read=max(get("cache_read", 0), get("read_beside", 0), get("hit", 0)),
        cache_write=max(get("cache_write", 0), get("write_beside", 0)),
        cache_write_1h=get("cache_write_1h", 0),
        audio_in=get("audio_in", 0),
        # Frames are billed as images.
        image_in=get("image_in", 0) + get("video_in", 0),
        cached_audio=get("cached_audio", 0),
        cached_image=get("cached_image", 0) + get("cached_video", 0),
        reasoning=max(get("thoughts", 0), get("reasoning", 0)),
        audio_out=get("audio_out", 0),
        image_out=get("image_out", 0) + get("video_out", 0),
        is_cache_beside=not prompt and beside > 0,
        is_reasoning_beside="thoughts" in numbers.found,
        is_reasoning_at_top=any(_FIELD_AT_TOP.get(name) == "reasoning" for name in usage),
        is_clean=numbers.is_clean,
    )


def _by_modality(details: list[Any]) -> dict[str, Any]:
    """Gemini's list of modalities, under the names that other dialects use."""
    pairs = [
        (f"{str(one.get('modality', '')).lower()}_tokens", told.get("tokenCount", told.get("token_count")))
        for one in details
        if isinstance(one, dict)
        for told in _as_often_as_told(one)
    ]
    return object_of(pairs)


class _Numbers:
    """Reads numbers: the largest for each field, and whether any was invalid."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self.is_clean = True

    def take(self, place: dict[str, Any], fields_: dict[str, str]) -> None:
        """Read all numbers of an object with a name in `fields_`, and those of its details."""
        if isinstance(place, Repeated) and any(self._is_known(name, fields_) for name, _ in place.earlier):
            self.is_clean = False
        for name, value in members_of(place):
            if value is None:
                continue
            field = fields_.get(name)
            if name in _FIELD_IN_DETAILS:
                details = _by_modality(value) if isinstance(value, list) else value
                if isinstance(details, dict):
                    self.take(details, _FIELD_IN_DETAILS[name])
            elif name == "cache_creation" and isinstance(value, dict):
                self.is_clean = self.is_clean and not isinstance(value, Repeated)
                parts = [max(map(self._number_or_zero, values_of(value, one))) for one in _CREATED]
                self._keep("cache_write", sum(parts))
                self._keep("cache_write_1h", parts[1])
            elif field is not None:
                number = value if type(value) is int and 0 <= value <= LARGEST_COUNT else self._number(value)
                if number is not None:
                    self._keep(field, number)

    def _is_known(self, name: str, fields_: dict[str, str]) -> bool:
        return name in fields_ or name in _FIELD_IN_DETAILS or name == "cache_creation"

    def _number_or_zero(self, value: Any) -> int:
        return 0 if value is None else self._number(value) or 0

    def _keep(self, field: str, number: int) -> None:
        if number >= self.found.get(field, 0):
            self.found[field] = number

    def _number(self, value: Any) -> int | None:
        """A count. Whole floats and texts of digits are numbers; a fraction is rounded up and is not clean."""
        if isinstance(value, str) and len(value) < 40:
            self.is_clean = self.is_clean and _DIGITS.fullmatch(value) is not None
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
