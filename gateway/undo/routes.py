"""Undoing changes of routes: entries, fallbacks, handling, smaller models."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import User
from audit.models import AuditEntry
from core.joined import listed, named
from deployments.degrading import change_degrading, degrading_from_words, degrading_of
from deployments.fallbacks import change_fallbacks, names_of
from deployments.models import Route
from deployments.route_handling import change_handling, handling_from_words, handling_in_words
from deployments.routes import change_route, entry_from_words, entry_in_words, plan_of
from gateway.undo.steps import Step, changed_since, found_again


def entries(entry: AuditEntry) -> Step:
    """The inverse of changing a route's entries."""
    targets = entry.details.get("targets", [])
    if len(targets) != len(entry.changes):
        return Step(entry, _("This entry does not say which targets it meant. Correct the route by hand."))
    pairs = {UUID(pk): entry.changes[name] for name, pk in zip(sorted(entry.changes), targets, strict=True)}
    wanted = {pk: entry_from_words(pk, before) for pk, (before, _after) in pairs.items()}
    if any(wanted[pk] is None and before for pk, (before, _after) in pairs.items()):
        return Step(entry, _("This entry does not say what the route had before. Correct the route by hand."))
    shown = "; ".join(named(name, before or _("removed")) for name, (before, _after) in entry.changes.items())
    words = _("Set the route of %(model)s to %(entries)s") % {"model": entry.subject_label, "entries": shown}

    def undo(by: User | None) -> None:
        # Not locked: the action compares the generation when it has locked the route.
        route = _route_of(entry)
        now = {plan.target_id: plan for plan in plan_of(route)}
        if any(entry_in_words(now.get(pk)) != after for pk, (_before, after) in pairs.items()):
            raise changed_since(entry.subject_label)
        for pk, plan in wanted.items():
            now.pop(pk, None)
            if plan is not None:
                now[pk] = plan
        found_again(
            entry,
            lambda: change_route(
                route.pk, now.values(), based_on=route.generation, may_end_service=True, by=by
            ),
        )

    return Step(entry, words, undo)


def fallbacks(entry: AuditEntry) -> Step:
    """The inverse of changing the models that answer in its place."""
    before, after = entry.changes["fallbacks"]

    def undo(by: User | None) -> None:
        route = _route_of(entry)
        if ", ".join(names_of(route)) != after:
            raise changed_since(entry.subject_label)
        names = before.split(", ") if before else []
        found_again(entry, lambda: change_fallbacks(route.pk, names, based_on=route.generation, by=by))

    words = _("Set the fallbacks of %(model)s to: %(names)s")
    return Step(entry, words % {"model": entry.subject_label, "names": before or _("none")}, undo)


def degrading(entry: AuditEntry) -> Step:
    """The inverse of changing when a smaller model answers."""
    before, after = entry.changes["degrading"]
    wanted = degrading_from_words(before)
    if wanted is None:
        return Step(entry, _("This entry does not say what the route had before. Correct the route by hand."))

    def undo(by: User | None) -> None:
        route = _route_of(entry)
        if degrading_of(route).in_words != after:
            raise changed_since(entry.subject_label)
        found_again(entry, lambda: change_degrading(route.pk, wanted, based_on=route.generation, by=by))

    words = _("Set the smaller model of %(model)s to: %(wanted)s")
    return Step(entry, words % {"model": entry.subject_label, "wanted": before}, undo)


def handling(entry: AuditEntry) -> Step:
    """The inverse of changing how calls are handled."""
    if not entry.changes.keys() <= set(Route.HANDLING):
        return Step(entry, _("A setting of this entry does not exist any more. Correct the route by hand."))
    values: dict[str, Any] = {
        name: handling_from_words(name, before) for name, (before, _after) in entry.changes.items()
    }

    def undo(by: User | None) -> None:
        route = _route_of(entry)
        now = {name: handling_in_words(getattr(route, name)) for name in values}
        if any(now[name] != after for name, (_before, after) in entry.changes.items()):
            raise changed_since(entry.subject_label)
        found_again(entry, lambda: change_handling(route.pk, values, based_on=route.generation, by=by))

    labels = {name: str(Route._meta.get_field(name).verbose_name) for name in values}  # type: ignore[union-attr]
    shown = listed(named(labels[name], before) for name, (before, _after) in entry.changes.items())
    words = _("Set the handling of %(model)s to %(values)s")
    return Step(entry, words % {"model": entry.subject_label, "values": shown}, undo)


def _route_of(entry: AuditEntry) -> Route:
    """The route as it is now, not locked: the action compares its generation under the lock. Raises Conflict."""
    route = Route.objects.filter(pk=entry.subject_id).select_related("model", "degrades_to").first()
    if route is None:
        raise changed_since(entry.subject_label)
    return route
