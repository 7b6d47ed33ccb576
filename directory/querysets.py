"""Queries for group mappings."""

from __future__ import annotations

from typing import Self

from django.db import models

from core.tenant_managers import Row


class GroupMappingQuerySet(models.QuerySet[Row]):
    """Queries for the mappings by which groups give roles."""

    def in_force(self) -> Self:
        """Mappings that give a role: they have not ended, and their tenant is not closed."""
        return self.filter(ended_at=None).exclude(tenant__status="closed")

    def unapplied(self) -> Self:
        """Mappings that began or ended and have not yet been applied to everyone they concern."""
        return self.filter(applied_at=None)
