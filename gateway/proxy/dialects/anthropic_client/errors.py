"""Errors in the shape that Anthropic's clients read."""

from typing import Any

from gateway.proxy.errors import Refusal
from gateway.proxy.whole_answers import dumped

_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 408: "timeout_error", 409: "conflict_error", 413: "request_too_large",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


def error_type(status: int) -> str:
    """Anthropic's type for an HTTP status."""
    return _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")


def messages_error(status: int, message: str, request_id: str) -> dict[str, Any]:
    """Anthropic's error object. `request_id` is the gateway's own."""
    return {
        "type": "error",
        "error": {"type": error_type(status), "message": message},
        "request_id": request_id,
    }


def refusal_body(refusal: Refusal, request_id: str) -> bytes:
    """The body of an answer that refuses a Messages call."""
    return dumped(messages_error(refusal.status, str(refusal), request_id))


def error_event(status: int, message: str, request_id: str) -> bytes:
    """The last event of a failed stream. Anthropic's client raises it as an APIStatusError."""
    return b"event: error\ndata: " + dumped(messages_error(status, message, request_id)) + b"\n\n"
