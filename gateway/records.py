"""From rows to the records of the configuration (gateway/contract/stream.py): all of them, or the named ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

import structlog
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Max, OuterRef, QuerySet, TextField, When, prefetch_related_objects
from django.db.models.functions import Cast

from catalog.models import Grant
from deployments.models import Route, RouteEntry, RouteFallback
from deployments.offer_prices import offer_prices
from gateway.contract import (
    DATA_CLASSES,
    SERVED_MODES,
    DataClass,
    RouteConfig,
    SettingsConfig,
    TargetConfig,
)
from gateway.contract.stream import KeyRecord, ProjectRecord, TenantRecord
from gateway.targets import Sealed, degrading_config, handling_config, settings_config, target_config
from tenants.models import ApiKey, Project, Tenant

log = structlog.get_logger(__name__)

AT_ONCE: Final = 2000  # rows
# Columns of catalog models that configurations do not need. Some are large, and every changed key reads all routes.
_DETAILS: Final = (
    "title",
    "description",
    "capabilities",
    "providers",
    "regions",
    "source",
    "provenance",
    "search_text",
    "search",
    "able",
    "places",
)
Ids = Collection[UUID] | None  # None: all


def tenant_records(ids: Ids = None) -> Iterator[TenantRecord]:
    """Active tenants."""
    rows = Tenant.objects.filter(status=Tenant.Status.ACTIVE).order_by("pk")
    found = _some(rows, ids).values_list(_text("pk"), "slug", "regions", "answer_storage", "degrading")
    for pk, slug, regions, storage, degrading in found:
        yield TenantRecord(
            id=pk,
            slug=slug,
            regions=regions,
            stores_answers=storage == Tenant.AnswerStorage.ON,
            may_degrade=degrading == Tenant.Degrading.ON,
        )


def project_records(ids: Ids = None) -> Iterator[ProjectRecord]:
    """Projects with what they may use now, until when, and with what data.

    Of overlapping grants, the latest end and the highest class count.
    """
    ends: dict[str, dict[str, int]] = defaultdict(dict)
    classes: dict[str, dict[str, DataClass]] = defaultdict(dict)
    grants = Grant.objects.across_tenants().in_force().order_by()
    if ids is not None:
        grants = grants.filter(project__in=ids)
    rank = Case(*(When(item__data_class=name, then=at) for at, name in enumerate(DATA_CLASSES)))
    ranked = grants.values_list(_text("project_id"), "model__name")
    for project, model, end, highest in ranked.annotate(Max("valid_until"), highest=Max(rank)):
        ends[project][model] = second_of(end)
        classes[project][model] = cast(DataClass, DATA_CLASSES[highest])
    rows = _some(Project.objects.across_tenants().order_by("pk"), ids)
    for pk, slug, tenant in rows.values_list(_text("pk"), "slug", _text("tenant_id")):
        yield ProjectRecord(
            id=pk,
            slug=slug,
            tenant_id=tenant,
            grant_ends=ends.get(pk, {}),
            data_classes=classes.get(pk, {}),
        )


def key_records(ids: Ids = None) -> Iterator[KeyRecord]:
    """Keys in use, including those of tenants that are not active: without their tenant they open nothing."""
    rows = _some(ApiKey.objects.across_tenants().in_use().order_by("pk"), ids).values_list(
        "digest",
        _text("pk"),
        "prefix",
        _text("project_id"),
        "model_names",
        "expires_at",
        "networks",
        _text("owner_id"),
    )
    for digest, pk, prefix, project, models, expires_at, networks, owner in rows.iterator(AT_ONCE):
        yield KeyRecord(
            digest=digest,
            key_id=pk,
            prefix=prefix,
            project_id=project,
            models=models,
            expires_at=second_of(expires_at) if expires_at else None,
            networks=networks,
            person_id=owner,
        )


def routes() -> list[RouteConfig]:
    """Each model with what serves it."""
    targets: dict[UUID, list[TargetConfig]] = defaultdict(list)
    sealed = Sealed()
    found_entries = list(entries())
    # A provider's targets have no addresses of their own.
    engines = [entry.target for entry in found_entries if entry.target.provider_model is None]
    prefetch_related_objects(engines, "addresses")
    listed = (entry.target.provider_model for entry in found_entries if entry.weight)
    offers = offer_prices(one for one in listed if one is not None)
    for entry in found_entries:
        if (config := target_config(entry, sealed, offers)) is not None:
            targets[entry.route_id].append(config)
    found = []
    fallbacks = RouteFallback.objects.filter(route=OuterRef("pk")).order_by("position")
    rows = (
        Route.objects.select_related("model", "degrades_to")
        .defer(*_details("model"), *_details("degrades_to"))
        .annotate(fallback_names=ArraySubquery(fallbacks.values("model__name")))
    )
    for route in rows.order_by("model__name"):
        own = route.model.mode
        if own not in SERVED_MODES:
            log.warning("route.not_servable", model=route.model.name, mode=own)
            continue
        found.append(
            RouteConfig(
                model=route.model.name,
                modes=[own, *sorted({mode for one in targets[route.pk] for mode in one.modes} - {own})],
                targets=targets[route.pk],
                max_output_tokens=route.model.max_output_tokens,
                fallbacks=route.fallback_names,
                degrading=degrading_config(route),
                owned_by=route.model.maker or "quartermaster",
                created=second_of(route.model.created_at),
                handling=handling_config(route),
            )
        )
    return found


def entries() -> QuerySet[RouteEntry]:
    """The entries of all routes in order, with everything that `target_config` reads but the addresses of engines."""
    engine, listed = "target__deployment__", "target__provider_model__"
    return (
        RouteEntry.objects.select_related(f"{engine}cluster", f"{engine}version__model", f"{listed}model")
        .defer(*_details(f"{engine}version__model"), *_details(f"{listed}model"))
        # Entries share their providers, which are few.
        .prefetch_related(f"{listed}provider__credentials")
        .order_by("priority", "pk")
    )


def _details(path: str) -> Iterator[str]:
    """The names of `_DETAILS` of the catalog model at `path`."""
    return (f"{path}__{name}" for name in _DETAILS)


def settings_record() -> SettingsConfig:
    """Operators' settings for all gateways."""
    return settings_config()


def second_of(moment: datetime) -> int:
    """The second that contains `moment`. What ends at `moment` is refused from the beginning of that second."""
    return int(moment.timestamp())


def _some(rows: Any, ids: Ids) -> Any:
    return rows if ids is None else rows.filter(pk__in=ids)


def _text(field: str) -> Any:
    """An id as text: PostgreSQL writes 400,000 of them faster than Python."""
    return Cast(field, TextField())
