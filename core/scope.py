"""Whose rows this thread may touch: row-level security, in the database (docs/isolation.md).

Every connection carries the scope to PostgreSQL, whose row-level security hides what lies outside it, from
raw SQL too. Without a scope there are no rows of any tenant. A request gets its scope from its person
(tenants/middleware.py); a task or command states one:

    with tenant_scope(export.tenant_id): ...
    with platform_scope("sweep of stale exports"): ...
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Scope:
    """Tenants whose rows are visible, the person whose own rows are, or everything with a stated reason."""

    tenants: tuple[str, ...] = ()
    person: str = ""
    platform_reason: str = ""

    @property
    def is_platform(self) -> bool:
        return bool(self.platform_reason)


NOBODY = Scope()
current_scope: ContextVar[Scope] = ContextVar("current_scope", default=NOBODY)


@contextmanager
def scoped(scope: Scope) -> Iterator[None]:
    """Work within `scope` until the block ends; then whatever was before holds again."""
    token = current_scope.set(scope)
    try:
        yield
    finally:
        current_scope.reset(token)


@contextmanager
def tenant_scope(*tenants: UUID | str, person: UUID | str = "") -> Iterator[None]:
    """Work on rows of these tenants alone (and on rows of `person`'s own, such as their memberships).

    Raises ValueError for what is no id: a message that says "*" would else open everything.
    """
    ids = tuple(str(UUID(str(tenant))) for tenant in tenants)
    with scoped(Scope(ids, str(UUID(str(person))) if person else "")):
        yield


@contextmanager
def platform_scope(reason: str, *, is_routine: bool = False) -> Iterator[None]:
    """Work on rows of every tenant; `reason` says why, and is logged with every line within.

    What happens on every request or every few seconds `is_routine`, and has a line of its own only at level DEBUG.

    Raises ValueError without a reason.
    """
    if not reason:
        raise ValueError("Give the reason why this needs the rows of every tenant.")
    with structlog.contextvars.bound_contextvars(scope=f"platform: {reason}"):
        # Not yet while `manage.py` reads its settings.
        if structlog.is_configured():
            log.log(logging.DEBUG if is_routine else logging.INFO, "platform_scope")
        with scoped(Scope(platform_reason=reason)):
            yield


def person_scope(person: UUID | str, tenants: Iterable[UUID | str]) -> Scope:
    """The scope of somebody's request: the tenants they belong to, and their own rows."""
    return Scope(tuple(str(tenant) for tenant in tenants), str(person))
