"""What people do with the handling of a route's calls: see what a change would change, and change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from deployments.models import Probes, Route
from deployments.route_changes import lock_route, require_generation, save_next_generation
from deployments.route_preview import TenantImpact, tenants_of


@dataclass(frozen=True)
class HandlingChange:
    """One setting before and after. None, or an empty text, means the default."""

    name: str
    label: str
    before: object
    after: object

    @property
    def shown(self) -> tuple[str, str]:
        """Before and after, in words."""
        return _shown(self.name, self.before), _shown(self.name, self.after)


@dataclass(frozen=True)
class HandlingPreview:
    """What would change, and whose calls are handled so: the tenants with most calls first."""

    changes: list[HandlingChange]
    tenants: list[TenantImpact]
    # All tenants with a grant in force, of which `tenants` are the first.
    tenants_total: int
    calls_total: int


def preview_handling(route: Route, values: Mapping[str, Any]) -> HandlingPreview:
    """What `change_handling` would change with these values. Changes nothing.

    Raises ValidationError as `change_handling` does.
    """
    changes = _assign(Route.objects.get(pk=route.pk), values)
    tenants, total, calls = tenants_of(route)
    return HandlingPreview(changes=changes, tenants=tenants, tenants_total=total, calls_total=calls)


@action(Route, permission="deployments.manage_route")
@transaction.atomic
def change_handling(pk: UUID | str, values: Mapping[str, Any], *, based_on: int, by: User | None) -> Route:
    """Change how the calls of a route are handled. The same values again change nothing.

    Gateways follow within seconds; calls in progress go on as they began. The audit entry has each changed value.

    Args:
        pk: id of the route.
        values: by name, of `Route.HANDLING`; what is missing stays.
        based_on: the generation of the route that the person looked at.
        by: who changes it; None means the platform.

    Raises:
        Route.DoesNotExist: `by` cannot see such a route.
        PermissionDenied: `by` may not change routes.
        Conflict: someone else changed the route meanwhile (`route_changed`).
        ValidationError: a value is impossible.
    """
    route = lock_route(pk, by)
    change_handling.require(by, route)
    require_generation(route, based_on)
    changes = _assign(route, values)
    if not changes:
        return route
    save_next_generation(route, *(change.name for change in changes))
    audit.record(
        "route.handling_changed",
        actor=by,
        subject=route,
        changes={
            change.name: (handling_in_words(change.before), handling_in_words(change.after))
            for change in changes
        },
    )
    return route


def _assign(route: Route, values: Mapping[str, Any]) -> list[HandlingChange]:
    """Set values of a route in memory; what changed, in the order of the form. Raises ValidationError."""
    if unknown := sorted(values.keys() - set(Route.HANDLING)):
        raise ValidationError({name: _("There is no such setting of a route.") for name in unknown})
    changes = []
    for name in Route.HANDLING:
        before = getattr(route, name)
        if name in values and values[name] != before:
            setattr(route, name, values[name])
            label = str(Route._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
            changes.append(HandlingChange(name, label, before, values[name]))
    route.clean_fields(exclude=[field.name for field in Route._meta.fields if field.name not in values])
    return changes


def _shown(name: str, value: object) -> str:
    """A value as people read it."""
    if name == "probes":
        return str(Probes(str(value)).label)
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return _("default") if value is None else str(value)


def handling_in_words(value: object) -> str:
    """A value as the audit log shows it."""
    return "default" if value in (None, "") else str(value)


def handling_from_words(name: str, words: str) -> Any:
    """The value of a setting that the audit log shows so."""
    if words == "default":
        return "" if name == "probes" else None
    return Route._meta.get_field(name).to_python(words)  # type: ignore[union-attr]
