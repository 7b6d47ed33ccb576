"""The origin of a request, for audit entries and logs; set for each request, absent in tasks and commands."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """The origin of an action: the ids of request and trace, the caller's address, user agent and assurance.

    `session` is the digest of the browser's session; a request with a token has none.
    """

    request_id: str = ""
    address: str | None = None
    user_agent: str = ""
    trace_id: str = ""
    has_second_factor: bool = False
    session: str = ""


current_origin: ContextVar[Origin] = ContextVar("current_origin", default=Origin())  # noqa: B039 (frozen)

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id_of(traceparent: str) -> str:
    """The trace id of a W3C `traceparent` header; empty if the header is missing, malformed, or all zeros."""
    found = _TRACEPARENT.match(traceparent)
    return found[1] if found and found[1].strip("0") else ""
