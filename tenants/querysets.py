"""Questions about tenants and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from tenants.scoping import TenantQuerySet

if TYPE_CHECKING:
    from tenants.models import User


class TenantListQuerySet(models.QuerySet[Any]):
    """Questions about tenants themselves."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """The tenants `user` may know exist: all for staff with any role, else those they are a member of."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.is_superuser or user.staff_roles:
            return self
        return self.filter(pk__in=user.memberships.values("tenant"))


class ApiKeyQuerySet(TenantQuerySet):
    """Questions about keys."""

    def claimable(self) -> Self:
        """Keys somebody may still claim: not claimed, not revoked, not past their claim date."""
        return self.filter(state="claimable").filter(Q(claim_by=None) | Q(claim_by__gt=now()))

    def usable(self) -> Self:
        """Keys a gateway must know: claimed, not revoked, suspended or expired, of an active tenant."""
        return self.filter(state="active", suspended_at=None, tenant__status="active").filter(
            Q(expires_at=None) | Q(expires_at__gt=now())
        )

    def current(self) -> Self:
        """Keys in use or waiting to be claimed."""
        return self.exclude(state="revoked").filter(Q(expires_at=None) | Q(expires_at__gt=now()))

    def ended(self) -> Self:
        """Keys that were revoked or have expired."""
        return self.filter(Q(state="revoked") | Q(expires_at__lte=now()))

    def with_names(self) -> Self:
        return self.select_related("project", "tenant", "created_for", "claimed_by")


class InvitationQuerySet(TenantQuerySet):
    """Questions about invitations."""

    def open(self) -> Self:
        """Neither accepted nor withdrawn; the link of an expired one opens nothing, but it can be sent again."""
        return self.filter(accepted_at=None, withdrawn_at=None)

    def acceptable(self) -> Self:
        """Open, not expired, and of an active tenant. (Whether the inviter may still invite, the action asks.)"""
        return self.open().filter(expires_at__gt=now(), tenant__status="active")

    def to(self, email: str) -> Self:
        return self.filter(email=email.strip().lower())


class GroupRuleQuerySet(models.QuerySet[Any]):
    """Questions about the rules by which groups give roles."""

    def in_force(self) -> Self:
        """Rules that give something: not ended, and not of a tenant that is closed."""
        return self.filter(ended_at=None).exclude(tenant__status="closed")

    def unapplied(self) -> Self:
        """Rules that began or ended, and not everybody they concern has been looked at since."""
        return self.filter(applied_at=None)
