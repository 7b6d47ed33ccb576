"""Anthropic's errors as OpenAI's."""

from typing import Any

# OpenAI's type and code for each type of error. Sentences are passed on; `gateway.proxy.scrub` removes names.
_KINDS = {
    "invalid_request_error": ("invalid_request_error", None),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "not_found_error": ("invalid_request_error", "model_not_found"),
    "authentication_error": ("authentication_error", "invalid_api_key"),
    "permission_error": ("permission_error", None),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "timeout_error": ("server_error", "backend_timeout"),
    "overloaded_error": ("server_error", "overloaded"),
    "api_error": ("server_error", None),
}
# Statuses for errors in streams and in answers that began with 200, which have no other.
_STATUSES = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500,
    "overloaded_error": 503, "timeout_error": 504,
}  # fmt: skip
# Anthropic's own status for "overloaded". Clients of OpenAI retry 503; some give up at an unknown one.
_OVERLOADED = 529


def chat_error(content: Any) -> dict[str, Any]:
    """OpenAI's error object for an error of Anthropic's; `code` is a status where only that says what happened."""
    inner = content.get("error") if isinstance(content, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    named = inner.get("type")
    kind, code = (
        _KINDS.get(named, ("server_error", None)) if isinstance(named, str) else ("server_error", None)
    )
    message = inner.get("message")
    return {
        "error": {
            "message": message if isinstance(message, str) else "",
            "type": kind,
            "param": None,
            "code": code,
            "status": _STATUSES.get(named, 502) if isinstance(named, str) else 502,
        }
    }


def chat_status(status: int) -> int:
    """The HTTP status of an error for a client of OpenAI's dialect."""
    return 503 if status == _OVERLOADED else status
