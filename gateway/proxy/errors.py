"""Refusals in OpenAI's exact format, so that the official clients raise the expected exceptions."""

import math

import orjson

BROKE_OFF = "The model stopped in the middle of its answer. Try again."


class Refusal(Exception):
    """An error as the answer to a call. `code` also names it in metrics and logs."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind
        self.param = param
        self.headers = headers or {}
        # No backend of the model answered, so another model may.
        self.is_unanswered = False

    def body(self) -> bytes:
        """The body of the answer."""
        return error_body(str(self), self.kind, self.code, self.param)


def error_body(message: str, kind: str, code: str | None, param: str | None = None) -> bytes:
    """OpenAI's error object as JSON.

    Args:
        message: the sentence for the caller.
        kind: OpenAI's `type`.
        code: OpenAI's `code`; None: null.
        param: the field at fault; None: null.
    """
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def retry_after(seconds: float) -> dict[str, str]:
    """Headers that tell a client when to retry. Whole seconds are rounded up, so that a retry at that time
    succeeds.

    OpenAI's clients read `retry-after-ms` first. If the wait is over a minute, the headers tell them not to
    wait inside the call.
    """
    headers = {
        "retry-after": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(max(1, math.ceil(seconds * 1000))),
    }
    if seconds > 60:
        headers["x-should-retry"] = "false"
    return headers


def invalid_key(message: str) -> Refusal:
    """401 for a missing, unknown or expired key."""
    return Refusal(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})


def model_not_found(model: str) -> Refusal:
    """404 for a model that does not exist, is not granted or is not served. All three look the same."""
    return Refusal(
        404,
        "model_not_found",
        f"The model `{model}` does not exist, you do not have access to it, or nothing serves it yet for your "
        "project's data. GET /v1/models lists the models that this key may call. The catalog says which it is.",
        param="model",
    )


def model_unpriced(model: str) -> Refusal:
    """403 for a model without a price where a limit on money applies: unknown is not free."""
    return Refusal(
        403,
        "model_unpriced",
        f"The model `{model}` has no price, so the gateway cannot enforce a limit on money. Ask the operators to set "
        "a price.",
        param="model",
    )


def bad_request(message: str, *, code: str = "invalid_request", param: str | None = None) -> Refusal:
    """400 for a call that can never succeed as sent."""
    return Refusal(400, code, message, param=param)


def unavailable(message: str, code: str, seconds: float = 1.0) -> Refusal:
    """503 for a call that may succeed later."""
    return Refusal(503, code, message, kind="server_error", headers=retry_after(seconds))


def usage_not_recorded() -> Refusal:
    """503 because usage cannot be written to disk."""
    return unavailable(
        "The gateway cannot record usage at the moment, so it serves no calls. Try again shortly.",
        "usage_not_recorded",
        5.0,
    )


def broke_off() -> Refusal:
    """502 for an answer that its backend did not finish."""
    return Refusal(502, "backend_failed", BROKE_OFF, kind="server_error", headers=retry_after(1.0))


def error_event(message: str, code: str) -> bytes:
    """The last event of a failed stream. Official clients raise it as an APIError."""
    return b"data: " + error_body(message, "server_error", code) + b"\n\n"
