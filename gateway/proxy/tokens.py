"""Tokens: what a backend says, made disjoint; and what we estimate where it says nothing.

An estimate of a prompt counts four bytes of its JSON as a token, as in English, 4 tokens per message, and
1,000 per image, sound or file instead of its bytes. It is used to reserve before a call, and to bill one
whose backend never told.
"""

import re
from typing import Any

from gateway.contract import Mode, TokenCounts
from gateway.proxy.body import Body

_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_OTHER_PART = 1000
_DATA_PARTS = ("image_url", "input_audio", "file")  # a part of such a type has its data under the same name
# Inside a JSON text a quotation mark is escaped, so this can only meet a real member.
_DATA_PART = re.compile(
    rb'"(?:image_url|input_audio|file)"\s*:\s*'
    rb'(?:\{(?:[^{}"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\}|"[^"\\]*+(?:\\.[^"\\]*+)*+")',
    re.DOTALL,
)
# What no backend puts in front of its model. All else may be: tools, functions, documents.
_NO_PROMPT = (
    "messages", "model", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options", "stop", "user",
    "metadata", "temperature", "top_p", "seed", "reasoning_effort", "service_tier", "safety_identifier",
)  # fmt: skip


def from_openai(usage: dict[str, Any]) -> tuple[TokenCounts, bool]:
    """Make OpenAI's usage disjoint, and say whether its numbers were consistent.

    Cached, written, audio and image tokens are inside `prompt_tokens`, reasoning and audio inside
    `completion_tokens`: each is subtracted once. Numbers that contradict each other are cut to the total and
    called inexact.
    """
    inside = _details(usage, "prompt_tokens_details")
    outside = _details(usage, "completion_tokens_details")
    prompt = _count(usage, "prompt_tokens")
    completion = _count(usage, "completion_tokens")
    exact = isinstance(usage.get("prompt_tokens"), int)

    cache_read, rest, ok_read = _take(_count(inside, "cached_tokens"), prompt)
    written = _count(inside, "cache_write_tokens") or _count(inside, "cache_creation_tokens")
    cache_write, rest, ok_write = _take(written, rest)
    audio_in, rest, ok_audio = _take(_count(inside, "audio_tokens"), rest)
    image, rest, ok_image = _take(_count(inside, "image_tokens"), rest)
    reasoning, left, ok_reasoning = _take(_count(outside, "reasoning_tokens"), completion)
    audio_out, left, ok_audio_out = _take(_count(outside, "audio_tokens"), left)
    counts = TokenCounts(
        input=rest,
        cache_read=cache_read,
        cache_write=cache_write,
        output=left,
        reasoning=reasoning,
        image=image,
        audio=audio_in + audio_out,
    )
    return counts, exact and ok_read and ok_write and ok_audio and ok_image and ok_reasoning and ok_audio_out


def estimate_text(text: str) -> int:
    """About how many tokens a text has."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def with_margin(estimate: int) -> int:
    """What to reserve for an estimated prompt: a third more, as code and other scripts have more tokens."""
    return -(-estimate * 4 // 3)


def estimate_prompt(body: Body, mode: Mode) -> int:
    """About how many tokens the prompt of a chat call, or the input of an embedding call, has.

    Counted in the bytes of the JSON, names and marks included, without building anything of it.
    """
    if mode == "embedding":
        given = body.raw_of("input") or b""
        if b'"' not in given:
            return given.count(b",") + 1  # token ids
        return _estimate_bytes(len(given) + 2 * given.count(b","))  # a token id may have two bytes only
    messages = body.raw_of("messages") or b""
    data_parts = data_bytes = 0
    for part in _DATA_PART.finditer(messages):
        data_parts += 1
        data_bytes += part.end() - part.start()
    beside = sum(body.size_of(name) for name in set(body.names()) if name not in _NO_PROMPT)
    count = len(body.items_of("messages") or ())
    return (
        _estimate_bytes(len(messages) - data_bytes + beside)
        + _TOKENS_PER_MESSAGE * count
        + _TOKENS_PER_OTHER_PART * data_parts
    )


def _estimate_bytes(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)


def estimate_answer(choices: Any) -> int:
    """About how many tokens the choices of a plain chat answer have."""
    if not isinstance(choices, list):
        return 0
    return sum(_estimate_part(choice.get("message")) for choice in choices if isinstance(choice, dict))


def _estimate_part(whole: Any) -> int:
    """Text by its length, a number as one token, and data instead of text (an image, a sound) as a fixed number.

    Without recursion: a client may nest as deeply as it likes.
    """
    total, parts = 0, [whole]
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            total += estimate_text(part)
        elif isinstance(part, int):
            total += 1
        elif isinstance(part, list) and set(map(type, part)) == {int}:
            total += len(part)  # a text as tokens, which may be long
        elif isinstance(part, list):
            parts.extend(part)
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in _DATA_PARTS:
                total += _TOKENS_PER_OTHER_PART
            parts.extend(value for name, value in part.items() if name != kind or kind not in _DATA_PARTS)
    return total


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _count(numbers: dict[str, Any], name: str) -> int:
    number = numbers.get(name)
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else 0


def _take(part: int, total: int) -> tuple[int, int, bool]:
    """The part, what remains of the total, and whether the part fitted."""
    return min(part, total), max(total - part, 0), part <= total
