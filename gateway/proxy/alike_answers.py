"""Whole answers of one target that differ only in id, time, text and token counts, as nearly all do.

What the gateway found out about one of them holds for the others, and so does what the client gets of them. Remembered
are the bytes between these values: few short ones for each target, and none with words of a caller or of a model.
"""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter

import msgspec

from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.delivered import Delivered
from gateway.proxy.fingerprints import digest_of
from gateway.proxy.usage import LARGEST_COUNT, Reported
from gateway.proxy.whole_answers import PlainAnswer

# A value that may differ, after its name. A text is taken to end at the first quotation mark without a backslash before
# it. If it ends earlier, after a backslash that is escaped itself, the rest is no JSON, or of another shape.
_VALUE = re.compile(
    rb'("(?:id|content|text)": ?"|"(?:created|prompt_tokens|completion_tokens|total_tokens)": ?)'
    rb'((?<=")[^"]*+(?:(?<=\\)"[^"]*+)*+(?=")|(?<=[: ])[1-9]\d{0,14}(?=[,}\s]))'
)
# What may be remembered: names, facts of the target, and nothing that a model or a caller wrote.
_NO_WORDS = re.compile(
    rb'(?:[\[\]{},:\s]++|(?:null|true|false|\d{1,9})(?=[\s,\]}])|"(?:'
    rb'(?:object|role|finish_reason|service_tier)"\s*+:\s*+"[a-z_.]{1,30}+"'
    rb'|(?:model|system_fingerprint)"\s*+:\s*+"[^"\\]{0,200}+"'
    rb'|(?:id|content|text)"\s*+:\s*+""'
    rb'|\w{1,40}+"(?=\s*+:\s*+[^\s"])'
    rb"))*+"
)
_TEXTS = ("content", "text")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_JSON = msgspec.json.Decoder(msgspec.Raw)
# Shapes of one target, and the most bytes of one.
_MOST_SHAPES = 4
_LARGEST_SHAPE = 1024
# Answers that are learned from at once; afterwards, one of so many that are not known. So odd answers cost little, and
# whoever causes them cannot push out quickly what the others' answers are like.
_LEARNED_AT_ONCE = 16
_LEARNED_ONE_IN = 64
# An answer in which whatever could be taken for something else is in the text, and the id must not be shown.
_TRYING_ID = b"gpu-node-7"
_TRYING_TEXT = (
    rb"\"},\"error\": {\"code\": 500, \"status\": 1}, \"err\": \"base\", \"usage\": {\"prompt_tokens\": 7}, "
    rb"\"ok\": NaN, Infinity, image_url, \"tool_calls\": [{\"name\": \"f\", \"arguments\": \"{}\"}], "
    rb"\"logprobs\": {\"token\": 1}, \"timings\": 1, \"eval_count\": 2, \"annotations\": [\"audio\"], "
    rb"\"success\": false, \"header\": 1"
)
_TRIED = {
    "id": _TRYING_ID, "text": _TRYING_TEXT, "created": b"17", "prompt_tokens": b"4000", "completion_tokens": b"3",
    "total_tokens": b"4003",
}  # fmt: skip


class _Known(msgspec.Struct, frozen=True):
    """What is known of answers of one shape."""

    # For the client, with `%b` for each value.
    shown: bytes
    # Their id, text, and tokens of the prompt, of the answer, and in total.
    of: Callable[[Sequence[bytes]], tuple[bytes, ...]]
    service_tier: str | None

    def answer(self, content: bytes, values: Sequence[bytes], text: bytes, counts: Reported) -> PlainAnswer:
        """One of them, with its values; `text` and `counts` are among these."""
        return PlainAnswer(
            content,
            counts,
            Delivered(len(text), 1),
            service_tier=self.service_tier,
            shown=self.shown % tuple(values),
        )


class AlikeAnswers:
    """The shapes of answers that one target has given: the bytes between their values."""

    __slots__ = ("_may_show_id", "_shapes", "_unknown")

    def __init__(self, may_show_id: Callable[[bytes], bool]) -> None:
        self._may_show_id = may_show_id
        self._shapes: dict[tuple[bytes, ...], _Known] = {}
        # Answers of other shapes.
        self._unknown = 0

    def read(self, content: bytes) -> PlainAnswer | None:
        """An answer like earlier ones, as it was read and as the client gets it; None if it needs a closer look."""
        shape = _VALUE.split(content)
        values = shape[2::3]
        del shape[2::3]
        known = self._shapes.get(tuple(shape))
        if known is None:
            return None
        own_id, text, *counts = known.of(values)
        prompt, completion, total = map(int, counts)
        if (
            not text
            or total != prompt + completion
            or total >= LARGEST_COUNT
            or not self._may_show_id(own_id)
        ):
            return None
        # A sound in a text counts otherwise.
        if text.find(b"data:audio") >= 0 or not _is_utf8(text):
            return None
        try:
            _JSON.decode(content)
        except msgspec.DecodeError:
            return None
        return known.answer(content, values, text, Reported(prompt, completion, total))

    def learn(self, answer: PlainAnswer, ask: Callable[[bytes], PlainAnswer]) -> None:
        """Note the shape of an answer that `read` did not know.

        `ask` reads and writes such an answer with all care, as was done with this one. It may raise FailedAnswer and
        msgspec.DecodeError.
        """
        self._unknown += 1
        if self._unknown > _LEARNED_AT_ONCE and self._unknown % _LEARNED_ONE_IN:
            return
        parts = tuple(_VALUE.split(answer.content))
        shape = _without_values(parts)
        known = None if shape in self._shapes else _known(shape, parts[2::3], answer)
        if known is None or not _holds(known, shape, ask):
            return
        before = dict(self._shapes)
        if len(before) >= _MOST_SHAPES:
            del self._shapes[next(iter(before))]
        self._shapes[shape] = known
        if self.read(answer.content) != msgspec.structs.replace(answer, members=None):
            self._shapes = before


def _holds(known: _Known, shape: tuple[bytes, ...], ask: Callable[[bytes], PlainAnswer]) -> bool:
    """Whether what is known of a shape holds for the most trying answer."""
    values = [_TRIED[name] for name in _names_in(shape)]
    content = _with(shape, values)
    try:
        tried = ask(content)
    except (FailedAnswer, msgspec.DecodeError):
        return False
    shown = [digest_of(b'"%b"' % _TRYING_ID).encode() if one is _TRYING_ID else one for one in values]
    expected = known.answer(content, shown, _TRYING_TEXT, Reported(4000, 3, 4003))
    return msgspec.structs.replace(tried, members=None) == expected


def _known(shape: tuple[bytes, ...], values: tuple[bytes, ...], answer: PlainAnswer) -> _Known | None:
    """What is known of answers like this one; None if they cannot be told by their bytes."""
    names = _names_in(shape)
    if sorted(names) != sorted(_TRIED) or sum(map(len, shape)) > _LARGEST_SHAPE or answer.shown is None:
        return None
    empty = [b"" if name in ("id", "text") else b"1" for name in names]
    if _NO_WORDS.fullmatch(_with(shape, empty)) is None:
        return None
    shown = tuple(_VALUE.split(answer.shown))
    if shown[2::3] != values:
        return None
    pattern = _with([part.replace(b"%", b"%%") for part in _without_values(shown)], [b"%b"] * len(names))
    of = itemgetter(*map(names.index, ("id", "text", *_COUNTS)))
    return _Known(pattern, of, answer.service_tier)


def _without_values(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(part for at, part in enumerate(parts) if at % 3 != 2)


def _names_in(shape: tuple[bytes, ...]) -> list[str]:
    """The names of the values; `text` for any text."""
    names = [part.split(b'"')[1].decode() for part in shape[1::2]]
    return ["text" if name in _TEXTS else name for name in names]


def _with(shape: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    """An answer of a shape, with these values."""
    pairs = zip(shape[1::2], values, shape[2::2], strict=True)
    return shape[0] + b"".join(part for three in pairs for part in three)


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
