"""Questions about clusters and deployments. They belong to the platform, not to a tenant."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.utils.timezone import now

from accounts.models import User
from core.tenant_managers import Row


class ClusterQuerySet(models.QuerySet[Row]):
    """Questions about clusters."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see clusters, none for everybody else."""
        return self if user.has_perm("deployments.view_cluster") else self.none()


class DeploymentQuerySet(models.QuerySet[Row]):
    """Questions about deployments."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see deployments, none for everybody else."""
        return self if user.has_perm("deployments.view_deployment") else self.none()

    def living(self) -> Self:
        """Deployments of which a cluster may still hold something."""
        return self.exclude(state="deleted")

    def due(self) -> Self:
        """Deployments that it is time to look at again; `next_look_at` says when."""
        return self.living().filter(next_look_at__lte=now())

    def watched_closely(self) -> Self:
        """Deployments on clusters that are cheap to look at: engines of this machine."""
        return self.living().filter(cluster__driver="local")

    def with_names(self) -> Self:
        """With all that a manifest, a page or an answer says of them."""
        return self.select_related("version__model", "cluster").prefetch_related(
            "version__model__route__backends"
        )
