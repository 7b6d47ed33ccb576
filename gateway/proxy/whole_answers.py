"""Whether an answer is whole: success is what a backend finished, not what it began with 200.

Servers say in many ways that they failed after all: an error beside or instead of the choices, an event named
`error`, an end of a choice that is none. All of them come out as FailedAnswer.
"""

import json
import re
from typing import Any

import msgspec
import orjson

from gateway.contract import Mode
from gateway.proxy.evidence import Delivered
from gateway.proxy.usage import Reported, read_usage

# How engines say that a choice ended without being finished: a word in any `finish_reason`, such as `engine_error`.
_FAILED_END = re.compile(
    "error|fail|abort|cancel|timed?[-_ ]?out|exception|crash|unavailable|overload|interrupted|disconnect|preempt|killed"
    "|insufficient_system_resource",
    re.IGNORECASE,
)
_NO_ERROR_CODES = ("", "ok", "success", "none", "null")  # and zeros
_STATUS_OF_TYPE = {
    "invalid_request_error": 400, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "rate_limit_exceeded": 429, "insufficient_quota": 429,
    "context_length_exceeded": 400, "content_filter": 400, "overloaded_error": 503,
}  # fmt: skip
_SAYS_ERROR = ("message", "detail", "error_message", "error_msg", "errors", "msg")
_STATUSES = ("code", "status", "status_code", "statusCode", "error_code")
# Texts of a message or a delta, still in their JSON. Inside a text every quotation mark is escaped.
_TEXT = re.compile(
    rb'"(?:content|reasoning_content|reasoning|thinking|refusal|arguments|text|transcript|partial_json|input)"'
    rb'\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"',
    re.DOTALL,
)
_ARGUMENTS = re.compile(rb'"arguments"\s*:\s*\{')
_TOOL_NAME = re.compile(rb'"name"\s*:\s*"([^"\\]+)"')
_IMAGE = re.compile(rb'"(?:image_url|video_url|b64_json)"\s*:')
# Base64 of a sound: `audio.data` (OpenAI, Qwen, vLLM), `audio` itself, or a data: URL.
_SOUND = re.compile(
    rb'"audio"\s*:\s*(?:"|\{(?>[^{}"]+|"(?:[^"\\]|\\.)*+")*?"data"\s*:\s*")([^"]*)"|"data:audio/[^",]*,([^"]*)"'
)
_BYTES_OF_ARGUMENTS = 16
_NOTHING = (b"null", b"false", b'""', b"{}", b"[]", b"0")
# Texts of a message or a delta that no model wrote.
_NAMES_OF_NO_WORDS = """
role id type name index object status phase model provider finish_reason stop_reason created signature
encrypted_content annotations
"""
_NO_WORDS = frozenset(_NAMES_OF_NO_WORDS.split())
_BOM = b"\xef\xbb\xbf"


class FailedAnswer(Exception):
    """An answer that is none. `status` is what the backend should have sent; `said` its error, if it told one."""

    def __init__(self, status: int, said: Any = None, *, reason: str = "the backend told an error") -> None:
        super().__init__(f"{reason} (status {status})")
        self.status = status
        self.said = said


class BrokenAnswer(Exception):
    """The backend did not finish an answer of which the client has a part."""


class PlainAnswer(msgspec.Struct):
    """What the gateway keeps of a plain answer."""

    reported: Reported | None
    delivered: Delivered
    is_ended: bool = True  # False: it says itself that it has no end


class _Choice(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw(b"null")
    text: Any = None
    finish_reason: Any = msgspec.UNSET
    error: Any = None
    errors: Any = None
    error_code: Any = None


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw


class _Chat(msgspec.Struct):
    choices: list[_Choice]


class _Embeddings(msgspec.Struct):
    data: list[_Vector]


class _Rest(msgspec.Struct):
    """All that may speak of usage or an error."""

    error: msgspec.Raw = msgspec.Raw(b"null")
    errors: msgspec.Raw = msgspec.Raw(b"null")
    error_code: msgspec.Raw = msgspec.Raw(b"null")
    object: msgspec.Raw = msgspec.Raw(b"null")
    type: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")


_REST = msgspec.json.Decoder(_Rest)
_CHAT = msgspec.json.Decoder(_Chat)
_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)
_TOLD_ELSEWHERE = (b'"usage', b'"timings"', b'eval_count"')


def read_answer(content: bytes, mode: Mode, inputs: int = 1) -> PlainAnswer:
    """Read a plain answer. Raises FailedAnswer for one that holds an error, or not all that was asked for."""
    try:
        rest = _REST.decode(content)
    except msgspec.ValidationError:
        raise FailedAnswer(502, reason="no object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedAnswer(502, reason=f"no JSON: {error}") from None
    if bytes(rest.error) not in _NOTHING or b'"error"' in (bytes(rest.object), bytes(rest.type)):
        raise error_in(_parsed(content)) or FailedAnswer(502)
    is_told = any(bytes(one) not in _NOTHING for one in (rest.errors, rest.error_code))
    if is_told and (failed := error_in(_parsed(content))) is not None:
        raise failed
    is_ended = True
    try:
        if mode == "embedding":
            _check_vectors(_EMBEDDINGS.decode(content), inputs)
            delivered = Delivered()
        else:
            is_ended = _check_choices(_CHAT.decode(content))
            delivered = _delivered(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise error_in(_parsed(content)) or FailedAnswer(500, reason=f"not whole: {problem}") from None
    usage = bytes(rest.usage)
    if usage.startswith(b"{"):
        return PlainAnswer(read_usage({"usage": _parsed(usage)}), delivered, is_ended)
    if any(name in content for name in _TOLD_ELSEWHERE):
        return PlainAnswer(read_usage(_parsed(content)), delivered, is_ended)
    return PlainAnswer(None, delivered, is_ended)


def error_in(content: Any, *, is_error: bool = False) -> FailedAnswer | None:
    """The error that an answer or an event holds, whatever its shape; None if it holds none.

    `is_error`: its event is named so.
    """
    if not isinstance(content, dict):
        return FailedAnswer(502, content if isinstance(content, str) else None)
    error = _told_error(content)
    choices = content.get("choices")
    if error or is_error or "error" in (content.get("object"), content.get("type")):
        return FailedAnswer(_status_of(error, content), content)
    if isinstance(choices, list):
        for one in choices:
            if isinstance(one, dict):
                end = one.get("finish_reason")
                failed = _told_error(one)
                if failed or is_failed_end(end):
                    return FailedAnswer(_status_of(failed, content), {"error": failed})
        return None
    if read_usage(content) is not None:
        return None
    status = _status_of(None, content, default=0)
    if status or any(isinstance(content.get(name), str | list) and content[name] for name in _SAYS_ERROR):
        return FailedAnswer(status or 502, content)
    return None


def is_failed_end(finish_reason: Any) -> bool:
    """Whether a `finish_reason` says that the choice ended without being finished."""
    return isinstance(finish_reason, str) and _FAILED_END.search(finish_reason) is not None


def _told_error(place: dict[str, Any]) -> Any:
    """What an answer, an event or a choice says of an error, under any of its names; else None."""
    if error := place.get("error"):
        return error
    if errors := place.get("errors"):
        return errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else errors
    code = place.get("error_code")
    if isinstance(code, str) and (not code.strip("0 ") or code.strip().casefold() in _NO_ERROR_CODES):
        return None
    return {name: place[name] for name in (*_SAYS_ERROR, *_STATUSES) if name in place} if code else None


def written(data: bytes) -> Delivered:
    """The texts, images and sounds of an answer in some JSON, which is not parsed for it."""
    texts = [text for text in _TEXT.findall(data) if text]
    if b'"tool_calls"' in data or b'"function_call"' in data:
        texts += _TOOL_NAME.findall(data)  # a tool without arguments is an answer too
    count, size = len(texts), sum(map(len, texts))
    if b'"arguments"' in data:
        objects = len(_ARGUMENTS.findall(data))
        count, size = count + objects, size + objects * _BYTES_OF_ARGUMENTS
    has_images = any(name in data for name in (b"image_url", b"video_url", b"b64_json"))
    images = len(_IMAGE.findall(data)) if has_images else 0
    sound = 0
    if b'"audio"' in data or b"data:audio" in data:
        sounds = [len(one) + len(other) for one, other in _SOUND.findall(data) if one or other]
        count, sound = count + len(sounds), sum(sounds)
    return Delivered(size, count, images, sound)


def other_words(choices: list[Any]) -> int:
    """Bytes of the texts that stand in messages or deltas under a name that no dialect is known to use."""
    size = 0
    for choice in choices:
        message = (choice.get("message") or choice.get("delta")) if isinstance(choice, dict) else None
        for name, value in message.items() if isinstance(message, dict) else ():
            if isinstance(value, str) and name not in _NO_WORDS and not name.endswith("_id"):
                size += len(value.encode(errors="replace"))
    return size


def as_json(content: bytes) -> bytes:
    """A backend's JSON as all readers take it: without a byte order mark, and null for NaN and Infinity.

    What is no JSON even so comes back as it is.
    """
    content = content.removeprefix(_BOM)
    if b"NaN" not in content and b"Infinity" not in content:
        return content
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return json.dumps(json.loads(content, parse_constant=lambda _: None)).encode()
        except (ValueError, RecursionError):
            return content
    return content


def texts_in(choices: list[Any]) -> list[bytes]:
    """What the model wrote in each choice, as JSON that `written` understands; without sources that it cites."""
    result = []
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        message = choice.get("message") or choice.get("delta")
        if isinstance(message, dict):
            own = {name: value for name, value in message.items() if name != "annotations"}
            result.append(orjson.dumps(own))
    return result


def _delivered(content: bytes) -> Delivered:
    if b'"annotations"' in content:
        content = b"".join(texts_in(_parsed(content).get("choices") or []))
    delivered = written(content)
    if not delivered.pieces and (others := other_words(_parsed(content).get("choices") or [])):
        delivered.pieces, delivered.bytes = 1, others
    return delivered


def _check_choices(answer: _Chat) -> bool:
    """Whether no choice says of itself that it has no end; whoever does not speak of ends has one."""
    if not answer.choices:
        raise msgspec.ValidationError("no choices")
    has_ends = any(choice.finish_reason for choice in answer.choices)
    for choice in answer.choices:
        told = {"error": choice.error, "errors": choice.errors, "error_code": choice.error_code}
        if _told_error(told) or is_failed_end(choice.finish_reason):
            raise msgspec.ValidationError("a choice that failed")
        if has_ends and not choice.finish_reason:
            raise msgspec.ValidationError("a choice without an end beside one that has one")
        if not bytes(choice.message).startswith(b"{") and not isinstance(choice.text, str):
            raise msgspec.ValidationError("a choice without a message")
    return all(choice.finish_reason or choice.finish_reason is msgspec.UNSET for choice in answer.choices)


def _check_vectors(answer: _Embeddings, inputs: int) -> None:
    if len(answer.data) < inputs:
        raise msgspec.ValidationError(f"{len(answer.data)} vectors for {inputs} inputs")
    for vector in answer.data:
        if bytes(vector.embedding).strip() in (b"null", b"[]", b'""', b"{}"):
            raise msgspec.ValidationError("an empty vector")


def parse(data: bytes) -> Any:
    """JSON as servers write it: also where a text is not UTF-8 or a number larger than any. Raises ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode(errors="replace"), parse_int=_integer)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _parsed(content: bytes) -> dict[str, Any]:
    """The object, or an empty one if it is none."""
    try:
        parsed = parse(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _status_of(error: Any, content: dict[str, Any], default: int = 502) -> int:
    """The status from 400 to 599 that an error names, by number or by type; else `default`."""
    places = [place for place in (error, content) if isinstance(place, dict)]
    for place in places:
        for name in _STATUSES:
            value = place.get(name)
            if isinstance(value, str) and value.isascii() and value.isdigit():
                value = int(value)
            if type(value) is int and 400 <= value <= 599:
                return value
    for place in places:
        for name in ("type", "code"):
            known = _STATUS_OF_TYPE.get(str(place.get(name)))
            if known:
                return known
    return default
