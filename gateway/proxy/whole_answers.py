"""Check that an answer is complete: success means that a backend finished it, not that it began with 200.

Servers report a later failure in many ways: see `gateway.proxy.answer_errors`. All of them become
FailedAnswer.
"""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import orjson

from gateway.contract import Mode, Usage
from gateway.proxy.answer_errors import (
    FailedAnswer,
    end_of,
    error_in,
    is_failed_end,
    may_hold_error,
    reported_error,
)
from gateway.proxy.delivered import Delivered
from gateway.proxy.members import integer, is_any_name_escaped, parse_all
from gateway.proxy.usage import Reported, read_usage, tier_in

# Texts of a message or a delta, as JSON. Every quotation mark inside a text is escaped.
_TEXT = re.compile(
    rb'"(?:content|reasoning_content|reasoning|thinking|refusal|arguments|text|transcript|partial_json|input)"'
    rb'\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"',
    re.DOTALL,
)
_ARGUMENTS = re.compile(rb'"arguments"\s*:\s*\{')
_TOOL_NAME = re.compile(rb'"name"\s*:\s*"([^"\\]+)"')
_IMAGE = re.compile(rb'"(?:image_url|video_url|b64_json)"\s*:')
# A sound in base64: `audio.data` (OpenAI, Qwen, vLLM), `audio` itself, or a data: URL.
_SOUND = re.compile(
    rb'"audio"\s*:\s*(?:"|\{(?>[^{}"]+|"(?:[^"\\]|\\.)*+")*?"data"\s*:\s*")([^"]*)"|"data:audio/[^",]*,([^"]*)"'
)
# Sources that a text cites; they are texts too, but not the model's.
_CITED = re.compile(rb'"annotations"\s*+:\s*+(?!null\b|\[\s*+\])')
_BRACE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}]', re.DOTALL)
_ARGUMENT_NAMES = ("arguments", "input", "parameters", "args")
_DATA = ("data", "b64_json", "audio")  # base64
# Names of texts in a message or a delta that are not the model's own.
_NAMES_OF_NO_WORDS = """
role id type name index object status phase model provider finish_reason stop_reason created signature
encrypted_content thought_signature annotations
"""
_NO_WORDS = frozenset(_NAMES_OF_NO_WORDS.split())
_BOM = b"\xef\xbb\xbf"
# A text, which stays unchanged, or a number that is not valid JSON.
_NO_NUMBER = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|-?\bInfinity\b|\bNaN\b', re.DOTALL)


class BrokenAnswer(Exception):
    """The backend did not finish an answer that the client already has a part of."""


class PlainAnswer(msgspec.Struct):
    """What the gateway keeps of a plain answer."""

    # JSON that every reader accepts.
    content: bytes
    reported: Reported | None
    delivered: Delivered
    # False if it says itself that it has no end, or gives two choices as one.
    is_certain: bool = True
    # As the backend named it.
    service_tier: str | None = None
    # Reported usage of kinds that are no tokens.
    units: Usage | None = None
    content_type: str = "application/json"
    # Of the object, if they are read already.
    members: dict[str, msgspec.Raw] | None = None
    # What the client gets of it, if that is known already.
    shown: bytes | None = None


class _Choice(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw(b"null")
    text: Any = None
    index: Any = None
    finish_reason: Any = msgspec.UNSET
    finish_details: Any = None
    finishReason: Any = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None
    errors: Any = None
    error_code: Any = None

    @property
    def end(self) -> str:
        """How it ended; empty if it does not say that it ended."""
        own = self.finish_reason
        return own if own and isinstance(own, str) else end_of(msgspec.structs.asdict(self))


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw


class _Embeddings(msgspec.Struct):
    data: list[_Vector]


_Number = Annotated[int, msgspec.Meta(ge=1, le=9_999_999)]


class _ThreeCounts(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A usage object with the three counts of OpenAI, as most engines report, and details only as null."""

    prompt_tokens: _Number
    completion_tokens: _Number
    total_tokens: _Number
    prompt_tokens_details: None = None
    completion_tokens_details: None = None


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = msgspec.json.Decoder(list[_Choice])
_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)
_THREE_COUNTS = msgspec.json.Decoder(_ThreeCounts)


class _UsageInside(msgspec.Struct, gc=False):
    """An object with such usage."""

    usage: _ThreeCounts


_USAGE_INSIDE = msgspec.json.Decoder(_UsageInside)
_TOLD_UNDER = (b'"usage', b'"timings"', b'eval_count"')


def read_answer(original: bytes, mode: Mode, inputs: int = 1) -> PlainAnswer:
    """Read a plain answer. Raises FailedAnswer if it contains an error, or less than was requested."""
    content = as_json(original)
    try:
        members = _MEMBERS.decode(content)
    except msgspec.ValidationError:
        with contextlib.suppress(ValueError):
            raise error_in(parse(content)) or FailedAnswer(502) from None
        raise FailedAnswer(502, reason="no object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedAnswer(502, reason=f"no JSON: {error}") from None
    if may_hold_error(content) and (failed := error_in(_parsed(content))) is not None:
        raise failed
    told_usage = bytes(members.get("usage", b"null"))
    reported = usage_of(content, told_usage, original)
    is_certain = True
    try:
        if mode == "embedding":
            _check_vectors(_EMBEDDINGS.decode(content), inputs)
            delivered = Delivered()
        else:
            choices = _CHOICES.decode(members.get("choices", b"[]"))
            is_certain = _check_choices(choices)
            delivered = _delivered(content)
            delivered.choices = len(choices)
            if content.find(b'"logprobs"') >= 0:
                delivered.chunks = sum(bytes(choice.logprobs).count(b'"token"') for choice in choices)
            # Only numbers that are larger than its texts require a closer look.
            if reported and max(reported.completion or 0, reported.total or 0) > delivered.bytes:
                words = sum(words_in(_parsed(bytes(choice.message))) for choice in choices)
                delivered.other = max(words - delivered.bytes, 0)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise error_in(_parsed(content)) or FailedAnswer(500, reason=f"not whole: {problem}") from None
    told_tier = bytes(members.get("service_tier", b"null"))
    tier: str | None = None
    if told_tier != b"null" or told_usage.find(b'"service_tier"') >= 0:
        tier = tier_in({"usage": _parsed(told_usage), "service_tier": parse(told_tier)})
    return PlainAnswer(content, reported, delivered, is_certain, service_tier=tier, members=members)


def tells_usage(content: bytes) -> bool:
    """Whether JSON may report tokens."""
    return any(content.find(name) >= 0 for name in _TOLD_UNDER) or is_any_name_escaped(content)


def ordinary_report(data: bytes) -> Reported | None:
    """What JSON reports if that is three counts under `usage`, each once, and nothing else; None: look closer."""
    if (
        data.count(b'"usage') != 1
        or data.count(b"_tokens") != 3 + data.count(b"_tokens_details")
        or data.find(b'"timings"') >= 0
        or data.find(b'eval_count"') >= 0
        or is_any_name_escaped(data)
    ):
        return None
    try:
        three = _USAGE_INSIDE.decode(data).usage
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Reported(three.prompt_tokens, three.completion_tokens, three.total_tokens)


def usage_of(content: bytes, usage: bytes, original: bytes) -> Reported | None:
    """What an answer reports. `usage` is the JSON of its own usage, `original` the answer as it came."""
    if content is not original:
        return read_usage(_parsed(original.removeprefix(_BOM), parse_all))
    if usage.startswith(b"{") and content.count(b'"usage') == 1 and not is_any_name_escaped(content):
        # Each count once, by its own name: quicker to read.
        if usage.count(b"_tokens") == 3 + usage.count(b"_tokens_details"):
            with contextlib.suppress(msgspec.ValidationError):
                three = _THREE_COUNTS.decode(usage)
                return Reported(three.prompt_tokens, three.completion_tokens, three.total_tokens)
        return read_usage({"usage": _parsed(usage, parse_all)})
    return read_usage(_parsed(content, parse_all)) if tells_usage(content) else None


def written(data: bytes) -> Delivered:
    """The texts, images and sounds of an answer in JSON, found without parsing it."""
    texts = [text for text in _TEXT.findall(data) if text]
    tools: list[bytes] = []
    if data.find(b'"tool_calls"') >= 0 or data.find(b'"function_call"') >= 0:
        # A tool call without arguments is an answer too.
        tools = _TOOL_NAME.findall(data)
        texts += tools
    count, size = len(texts), sum(map(len, texts))
    if data.find(b'"arguments"') >= 0:
        objects = _sizes_of_arguments(data)
        count, size = count + len(objects), size + sum(objects)
    has_images = data.find(b"image_url") >= 0 or data.find(b"video_url") >= 0 or data.find(b"b64_json") >= 0
    images = len(_IMAGE.findall(data)) if has_images else 0
    sound = 0
    if data.find(b'"audio"') >= 0 or data.find(b"data:audio") >= 0:
        sounds = [len(one) + len(other) for one, other in _SOUND.findall(data) if one or other]
        count, sound = count + len(sounds), sum(sounds)
    return Delivered(size, count, images, sound, tools=len(tools))


def cites(data: bytes) -> bool:
    """Whether texts in JSON cite sources."""
    return data.find(b'"annotations"') >= 0 and _CITED.search(data) is not None


def words_in(message: Any) -> int:
    """Bytes of the texts in a message or a delta, under any name, and of arguments that are objects."""
    size, waiting = 0, [message]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and not value.startswith("data:"):
            size += len(value.encode(errors="replace"))
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            for name, inner in value.items():
                if name in _ARGUMENT_NAMES and isinstance(inner, dict | list):
                    size += len(dumped(inner))
                elif name not in _NO_WORDS and name not in _DATA and not name.endswith("_id"):
                    waiting.append(inner)
    return size


def _sizes_of_arguments(data: bytes) -> list[int]:
    """Bytes of arguments that are objects instead of texts. Nested ones are not counted again."""
    sizes, at = [], 0
    while found := _ARGUMENTS.search(data, at):
        start = found.end() - 1
        at = end_of_object(data, start)
        sizes.append(at - start)
    return sizes


def end_of_object(data: bytes, start: int) -> int:
    """The end of the object whose brace is at `start`; the end of `data` if the object does not end."""
    depth = 0
    for mark in _BRACE.finditer(data, start):
        depth += {b"{": 1, b"}": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.end()
    return len(data)


def other_words(choices: list[Any]) -> int:
    """Bytes of the texts in messages or deltas under names that no known dialect uses."""
    size = 0
    for choice in choices:
        message = (choice.get("message") or choice.get("delta")) if isinstance(choice, dict) else None
        for name, value in message.items() if isinstance(message, dict) else ():
            if isinstance(value, str) and name not in _NO_WORDS and not name.endswith("_id"):
                size += len(value.encode(errors="replace"))
    return size


def as_json(content: bytes) -> bytes:
    """A backend's JSON in a form that all readers accept: without a byte order mark, and null for NaN and Infinity.

    Content that is still not JSON is returned unchanged.
    """
    content = content.removeprefix(_BOM)
    if content.find(b"NaN") < 0 and content.find(b"Infinity") < 0:
        return content
    cleaned = _NO_NUMBER.sub(lambda found: found[1] or b"null", content)
    try:
        msgspec.json.decode(cleaned, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content
    return content if cleaned == content else cleaned


def texts_in(choices: list[Any]) -> list[bytes]:
    """The model's text in each choice, as JSON that `written` understands, without the sources it cites."""
    result = []
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        message = choice.get("message") or choice.get("delta")
        if isinstance(message, dict):
            own = {name: value for name, value in message.items() if name != "annotations"}
            result.append(dumped(own))
    return result


def dumped(value: Any) -> bytes:
    """The value as JSON, even with half of a surrogate pair, which only the slow reader accepts."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def _delivered(content: bytes) -> Delivered:
    if cites(content):
        content = b"".join(texts_in(_parsed(content).get("choices") or []))
    delivered = written(content)
    if not delivered.pieces and (others := other_words(_parsed(content).get("choices") or [])):
        delivered.pieces, delivered.bytes = 1, others
    return delivered


def _check_choices(choices: list[_Choice]) -> bool:
    """False if a choice says that it has no end, or has the index of another one.

    A choice that does not mention an end counts as ended.
    """
    if not choices:
        raise msgspec.ValidationError("no choices")
    first = choices[0]
    is_usual = len(choices) == 1 and first.finish_reason == "stop" and bytes(first.message).startswith(b"{")
    if is_usual and not (first.error or first.errors or first.error_code):
        return True
    ends = [choice.end for choice in choices]
    for choice, end in zip(choices, ends, strict=True):
        if choice.error or choice.errors or choice.error_code:
            told = {"error": choice.error, "errors": choice.errors, "error_code": choice.error_code}
            if reported_error(told):
                raise msgspec.ValidationError("a choice that failed")
        if end != "stop" and is_failed_end(end):
            raise msgspec.ValidationError("a choice that failed")
        if any(ends) and not end:
            raise msgspec.ValidationError("a choice without an end beside one that has one")
        if not bytes(choice.message).startswith(b"{") and not isinstance(choice.text, str):
            raise msgspec.ValidationError("a choice without a message")
    indexes = [str(choice.index) for choice in choices if choice.index is not None]
    if len(set(indexes)) < len(indexes):
        return False
    return all(ends) or all(
        end or choice.finish_reason is msgspec.UNSET for choice, end in zip(choices, ends, strict=True)
    )


def _check_vectors(answer: _Embeddings, inputs: int) -> None:
    if len(answer.data) < inputs:
        raise msgspec.ValidationError(f"{len(answer.data)} vectors for {inputs} inputs")
    for vector in answer.data:
        if bytes(vector.embedding).strip() in (b"null", b"[]", b'""', b"{}"):
            raise msgspec.ValidationError("an empty vector")


def parse(data: bytes) -> Any:
    """Parse JSON as servers write it, even with a text that is not UTF-8 or a huge number. Raises ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode(errors="replace"), parse_int=integer)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _parsed(content: bytes, parse: Callable[[bytes], Any] = parse) -> dict[str, Any]:
    """The object, or an empty one if the content is not an object."""
    try:
        parsed = parse(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
