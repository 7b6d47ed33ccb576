"""What people do with routes: say which targets serve a model, with which weight and in which order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from deployments.models import Deployment, ProviderModel, Route, RouteEntry, Target
from deployments.models.routes import MOST_PRIORITY, MOST_WEIGHT
from deployments.route_changes import lock_route, require_generation, save_next_generation

if TYPE_CHECKING:
    from catalog.models import CatalogModel

MOST_ENTRIES = 100
STABLE = "stable"
VARIANT = re.compile(r"[a-z][a-z0-9-]{0,39}")
# Strategies of their own (gateway/proxy/strategies.py).
NO_VARIANTS = ("cheapest", "fastest")
_WORDS = re.compile(
    rf"weight (?P<weight>\d+), order (?P<order>\d+)(?:, variant (?P<variant>{VARIANT.pattern}))?"
)


@dataclass(frozen=True)
class EntryPlan:
    """What somebody wants of one target: its share of the calls, and when its turn comes."""

    target_id: UUID
    # Its share among entries of the same priority; 0: no calls.
    weight: int = 1
    # 0 first; the next number only when these fail.
    priority: int = 0
    # What clients name to have their calls go there only.
    variant: str = STABLE


def route_of(model: CatalogModel) -> Route:
    """The route of a model; an empty one is made if there is none. An empty route serves nothing."""
    return Route.objects.get_or_create(model=model)[0]


def make_routable(rows: Iterable[ProviderModel]) -> None:
    """Give provider's models that are matched with the catalog a target, and their models a route. Safe to repeat.

    Neither gets calls before somebody changes the route.
    """
    matched = [row for row in rows if row.model_id is not None]
    Target.objects.bulk_create(
        (Target(provider_model=row) for row in matched), ignore_conflicts=True, batch_size=1_000
    )
    models = {row.model_id for row in matched if row.model_id is not None}
    Route.objects.bulk_create(
        (Route(model_id=pk) for pk in sorted(models, key=str)), ignore_conflicts=True, batch_size=1_000
    )


def plan_of(route: Route) -> list[EntryPlan]:
    """The entries that a route has now."""
    rows = route.entries.order_by("priority", "pk").values_list("target_id", "weight", "priority", "variant")
    return [EntryPlan(*row) for row in rows]


def plan_with(route: Route, target: Target, *, weight: int = 1, priority: int = 0) -> list[EntryPlan]:
    """The entries that a route has now, and another one beside them.

    Args:
        route: the route.
        target: the target of the other entry; if the route has it already, that entry is replaced.
        weight: its share of the calls.
        priority: when its turn comes; 0 first.
    """
    others = [entry for entry in plan_of(route) if entry.target_id != target.pk]
    return [*others, EntryPlan(target.pk, weight, priority)]


@action(Route, permission="deployments.manage_route")
@transaction.atomic
def change_route(
    pk: UUID | str,
    entries: Iterable[EntryPlan],
    *,
    based_on: int,
    may_end_service: bool = False,
    by: User | None,
) -> Route:
    """Replace all entries of a route at once. The same entries again change nothing.

    Gateways follow within seconds. The audit entry says what each target had before and has now.

    Args:
        pk: id of the route.
        entries: what the route shall have; a target that is missing here leaves the route.
        based_on: the generation of the route that the person looked at.
        may_end_service: confirms that afterwards no target gets calls, though one does now.
        by: who changes it; None means the platform (set-up).

    Raises:
        Route.DoesNotExist: `by` cannot see such a route.
        PermissionDenied: `by` may not change routes.
        Conflict: someone else changed the route meanwhile (`route_changed`); or it would serve nothing any more, and
            `may_end_service` is not set (`route_would_be_empty`).
        ValidationError: a target is named twice, cannot serve the model, or has an impossible weight or order.
    """
    wanted = list(entries)
    # Before the route, as whoever deletes a deployment does.
    targets = _lock_targets({entry.target_id for entry in wanted})
    route = lock_route(pk, by)
    change_route.require(by, route)
    require_generation(route, based_on)
    check_entries(route, wanted, targets)
    before = _entries_of(route)
    if not may_end_service and ends_service(before.values(), wanted):
        raise Conflict(
            _("Afterwards nothing serves %(model)s: calls get 404. Confirm that you want this.")
            % {"model": route.model.name},
            code="route_would_be_empty",
        )
    _replace(route, before, wanted, targets, by=by)
    return route


def remove_target(target: Target, *, by: User | None) -> None:
    """Take a target out of all routes, inside the caller's transaction. Calls that run on it finish."""
    routes = Route.objects.filter(entries__target=target).order_by("pk")
    for route in routes.select_related("model").select_for_update(of=("self",)):
        before = _entries_of(route)
        rest = [entry for entry in plan_of(route) if entry.target_id != target.pk]
        _replace(route, before, rest, {}, by=by)


def ends_service(before: Collection[RouteEntry | EntryPlan], wanted: Collection[EntryPlan]) -> bool:
    """Whether some target gets calls now, and none would."""
    return any(entry.weight for entry in before) and not any(entry.weight for entry in wanted)


def check_entries(route: Route, wanted: Collection[EntryPlan], targets: dict[UUID, Target]) -> None:
    """Raise ValidationError naming the target or number that a route cannot have.

    Args:
        route: the route, with its model.
        wanted: what it shall have.
        targets: the living targets that `wanted` names, by id.
    """
    if len(wanted) > MOST_ENTRIES:
        raise ValidationError({"entries": _("At most %(most)d targets.") % {"most": MOST_ENTRIES}})
    if len({entry.target_id for entry in wanted}) < len(wanted):
        raise ValidationError({"entries": _("Name each target once.")})
    for entry in wanted:
        target = targets.get(entry.target_id)
        if target is None:
            message = _("There is no target %(id)s, or it is being deleted.") % {"id": entry.target_id}
            raise ValidationError({"entries": message})
        if target.model is None or target.model.pk != route.model_id:
            message = _("%(target)s serves %(other)s, not %(model)s.")
            other = target.model.name if target.model else _("no model of the catalog")
            names = {"target": target.name, "other": other, "model": route.model.name}
            raise ValidationError({"entries": message % names})
        if not 0 <= entry.weight <= MOST_WEIGHT:
            message = _("The weight of %(target)s must be a whole number from 0 to %(most)d.")
            raise ValidationError({"entries": message % {"target": target.name, "most": MOST_WEIGHT}})
        if not 0 <= entry.priority <= MOST_PRIORITY:
            message = _("The order of %(target)s must be a whole number from 0 to %(most)d.")
            raise ValidationError({"entries": message % {"target": target.name, "most": MOST_PRIORITY}})
        if not VARIANT.fullmatch(entry.variant) or entry.variant in NO_VARIANTS:
            message = _(
                "The variant of %(target)s must be a name such as stable or canary: lower-case letters, digits and "
                "hyphens, and neither cheapest nor fastest."
            )
            raise ValidationError({"entries": message % {"target": target.name}})


def living_targets(ids: Iterable[UUID]) -> dict[UUID, Target]:
    """The targets that can be in a route, by id, of those named."""
    return {target.pk: target for target in Target.objects.living().with_source().filter(pk__in=ids)}


def _lock_targets(ids: Collection[UUID]) -> dict[UUID, Target]:
    deployments = Deployment.objects.filter(target__in=ids).order_by("pk")
    list(deployments.select_for_update(of=("self",), no_key=True).values_list("pk"))
    # Lists of models match these anew, except in routes (deployments/provider_lists.py).
    listed = ProviderModel.objects.filter(target__in=ids).order_by("pk")
    list(listed.select_for_update(of=("self",), no_key=True).values_list("pk"))
    return living_targets(ids)


def _entries_of(route: Route) -> dict[UUID, RouteEntry]:
    """The entries of a route by target, with what names each target."""
    rows = route.entries.select_related("target__deployment", "target__provider_model__provider")
    return {entry.target_id: entry for entry in rows}


def _replace(
    route: Route,
    before: dict[UUID, RouteEntry],
    wanted: Collection[EntryPlan],
    targets: dict[UUID, Target],
    *,
    by: User | None,
) -> None:
    """Set the entries of a locked route, raise the revision, and write the audit entry; nothing if nothing changes.

    Args:
        route: the locked route.
        before: its entries by target, with the targets.
        wanted: the entries it shall have.
        targets: targets that are new to it, by id.
        by: for the audit log.
    """
    after = {entry.target_id: entry for entry in wanted}
    changes: dict[str, tuple[str, str]] = {}
    ids: dict[str, str] = {}
    for pk in before.keys() | after.keys():
        old, new = entry_in_words(before.get(pk)), entry_in_words(after.get(pk))
        if old != new:
            name = (before[pk].target if pk in before else targets[pk]).name
            changes[name], ids[name] = (old, new), str(pk)
    if not changes:
        return
    save_next_generation(route)
    route.entries.exclude(target__in=after).delete()
    for entry in wanted:
        known = before.get(entry.target_id)
        keeps_traffic = known is not None and known.weight > 0
        RouteEntry.objects.update_or_create(
            route=route,
            target_id=entry.target_id,
            defaults={
                "weight": entry.weight,
                "priority": entry.priority,
                "variant": entry.variant,
                "revision": known.revision if known and keeps_traffic else route.revision,
            },
        )
    # The ids in the order of the changes: undoing needs them, and names of targets change.
    audit.record(
        "route.changed",
        actor=by,
        subject=route,
        changes=dict(sorted(changes.items())),
        targets=[ids[name] for name in sorted(changes)],
    )


def entry_in_words(entry: RouteEntry | EntryPlan | None) -> str:
    """An entry as the audit log shows it."""
    if entry is None:
        return ""
    words = f"weight {entry.weight}, order {entry.priority}"
    return words if entry.variant == STABLE else f"{words}, variant {entry.variant}"


def entry_from_words(target_id: UUID, words: str) -> EntryPlan | None:
    """The entry that `entry_in_words` wrote so; None for other words."""
    found = _WORDS.fullmatch(words)
    if found is None:
        return None
    return EntryPlan(target_id, int(found["weight"]), int(found["order"]), found["variant"] or STABLE)
