"""What a change of a route would change, for whom. Nothing here is saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, Sum
from django.utils.timezone import now
from django.utils.translation import gettext as _

from billing.models import RollupHour
from catalog.models import CatalogModel, Grant
from deployments.models import Route, Target
from deployments.reach import Audience, audience_of, served_projects
from deployments.routes import STABLE, EntryPlan, check_entries, ends_service, living_targets, plan_of
from tenants.models import ApiKey, DataClass, Tenant

CALLS_OF_DAYS = 7
MOST_TENANTS = 50


@dataclass(frozen=True)
class EntryChange:
    """A target before and after; None: not in the route. Shares are percent of the calls of its order."""

    target: Target
    before: EntryPlan | None
    after: EntryPlan | None
    share_before: int
    share_after: int

    @property
    def is_changed(self) -> bool:
        """Whether its weight, its order, its variant or its share changes."""
        return (self.before, self.share_before) != (self.after, self.share_after)

    @property
    def shown(self) -> tuple[str, str]:
        """Before and after, in words."""
        return shown_entry(self.before, self.share_before), shown_entry(self.after, self.share_after)

    @property
    def loses_all_calls(self) -> bool:
        """Whether it gets calls now, and none afterwards."""
        was = self.before is not None and self.before.weight > 0
        return was and not (self.after is not None and self.after.weight > 0)


@dataclass(frozen=True)
class TenantImpact:
    """A tenant that may call the model: what it has, and how much of it is served before and after."""

    tenant: Tenant
    # Projects with a grant in force. Each is served if some target may receive the data of its grant.
    projects: int
    projects_served_before: int
    projects_served_after: int
    keys: int
    # In the last 7 days.
    calls: int

    @property
    def is_served_before(self) -> bool:
        """Whether at least one of its projects is served now."""
        return self.projects_served_before > 0

    @property
    def is_served_after(self) -> bool:
        """Whether at least one of its projects would be served."""
        return self.projects_served_after > 0


@dataclass(frozen=True)
class RoutePreview:
    """What would change, and for whom: the tenants with most calls first."""

    changes: list[EntryChange]
    regions_gained: list[str]
    regions_lost: list[str]
    ends_service: bool
    tenants: list[TenantImpact]
    # All tenants with a grant in force, of which `tenants` are the first.
    tenants_total: int
    calls_total: int

    @property
    def is_change(self) -> bool:
        """Whether any target would get another share."""
        return any(change.is_changed for change in self.changes)

    @property
    def losing(self) -> list[EntryChange]:
        """Targets that lose all of their calls."""
        return [change for change in self.changes if change.loses_all_calls]


def preview_route(route: Route, entries: Iterable[EntryPlan]) -> RoutePreview:
    """What `change_route` would change with these entries. Changes nothing; a constant number of queries.

    Raises ValidationError as `change_route` does.
    """
    wanted = list(entries)
    before = {entry.target_id: entry for entry in plan_of(route)}
    check_entries(route, wanted, living_targets(entry.target_id for entry in wanted))
    after = {entry.target_id: entry for entry in wanted}
    found = Target.objects.with_source().prefetch_related("addresses")
    targets = {target.pk: target for target in found.filter(pk__in=[*before, *after])}
    was, will = _reachable(before, targets), _reachable(after, targets)
    regions_before, regions_after = _regions(was), _regions(will)
    tenants, total, calls = _tenants(route.model, list(map(audience_of, was)), list(map(audience_of, will)))
    return RoutePreview(
        changes=[
            EntryChange(
                target=targets[pk],
                before=before.get(pk),
                after=after.get(pk),
                share_before=share_of(pk, before),
                share_after=share_of(pk, after),
            )
            for pk in dict.fromkeys([*before, *after])
        ],
        regions_gained=sorted(regions_after - regions_before),
        regions_lost=sorted(regions_before - regions_after),
        ends_service=ends_service(before.values(), wanted),
        tenants=tenants,
        tenants_total=total,
        calls_total=calls,
    )


def tenants_of(route: Route) -> tuple[list[TenantImpact], int, int]:
    """Whose calls the route serves as it is: the first tenants, the number of all, and of their calls."""
    plan = {entry.target_id: entry for entry in plan_of(route)}
    found = Target.objects.with_source().prefetch_related("addresses").filter(pk__in=plan)
    reached = list(map(audience_of, _reachable(plan, {target.pk: target for target in found})))
    return _tenants(route.model, reached, reached)


def share_of(target_id: UUID, plan: Mapping[UUID, EntryPlan]) -> int:
    """The percentage of the calls of its order that go to a target."""
    entry = plan.get(target_id)
    if entry is None:
        return 0
    total = sum(other.weight for other in plan.values() if other.priority == entry.priority)
    return round(100 * entry.weight / total) if total else 0


def shown_entry(entry: EntryPlan | None, share: int) -> str:
    """An entry with its share of the calls, as pages show it; None: not in the route."""
    if entry is None:
        return _("not in the route")
    facts = {"share": share, "order": entry.priority, "weight": entry.weight, "variant": entry.variant}
    if entry.variant == STABLE:
        return _("%(share)d%% of order %(order)d (weight %(weight)d)") % facts
    return _("%(share)d%% of order %(order)d (weight %(weight)d, variant %(variant)s)") % facts


def _reachable(plan: Mapping[UUID, EntryPlan], targets: Mapping[UUID, Target]) -> list[Target]:
    """The targets that calls reach."""
    return [targets[pk] for pk, entry in plan.items() if entry.weight and targets[pk].urls]


def _regions(targets: Collection[Target]) -> set[str]:
    return {region for target in targets for region in target.regions}


def _tenants(
    model: CatalogModel, was: Collection[Audience], will: Collection[Audience]
) -> tuple[list[TenantImpact], int, int]:
    """The first tenants with a grant, by their calls; the number of all of them, and of all calls."""
    granted: dict[UUID, dict[DataClass, int]] = defaultdict(dict)
    grants = Grant.objects.across_tenants().in_force().filter(model=model)
    for _model, tenant, data_class, projects in grants.by_model_and_tenant():
        granted[tenant][data_class] = projects
    since = now() - timedelta(days=CALLS_OF_DAYS)
    calls = dict(
        RollupHour.objects.across_tenants()
        .filter(model__name=model.name, hour__gte=since)
        .order_by()
        .values_list("tenant")
        .annotate(Sum("calls"))
    )
    first = sorted(granted, key=lambda pk: (-calls.get(pk, 0), str(pk)))[:MOST_TENANTS]
    keys = dict(
        ApiKey.objects.across_tenants()
        .in_use()
        .filter(tenant__in=first, model_names__contains=[model.name])
        .order_by()
        .values_list("tenant")
        .annotate(Count("pk"))
    )
    rows = Tenant.objects.in_bulk(first)
    impacts = [
        TenantImpact(
            tenant=rows[pk],
            projects=sum(granted[pk].values()),
            projects_served_before=served_projects(granted[pk], was, rows[pk]),
            projects_served_after=served_projects(granted[pk], will, rows[pk]),
            keys=keys.get(pk, 0),
            calls=calls.get(pk, 0),
        )
        for pk in first
    ]
    return impacts, len(granted), sum(calls.get(pk, 0) for pk in granted)
