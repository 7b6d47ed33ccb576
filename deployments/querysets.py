"""Queries about clusters, deployments and routes. They belong to the platform, not to a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Case, Exists, OuterRef, Q, Value, When
from django.db.models.expressions import Combinable
from django.utils.timezone import now
from guardian.shortcuts import get_objects_for_user

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
        return self.select_related("version__model", "cluster", "target").prefetch_related(
            "target__addresses", "target__entries", "version__model__route__entries__target__addresses"
        )


class TargetQuerySet(models.QuerySet[Row]):
    """Queries about targets."""

    def with_source(self) -> Self:
        """With everything that a target says of itself."""
        return self.select_related(
            "deployment__version__model",
            "deployment__cluster",
            "deployment__only_tenant",
            "provider_model__provider",
            "provider_model__model",
        )

    def living(self) -> Self:
        """Targets that can be in a route."""
        return self.filter(Q(deployment__is_deleted=False) | Q(provider_model__isnull=False))

    def for_model(self, model_id: UUID) -> Self:
        """Targets that can serve a model."""
        return self.filter(Q(deployment__version__model=model_id) | Q(provider_model__model=model_id))


class RouteEntryQuerySet(models.QuerySet[Row]):
    """Queries about the entries of routes."""

    def with_sources(self) -> Self:
        """With everything that the target of each says of itself. Two queries."""
        return self.select_related(
            "route",
            "target__deployment__version__model",
            "target__deployment__cluster",
            "target__deployment__only_tenant",
            "target__provider_model__provider",
            "target__provider_model__model",
        ).prefetch_related("target__addresses")

    def with_calls(self, *, until: Combinable) -> Self:
        """Entries by which calls reach an address, of revisions up to `until`, with `is_closed`.

        As gateway/targets.py compiles them: a provider that is disabled gets no calls. `is_closed` says, from what is
        stored of an engine (deployments/judgment.py), that it shares its prefix cache without separating tenants: it
        serves nobody except perhaps one tenant.
        """
        engine = "target__deployment__"
        shares = (
            ~Q(**{f"{engine}cache_key_field": ""})
            | Q(**{f"{engine}is_prefix_cache_off": True})
            | Q(**{f"{engine}sharing_accepted_at__isnull": False})
            | ~Q(**{f"{engine}stated_field": ""}) & Q(**{f"{engine}statement_lapsed_at": None})
        )
        is_closed = Case(
            When(target__deployment=None, then=Value(False)),
            When(shares, then=Value(False)),
            default=Value(True),
        )
        addresses = apps.get_model("deployments", "TargetAddress").objects.filter(
            target=OuterRef("target"), revision__lte=until
        )
        return self.filter(
            Q(target__provider_model__provider__is_enabled=True) | Exists(addresses),
            weight__gt=0,
            revision__lte=until,
            target__revision__lte=until,
        ).annotate(is_closed=is_closed)


class RouteQuerySet(models.QuerySet[Row]):
    """Queries about routes."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All of them for staff who may see routes, none for everyone else."""
        return self if user.has_perm("deployments.view_route") else self.none()

    def with_entries(self) -> Self:
        """With everything that pages and the API show of them; the entries are in order."""
        entries = apps.get_model("deployments", "RouteEntry").objects.with_sources()
        ordered = entries.order_by("priority", "pk")
        return self.select_related("model", "degrades_to").prefetch_related(
            models.Prefetch("entries", ordered), "fallbacks__model"
        )


class ProviderQuerySet(models.QuerySet[Row]):
    """Queries about providers."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """All for staff who may see providers; for other staff those that they may manage (django-guardian)."""
        if user.has_perm("deployments.view_provider"):
            return self
        if not user.is_authenticated or not user.is_active or not user.is_staff:
            return self.none()
        own = get_objects_for_user(
            user,
            "deployments.manage_provider",
            klass=self.model._base_manager.all(),
            accept_global_perms=False,
        )
        return self.filter(pk__in=own.values("pk"))


class OfProviderQuerySet(models.QuerySet[Row]):
    """Queries about rows of providers."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Those whose provider is visible to `user`."""
        providers = apps.get_model("deployments", "Provider").objects
        return self.filter(provider__in=providers.visible_to(user).values("pk"))


class CredentialQuerySet(OfProviderQuerySet[Row]):
    """Queries about credentials of providers."""

    def in_force(self, at: datetime) -> Self:
        """Credentials that calls may use at that time, the newest first."""
        is_open = models.Q(valid_until=None) | models.Q(valid_until__gt=at)
        return self.filter(is_open, valid_from__lte=at).order_by("-valid_from", "-pk")

    def over(self, at: datetime) -> Self:
        """Credentials that have ended and still have a ciphertext, which nobody needs any more."""
        return self.filter(valid_until__lte=at, ciphertext__isnull=False)


class ProviderModelQuerySet(OfProviderQuerySet[Row]):
    """Queries about models of providers."""

    def listed(self) -> Self:
        """Models that are in their provider's last list, or named by hand."""
        return self.filter(
            models.Q(is_named_by_hand=True) | models.Q(last_seen_at__gte=models.F("provider__listed_at"))
        )
