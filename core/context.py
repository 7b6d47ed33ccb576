"""Who is asking and from where, for audit lines and logs; set per request, absent in tasks and commands."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where an action came from: the request's and trace's ids, the caller's address, user agent and assurance.

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
    """The trace id of a W3C `traceparent` header; empty for none, a malformed one, or one of zeros."""
    found = _TRACEPARENT.match(traceparent)
    return found[1] if found and found[1].strip("0") else ""
