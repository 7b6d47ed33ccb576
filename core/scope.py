"""The database scope: whose rows this thread may touch (docs/isolation.md).

Every connection sends the scope to PostgreSQL, whose row-level security hides rows outside it, even from raw SQL.
Without a scope no tenant's rows are visible. A request gets its scope from its person (tenants/middleware.py); a
task or command states one:

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
    """The tenants and the person whose rows are visible, or everything with a stated reason."""

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
    """Work within `scope` until the block ends; then the previous scope applies again."""
    token = current_scope.set(scope)
    try:
        yield
    finally:
        current_scope.reset(token)


@contextmanager
def tenant_scope(*tenants: UUID | str, person: UUID | str = "") -> Iterator[None]:
    """Work only on rows of these tenants (and on `person`'s own rows, such as their memberships).

    Raises ValueError for anything but an id: otherwise a message with "*" would open everything.
    """
    ids = tuple(str(UUID(str(tenant))) for tenant in tenants)
    with scoped(Scope(ids, str(UUID(str(person))) if person else "")):
        yield


@contextmanager
def platform_scope(reason: str, *, is_routine: bool = False) -> Iterator[None]:
    """Work on rows of every tenant; `reason` says why, and appears in every log line within.

    Set `is_routine` for work on every request or every few seconds; its own log line then has level DEBUG.

    Raises ValueError without a reason.
    """
    if not reason:
        raise ValueError("Give the reason why this needs the rows of every tenant.")
    with structlog.contextvars.bound_contextvars(scope=f"platform: {reason}"):
        # It is not yet configured while `manage.py` reads its settings.
        if structlog.is_configured():
            log.log(logging.DEBUG if is_routine else logging.INFO, "platform_scope")
        with scoped(Scope(platform_reason=reason)):
            yield


def person_scope(person: UUID | str, tenants: Iterable[UUID | str]) -> Scope:
    """The scope of a person's request: the tenants they belong to, and their own rows."""
    return Scope(tuple(str(tenant) for tenant in tenants), str(person))
