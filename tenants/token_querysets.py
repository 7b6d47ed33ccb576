"""Querysets of personal access tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.timezone import now

from core.tenant_managers import Row
from tenants.models.tenancy import Membership
from tenants.permissions import tenants_where

if TYPE_CHECKING:
    from accounts.models import User


class TokenQuerySet(models.QuerySet[Row]):
    """Queries for personal access tokens."""

    def usable(self) -> Self:
        """Tokens that open the API: not expired, revoked or suspended, and their owner still belongs to their tenant.

        A bound token requires its owner's membership there. An unbound one requires any membership, or a staff owner.
        """
        mine = Membership.objects.across_tenants().filter(user=OuterRef("user"))
        return self.filter(
            Exists(mine.filter(tenant=OuterRef("tenant")))
            | Q(tenant=None) & (Exists(mine) | Q(user__is_staff=True)),
            revoked_at=None,
            suspended_at=None,
            expires_at__gt=now(),
            user__is_active=True,
        )

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """A user's own tokens, and those bound to a tenant where they manage tokens; all for operators."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.is_operator:
            return self
        mine = Q(user=user)
        if user.only_tenant_id is not None:
            mine &= Q(tenant=user.only_tenant_id)
        return self.filter(mine | Q(tenant__in=tenants_where(user, "tenants.manage_tokens").values("pk")))

    def current(self) -> Self:
        """Tokens that open something, or would if their suspension were lifted."""
        return self.filter(revoked_at=None, expires_at__gt=now())

    def ended(self) -> Self:
        """Tokens that were revoked or have expired."""
        return self.filter(Q(revoked_at__isnull=False) | Q(expires_at__lte=now()))

    def with_names(self) -> Self:
        return self.select_related("user", "tenant", "issued_by")
