"""Questions about group mappings."""

from __future__ import annotations

from typing import Self

from django.db import models

from core.tenant_managers import Row


class GroupMappingQuerySet(models.QuerySet[Row]):
    """Questions about the mappings by which groups give roles."""

    def in_force(self) -> Self:
        """Mappings that give something: not ended, and not of a tenant that is closed."""
        return self.filter(ended_at=None).exclude(tenant__status="closed")

    def unapplied(self) -> Self:
        """Mappings that began or ended, and not everybody they concern has been looked at since."""
        return self.filter(applied_at=None)
