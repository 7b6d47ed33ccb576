"""Errors inside answers that began with 200, in every shape that servers are known to write.

An error is an `error` or `errors` (also in a choice or its message), a code other than success under its many names
(`error_code` of Baidu, `base_resp` of MiniMax, `header` and `code` of Spark, `success` of Cloudflare), a list of errors
(Gemini), or a failed end of a choice (OpenRouter, Zhipu, vLLM). Objects and codes that say "no error" do not count.
"""

import re
from typing import Any

import orjson

from gateway.proxy.usage import read_usage

# How engines say that a choice ended unfinished: a word in any `finish_reason`, such as `engine_error`.
_FAILED_END = re.compile(
    "error|fail|abort|cancel|timed?[-_ ]?out|exception|crash|unavailable|overload|interrupted|disconnect|preempt|killed"
    "|insufficient_system_resource|died|out[-_ ]?of[-_ ]?memory|shut[-_ ]?down|unfinished|deadline|connection|network",
    re.IGNORECASE,
)
# The last one is from earlier models of OpenAI.
_ENDS = ("finish_reason", "finishReason", "finish_details")
_WORDS_OF_AN_END = ("type", "reason", "finish_reason", "value", "name", "kind", "code", "status")
_NOTHING = (b"null", b"false", b'""', b"{}", b"[]", b"0")
_DEEPEST = 4
# Zeros mean the same.
_NO_ERROR_CODES = (
    "",
    "ok",
    "success",
    "succeed",
    "succeeded",
    "successful",
    "none",
    "null",
    "false",
    "200",
)
_NUMBER = re.compile(r"\s*-?[0-9]+\s*")
_SAYS_SUCCESS = re.compile(r"(?<!un)succe|^ok\b|^normal|^done|成功|正常", re.IGNORECASE)
_STATUS_OF_TYPE = {
    "invalid_request_error": 400, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "rate_limit_exceeded": 429, "insufficient_quota": 429,
    "context_length_exceeded": 400, "content_filter": 400, "overloaded_error": 503,
}  # fmt: skip
# MiniMax: codes of `base_resp`. All others are errors of its own.
_STATUS_OF_BASE = {
    1002: 429,
    1039: 429,
    1004: 401,
    2049: 401,
    1008: 402,
    1026: 400,
    1027: 400,
    1042: 400,
    2013: 400,
}
_SAYS_ERROR = ("message", "detail", "error_message", "error_msg", "errors", "msg")
_STATUSES = ("code", "status", "status_code", "statusCode", "error_code")
_ERROR_CODES = ("error_code", "errorCode", "err_code", "errcode", "errCode")
_ERROR_TEXTS = ("error_message", "error_msg", "errorMessage", "err_msg", "errmsg", "errMsg")
_INSIDE = (("base_resp", "status_code"), ("baseResp", "statusCode"), ("header", "code"))
_SUCCESSES = ("success", "is_success", "isSuccess", "ok")


class FailedAnswer(Exception):
    """An answer that is an error. `status` is what the backend should have sent; `said` is its error, if any."""

    def __init__(
        self, status: int, said: Any = None, *, reason: str = "the backend reported an error"
    ) -> None:
        super().__init__(f"{reason} (status {status})")
        self.status = status
        self.said = said


def may_hold_error(data: bytes) -> bool:
    """Whether JSON has a name that may report an error beside its choices."""
    # As in all that looks at each answer: `in` first takes the bytes for a number, and makes and drops an exception.
    return (
        data.find(b"error") >= 0
        or data.find(b'"code"') >= 0
        or data.find(b'"status') >= 0
        or data.find(b'"err') >= 0
        or data.find(b'uccess"') >= 0
        or data.find(b'"base') >= 0
        or data.find(b'"header"') >= 0
        or data.find(b'"ok"') >= 0
    )


def error_in(content: Any, *, is_error: bool = False) -> FailedAnswer | None:
    """The error in an answer or an event, whatever its shape; None if there is none.

    `is_error`: the name of the event says that it is an error.
    """
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return error_in(content[0], is_error=True)
    if not isinstance(content, dict):
        return FailedAnswer(502, content if isinstance(content, str) else None)
    error = reported_error(content)
    if error or is_error or any(_is_named_error(content.get(name)) for name in ("object", "type")):
        said = content if _is_plain_error(content) else {"error": error}
        return FailedAnswer(_status_of(error, content), said)
    choices = content.get("choices")
    if isinstance(choices, list):
        for one in choices:
            if isinstance(one, dict):
                failed = reported_error(one) or _error_of_message(one)
                if failed or is_failed_end(end_of(one)):
                    return FailedAnswer(_status_of(failed, content), {"error": failed})
        return None
    if content.get("data") or read_usage(content) is not None:
        return None
    status = _status_of(None, content, default=0)
    texts = [content[name] for name in _SAYS_ERROR if isinstance(content.get(name), str | list)]
    if status or not all(map(is_no_error, texts)):
        return FailedAnswer(status or 502, content)
    return None


def end_of(choice: dict[str, Any]) -> str:
    """How a choice ended, by its `finish_reason` of any kind; empty if it does not say that it ended."""
    for name in _ENDS:
        if end := _word_of(choice.get(name)):
            return end
    return ""


def is_failed_end(end: str) -> bool:
    """Whether the end of a choice says that the choice is unfinished."""
    return bool(end) and _FAILED_END.search(end) is not None


def reported_error(place: dict[str, Any]) -> Any:
    """What an answer, an event or a choice says about an error, under any of its names; else None."""
    for name in ("error", "errors"):
        error = place.get(name)
        if not is_no_error(error):
            return error[0] if isinstance(error, list) and isinstance(error[0], dict) else error
    for name, code_name in _INSIDE:
        inner = place.get(name)
        if isinstance(inner, dict) and not is_no_error(inner.get(code_name)):
            return inner
    is_reported = any(not is_no_error(place.get(name)) for name in _ERROR_CODES)
    is_reported = is_reported or any(
        place.get(name) in (False, "false", "False") for name in _SUCCESSES if name in place
    )
    if not is_reported and not any(is_no_error(place.get(name)) for name in _ERROR_CODES if name in place):
        is_reported = any(not is_no_error(place.get(name)) for name in _ERROR_TEXTS)
    if not is_reported and not _is_failed_code(place):
        return None
    names = (*_SAYS_ERROR, *_STATUSES, *_ERROR_CODES, *_ERROR_TEXTS)
    return {name: place[name] for name in names if name in place} or {"message": ""}


def _is_failed_code(place: dict[str, Any]) -> bool:
    """Whether a top-level `code` or `status` means an error; most success codes are 0 or 200."""
    for name in ("code", "status", "status_code", "statusCode"):
        value = place.get(name)
        if isinstance(value, str) and len(value) < 20 and _NUMBER.fullmatch(value):
            value = int(value)
        if type(value) is int:
            said = [place[one] for one in ("message", "msg") if isinstance(place.get(one), str)]
            is_own = value >= 1000 and any(said) and not any(map(_SAYS_SUCCESS.search, said))
            if 400 <= value <= 599 or value < 0 or is_own:
                return True
        elif isinstance(value, str) and not is_no_error(value):
            if name != "code":
                if is_failed_end(value):
                    return True
            elif any(
                isinstance(place.get(one), str) and not is_no_error(place[one]) for one in ("message", "msg")
            ):
                return True
    return False


def _error_of_message(choice: dict[str, Any]) -> Any:
    message = choice.get("message") or choice.get("delta")
    error = message.get("error") if isinstance(message, dict) else None
    return None if is_no_error(error) else error


def is_error(raw: bytes) -> bool:
    """Whether the JSON under the name `error` reports an error."""
    if raw in _NOTHING:
        return False
    try:
        return not is_no_error(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return True


def is_no_error(value: Any, depth: int = 0) -> bool:
    """Whether a value says that there is no error: nothing, zero, a word for success, or an object of only these."""
    if isinstance(value, str):
        return not value.strip("0 ") or value.strip().casefold() in _NO_ERROR_CODES
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return depth < _DEEPEST and all(is_no_error(one, depth + 1) for one in value)
    return not value or (type(value) is int and value == 200)


def _is_named_error(value: Any) -> bool:
    return isinstance(value, str) and value.casefold().rsplit(".", 1)[-1] == "error"


def _is_plain_error(content: dict[str, Any]) -> bool:
    """Whether readers of errors find its sentence without help."""
    return "header" not in content


def _word_of(end: Any, depth: int = 0) -> str:
    """An end as a word: the type of an object, any word for a number or `true`."""
    if isinstance(end, str):
        return end
    if isinstance(end, list):
        end = dict(zip(_WORDS_OF_AN_END, end, strict=False))
    if not isinstance(end, dict) or depth > _DEEPEST:
        return "ended" if end else ""
    if not is_no_error(end.get("error")):
        return "error"
    words = [word for name in _WORDS_OF_AN_END if (word := _word_of(end.get(name), depth + 1))]
    return " ".join(words) or ("ended" if any(end.values()) else "")


def _status_of(error: Any, content: dict[str, Any], default: int = 502) -> int:
    """The status from 400 to 599 that an error gives, by number or by type; else `default`."""
    base = content.get("base_resp")
    if isinstance(base, dict) and type(base.get("status_code")) is int:
        known = _STATUS_OF_BASE.get(base["status_code"])
        if known:
            return known
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
