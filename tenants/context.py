"""Who is asking and from where, for audit lines and logs; set per request, absent in tasks and commands."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a deed came from: the request's and trace's ids, the caller's address, user agent and assurance."""

    request_id: str = ""
    address: str | None = None
    user_agent: str = ""
    trace_id: str = ""
    has_second_factor: bool = False


current_origin: ContextVar[Origin] = ContextVar("current_origin", default=Origin())  # noqa: B039 (frozen)
