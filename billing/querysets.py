"""Questions about prices. Costs have their own query layer: billing/costs.py."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from core.tenant_managers import Row


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
