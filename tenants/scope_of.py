"""Whose rows somebody's request may touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tenants.scope import Scope, current_scope, person_scope, scoped

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from tenants.models import PersonalAccessToken, Tenant, User


def enter_scope_of(
    user: User | AnonymousUser, *, token: PersonalAccessToken | None = None, in_tenant_page: bool = False
) -> None:
    """Give the current request the scope of its person, until it ends (ScopeMiddleware takes it back).

    Staff get the platform's, with their roles as the reason in every log line; a token that is bound to a tenant
    opens that tenant alone; a page of a tenant begins with the person's own rows and narrows by `enter_tenant`.
    """
    if not user.is_authenticated or not user.is_active:
        return
    if token is not None and token.tenant_id is not None:
        current_scope.set(person_scope(user.pk, [token.tenant_id]))
    elif in_tenant_page:
        current_scope.set(person_scope(user.pk, []))
    elif user.is_superuser or user.staff_roles:
        reason = f"staff: {', '.join(sorted(user.staff_roles)) or 'superuser'}"
        structlog.contextvars.bind_contextvars(scope=f"platform: {reason}")
        current_scope.set(Scope(platform_reason=reason, person=str(user.pk)))
    else:
        with scoped(person_scope(user.pk, [])):  # their own memberships
            tenants = list(user.memberships.values_list("tenant_id", flat=True))
        current_scope.set(person_scope(user.pk, tenants))


def enter_tenant(user: User, tenant: Tenant) -> None:
    """Narrow the current request to one tenant, and to the person's own rows."""
    current_scope.set(person_scope(user.pk, [tenant.pk]))
