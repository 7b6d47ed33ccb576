"""The smaller model to which a route degrades on purpose, and at what share of a money limit or which latency."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import CatalogModel
from deployments.fallbacks import classes_of
from deployments.models import Route
from deployments.models.routes import MOST_FIRST_TOKEN_MS
from deployments.route_changes import lock_route, require_generation, save_next_generation
from tenants.models import Project, Tenant


@dataclass(frozen=True)
class Degrading:
    """What a route shall do. An empty model means that it never degrades."""

    model: str = ""
    # Of a money limit that applies to the call, used or reserved.
    money_percent: int | None = None
    # Above this decayed median of the route's streams.
    first_token_ms: int | None = None

    @property
    def in_words(self) -> str:
        """As the audit log shows it."""
        goals = [
            f"at {self.money_percent}% of a money limit" if self.money_percent else "",
            f"above {self.first_token_ms} ms to the first token" if self.first_token_ms else "",
        ]
        return f"{self.model} {' or '.join(filter(None, goals))}" if self.model else "never"


_WORDS: Final = re.compile(
    r"(?P<model>\S.*?)"
    r"(?: at (?P<percent>\d+)% of a money limit)?(?: or)?(?: above (?P<ms>\d+) ms to the first token)?"
)


def degrading_from_words(words: str) -> Degrading | None:
    """What the audit log shows so; None if it is not understood."""
    found = _WORDS.fullmatch(words)
    if words == "never" or found is None:
        return Degrading() if words == "never" else None
    percent, ms = found["percent"], found["ms"]
    wanted = Degrading(found["model"], int(percent) if percent else None, int(ms) if ms else None)
    return wanted if wanted.in_words == words else None


@dataclass(frozen=True)
class DegradingPreview:
    """For how many of the projects that may call the route's model the smaller one would answer."""

    model: CatalogModel
    # Some target of it gets calls.
    is_routed: bool
    # Projects that may call the route's model, those of them that may call this one too with data of at least the same
    # class, and those of these whose tenant allows smaller models.
    projects: int
    usable: int
    allowed: int


@action(Route, permission="deployments.manage_route")
@transaction.atomic
def change_degrading(pk: UUID | str, wanted: Degrading, *, based_on: int, by: User | None) -> Route:
    """Say when a smaller model answers the calls of a route. The same again changes nothing.

    Gateways follow within seconds. They use the model only for tenants that allow it, for keys to which it is granted,
    within the tenant's regions and the class of data.

    Args:
        pk: id of the route.
        wanted: the model and the goals; each goal is enough.
        based_on: the generation of the route that the person looked at.
        by: who changes it; None means the platform.

    Raises:
        Route.DoesNotExist: `by` cannot see such a route.
        PermissionDenied: `by` may not change routes.
        Conflict: someone else changed the route meanwhile (`route_changed`).
        ValidationError: the model does not exist, is of another mode, or would close a circle; there is no goal, or an
            impossible one.
    """
    route = lock_route(pk, by)
    change_degrading.require(by, route)
    require_generation(route, based_on)
    with connection.cursor() as cursor:
        # Two changes at once could each close half of a circle.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('degrading', 0))")
    before = degrading_of(route)
    model = check_degrading(route, wanted)
    route.degrades_to = model
    route.degrades_at_money_percent = wanted.money_percent if model else None
    route.degrades_above_first_token_ms = wanted.first_token_ms if model else None
    after = degrading_of(route)
    if before == after:
        return route
    save_next_generation(route, *Route.DEGRADING)
    audit.record(
        "route.degrading_changed",
        actor=by,
        subject=route,
        changes={"degrading": (before.in_words, after.in_words)},
    )
    return route


def degrading_of(route: Route) -> Degrading:
    """What a route does."""
    if route.degrades_to is None:
        return Degrading()
    return Degrading(
        route.degrades_to.name, route.degrades_at_money_percent, route.degrades_above_first_token_ms
    )


def check_degrading(route: Route, wanted: Degrading) -> CatalogModel | None:
    """The named model; None if none is named. Raises ValidationError by field."""
    name = wanted.model.strip()
    if not name:
        if wanted.money_percent is not None or wanted.first_token_ms is not None:
            raise ValidationError(
                {"model": _("Name the model that answers then. For none, leave both goals empty, too.")}
            )
        return None
    if wanted.money_percent is None and wanted.first_token_ms is None:
        raise ValidationError(
            {"money_percent": _("Say at which share of a money limit, or above how many milliseconds.")}
        )
    if wanted.money_percent is not None and not 1 <= wanted.money_percent <= 100:
        raise ValidationError({"money_percent": _("A share is a whole number from 1 to 100.")})
    if wanted.first_token_ms is not None and not 1 <= wanted.first_token_ms <= MOST_FIRST_TOKEN_MS:
        message = _("A latency is a whole number of milliseconds from 1 to %(most)s.")
        raise ValidationError({"first_token_ms": message % {"most": f"{MOST_FIRST_TOKEN_MS:,}"}})
    model = CatalogModel.objects.filter(name=name).first()
    if model is None:
        raise ValidationError({"model": _("There is no model %(model)s.") % {"model": name[:120]}})
    if model.mode != route.model.mode:
        message = _("%(model)s is a model for %(mode)s, %(own)s is one for %(own_mode)s.")
        words = {
            "model": name,
            "mode": model.mode,
            "own": route.model.name,
            "own_mode": route.model.mode,
        }
        raise ValidationError({"model": message % words})
    _require_no_circle(route, model)
    return model


def _require_no_circle(route: Route, model: CatalogModel) -> None:
    """Raise ValidationError if `model` is the route's own, or degrades to it, over others too."""
    if model.pk == route.model_id:
        raise ValidationError({"model": _("A model cannot degrade to itself.")})
    arrows = dict(Route.objects.exclude(degrades_to=None).values_list("model", "degrades_to"))
    seen, at = set(), model.pk
    while at in arrows and at not in seen:
        seen.add(at)
        at = arrows[at]
        if at == route.model_id:
            message = _("%(model)s itself degrades to %(own)s. That would be a circle.")
            raise ValidationError({"model": message % {"model": model.name, "own": route.model.name}})


def preview_degrading(route: Route, wanted: Degrading) -> DegradingPreview | None:
    """For whom a smaller model would answer; None if none is named. Changes nothing.

    Raises ValidationError as `change_degrading` does.
    """
    model = check_degrading(route, wanted)
    if model is None:
        return None
    classes = classes_of([route.model, model])
    own, theirs = classes.get(route.model.pk, {}), classes.get(model.pk, {})
    usable = {project for project in own.keys() & theirs.keys() if theirs[project] >= own[project]}
    allowing = Project.objects.across_tenants().filter(tenant__degrading=Tenant.Degrading.ON)
    return DegradingPreview(
        model=model,
        is_routed=Route.objects.filter(model=model, entries__weight__gt=0).exists(),
        projects=len(own),
        usable=len(usable),
        allowed=allowing.filter(pk__in=usable).count(),
    )
