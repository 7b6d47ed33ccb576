"""Questions about prices and exports. Costs have their own query layer: billing/costs.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from accounts.models import User
from core.tenant_managers import OwnedRow, Row, TenantQuerySet
from tenants.permissions import tenants_where

SILENCE = timedelta(seconds=30)  # a worker building an export says so every second


class PriceQuerySet(models.QuerySet[Row]):
    """Questions about prices; they are the platform's, and no secret to anybody signed in."""

    def in_force(self) -> Self:
        """Prices of this moment."""
        return self.filter(valid__contains=now())

    def in_force_or_later(self) -> Self:
        """Prices of this moment and those that begin later."""
        return self.filter(Q(valid__endswith__gt=now()) | Q(valid__upper_inf=True))

    def with_names(self) -> Self:
        return self.select_related("sku__model", "created_by")


class ExportQuerySet(TenantQuerySet[OwnedRow]):
    """Questions about exports."""

    def with_names(self) -> Self:
        return self.select_related("tenant", "project", "requested_by")

    def of_costs(self) -> Self:
        return self.filter(kind="costs")

    def of_audit(self) -> Self:
        return self.exclude(kind="costs")

    def readable_by(self, user: User) -> Self:
        """All reports of costs, and of the audit log those of tenants whose audit log `user` may read."""
        if user.has_perm("tenants.export_audit"):
            return self
        tenants = tenants_where(user, "tenants.export_audit")
        return self.filter(Q(kind="costs") | Q(tenant__in=tenants.values("pk")))

    def left_alone(self) -> Self:
        """Queued for a while, or building by a worker that has gone silent: their message was lost."""
        since = now() - SILENCE
        return self.filter(
            Q(state="queued", created_at__lt=since) | Q(state="running", heartbeat_at__lt=since)
        )

    def outlived(self) -> Self:
        """Ready, but past their date. A closed tenant's last word has none."""
        return self.filter(state="done", expires_at__lte=now(), is_final=False)
