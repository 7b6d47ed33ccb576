"""Questions about prices and exports. Costs have their own query layer: billing/costs.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from tenants.scoping import TenantQuerySet


SILENCE = timedelta(minutes=2)  # a worker building an export says so every second


class PriceQuerySet(models.QuerySet[Any]):
    """Questions about prices; they are the platform's, and no secret to anybody signed in."""

    def in_force(self) -> Self:
        """Prices of this moment."""
        return self.filter(valid__contains=now())

    def with_names(self) -> Self:
        return self.select_related("sku__model", "created_by")


class ExportQuerySet(TenantQuerySet):
    """Questions about exports."""

    def with_names(self) -> Self:
        return self.select_related("tenant", "project", "requested_by")

    def unfinished(self) -> Self:
        """Waiting, or building by a worker that has said nothing for too long."""
        silent_since = now() - SILENCE
        return self.filter(Q(state="waiting") | Q(state="running", heartbeat_at__lt=silent_since))

    def outlived(self) -> Self:
        """Ready, but past their date."""
        return self.filter(state="done", expires_at__lte=now())
