"""Exceptions of actions, besides Django's PermissionDenied, ValidationError and DoesNotExist."""

from rest_framework.exceptions import PermissionDenied

REALM = 'Bearer realm="quartermaster"'


class Conflict(Exception):
    """The action is permitted but the current state does not allow it, perhaps after a concurrent change. HTTP 409."""

    def __init__(self, message: str, *, code: str = "conflict") -> None:
        super().__init__(message)
        self.message, self.code = message, code


class TooManyRequests(Exception):
    """The caller tries something too often (core/rate_limits.py). HTTP 429 with Retry-After."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.message = f"Too many requests. Try again in {retry_after_seconds} seconds."
        super().__init__(self.message)


class InsufficientScope(PermissionDenied):
    """The token is valid, but its scopes do not allow this (RFC 6750, 3.1). HTTP 403."""

    default_code = "insufficient_scope"

    def __init__(self, needed: str | None) -> None:
        if needed is None:
            super().__init__("Tokens cannot do this. Use the console's pages.")
            self.auth_header = f'{REALM}, error="insufficient_scope"'
        else:
            super().__init__(f"This token lacks the scope {needed}. Use one that has it.")
            self.auth_header = f'{REALM}, error="insufficient_scope", scope="{needed}"'
