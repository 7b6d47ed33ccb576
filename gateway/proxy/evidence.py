"""The usage of a call: its backend's report, if the bytes that passed through make it plausible; else an estimate.

A prompt has at least one token per 64 bytes and an answer one per 32, a lower bound for any real text. Neither has
more than one per byte, plus some for the marks around it: a few are exact, more are billed but inexact. Only reasoning
may be hidden: tokens that the backend calls reasoning, tokens that appear only in the total, and unnamed tokens if the
call requested reasoning. It is bounded by the maximum that the client named, else the model's own, else the longest
known answer; only reasoning that the backend names is exact. Tokens outside these bounds do not count, nor does a part
that is larger than its whole and does not fit beside it.
Estimates are on the high side: every three bytes count as a token, and so does every piece of a stream.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from gateway.contract import Usage
from gateway.proxy.delivered import (
    ESTIMATED_BYTES_OF_A_TOKEN,
    MOST_BYTES_OF_A_TOKEN,
    MOST_TOKENS_OF_AN_IMAGE,
    Delivered,
)
from gateway.proxy.ordinary_usage import as_usage, estimated_usage, ordinary_usage
from gateway.proxy.usage import Reported
from gateway.proxy.usage_bounds import Bounds

# Bytes of `http://a.b/c`, a link to an image.
_SHORTEST_LINK = 12
_OUTPUT = ("output", "reasoning", "audio_out", "image_out")


@dataclass(slots=True)
class _Sides:
    """A report made disjoint. None: that side was not reported."""

    prompt: int | None
    output: int | None  # with reasoning and media
    is_exact: bool
    # Reasoning that appears only in the total; included in `output`.
    hidden: int = 0


def count_tokens(
    reported: Reported | None, bounds: Bounds, delivered: Delivered, *, is_partial: bool = False
) -> tuple[Usage, bool]:
    """Disjoint tokens of a call, and whether they are exact: reported, complete, and possible.

    Args:
        reported: numbers of the backend; None: none.
        bounds: what is possible.
        delivered: what reached the client.
        is_partial: the report came before the end of the answer, so its output is only a part.
    """
    if reported is None:
        return estimated_usage(bounds, delivered), False
    if not is_partial and (ordinary := ordinary_usage(reported, bounds, delivered)) is not None:
        return ordinary, True
    counts, is_exact = _count(reported, bounds, delivered, is_partial)
    return as_usage(counts, reported), is_exact


def count_delivered(
    reported: Reported | None, bounds: Bounds, delivered: Delivered, *, is_partial: bool = False
) -> tuple[Usage, bool]:
    """Tokens of a failed call: none if nothing was delivered, and never more output than was delivered.

    `reported`, `bounds`, `delivered` and `is_partial` are as in `count_tokens`.
    """
    if not delivered.pieces:
        return {}, True
    counts, _ = _count(reported, bounds, delivered, is_partial)
    output = sum(counts[kind] for kind in _OUTPUT)
    _clear(counts, *_OUTPUT)
    _add_estimate(counts, bounds, delivered, min(output, _estimate(bounds, delivered)))
    return as_usage(counts, reported), False


def count_dropped(reported: Reported | None, bounds: Bounds, size: int) -> Usage:
    """Tokens of an answer of `size` bytes that was read but not kept: its own report, else only the prompt."""
    largest = max(reported.completion or 0, reported.total or 0) if reported else 0
    most = MOST_BYTES_OF_A_TOKEN * largest if largest else ESTIMATED_BYTES_OF_A_TOKEN * bounds.hidden_most
    evidence = Delivered(bytes=min(size, most), pieces=1) if reported else Delivered()
    return count_tokens(reported, bounds, evidence)[0]


def _count(
    reported: Reported | None, bounds: Bounds, delivered: Delivered, is_partial: bool
) -> tuple[dict[str, int], bool]:
    reported = _without_the_impossible(reported or Reported(is_clean=False), bounds)
    sides = _sides_of(reported, bounds, delivered)
    counts, is_consistent = _kinds_of(reported, sides)
    is_exact = sides.is_exact and is_consistent and not is_partial

    prompt = sides.prompt
    if prompt is None or (prompt > bounds.input_most and not bounds.may_bring_more):
        is_exact = False
        _clear(counts, "cache_read", "cache_write", "audio_in", "image_in")
        counts["input"] = bounds.input_estimate
    elif prompt < bounds.input_least:
        is_exact = False
        counts["input"] += max(bounds.input_estimate - prompt, 0)
    elif prompt > bounds.input_certain and not bounds.may_bring_more:
        is_exact = False

    if bounds.is_embedding:
        _clear(counts, *_OUTPUT)
        return counts, is_exact
    if sides.output is None or sides.output > bounds.output_most + delivered.room(bounds.choices):
        is_exact = False
        _clear(counts, *_OUTPUT)
        _add_estimate(counts, bounds, delivered, _estimate(bounds, delivered))
        return counts, is_exact
    is_possible, is_certain = _leave_out_the_unseen(counts, bounds, delivered)
    output = sum(counts[kind] for kind in _OUTPUT)
    if not is_possible or output < delivered.least or is_partial:
        is_exact = False
        _add_estimate(counts, bounds, delivered, max(_estimate(bounds, delivered) - output, 0))
    return counts, is_exact and is_possible and is_certain


def _leave_out_the_unseen(counts: dict[str, int], bounds: Bounds, delivered: Delivered) -> tuple[bool, bool]:
    """Remove output tokens that have no bytes and cannot be reasoning.

    Returns whether there were none, and whether the rest counts as exact.
    """
    room = delivered.room(bounds.choices)
    by_link = bounds.choices if delivered.bytes >= _SHORTEST_LINK else 0
    reported = counts["output"] + counts["audio_out"]
    images = max(counts["image_out"] - max(delivered.images, bounds.choices) * MOST_TOKENS_OF_AN_IMAGE, 0)
    linked = max(counts["image_out"] - max(delivered.images, by_link) * MOST_TOKENS_OF_AN_IMAGE, 0)
    visible = reported + images
    is_certain = reported + linked <= delivered.certain(bounds.choices)
    is_possible = visible <= room
    if not is_possible and (not bounds.may_think or visible > room + bounds.hidden_most):
        _clear(counts, "output", "audio_out", *(["image_out"] if images else []))
        visible = 0
    unseen = counts["reasoning"] - max(room - visible, 0)
    if unseen > bounds.hidden_most:
        counts["reasoning"] -= unseen - bounds.hidden_most
        is_possible = False
    return is_possible, is_certain


def _estimate(bounds: Bounds, delivered: Delivered) -> int:
    return delivered.estimate(bounds.characters_of_a_sound_token)


def _add_estimate(counts: dict[str, int], bounds: Bounds, delivered: Delivered, tokens: int) -> None:
    """Add output tokens that were not reported: as sound, up to the sound delivered, and then as text."""
    sound = min(
        tokens, max(delivered.sound_estimate(bounds.characters_of_a_sound_token) - counts["audio_out"], 0)
    )
    counts["audio_out"] += sound
    counts["output"] += tokens - sound


def _without_the_impossible(reported: Reported, bounds: Bounds) -> Reported:
    """The report without any part that is larger than its whole and cannot be counted beside it either."""
    prompt, completion, total = reported.prompt, reported.completion, reported.total
    cache = reported.cache_read + reported.cache_write
    if prompt is not None and cache > prompt and not reported.is_cache_beside:
        # Then the cache is missing from the prompt.
        is_too_short = prompt < bounds.input_least
        if total:
            without = prompt + (completion or 0)
            is_possible = total >= without + cache or (is_too_short and total <= without)
        else:
            is_possible = is_too_short or prompt + cache <= bounds.input_bytes or bounds.may_bring_more
        if not is_possible:
            written = reported.cache_write if reported.cache_write <= prompt else 0
            reported = replace(
                reported, cache_read=0, cached_audio=0, cached_image=0, cache_write=written, is_clean=False
            )
    whole = None if prompt is None else prompt + (cache if reported.is_cache_beside else 0)
    if whole is not None and max(reported.audio_in, reported.image_in) > whole:
        reported = replace(reported, audio_in=0, image_in=0, is_clean=False)
    if completion is not None and max(reported.audio_out, reported.image_out) > completion:
        reported = replace(reported, audio_out=0, image_out=0, is_clean=False)
    if completion is not None and reported.reasoning > completion and total:
        is_beside = reported.is_reasoning_beside or reported.is_reasoning_at_top
        if not is_beside and total < (prompt or 0) + completion + reported.reasoning:
            reported = replace(reported, reasoning=0, is_clean=False)
    return reported


def _sides_of(reported: Reported, bounds: Bounds, delivered: Delivered) -> _Sides:
    """The tokens of the prompt and of the answer, from the report of each and of their total.

    The total decides whether a part is counted beside its whole or inside it; else the dialect decides. A part
    that is larger than its whole is beside it.
    """
    cache = reported.cache_read + reported.cache_write
    is_exact = reported.is_clean
    prompt, completion, total = reported.prompt, reported.completion, reported.total or None
    if bounds.is_embedding:
        numbers = [number for number in (prompt, total) if number]
        return _Sides(max(numbers, default=None), 0, is_exact and len(set(numbers)) == 1 and not completion)
    # An impossible zero counts as not reported; the number may follow from the total.
    if prompt == 0 and not cache:
        prompt, is_exact = None, False
    if completion == 0 and not reported.reasoning and delivered.least:
        completion, is_exact = None, False
    if prompt is None and completion is None:
        return _split(total, bounds, delivered)
    is_cache_beside = reported.is_cache_beside or (prompt is not None and cache > prompt)
    inner = reported.reasoning + reported.audio_out + reported.image_out
    is_reasoning_beside = reported.is_reasoning_beside or (completion is not None and inner > completion)
    if prompt is not None and completion is not None:
        return _settle(reported, prompt, completion, is_cache_beside, is_reasoning_beside, is_exact, bounds)
    prompt_side = None if prompt is None else prompt + cache * is_cache_beside
    output_side = None if completion is None else completion + reported.reasoning * is_reasoning_beside
    known = (prompt_side or 0) + (output_side or 0)
    if total is None or total <= known:
        return _Sides(prompt_side, output_side, False)
    if prompt_side is None:
        return _Sides(total - known, output_side, is_exact)
    return _rest_of(total - known, prompt_side, reported, is_exact, bounds, delivered)


def _rest_of(
    output: int, prompt: int, reported: Reported, is_exact: bool, bounds: Bounds, delivered: Delivered
) -> _Sides:
    """The output that follows from a total. Its tokens without bytes are thoughts that appear only in the total."""
    if output - reported.reasoning <= delivered.room(bounds.choices):
        return _Sides(prompt, output, is_exact)
    seen = min(_estimate(bounds, delivered), output - reported.reasoning)
    hidden = output - reported.reasoning - seen
    hidden = _possibly_hidden(hidden, reported.reasoning + seen, bounds)
    return _Sides(prompt, reported.reasoning + seen + hidden, False, hidden)


def _split(total: int | None, bounds: Bounds, delivered: Delivered) -> _Sides:
    """Split a total reported alone: the prompt gets its estimate, the answer the rest; a smaller total is divided."""
    if total is None:
        return _Sides(None, None, False)
    prompt, output = bounds.input_estimate, _estimate(bounds, delivered)
    if total < prompt + output:
        prompt = total * prompt // (prompt + output)
    return _Sides(prompt, total - prompt, False)


def _settle(
    reported: Reported,
    prompt: int,
    completion: int,
    is_cache_beside: bool,
    is_reasoning_beside: bool,
    is_exact: bool,
    bounds: Bounds,
) -> _Sides:
    """Combine two reported sides; the total, if there is one, decides which parts are counted beside them."""
    cache, reasoning = reported.cache_read + reported.cache_write, reported.reasoning
    is_explained = reported.total is None and (is_cache_beside, is_reasoning_beside) == (
        reported.is_cache_beside,
        reported.is_reasoning_beside,
    )
    for with_cache, with_reasoning in (
        (is_cache_beside, is_reasoning_beside),
        (is_cache_beside, not is_reasoning_beside),
        (not is_cache_beside, is_reasoning_beside),
        (not is_cache_beside, not is_reasoning_beside),
    ):
        is_possible = (with_cache or cache <= prompt) and (with_reasoning or reasoning <= completion)
        if (
            is_possible
            and reported.total == prompt + cache * with_cache + completion + reasoning * with_reasoning
        ):
            is_cache_beside, is_reasoning_beside, is_explained = with_cache, with_reasoning, True
            break
    prompt += cache * is_cache_beside
    output = completion + reasoning * is_reasoning_beside
    if is_explained or reported.total is None or reported.total < prompt + output:
        return _Sides(prompt, output, is_exact and is_explained)
    # The rest appears only in the total and may be hidden thoughts.
    hidden = reported.total - prompt - output
    hidden = _possibly_hidden(hidden, output, bounds)
    return _Sides(prompt, output + hidden, False, hidden)


def _possibly_hidden(tokens: int, output: int, bounds: Bounds) -> int:
    """How many tokens that appear only in the total may be thoughts beside an `output`."""
    if bounds.named_output:
        return min(tokens, max(bounds.named_output - output, 0))
    return tokens if tokens <= bounds.unnamed_most else 0


def _kinds_of(reported: Reported, sides: _Sides) -> tuple[dict[str, int], bool]:
    """The parts of both sides, each counted once; and whether all of them fit."""
    rest, left = sides.prompt or 0, sides.output or 0
    is_consistent = True
    counts: dict[str, int] = {}
    inside = (
        ("cache_read", reported.cache_read),
        ("cache_write", reported.cache_write),
        ("audio_in", reported.audio_in - min(reported.cached_audio, reported.audio_in)),
        ("image_in", reported.image_in - min(reported.cached_image, reported.image_in)),
    )
    for kind, number in inside:
        counts[kind] = min(number, rest)
        is_consistent = is_consistent and number <= rest
        rest -= counts[kind]
    for kind, number in (
        ("reasoning", reported.reasoning + sides.hidden),
        ("audio_out", reported.audio_out),
        ("image_out", reported.image_out),
    ):
        counts[kind] = min(number, left)
        is_consistent = is_consistent and number <= left
        left -= counts[kind]
    counts["input"], counts["output"] = rest, left
    return counts, is_consistent


def _clear(counts: dict[str, int], *kinds: str) -> None:
    for kind in kinds:
        counts[kind] = 0
