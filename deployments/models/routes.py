"""Routes: public model names and the backends that serve them."""

from __future__ import annotations

from django.db import models
from django.db.models import UniqueConstraint
from django.utils.timezone import now

from catalog.models import CatalogModel
from core.ids import uuid7
from deployments.models.deployments import Deployment


class Route(models.Model):
    """A public model name and its backends, which gateways follow."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.OneToOneField(CatalogModel, models.PROTECT, related_name="route")
    created_at = models.DateTimeField(default=now, editable=False)

    def __str__(self) -> str:
        return self.model.name


class Backend(models.Model):
    """One address that serves a route: an endpoint of one of our deployments."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    route = models.ForeignKey(Route, models.CASCADE, related_name="backends")
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="backends")
    url = models.URLField(max_length=300)
    upstream_model = models.CharField(max_length=200)
    weight = models.PositiveIntegerField(default=1)
    # 0 first; the next number only when these fail.
    priority = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [UniqueConstraint(fields=["route", "url"], name="backend_once_per_route")]

    def __str__(self) -> str:
        return f"{self.route} at {self.url}"
