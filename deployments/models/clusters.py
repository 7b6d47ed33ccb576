"""Clusters: the places that run engines."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from core.ids import uuid7
from deployments.querysets import ClusterQuerySet

DNS_LABEL = RegexValidator(
    r"^[a-z]([a-z0-9-]{0,51}[a-z0-9])?$", _("A DNS label: lower-case letters, digits, hyphens.")
)


class Cluster(models.Model):
    """A place that runs engines."""

    class Driver(models.TextChoices):
        LOCAL = "local", _("Local processes")
        KUBERNETES = "kubernetes", _("Kubernetes")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.SlugField(_("name"), max_length=60, unique=True)
    driver = models.CharField(_("driver"), max_length=12, choices=Driver)
    namespace = models.CharField(
        _("namespace"), max_length=63, default="quartermaster", validators=[DNS_LABEL]
    )
    # A path on the worker; empty: in-cluster account.
    kubeconfig_path = models.CharField(_("path of the kubeconfig"), max_length=300, blank=True)
    region = models.CharField(_("region"), max_length=60, blank=True)
    # The version it reported when it was last tested.
    version = models.CharField(_("version"), max_length=100, blank=True)
    # Extended resources at that time: {"nvidia.com/gpu": "16"}
    resources = models.JSONField(default=dict, blank=True)
    tested_at = models.DateTimeField(_("tested"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = ClusterQuerySet.as_manager()

    class Meta:
        verbose_name = _("cluster")
        verbose_name_plural = _("clusters")

    def __str__(self) -> str:
        return self.name
