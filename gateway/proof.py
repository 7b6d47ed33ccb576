"""Proof that a configuration permits no more than the rows do, before gateways get it.

A gateway decides by what the configuration says of tenants, grants and targets. So the console asks the gateway's own
code which targets each policy reaches in the compiled configuration, and compares that with the rows: each target must
lie in the tenant's regions, may receive the class of data, and serves that tenant; each model must be granted.

The proof looks at pairs of a policy (regions, class of data, and the tenant where a target serves only one) and a
route, however many keys share them. It follows the parts of a message as they are packed. A message without its end is
discarded by gateways, so a fault that shows in the last project still keeps all of it from being served.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from django.db.models import Case, Max, Q, TextField, When
from django.db.models.functions import Cast
from django.utils.timezone import now

from catalog.models import Grant
from core.regions import is_allowed
from deployments.models import RouteEntry
from gateway.contract import (
    CONTRACT_VERSION,
    DATA_CLASSES,
    ContractError,
    DataClass,
    RouteConfig,
    decode,
    encode,
)
from gateway.contract import v1_config as v1
from gateway.contract.stream import ConfigPart, ConfigRecords, ConfigRouting, ProjectRecord, TenantRecord
from gateway.contract.versions import (
    downgraded_route,
    is_in_first,
    may_stand_in,
    target_of,
    upgraded_routes,
)
from gateway.proxy.index import Route, compile_route
from tenants.models import Tenant

# The compilation asked for the grants in force a moment ago.
MARGIN: Final = timedelta(minutes=1)
Regions = tuple[str, ...]


class NotProved(Exception):
    """A configuration that would permit more than the rows do. The text and `row` name what is at fault."""

    def __init__(self, reason: str, **row: str) -> None:
        super().__init__(reason)
        self.row = row


@dataclass(frozen=True)
class Policy:
    """Where the calls of a project may go."""

    tenant_id: str
    regions: Regions
    # None: every class.
    data_class: DataClass | None


@dataclass(frozen=True)
class TargetFacts:
    """What the rows say of a target."""

    model: str | None
    regions: Regions
    highest: DataClass
    only_tenant: str | None
    # Whether its provider is enabled; one of our own engines has none.
    is_enabled: bool = True


@dataclass(frozen=True)
class GrantFacts:
    """What the rows say of a project and a model: the last second of a grant, and the highest class granted."""

    end: int
    # None: all of its grants begin or end just now, so the configuration may have any of them.
    surely: DataClass | None
    perhaps: DataClass


class Proof:
    """Checks one configuration, part by part. `take` raises NotProved.

    Args:
        routing: the routes that a gateway has once it has applied the message.
        version: of the contract. A gateway of version 1 knows no regions and classes: it reaches every target.
        is_everything: the message holds every project.
    """

    def __init__(self, routing: ConfigRouting, version: int, *, is_everything: bool) -> None:
        self._configs: Mapping[str, RouteConfig] = {route.model: route for route in routing.routes}
        self._is_first = version != CONTRACT_VERSION
        self._is_everything = is_everything
        self._began_at = now()
        self._routes: dict[str, Route] = {}
        self._targets: dict[str, dict[str, TargetFacts]] = {}
        # Models of which some target serves one tenant only.
        self._exclusive: set[str] = set()
        self._tenants: dict[str, Regions] = {}
        self._grants: dict[tuple[str, str], GrantFacts] | None = None
        self._proved: set[tuple[object, ...]] = set()
        # Tenants that let routes degrade.
        self._degrading: set[str] = set()
        # Regions as sent, and as the rows have them, by tenant.
        self._sent: dict[str, Regions] = {}

    def _refuse(self, fault: NotProved) -> None:
        """What happens with a fault that was found."""
        raise fault

    def take(self, part: ConfigPart | v1.ConfigPart) -> None:
        """Check one part as it is sent. Tenants must come before their projects."""
        if isinstance(part, ConfigRouting | v1.ConfigRouting):
            self._read_routes()
        if isinstance(part, ConfigRouting | v1.ConfigRouting) and not self._is_everything:
            self._standing(None)
        elif isinstance(part, ConfigRecords | v1.ConfigRecords):
            if part.tenants:
                self._take_tenants(part.tenants)
            if part.projects:
                self._take_projects(part.projects)

    def _take_tenants(self, tenants: Collection[TenantRecord | v1.TenantRecord]) -> None:
        ids = [tenant.id for tenant in tenants]
        self._load_tenants(ids)
        for tenant in tenants:
            if isinstance(tenant, TenantRecord):
                self._sent[tenant.id] = tuple(tenant.regions)
                if self._sent[tenant.id] != self._tenants.get(tenant.id):
                    raise NotProved(
                        f"Tenant {tenant.slug} would get regions other than its own.", tenant=tenant.slug
                    )
                if tenant.may_degrade and tenant.id not in self._degrading:
                    raise NotProved(
                        f"Tenant {tenant.slug} would get smaller models, which it does not allow.",
                        tenant=tenant.slug,
                    )
        bound = [UUID(pk) for pk in ids if self._tenants.get(pk)]
        if bound and not self._is_everything and not self._is_first:
            # Their projects, which a gateway already has.
            self._standing(bound)

    def _take_projects(self, projects: Collection[ProjectRecord | v1.ProjectRecord]) -> None:
        self._load_tenants([project.tenant_id for project in projects])
        self._load_targets({model for project in projects for model in project.grant_ends})
        grants = self._grants_of(projects)
        for project in projects:
            regions = self._tenants.get(project.tenant_id, ())
            sent = self._sent.get(project.tenant_id, regions)
            for model, end in project.grant_ends.items():
                granted = grants.get((project.id, model))
                if granted is None or end > granted.end:
                    raise NotProved(
                        f"Project {project.slug} would get {model}, which is not granted to it for that long.",
                        project=project.slug,
                        model=model,
                    )
                its = project.data_classes.get(model) if isinstance(project, ProjectRecord) else None
                asked = Policy(project.tenant_id, sent, its)
                # As the rows have it.
                real = Policy(project.tenant_id, regions, granted.surely or its or granted.perhaps)
                self._pair(model, asked, real, project=project.slug)
                if isinstance(project, ProjectRecord):
                    self._stand_ins(model, project, sent, real)

    def _stand_ins(self, model: str, project: ProjectRecord, sent: Regions, real: Policy) -> None:
        """Check the targets that calls for `model` reach by other models, as calls for `model`."""
        classes = project.data_classes
        for other in self._others(model):
            if other in project.grant_ends and may_stand_in(classes.get(model), classes.get(other)):
                asked = Policy(project.tenant_id, sent, classes.get(other))
                self._pair(other, asked, real, project=project.slug, asked_model=model)

    def _others(self, model: str) -> list[str]:
        """The models that may answer for this one: its fallbacks, and the one to which its route degrades."""
        if model not in self._configs:
            return []
        config = self._configs[model]
        return [*config.fallbacks, config.degrading.model] if config.degrading else config.fallbacks

    def _standing(self, tenants: Collection[UUID] | None) -> None:
        """Check the routes for every policy that gateways have already: of these tenants, or of all."""
        grants = Grant.objects.across_tenants().in_force().order_by()
        if tenants is not None:
            grants = grants.filter(tenant__in=tenants)
        policies = ["model__name", "tenant__regions", "item__data_class"]
        found = [("", *row) for row in grants.values_list(*policies).distinct()]
        named = {row[1] for row in found}
        self._load_targets(named.union(*map(self._others, named)))
        if self._exclusive:
            grants = grants.filter(model__name__in=self._exclusive)
            found += grants.values_list(_text("tenant_id"), *policies).distinct()
        for tenant_id, model, regions, data_class in found:
            real = Policy(tenant_id, tuple(regions), data_class)
            self._pair(model, Policy("", (), None) if self._is_first else real, real)
            for other in [] if self._is_first else self._others(model):
                # Granted for this class of data or a higher one, which reaches no more.
                self._pair(other, real, real, asked_model=model)

    def _pair(self, model: str, asked: Policy, real: Policy, **row: str) -> None:
        """Require that every target that calls for `model` reach under `asked` is permitted under `real`."""
        if model not in self._configs:
            return
        tenant_id = real.tenant_id if model in self._exclusive else ""
        pair = (model, asked.regions, asked.data_class, real.regions, real.data_class, tenant_id)
        if pair in self._proved:
            return
        faults = list(self._faults_of(model, asked, real))
        for target, fault in faults:
            about = {
                "model": model,
                "target": target,
                "regions": ", ".join(real.regions),
                "data_class": real.data_class or "",
            }
            self._refuse(NotProved(f"Calls for {model} would reach a target that {fault}.", **about, **row))
        if not faults:
            self._proved.add(pair)

    def _faults_of(self, model: str, asked: Policy, real: Policy) -> Iterator[tuple[str, str]]:
        """Each target that calls for `model` reach under `asked` although `real` forbids it, and why."""
        # In version 1, the gateway knows neither.
        regions = [] if self._is_first else list(asked.regions)
        data_class = None if self._is_first else asked.data_class
        reached = self._route(model).for_calls(real.tenant_id, regions, data_class)
        for backend in (one for group in reached.groups for one in group) if reached else ():
            target = target_of(backend.id)
            if (fault := _fault(self._targets[model].get(target), model, real)) is not None:
                yield target, fault

    def _read_routes(self) -> None:
        """Read each route as gateways do: one that they cannot read would have them refuse the whole message."""
        for model, config in self._configs.items():
            if self._is_first and not is_in_first(config):
                continue
            try:
                self._route(model)
            except NotProved as fault:
                self._refuse(fault)

    def _route(self, model: str) -> Route:
        """The route as the gateway compiles it."""
        if model not in self._routes:
            config = self._configs[model]
            if self._is_first:
                config = self._in_first(config)
            try:
                self._routes[model] = compile_route(decode(RouteConfig, encode(config)))
            except ContractError as error:
                raise NotProved(
                    f"No gateway could read the route of {model}: {error}", model=model
                ) from error
        return self._routes[model]

    def _in_first(self, config: RouteConfig) -> RouteConfig:
        """The route as a gateway of version 1 knows it."""
        try:
            [known] = upgraded_routes([downgraded_route(config)])
        except Exception as error:
            reason = f"Version 1 of the contract cannot say the route of {config.model}: {error!r}"
            raise NotProved(reason, model=config.model) from error
        return known

    def _load_targets(self, models: set[str]) -> None:
        """Read the facts of the targets of these models, as far as they are not known yet. One query."""
        wanted = self._configs.keys() if self._is_everything else self._configs.keys() & models
        missing = wanted - self._targets.keys()
        if not missing:
            return
        self._targets |= {model: {} for model in missing}
        entries = RouteEntry.objects.filter(weight__gt=0)
        if not self._is_everything:
            entries = entries.filter(route__model__name__in=missing)
        for model, target_id, facts in _facts(entries):
            if model in missing:
                self._targets[model][target_id] = facts
        for model in missing:
            stated = self._configs[model].targets
            real = self._targets[model].values()
            if any(one.only_tenant for one in stated) or any(one.only_tenant for one in real):
                self._exclusive.add(model)

    def _load_tenants(self, ids: Iterable[str]) -> None:
        missing = {pk for pk in ids if pk not in self._tenants}
        if missing:
            rows = Tenant.objects.filter(pk__in=missing).values_list(_text("pk"), "regions", "degrading")
            for pk, regions, degrading in rows:
                self._tenants[pk] = tuple(regions)
                if degrading == Tenant.Degrading.ON:
                    self._degrading.add(pk)

    def _grants_of(
        self, projects: Collection[ProjectRecord | v1.ProjectRecord]
    ) -> dict[tuple[str, str], GrantFacts]:
        if not self._is_everything:
            return _grants([UUID(project.id) for project in projects], self._began_at)
        if self._grants is None:
            self._grants = _grants(None, self._began_at)
        return self._grants


def _fault(facts: TargetFacts | None, model: str, policy: Policy) -> str | None:
    """What forbids a call of `policy` to go to a target; None if nothing does."""
    if facts is None or facts.model != model:
        return "its route does not have"
    if not facts.is_enabled:
        return "belongs to a disabled provider"
    if not all(is_allowed(region, policy.regions) for region in facts.regions or [""]):
        return "lies outside the tenant's regions"
    if policy.data_class and DATA_CLASSES.index(policy.data_class) > DATA_CLASSES.index(facts.highest):
        return "may not receive that class of data"
    # Without a tenant, targets for one are checked with each tenant's own policy.
    if policy.tenant_id and facts.only_tenant not in (None, policy.tenant_id):
        return "serves another tenant only"
    return None


def _facts(entries: Any) -> Iterable[tuple[str, str, TargetFacts]]:
    """The model of each entry's route, the id of its target, and what the rows say of the target."""
    engine, provider = "target__deployment__", "target__provider_model__"
    rows = entries.order_by().values_list(
        "route__model__name",
        _text("target_id"),
        f"{engine}version__model__name",
        f"{engine}cluster__region",
        _text(f"{engine}only_tenant_id"),
        f"{provider}model__name",
        f"{provider}provider__regions",
        f"{provider}provider__highest_data_class",
        f"{provider}provider__is_enabled",
    )
    for model, target_id, own, region, only_tenant, listed, regions, highest, is_enabled in rows:
        if own is not None:
            facts = TargetFacts(own, (region,) if region else (), "restricted", only_tenant)
        else:
            facts = TargetFacts(listed, tuple(regions or ()), cast(DataClass, highest), None, is_enabled)
        yield model, target_id, facts


def _grants(projects: Collection[UUID] | None, since: datetime) -> dict[tuple[str, str], GrantFacts]:
    """What is granted, by project and model. One query.

    A grant that begins or ends while the configuration is compiled may be in it or not.
    """
    moment = now()
    rows = Grant.objects.across_tenants().filter(
        revoked_at=None, suspended_at=None, valid_from__lte=moment + MARGIN, valid_until__gt=since - MARGIN
    )
    if projects is not None:
        rows = rows.filter(project__in=projects)
    rank = Case(*(When(item__data_class=name, then=at) for at, name in enumerate(DATA_CLASSES)))
    surely = Q(valid_from__lte=since - MARGIN, valid_until__gt=moment + MARGIN)
    found = (
        rows.order_by()
        .values_list(_text("project_id"), "model__name")
        .annotate(Max("valid_until"), perhaps=Max(rank), surely=Max(rank, filter=surely))
    )
    classes = cast(tuple[DataClass, ...], DATA_CLASSES)
    return {
        (project, model): GrantFacts(
            int(end.timestamp()), None if its is None else classes[its], classes[perhaps]
        )
        for project, model, end, perhaps, its in found
    }


def _text(field: str) -> Any:
    return Cast(field, TextField())
