"""Queries for models, requests and grants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self
from uuid import UUID

from django.apps import apps
from django.db import models
from django.db.models import Case, Count, Exists, OuterRef, Q, When
from django.utils.timezone import now

from catalog.search import FoundBy, prefix_query
from core.tenant_managers import OwnedRow, Row, TenantQuerySet
from tenants.models import DataClass, Tenant

# What is read of the items of requests.
PARTS_OF_ITEMS = ("items__project", "items__model", "items__key", "items__grant")
VISIBLE_LIFECYCLES = ("preview", "published", "deprecated")


class CatalogModelQuerySet(models.QuerySet[Row]):
    """Queries for models. All tenants share one catalog."""

    def published(self) -> Self:
        """Models that are published, and not past their deprecation date; `offered_to` says to whom."""
        return self.filter(lifecycle__in=VISIBLE_LIFECYCLES).filter(
            Q(deprecation_date=None) | Q(deprecation_date__gt=now().date())
        )

    def offered_to(self, tenants: Iterable[Tenant]) -> Self:
        """Published models that at least one of these tenants may find and request."""
        slugs = [tenant.slug for tenant in tenants]
        return self.published().filter(Q(visibility="all") | Q(visibility="tenants", only_for__overlap=slugs))

    def search(self, words: str) -> Self:
        """Models with all of these words, or words that begin with them, in name, title, maker or providers."""
        if not words.strip():
            return self
        query = prefix_query(words)
        return self.none() if query is None else self.filter(FoundBy(query))


class AccessRequestQuerySet(TenantQuerySet[OwnedRow]):
    """Queries for access requests."""

    def pending(self) -> Self:
        return self.filter(state="pending")

    def undecided(self) -> Self:
        """Requests in review, and those returned to their requester for changes."""
        return self.filter(state__in=["pending", "returned"])

    def needing_the_tenant(self) -> Self:
        """Requests returned for changes, and approved ones with a key that nobody has claimed yet."""
        items = apps.get_model("catalog", "RequestItem").unscoped.filter(access_request=OuterRef("pk"))
        in_time = Q(key__claim_by=None) | Q(key__claim_by__gt=now())
        unclaimed = Exists(items.filter(in_time, key__state="claimable"))
        return self.filter(Q(state="returned") | Q(unclaimed, state="approved"))

    def closed(self) -> Self:
        return self.exclude(state__in=["pending", "returned"])

    def with_names(self) -> Self:
        rows = self.select_related("tenant", "requested_by").with_items()
        return rows.prefetch_related("reviews__track", "evaluations")

    def with_items(self) -> Self:
        """With the items, their projects, models and keys, and the grants of those that have one."""
        return self.prefetch_related(*PARTS_OF_ITEMS)


class GrantQuerySet(TenantQuerySet[OwnedRow]):
    """Queries for grants."""

    def in_force(self) -> Self:
        return self.filter(_in_force())

    def without_lapsed_keys(self) -> Self:
        """Leave out grants whose key nobody claimed in time: nobody ever gets it, so people request access again."""
        return self.exclude(item__key__state="claimable", item__key__claim_by__lte=now())

    def not_in_force(self) -> Self:
        """Grants that have ended, are suspended or have not begun yet."""
        return self.exclude(_in_force())

    def not_over(self) -> Self:
        """Grants that are in force, suspended or begin later: neither revoked nor ended."""
        return self.filter(revoked_at=None, valid_until__gt=now())

    def over(self) -> Self:
        return self.filter(Q(revoked_at__isnull=False) | Q(valid_until__lte=now()))

    def suspended(self) -> Self:
        """Those that wait for somebody who takes them over."""
        return self.filter(_suspended())

    def not_suspended(self) -> Self:
        return self.exclude(_suspended())

    def with_highest_class(self) -> Self:
        """One grant of each project and model: the one with the most sensitive data, as gateways apply it."""
        rank = Case(*(When(item__data_class=one, then=one.rank) for one in DataClass))
        highest = self.order_by("project_id", "model_id", rank.desc()).distinct("project_id", "model_id")
        return self.filter(pk__in=highest.values("pk"))

    def by_model_and_tenant(self) -> list[tuple[UUID, UUID, DataClass, int]]:
        """How many projects of each tenant may call each model, by the highest class of data that they may send.

        One query; model, tenant, class, number.
        """
        columns = ("model", "tenant", "item__data_class")
        counted = (
            self.with_highest_class()
            .order_by()
            .values_list(*columns)
            .annotate(Count("project", distinct=True))
        )
        return [(model, tenant, DataClass(data_class), count) for model, tenant, data_class, count in counted]


def _in_force() -> Q:
    moment = now()
    return Q(revoked_at=None, suspended_at=None, valid_from__lte=moment, valid_until__gt=moment)


def _suspended() -> Q:
    return Q(revoked_at=None, suspended_at__isnull=False, valid_until__gt=now())
