"""What changes, and for whom, when a provider is disabled, or when it may be sent other data than before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db.models import Sum
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import RollupTenantDay
from catalog.models import Grant
from core.joined import listed, named
from deployments.models import Provider, RouteEntry
from deployments.reach import Audience, audience_of, served_projects
from tenants.models import DataClass, Tenant
from tenants.signals import Impact

CALLS_OF_DAYS = 7
MOST_TENANTS = 20


def models_at(provider: Provider) -> dict[UUID, str]:
    """The catalog's models that route calls to the provider, by id with their names."""
    entries = RouteEntry.objects.filter(target__provider_model__provider=provider, weight__gt=0)
    return dict(
        entries.order_by("route__model__name").values_list("route__model", "route__model__name").distinct()
    )


def only_at(provider: Provider, models: Iterable[UUID]) -> int:
    """How many of these models have no other target with a share of the calls."""
    others = RouteEntry.objects.filter(weight__gt=0).exclude(target__provider_model__provider=provider)
    return len(
        set(models) - set(others.filter(route__model__in=list(models)).values_list("route__model", flat=True))
    )


@dataclass
class TenantHit:
    """A tenant that a change hits: how many of its projects gain or lose models, by the models' names."""

    tenant: Tenant
    gaining: dict[str, int] = field(default_factory=dict)
    losing: dict[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What it gains and loses, in words."""
        parts = [
            _("%(models)s: no longer served") % {"models": _names(self.losing)} if self.losing else "",
            _("%(models)s: served from now on") % {"models": _names(self.gaining)} if self.gaining else "",
        ]
        return " · ".join(part for part in parts if part)


def whom_it_hits(provider: Provider, after: Audience | None) -> list[TenantHit]:
    """Tenants with grants that gain or lose a model if the provider had this audience; the most projects first.

    None as `after` means that it gets no calls. Other targets of the routes count, with what they may receive. Four
    queries, whatever the number of models and tenants. The provider counts as enabled if it is now.
    """
    models = models_at(provider) if provider.is_enabled else {}
    entries = RouteEntry.objects.filter(route__model__in=models, weight__gt=0).with_sources()
    was: dict[UUID, list[Audience]] = defaultdict(list)
    will: dict[UUID, list[Audience]] = defaultdict(list)
    for entry in entries:
        target, model = entry.target, entry.route.model_id
        if not target.urls:
            continue
        audience = audience_of(target)
        is_theirs = target.provider_model is not None and target.provider_model.provider_id == provider.pk
        was[model].append(audience)
        will[model] += [audience] if not is_theirs else [after] if after is not None else []
    projects: dict[tuple[UUID, UUID], dict[DataClass, int]] = defaultdict(dict)
    grants = Grant.objects.across_tenants().in_force().filter(model__in=models)
    for model, tenant, data_class, count in grants.by_model_and_tenant():
        projects[model, tenant][data_class] = count
    hits = {pk: TenantHit(row) for pk, row in Tenant.objects.in_bulk({pk for _model, pk in projects}).items()}
    for (model, tenant), by_class in projects.items():
        hit = hits[tenant]
        change = served_projects(by_class, will[model], hit.tenant) - served_projects(
            by_class, was[model], hit.tenant
        )
        if change:
            (hit.gaining if change > 0 else hit.losing)[models[model]] = abs(change)
    found = [hit for hit in hits.values() if hit.gaining or hit.losing]
    return sorted(
        found, key=lambda hit: (-sum(hit.losing.values()) - sum(hit.gaining.values()), hit.tenant.name)
    )


def in_words(hits: list[TenantHit]) -> str:
    """Whom a change hits, in a sentence or two."""
    shown = "; ".join(named(hit.tenant.name, hit.words) for hit in hits[:MOST_TENANTS])
    if len(hits) > MOST_TENANTS:
        more = len(hits) - MOST_TENANTS
        return ngettext(
            "%(shown)s; and %(count)d more tenant", "%(shown)s; and %(count)d more tenants", more
        ) % {"shown": shown, "count": more}
    return shown


def _names(projects: dict[str, int]) -> str:
    """The first models, and the number of the rest."""
    names = sorted(projects)
    return listed(names[:3]) + (f" + {len(names) - 3}" if len(names) > 3 else "")


def impact_of(provider: Provider) -> list[Impact]:
    """What depends on a provider, for the page that asks before it is disabled."""
    models = models_at(provider)
    grants = Grant.objects.across_tenants().in_force().filter(model__in=models)
    tenants = grants.values("tenant").distinct().count()
    return [
        Impact(_("Models that it serves"), len(models)),
        Impact(_("Models that nothing else serves"), only_at(provider, models)),
        Impact(_("Tenants with grants on them"), tenants),
        Impact(
            _("Calls of these models in the last %(days)d days") % {"days": CALLS_OF_DAYS},
            calls_of(models.values()),
        ),
        Impact(_("Tenants that lose a model"), len(whom_it_hits(provider, None))),
    ]


def calls_of(names: Iterable[str]) -> int:
    """The calls of models in the last days, from the rollups; those that another target served included."""
    first = now().date() - timedelta(days=CALLS_OF_DAYS - 1)
    days = RollupTenantDay.objects.across_tenants().filter(model__name__in=list(names), day__gte=first)
    return int(days.aggregate(calls=Sum("calls"))["calls"] or 0)
