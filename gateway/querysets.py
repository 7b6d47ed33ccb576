"""Queries about gateways."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import OuterRef, Subquery, Value
from django.utils.timezone import now

from accounts.models import User
from core.tenant_managers import Row
from tenants.models import ConfigChange
from tenants.revision import current_revision

# Long enough for a restart of console or gateway.
ALIVE_WITHIN: Final = timedelta(minutes=5)


class GatewayQuerySet(models.QuerySet[Row]):
    """Queries about gateways, which belong to the platform, not to a tenant."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see gateways, none for everyone else."""
        return self if user.has_perm("gateway.view_gateway") else self.none()

    def in_service(self) -> Self:
        """Gateways whose token is accepted."""
        return self.filter(revoked_at=None)

    def alive(self) -> Self:
        """Gateways in service that have lately acknowledged a revision, which they do every few seconds."""
        return self.in_service().filter(last_seen_at__gte=now() - ALIVE_WITHIN)

    def with_lag(self) -> Self:
        """Adds `newest`, the current revision, and `behind_since`: when the first revision was raised that a gateway
        has not acknowledged; None if it has all."""
        missing = ConfigChange.objects.filter(revision__gt=OuterRef("acknowledged_revision")).order_by(
            "revision"
        )
        return self.annotate(
            newest=Value(current_revision()), behind_since=Subquery(missing.values("raised_at")[:1])
        )


class SigningKeyQuerySet(models.QuerySet[Row]):
    """Queries about the console's signing keys, which belong to the platform."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see signing keys, none for everyone else."""
        return self if user.has_perm("gateway.view_signingkey") else self.none()

    def in_use(self) -> Self:
        """Keys that sign, the oldest first."""
        return self.filter(retired_at=None).order_by("created_at", "pk")
