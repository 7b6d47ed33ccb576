"""What backends say when they fail, in every shape that engines use, and who is at fault.

OpenAI and most others: `{"error": {"message", "type", "param", "code"}}`. vLLM before 0.10.1:
`{"object": "error", "message", …}`. TGI and Ollama: `{"error": "text", "error_type"}`. FastAPI: `{"detail":
"text"}` or a list of `{"loc", "msg"}`. Others: `{"message"}`, `{"msg"}`, `{"errors": […]}`, or plain text.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.proxy.errors import Refusal
from gateway.proxy.scrub import Scrubber

# The gateway reads this many bytes of an error's body.
LARGEST_ERROR = 64 * 1024
_MOST_DETAILS = 5
# The longest `Retry-After` for a client, in seconds.
_LONGEST_WAIT = 3600
_TOKEN = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")


@dataclass(frozen=True)
class BackendError:
    """An error as a backend sent it: its text is not yet fit for clients."""

    message: str = ""
    code: str | None = None
    kind: str | None = None
    param: str | None = None
    # Machine-readable words beside the code, as Google gives them in `details`.
    reasons: tuple[str, ...] = ()


def read_error(content: Any) -> BackendError:
    """The error in a body, given as bytes or decoded. Never fails: the result is empty if the body says nothing."""
    if isinstance(content, bytes | bytearray | memoryview):
        raw = bytes(content[:LARGEST_ERROR])
        try:
            content = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return BackendError(_plain_text(raw))
    if isinstance(content, str):
        return BackendError(content)
    # A list of errors, as some Google endpoints answer.
    if isinstance(content, list):
        return read_error(content[0]) if content else BackendError()
    if not isinstance(content, dict):
        return BackendError()
    inner = _inner(content)
    source = inner if isinstance(inner, dict) else content
    message = _of_a_provider(inner) or _message_of(inner) or _message_of(content)
    status = source.get("status")
    code = _first_text(source, "code", "Code", "error_code", "errorCode")
    return BackendError(
        message=message,
        code=code or (status if isinstance(status, str) else None),
        kind=_first_text(source, "type", "__type")
        or _text(content.get("error_type"))
        or _text(source.get("error_type")),
        param=_text(source.get("param")),
        reasons=_reasons(source),
    )


def refusal_for(
    status: int,
    error: BackendError,
    scrubber: Scrubber,
    *,
    retry_after: str | None = None,
    secrets: tuple[str, ...] = (),
) -> Refusal:
    """A backend's refusal (4xx) as the client may see it: the helpful sentence, and nothing about us.

    Args:
        status: HTTP status of the backend's answer.
        error: the error in its answer.
        scrubber: removes names of the backend.
        retry_after: its `Retry-After` header.
        secrets: further texts to remove.
    """
    message = scrubber.sentence(error.message, secrets=secrets)
    headers = {}
    if status == 429:
        headers = {"retry-after": _bounded(retry_after)}
    return Refusal(
        status,
        _own_word(error.code, scrubber, secrets) or "refused_by_model",
        message or f"The model rejected this call with status {status}.",
        kind=_own_word(error.kind, scrubber, secrets) or "invalid_request_error",
        param=_own_word(error.param, scrubber, secrets),
        headers=headers,
    )


def _bounded(retry_after: str | None) -> str:
    """Whole seconds, at most an hour; one second if the header is of no use."""
    if retry_after is None or not re.fullmatch(r"[0-9]+", retry_after):
        return "1"
    return str(min(int(retry_after[:9]), _LONGEST_WAIT)) if len(retry_after) <= 9 else str(_LONGEST_WAIT)


def error_shown(error: BackendError, scrubber: Scrubber, secrets: tuple[str, ...] = ()) -> dict[str, Any]:
    """The `error` object of an event inside a stream, as the client may see it."""
    return {
        "message": scrubber.sentence(error.message, secrets=secrets)
        or "The model stopped in the middle of its answer. Try again.",
        "type": _own_word(error.kind, scrubber, secrets) or "server_error",
        "param": _own_word(error.param, scrubber, secrets),
        "code": _own_word(error.code, scrubber, secrets) or "backend_failed",
    }


def _own_word(word: str | None, scrubber: Scrubber, secrets: tuple[str, ...]) -> str | None:
    """A code, type or parameter that names nothing of ours. Numbers are statuses, not codes."""
    if word is None or word.isdigit() or not _TOKEN.fullmatch(word):
        return None
    sentence = f"The word {word}"
    return word if scrubber.sentence(sentence, secrets=secrets) == sentence else None


def _message_of(content: Any) -> str:
    if isinstance(content, str):
        return _unpacked(content)
    if not isinstance(content, dict):
        return ""
    for name in (
        "message",
        "msg",
        "detail",
        "details",
        "error_message",
        "error_msg",
        "errorMessage",
        "Message",
        "reason",
        "error",
        "errors",
        "title",
        "fault",
        "faultstring",
        "base_resp",
        "status_msg",
    ):
        value = content.get(name)
        if isinstance(value, str) and value.strip():
            return _unpacked(value)
        if isinstance(value, list) and value:
            return "; ".join(filter(None, map(_detail, value[:_MOST_DETAILS])))
        if isinstance(value, dict):
            inner = _message_of(value)
            if inner:
                return inner
    return ""


def _inner(content: dict[str, Any]) -> Any:
    """The error inside the wrapper that some clouds use, `{"Response": {"Error": …}}`; else `error`."""
    for name in ("Response", "ResponseMetadata"):
        wrapped = content.get(name)
        if isinstance(wrapped, dict) and isinstance(wrapped.get("Error"), dict):
            return wrapped["Error"]
    inner = content.get("error")
    return content.get("Error") if inner is None else inner


def _first_text(source: dict[str, Any], *names: str) -> str | None:
    return next(filter(None, (_text(source.get(name)) for name in names)), None)


def _of_a_provider(inner: Any) -> str:
    """What the server behind a router of providers said; the router's own sentence only reports that it failed."""
    metadata = inner.get("metadata") if isinstance(inner, dict) else None
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return _message_of(raw) if isinstance(raw, str | dict) else ""


def _reasons(source: dict[str, Any]) -> tuple[str, ...]:
    """The machine-readable words in a list of details."""
    details = source.get("details")
    if not isinstance(details, list):
        return ()
    reasons = (one.get("reason") for one in details[:_MOST_DETAILS] if isinstance(one, dict))
    return tuple(reason for reason in reasons if isinstance(reason, str))


def _detail(item: Any) -> str:
    """One entry of a FastAPI or pydantic list of errors."""
    if not isinstance(item, dict):
        return item if isinstance(item, str) else ""
    message = _message_of({name: value for name, value in item.items() if name != "detail"}) or _message_of(
        item
    )
    where = item.get("loc")
    if isinstance(where, list | tuple):
        path = ".".join(str(step) for step in where if step != "body")
        return f"{path}: {message}" if path and message else message
    return message


_PYDANTIC = re.compile(r"'loc': \(([^)]{0,200})\), 'msg': (?:'((?:[^'\\]|\\.){1,300})'|\"([^\"]{1,300})\")")


def _path(where: str) -> str:
    """A Python tuple of steps, written as text, as a dotted path."""
    steps = [step.strip(" '") for step in where.split(",")]
    return ".".join(step for step in steps if step not in ("", "body"))


def _unpacked(message: str) -> str:
    """The sentence in a message that is itself a serialized error.

    vLLM writes validation errors as a Python list that contains the whole body of the call. Proxies put
    the JSON of the server behind them into their message.
    """
    if "'msg':" in message:
        found = [
            f"{_path(where)}: {one or other}"
            for where, one, other in _PYDANTIC.findall(message)[:_MOST_DETAILS]
        ]
        if found:
            return "; ".join(found)
        return message.split("[{", 1)[0].split("{'", 1)[0]
    stripped = message.strip()
    if stripped[:1] == "{" and stripped[-1:] == "}":
        try:
            inner = orjson.loads(stripped)
        except orjson.JSONDecodeError:
            return message
        return _message_of(inner) or message
    return message


def _plain_text(raw: bytes) -> str:
    """The text of a body that is not JSON: a sentence. The page of an intermediary tells callers nothing."""
    text = raw.decode("utf-8", "replace").strip()
    return "" if text[:1] == "<" else text


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) and value else None
