"""Queries about clusters and deployments. They belong to the platform, not to a tenant."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.utils.timezone import now

from accounts.models import User
from core.tenant_managers import Row


class ClusterQuerySet(models.QuerySet[Row]):
    """Queries about clusters."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see clusters, none for everyone else."""
        return self if user.has_perm("deployments.view_cluster") else self.none()


class DeploymentQuerySet(models.QuerySet[Row]):
    """Queries about deployments."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see deployments, none for everyone else."""
        return self if user.has_perm("deployments.view_deployment") else self.none()

    def living(self) -> Self:
        """Deployments of which a cluster may still hold something."""
        return self.exclude(state="deleted")

    def due(self) -> Self:
        """Deployments that are due for a check; `next_look_at` says when."""
        return self.living().filter(next_look_at__lte=now())

    def watched_closely(self) -> Self:
        """Deployments on clusters that are cheap to check: engines of this machine."""
        return self.living().filter(cluster__driver="local")

    def with_names(self) -> Self:
        """With everything that a manifest, a page or an API response shows of them."""
        return self.select_related("version__model", "cluster").prefetch_related(
            "version__model__route__backends"
        )
