"""The usage of a call that is not a chat: as its backend counts it, or else as its own content does.

A backend counts such a call in units (seconds, searches), or in tokens. What it reports counts where the bytes that
passed make it possible; otherwise the gateway counts what the call itself contains, which is exact only for what needs
no backend: the characters of a text, the length of a plain WAV file.
"""

import contextlib
import re
from decimal import Decimal, DecimalException
from typing import Any, Final, NamedTuple

import msgspec

from gateway.contract import Usage
from gateway.proxy.answer_errors import FailedAnswer, error_in
from gateway.proxy.delivered import FEWEST_CHARACTERS_OF_A_SOUND_TOKEN, MOST_TOKENS_OF_AN_IMAGE, Delivered
from gateway.proxy.members import Repeated, is_any_name_escaped, parse_all, values_of
from gateway.proxy.unit_requests import UnitRequest
from gateway.proxy.usage import Reported, read_usage
from gateway.proxy.whole_answers import as_json, parse

# Tokens that a backend may add to a call, such as an instruction of its own.
_MARGIN: Final = 8192
# Milliseconds: a week of sound.
_LONGEST: Final = 7 * 24 * 3600 * 1000
_TELLING: Final = ("usage", "meta")
# A report of less than one in so many of the units that are certainly in a call is none.
_LEAST_PART: Final = 10
MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# What readers raise for JSON that others accept.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,12})?(?:[eE][+-]?\d{1,2})?")


class Told(NamedTuple):
    """What an answer says about its usage. `units` are kinds that are no tokens; None: it does not say.

    `is_clear` is false for units that are told more than once and not alike.
    """

    units: Usage | None = None
    tokens: Reported | None = None
    is_clear: bool = True


def counted(parsed: UnitRequest, told: Told, delivered: Delivered, output: str = "") -> tuple[Usage, bool]:
    """The usage of a call that was answered, and whether it is exact.

    Args:
        parsed: the call.
        told: what the answer says.
        delivered: what of it reached the client.
        output: the kind of the tokens of the answer; empty: it has none.
    """
    if told.units is not None:
        is_possible = _least_units(parsed, told.units) <= sum(told.units.values()) <= parsed.most_units
        return (told.units, told.is_clear) if is_possible else (parsed.own_usage, False)
    if told.tokens is not None and not _is_placeholder(told.tokens):
        usage, is_exact = _tokens(told.tokens, output)
        if usage and _is_possible(told.tokens, usage, parsed, delivered, output):
            return usage, is_exact
        return parsed.own_usage, False
    return parsed.own_usage, parsed.is_own_usage_exact


def counted_so_far(
    parsed: UnitRequest, told: Told, delivered: Delivered, output: str, *, is_failed: bool
) -> tuple[Usage, bool]:
    """As `counted`, for a stream that has not ended, or has failed: nothing if nothing was delivered then.

    Args:
        parsed: the call.
        told: what the stream says so far.
        delivered: what of it reached the client.
        output: the kind of the tokens of the answer.
        is_failed: the backend broke off.
    """
    if is_failed and not delivered.pieces:
        return {}, True
    usage, is_exact = counted(parsed, told, delivered, output)
    return usage, is_exact and not is_failed


def told_in(content: Any) -> Told:
    """What an answer, or an event, says in one of the shapes that are in use."""
    if not isinstance(content, dict):
        return Told()
    told = [usage for usage in values_of(content, "usage") if isinstance(usage, dict)]
    found = [units for usage in told if (units := _seconds(usage)) is not None]
    if found:
        is_clear = len(told) == 1 and not isinstance(told[0], Repeated)
        return Told(max(found, key=lambda units: sum(units.values())), is_clear=is_clear)
    meta = content.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    if isinstance(billed, dict):
        units = _searches(billed)
        # LiteLLM's, for servers that count tokens.
        return Told(units) if units is not None else Told(None, read_usage({"usage": billed}))
    reported = read_usage(content)
    if reported is not None and _is_placeholder(reported) and any(map(_tells_seconds, told)):
        # Seconds that cannot be are no placeholder.
        reported.is_clean = False
    return Told(None, reported)


def checked(content: bytes, parsed: UnitRequest) -> tuple[bytes, dict[str, Any], Told]:
    """A whole answer as JSON that every reader accepts, the object, and what it says of usage.

    `parsed` is the call. Raises FailedAnswer if it is an error, or no object.
    """
    try:
        # Pictures are large, and nearly always plain JSON.
        members = MEMBERS.decode(content)
    except UNREADABLE:
        content = as_json(content)
        try:
            members = MEMBERS.decode(content)
        except UNREADABLE as error:
            with contextlib.suppress(ValueError):
                raise error_in(parse(content)) or FailedAnswer(502, reason="no object") from None
            raise FailedAnswer(502, reason=f"no JSON for {parsed.mode}") from error
    whole = parse(content)
    if (failed := error_in(whole)) is not None:
        raise failed
    return content, whole, told_by(content, members)


def told_by(content: bytes, members: dict[str, msgspec.Raw]) -> Told:
    """What a JSON object says of usage. `members` are those of `content`; only those that may say it are built."""
    if is_any_name_escaped(content) or any(content.count(b'"%s"' % name.encode()) > 1 for name in _TELLING):
        return told_in(parse_all(content))
    told = b",".join(
        b'"%s":%s' % (name.encode(), bytes(members[name])) for name in _TELLING if name in members
    )
    return told_in(parse_all(b"{" + told + b"}"))


def milliseconds(seconds: Any) -> int | None:
    """Seconds of an answer as milliseconds, rounded up; None if they are no plausible number."""
    text = str(seconds)
    if isinstance(seconds, bool) or not _NUMBER.fullmatch(text):
        return None
    try:
        exact = Decimal(text) * 1000
    except DecimalException:
        return None
    whole = int(exact.to_integral_value(rounding="ROUND_CEILING"))
    return whole if whole <= _LONGEST else None


def _told_seconds(usage: dict[str, Any]) -> Any:
    seconds = usage.get("seconds") if usage.get("type") in ("duration", None) else None
    # The second one is Mistral's, which bills by it.
    return usage.get("prompt_audio_seconds") if seconds is None else seconds


def _tells_seconds(usage: dict[str, Any]) -> bool:
    return _told_seconds(usage) is not None


def _seconds(usage: dict[str, Any]) -> Usage | None:
    found = milliseconds(_told_seconds(usage))
    return {"audio_input_seconds": found} if found else None


def _searches(billed: dict[str, Any]) -> Usage | None:
    searches = billed.get("search_units")
    if isinstance(searches, float) and searches.is_integer():
        searches = int(searches)
    return {"search": searches} if type(searches) is int and 0 < searches <= 1_000_000 else None


def _tokens(reported: Reported, output: str) -> tuple[Usage, bool]:
    """Disjoint tokens, and whether the report is complete and agrees with itself. Empty if it says too little."""
    prompt, completion, total = reported.prompt, reported.completion, reported.total
    if not output:
        numbers = {number for number in (prompt, total) if number}
        prompt, completion = max(numbers, default=None), 0
        is_exact = len(numbers) == 1
    else:
        is_exact = total in (None, (prompt or 0) + (completion or 0))
    if prompt is None or completion is None:
        return {}, False
    rest, left = prompt, completion
    usage: dict[str, int] = {}
    for kind, number in (
        ("cache_read", reported.cache_read),
        ("audio", reported.audio_in),
        ("image", reported.image_in),
    ):
        part = min(number, rest)
        is_exact = is_exact and part == number
        usage[kind] = part
        rest -= part
    usage["input"] = rest
    if output and output != "output" and (parts := reported.image_out + reported.audio_out):
        # The rest are words.
        part = min(parts, left)
        is_exact = is_exact and part == parts
        usage[output] = usage.get(output, 0) + part
        usage["output"] = left - part
    elif output:
        usage[output] = usage.get(output, 0) + left
    return {kind: count for kind, count in usage.items() if count}, is_exact and reported.is_clean


def _is_placeholder(told: Reported) -> bool:
    """Whether a report has zeros only, as LiteLLM's for pictures that no tokens were told of."""
    return told.is_clean and not (told.prompt or told.completion or told.total)


def _least_units(parsed: UnitRequest, units: Usage) -> int:
    """The fewest units of these kinds that an answer may report, since so many are certainly in the call."""
    if not parsed.is_own_usage_exact or units.keys() != parsed.own_usage.keys():
        return 0
    return sum(parsed.own_usage.values()) // _LEAST_PART


def _is_possible(
    told: Reported, usage: Usage, parsed: UnitRequest, delivered: Delivered, output: str
) -> bool:
    """Whether the bytes of the call and of its answer can have so many tokens, and so few.

    Args:
        told: the report.
        usage: the same, by kind.
        parsed: the call.
        delivered: what of the answer reached the client.
        output: the kind of the tokens of the answer; empty: it has none.
    """
    given = sum(usage.get(kind, 0) for kind in ("input", "cache_read"))
    if given > parsed.largest_input + _MARGIN:
        return False
    if not output:
        return True
    # Neither the call nor what came of its answer was nothing.
    if not told.prompt or not (told.completion or not (delivered.size or delivered.images)):
        return False
    most = delivered.bytes + delivered.images * MOST_TOKENS_OF_AN_IMAGE
    most += delivered.sound // FEWEST_CHARACTERS_OF_A_SOUND_TOKEN
    return (told.completion or 0) <= most + _MARGIN
