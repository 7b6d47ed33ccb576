"""What of a configuration can be proved, where the whole cannot: the rest is published, revocations at once.

A fault in a route must not hold back a revoked key. So a part that the proof refuses (gateway/proof.py) is replaced by
one that it accepts, never by a wider one:

- A route that gateways of version 1 could not read stays there as it was proved last, or is left out.
- A route whose targets would get what they may not gets the targets that were proved last (gateway/last_proved.py), as
  far as the rows still have and permit them, with today's addresses and credentials if gateways can read them; else
  none. No model answers in its place that was taken out since.
- A tenant gets the regions of its row, and degrades only if its row says so.
- A project keeps the models that are granted to it, each at most until its grant ends, with the class of data granted.

What comes out is proved again, as everything that is published.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from gateway.contract import (
    CONTRACT_VERSION,
    DATA_CLASSES,
    ContractError,
    DataClass,
    RouteConfig,
    TargetConfig,
    decode,
    encode,
)
from gateway.contract import v1_config as v1
from gateway.contract.stream import ConfigPart, ConfigRecords, ConfigRouting, ProjectRecord, TenantRecord
from gateway.proof import GrantFacts, NotProved, Policy, Proof
from gateway.proxy.index import compile_route


@dataclass(frozen=True)
class Publishable:
    """Routes and prices that can be proved, and the faults of those that cannot and were replaced."""

    routing: ConfigRouting
    faults: list[NotProved]


def publishable(routing: ConfigRouting, last: Callable[[], ConfigRouting | None]) -> Publishable:
    """`routing`, with each route that cannot be proved replaced by what can, from the `last` proved routing."""
    faults = Corrector(routing, CONTRACT_VERSION, is_everything=True).faults_of_routes()
    if not faults:
        return Publishable(routing, [])
    proved = last()
    known = {route.model: route for route in proved.routes} if proved is not None else {}
    first = {fault.row["model"] for fault in faults}
    routes = {route.model: route for route in routing.routes}
    for model in first:
        routes[model] = _as_last(routes[model], known.get(model))
    while True:
        held = replace(routing, routes=list(routes.values()))
        again = Corrector(held, CONTRACT_VERSION, is_everything=True).faults_of_routes()
        if not again:
            return Publishable(held, faults)
        for model, targets in _targets_by_model(again).items():
            if model not in first:
                # Only as a stand-in of another one that was held back.
                faults += [fault for fault in again if fault.row["model"] == model]
            routes[model] = _without(routes[model], targets)


def readable(found: Publishable, version: int, last: Callable[[], ConfigRouting | None]) -> Publishable:
    """`found`, with each route that gateways of an older `version` could not read as it was proved last.

    A route that they could not read even so is left out: they then answer that they do not know its model.
    """
    faults = Corrector(found.routing, version, is_everything=True).unreadable_routes()
    if not faults:
        return found
    proved = last()
    known = {route.model: route for route in proved.routes} if proved is not None else {}
    first = {fault.row["model"] for fault in faults}
    routes = [
        _as_last(route, known.get(route.model)) if route.model in first else route
        for route in found.routing.routes
    ]
    held = replace(found.routing, routes=routes)
    lost = {fault.row["model"] for fault in Corrector(held, version, is_everything=True).unreadable_routes()}
    held = replace(held, routes=[route for route in routes if route.model not in lost])
    return Publishable(held, [*found.faults, *faults])


def _as_last(route: RouteConfig, last: RouteConfig | None) -> RouteConfig:
    """The route as it was proved last, with what it still has: models, and targets at their addresses of today."""
    if last is None:
        return replace(route, targets=[])
    today = {target.id: target for target in route.targets}
    smaller = route.degrading.model if route.degrading else None
    return replace(
        last,
        targets=[_moved(last, one, today[one.id]) for one in last.targets if one.id in today],
        fallbacks=[model for model in last.fallbacks if model in route.fallbacks],
        degrading=last.degrading if last.degrading and last.degrading.model == smaller else None,
    )


def _moved(route: RouteConfig, last: TargetConfig, today: TargetConfig) -> TargetConfig:
    """A target as it was proved last, at its address of today; at the one proved last if no gateway could read it."""
    moved = replace(
        last, addresses=today.addresses, upstream_model=today.upstream_model, provider=today.provider
    )
    try:
        compile_route(decode(RouteConfig, encode(replace(route, targets=[moved]))))
    except ContractError:
        return last
    return moved


def _targets_by_model(faults: list[NotProved]) -> Mapping[str, set[str]]:
    """The targets at fault; with the empty name for a route that is at fault as a whole."""
    found: dict[str, set[str]] = defaultdict(set)
    for fault in faults:
        found[fault.row["model"]].add(fault.row.get("target", ""))
    return found


def _without(route: RouteConfig, targets: set[str]) -> RouteConfig:
    left = [one for one in route.targets if one.id not in targets]
    # What would change nothing leaves nothing.
    return replace(route, targets=[] if "" in targets or len(left) == len(route.targets) else left)


class Corrector(Proof):
    """Finds all faults of a configuration, where a Proof stops at the first, and corrects parts that have some."""

    def __init__(self, routing: ConfigRouting, version: int, *, is_everything: bool) -> None:
        super().__init__(routing, version, is_everything=is_everything)
        self._found: list[NotProved] = []

    def _refuse(self, fault: NotProved) -> None:
        self._found.append(fault)

    def _pair(self, model: str, asked: Policy, real: Policy, **row: str) -> None:
        try:
            super()._pair(model, asked, real, **row)
        except NotProved as fault:
            # No gateway could read that route.
            self._refuse(fault)

    def faults_of_routes(self) -> list[NotProved]:
        """The faults of the routes for every policy that gateways have, and those that no gateway could read."""
        if self._configs:
            self._read_routes()
            self._standing(None)
        return self._found

    def unreadable_routes(self) -> list[NotProved]:
        """The faults of the routes that no gateway of the version could read."""
        self._read_routes()
        return self._found

    def corrected(self, part: ConfigPart | v1.ConfigPart) -> ConfigPart | v1.ConfigPart:
        """The part with no more than the rows permit."""
        if not isinstance(part, ConfigRecords | v1.ConfigRecords):
            return part
        self._load_tenants(
            [tenant.id for tenant in part.tenants] + [project.tenant_id for project in part.projects]
        )
        self._load_targets({model for project in part.projects for model in project.grant_ends})
        grants = self._grants_of(part.projects)
        tenants = [self._tenant(tenant) for tenant in part.tenants]
        projects = [self._project(project, grants) for project in part.projects]
        corrected: ConfigPart | v1.ConfigPart = replace(part, tenants=tenants, projects=projects)
        return corrected

    def _tenant(self, tenant: TenantRecord | v1.TenantRecord) -> TenantRecord | v1.TenantRecord:
        if not isinstance(tenant, TenantRecord):
            return tenant
        regions = list(self._tenants.get(tenant.id, ()))
        return replace(
            tenant, regions=regions, may_degrade=tenant.may_degrade and tenant.id in self._degrading
        )

    def _project(
        self, project: ProjectRecord | v1.ProjectRecord, grants: Mapping[tuple[str, str], GrantFacts]
    ) -> ProjectRecord | v1.ProjectRecord:
        granted = {
            model: grants[project.id, model] for model in project.grant_ends if (project.id, model) in grants
        }
        regions = self._tenants.get(project.tenant_id, ())
        stated = project.data_classes if isinstance(project, ProjectRecord) else {}
        classes = {model: _class_of(stated.get(model), facts) for model, facts in granted.items()}
        ends = {model: min(project.grant_ends[model], facts.end) for model, facts in granted.items()}
        if isinstance(project, ProjectRecord):
            project = replace(project, data_classes=classes)
        project = replace(project, grant_ends=ends)
        for model, facts in granted.items():
            self._found.clear()
            its = classes[model] if isinstance(project, ProjectRecord) else None
            real = Policy(project.tenant_id, regions, facts.surely or its or facts.perhaps)
            self._pair(model, Policy(project.tenant_id, regions, its), real)
            if isinstance(project, ProjectRecord):
                self._stand_ins(model, project, regions, real)
            if self._found:
                del ends[model]
        return project


def _class_of(stated: DataClass | None, facts: GrantFacts) -> DataClass:
    """The stated class of data if the rows may have it, else the highest of the grants, which reaches least."""
    least = facts.surely or facts.perhaps
    if stated is not None and _rank(least) <= _rank(stated) <= _rank(facts.perhaps):
        return stated
    return facts.perhaps


def _rank(data_class: DataClass) -> int:
    return DATA_CLASSES.index(data_class)
