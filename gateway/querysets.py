"""Queries about gateways."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AnonymousUser
from django.db import models

from accounts.models import User
from core.tenant_managers import Row


class GatewayQuerySet(models.QuerySet[Row]):
    """Queries about gateways, which belong to the platform, not to a tenant."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see gateways, none for everyone else."""
        return self if user.has_perm("gateway.view_gateway") else self.none()

    def in_service(self) -> Self:
        """Gateways whose token is accepted."""
        return self.filter(revoked_at=None)
