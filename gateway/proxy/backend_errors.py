"""What backends say when they fail, in every shape that engines use, and whose trouble it is.

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

LARGEST_ERROR = 64 * 1024  # bytes that are read of an error's body
_MOST_DETAILS = 5
_TOKEN = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")

# Whose fault it is: with these statuses the caller did nothing wrong; our route, address or credentials did.
_OUR_ACCOUNT = {401: "credentials", 402: "payment", 403: "permission"}
_ACCOUNT_CODES = {
    "insufficientquota": "quota",
    "quotaexceeded": "quota",
    "exceededcurrentquota": "quota",
    "exceededcurrentquotaerror": "quota",
    "accountquotaexceeded": "quota",
    "allocationquota": "quota",
    "insufficientbalance": "payment",
    "insufficientcredits": "payment",
    "insufficientfunds": "payment",
    "creditbalancetoolow": "payment",
    "billing": "payment",
    "billingerror": "payment",
    "billinghardlimitreached": "payment",
    "billingnotactive": "payment",
    "paymentrequired": "payment",
    "arrearage": "payment",
    "accountdeactivated": "permission",
    "accountsuspended": "permission",
    "accountdisabled": "permission",
    "accessterminated": "permission",
    "organizationdeactivated": "permission",
    "permissiondenied": "permission",
    "permissionerror": "permission",
    "permissiondeniederror": "permission",
    "accessdenied": "permission",
    "forbidden": "permission",
    "invalidapikey": "credentials",
    "incorrectapikey": "credentials",
    "apikeyinvalid": "credentials",
    "invalidauthentication": "credentials",
    "authenticationerror": "credentials",
    "autherror": "credentials",
    "unauthorized": "credentials",
    "unauthenticated": "credentials",
    "expiredtoken": "credentials",
    "tokenexpired": "credentials",
    "401": "credentials",
    "402": "payment",
    "403": "permission",
}
_ACCOUNT_WORDS = re.compile(
    r"credit balance is too low|insufficient (?:credits?|balance|funds|quota)|exceeded your current quota"
    r"|(?:check|update) your (?:plan|billing)|billing (?:details|hard limit|account)|payment required"
    r"|account (?:is |has been |was )?(?:deactivated|suspended|disabled|terminated)|out of credits|no credits left"
    r"|(?:incorrect|invalid|expired|revoked|missing) api[ _-]?key"
    r"|api[ _-]?key (?:is |was )?(?:not valid|invalid|expired)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'(?!\w)|\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”|‘[^’\n]*’")


@dataclass(frozen=True)
class BackendError:
    """An error as a backend told it: its text is not yet fit for clients."""

    message: str = ""
    code: str | None = None
    kind: str | None = None
    param: str | None = None


def read_error(content: Any) -> BackendError:
    """The error in a body, given as bytes or as what they decode to. Never fails: empty where nothing is told."""
    if isinstance(content, bytes | bytearray | memoryview):
        raw = bytes(content[:LARGEST_ERROR])
        try:
            content = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return BackendError(_plain_text(raw))
    if isinstance(content, str):
        return BackendError(content)
    if isinstance(content, list):  # a list of errors, as some Google endpoints answer
        return read_error(content[0]) if content else BackendError()
    if not isinstance(content, dict):
        return BackendError()
    inner = content.get("error")
    source = inner if isinstance(inner, dict) else content
    message = _message_of(inner) or _message_of(content)
    status = source.get("status")
    return BackendError(
        message=message,
        code=_text(source.get("code")) or (status if isinstance(status, str) else None),
        kind=_text(source.get("type")) or _text(content.get("error_type")) or _text(source.get("error_type")),
        param=_text(source.get("param")),
    )


def account_trouble(status: int, error: BackendError) -> str | None:
    """Why our own account at a backend is refused: credentials, payment, permission or quota; else None.

    Such a trouble is no caller's: it is answered with 502 or 503, and raises an alarm. `status` is the
    HTTP status, which may be 200 or 400 where the truth stands in the body.
    """
    if status in _OUR_ACCOUNT:
        return _OUR_ACCOUNT[status]
    for word in (error.code, error.kind):
        reason = _ACCOUNT_CODES.get(re.sub(r"[^a-z0-9]", "", (word or "").lower()))
        if reason is not None:
            return reason
    message = error.message[:LARGEST_ERROR]
    if status == 400:  # quoted texts, and what is said of a parameter, are the caller's
        message = "" if error.param else _QUOTED.sub(" ", message)
    if status in (200, 400, 429) or status >= 500:
        found = _ACCOUNT_WORDS.search(message)
        if found is not None:
            said = found[0].lower()
            return "credentials" if "key" in said else "quota" if "quota" in said else "payment"
    return None


def refusal_for(
    status: int,
    error: BackendError,
    scrubber: Scrubber,
    *,
    retry_after: str | None = None,
    secrets: tuple[str, ...] = (),
) -> Refusal:
    """A backend's refusal (4xx) as the client may see it: the sentence that helps, and nothing about us."""
    message = scrubber.sentence(error.message, secrets=secrets)
    headers = {}
    if status == 429:
        seconds = retry_after if retry_after and re.fullmatch(r"\d{1,5}", retry_after) else "1"
        headers = {"retry-after": seconds}
    return Refusal(
        status,
        _own_word(error.code, scrubber) or "refused_by_model",
        message or f"The model refused this call with status {status}.",
        kind=_own_word(error.kind, scrubber) or "invalid_request_error",
        param=_own_word(error.param, scrubber),
        headers=headers,
    )


def error_shown(error: BackendError, scrubber: Scrubber, secrets: tuple[str, ...] = ()) -> dict[str, Any]:
    """The `error` object of an event inside a stream, as the client may see it."""
    return {
        "message": scrubber.sentence(error.message, secrets=secrets)
        or "The model broke off in the middle of its answer. Try again.",
        "type": _own_word(error.kind, scrubber) or "server_error",
        "param": _own_word(error.param, scrubber),
        "code": _own_word(error.code, scrubber) or "backend_failed",
    }


def _own_word(word: str | None, scrubber: Scrubber) -> str | None:
    """A code, type or parameter that names nothing of ours; numbers are statuses, no codes."""
    if word is None or word.isdigit() or not _TOKEN.fullmatch(word):
        return None
    return word if scrubber.sentence(f"The word {word}") == f"The word {word}" else None


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
    """A Python tuple of steps, as text, with dots."""
    steps = [step.strip(" '") for step in where.split(",")]
    return ".".join(step for step in steps if step not in ("", "body"))


def _unpacked(message: str) -> str:
    """The sentence in a message that is itself an error written as text.

    vLLM writes the list of a validation as Python does, with the whole body of the call in it; proxies put
    JSON of the server behind them into theirs.
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
    """A body that is no JSON: a sentence, or a page of something in between, which says nothing to callers."""
    text = raw.decode("utf-8", "replace").strip()
    return "" if text[:1] == "<" else text


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) and value else None
