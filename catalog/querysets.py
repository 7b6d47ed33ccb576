"""Questions about models, requests and grants."""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.utils.timezone import now

from tenants.scoping import TenantQuerySet


class CatalogModelQuerySet(models.QuerySet[Any]):
    """Questions about models; the catalog is one for all tenants."""

    def published(self) -> Self:
        """Models a tenant may find and ask for."""
        return self.filter(lifecycle__in=["preview", "published", "deprecated"])


class AccessRequestQuerySet(TenantQuerySet):
    """Questions about access requests."""

    def pending(self) -> Self:
        return self.filter(state="pending")

    def with_names(self) -> Self:
        return self.select_related("tenant", "project", "model", "requested_by").prefetch_related("reviews")


class GrantQuerySet(TenantQuerySet):
    """Questions about grants."""

    def in_force(self) -> Self:
        moment = now()
        return self.filter(revoked_at=None, valid_from__lte=moment, valid_until__gt=moment)
