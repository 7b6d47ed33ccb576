"""Questions about deployments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now


class DeploymentQuerySet(models.QuerySet[Any]):
    """Questions about deployments; they belong to the platform, not to a tenant."""

    def stale(self, older_than: timedelta) -> Self:
        """Deployments whose wish has not been observed, that are not settled, or not looked at for a while."""
        return self.exclude(state="deleted", observed_generation=F("generation")).filter(
            Q(observed_generation__lt=F("generation"))
            | ~Q(state__in=["healthy", "deleted"])
            | Q(observed_at=None)
            | Q(observed_at__lt=now() - older_than)
        )
