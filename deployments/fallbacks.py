"""Models that answer in place of a route's model when no target of that one answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import CatalogModel, Grant
from deployments.models import Route, RouteFallback
from deployments.route_changes import lock_route, require_generation, save_next_generation
from tenants.models import DataClass

MOST_FALLBACKS = 5


@dataclass(frozen=True)
class FallbackPreview:
    """What one fallback would do, and for how many of the projects that may call the route's model."""

    model: CatalogModel
    # Some target of it gets calls.
    is_routed: bool
    # Projects that may call the route's model, those of them that may call this one too, and those of these with a
    # grant for data of at least the same class: only their calls may go there.
    projects: int
    granted: int
    usable: int


@action(Route, permission="deployments.manage_route")
@transaction.atomic
def change_fallbacks(pk: UUID | str, models: Iterable[str], *, based_on: int, by: User | None) -> Route:
    """Replace the models that answer for a route's model when none of its targets does. The same again changes nothing.

    Gateways follow within seconds. They use a fallback only for keys to which it is granted, within the tenant's
    regions and the class of data.

    Args:
        pk: id of the route.
        models: public names, in order of preference.
        based_on: the generation of the route that the person looked at.
        by: who changes it; None means the platform.

    Raises:
        Route.DoesNotExist: `by` cannot see such a route.
        PermissionDenied: `by` may not change routes.
        Conflict: someone else changed the route meanwhile (`route_changed`).
        ValidationError: a model does not exist, is of another mode, is named twice, or would close a circle.
    """
    route = lock_route(pk, by)
    change_fallbacks.require(by, route)
    require_generation(route, based_on)
    with connection.cursor() as cursor:
        # Two changes at once could each close half of a circle.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('fallbacks', 0))")
    wanted = check_fallbacks(route, models)
    before = names_of(route)
    after = [model.name for model in wanted]
    if before == after:
        return route
    save_next_generation(route)
    route.fallbacks.all().delete()
    RouteFallback.objects.bulk_create(
        RouteFallback(route=route, model=model, position=at) for at, model in enumerate(wanted)
    )
    audit.record(
        "route.fallbacks_changed",
        actor=by,
        subject=route,
        changes={"fallbacks": (", ".join(before), ", ".join(after))},
    )
    return route


def names_of(route: Route) -> list[str]:
    """The public names of a route's fallbacks, in order."""
    return list(route.fallbacks.order_by("position").values_list("model__name", flat=True))


def check_fallbacks(route: Route, names: Iterable[str]) -> list[CatalogModel]:
    """The named models, in order. Raises ValidationError naming the one that cannot be a fallback."""
    wanted = [name.strip() for name in names if name.strip()]
    if len(wanted) > MOST_FALLBACKS:
        raise ValidationError({"models": _("At most %(most)d models.") % {"most": MOST_FALLBACKS}})
    if len(set(wanted)) < len(wanted):
        raise ValidationError({"models": _("Name each model once.")})
    found = {model.name: model for model in CatalogModel.objects.filter(name__in=wanted)}
    for name in wanted:
        if name not in found:
            raise ValidationError({"models": _("There is no model %(model)s.") % {"model": name[:120]}})
        if name == route.model.name:
            raise ValidationError({"models": _("A model cannot be its own fallback.")})
        if found[name].mode != route.model.mode:
            message = _("%(model)s is a model for %(mode)s, %(own)s is one for %(own_mode)s.")
            words = {
                "model": name,
                "mode": found[name].mode,
                "own": route.model.name,
                "own_mode": route.model.mode,
            }
            raise ValidationError({"models": message % words})
    _require_no_circle(route, list(found.values()))
    return [found[name] for name in wanted]


def _require_no_circle(route: Route, wanted: Sequence[CatalogModel]) -> None:
    """Raise ValidationError if one of the models would, over others, have the route's own model as a fallback."""
    arrows: dict[UUID, list[UUID]] = {}
    for start, end in RouteFallback.objects.values_list("route__model", "model"):
        arrows.setdefault(start, []).append(end)
    for model in wanted:
        seen, ahead = {model.pk}, [model.pk]
        while ahead:
            for following in arrows.get(ahead.pop(), []):
                if following not in seen:
                    seen.add(following)
                    ahead.append(following)
        if route.model_id in seen:
            message = _("%(model)s has %(own)s among its own fallbacks, or theirs. That would be a circle.")
            raise ValidationError({"models": message % {"model": model.name, "own": route.model.name}})


def preview_fallbacks(route: Route, names: Iterable[str]) -> list[FallbackPreview]:
    """What each fallback would do, and for whom. Changes nothing. Raises ValidationError as `change_fallbacks` does."""
    models = check_fallbacks(route, names)
    classes = classes_of([route.model, *models])
    own = classes.get(route.model.pk, {})
    routed = set(
        Route.objects.filter(model__in=models, entries__weight__gt=0).values_list("model_id", flat=True)
    )
    previews = []
    for model in models:
        theirs = classes.get(model.pk, {})
        both = own.keys() & theirs.keys()
        usable = sum(theirs[project] >= own[project] for project in both)
        previews.append(FallbackPreview(model, model.pk in routed, len(own), len(both), usable))
    return previews


def classes_of(models: Sequence[CatalogModel]) -> dict[UUID, dict[UUID, int]]:
    """By model and project, the place of the highest class of data that is granted."""
    found: dict[UUID, dict[UUID, int]] = {}
    rows = Grant.objects.across_tenants().in_force().filter(model__in=models).order_by()
    for model, project, data_class in rows.values_list("model_id", "project_id", "item__data_class"):
        place = DataClass.values.index(data_class)
        mine = found.setdefault(model, {})
        mine[project] = max(mine.get(project, 0), place)
    return found
