"""What an action raises besides Django's PermissionDenied, ValidationError and DoesNotExist."""


class Conflict(Exception):
    """The deed is allowed but does not fit the present state: somebody was faster, or it is over. HTTP 409."""

    def __init__(self, message: str, *, code: str = "conflict") -> None:
        super().__init__(message)
        self.message, self.code = message, code


class TooManyRequests(Exception):
    """Somebody tries something too often (tenants/rate_limits.py). HTTP 429 with Retry-After."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.message = f"Too many requests. Try again in {retry_after_seconds} seconds."
        super().__init__(self.message)
