"""The database scope of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import structlog
from django.db import connection

from core.scope import Scope, current_scope, person_scope

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User
    from core.database.base import DatabaseWrapper
    from tenants.models import PersonalAccessToken, Tenant


def enter_scope_of(
    user: User | AnonymousUser, *, token: PersonalAccessToken | None = None, page_of: str | None = None
) -> None:
    """Give the current request the scope of its person, until it ends (ScopeMiddleware resets it).

    Staff get the platform's scope, with their roles as the reason in every log line. A token that is bound to a tenant
    opens only that tenant. A page of the tenant with the slug `page_of` opens only that tenant to its members, and
    nothing yet to staff (`enter_tenant`).
    """
    if not user.is_authenticated or not user.is_active:
        return
    if token is not None and token.tenant_id is not None:
        current_scope.set(person_scope(user.pk, [token.tenant_id]))
    elif not (user.is_superuser or user.staff_roles):
        wrapper = cast("DatabaseWrapper", connection)
        current_scope.set(wrapper.enter_person_scope(str(user.pk), tenant_slug=page_of))
    elif page_of is not None:
        current_scope.set(person_scope(user.pk, []))
    else:
        reason = f"staff: {', '.join(sorted(user.staff_roles)) or 'superuser'}"
        structlog.contextvars.bind_contextvars(scope=f"platform: {reason}")
        current_scope.set(Scope(platform_reason=reason, person=str(user.pk)))


def enter_tenant(user: User, tenant: Tenant) -> None:
    """Narrow the current request to one tenant and to the person's own rows."""
    current_scope.set(person_scope(user.pk, [tenant.pk]))
