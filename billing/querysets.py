"""Queries for prices. Costs have their own query layer: billing/costs.py."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from core.tenant_managers import Row


class PriceQuerySet(models.QuerySet[Row]):
    """Queries for prices. Prices belong to the platform, and every signed-in person may see them."""

    def in_force(self) -> Self:
        """Prices that apply now."""
        return self.filter(valid__contains=now())

    def in_force_or_later(self) -> Self:
        """Prices that apply now or begin later."""
        return self.filter(Q(valid__endswith__gt=now()) | Q(valid__upper_inf=True))

    def with_names(self) -> Self:
        return self.select_related("sku__model", "created_by")
