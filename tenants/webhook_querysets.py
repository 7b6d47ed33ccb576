"""Querysets of webhooks and of what they were sent."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AnonymousUser

from core.principals import Principal
from core.tenant_managers import OwnedRow, TenantQuerySet


class ManagersQuerySet(TenantQuerySet[OwnedRow]):
    """Rows that a tenant's managers see, and not its other members."""

    def visible_to(self, user: Principal | AnonymousUser) -> Self:
        # That module imports the models.
        from tenants.permissions import tenants_where

        visible = super().visible_to(user)
        if (
            isinstance(user, AnonymousUser)
            or user.is_superuser
            or user.staff_roles & self.model.visible_to_staff
        ):
            return visible
        return visible.filter(tenant__in=tenants_where(user, "tenants.manage_tenant").values("pk"))


class WebhookQuerySet(ManagersQuerySet[OwnedRow]):
    """Queries for webhooks."""

    def enabled(self) -> Self:
        return self.filter(disabled_at=None)


class DeliveryQuerySet(ManagersQuerySet[OwnedRow]):
    """Queries for deliveries."""

    def waiting(self) -> Self:
        return self.filter(state="waiting")
