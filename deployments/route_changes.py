"""What all changes of a route share: its lock, the generation that a person looked at, and saving the next one."""

from __future__ import annotations

from uuid import UUID

from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.models import User
from core.errors import Conflict
from deployments.models import Route
from tenants.revision import raise_revision


def lock_route(pk: UUID | str, by: User | None) -> Route:
    """The route with its models, locked. Raises Route.DoesNotExist if `by` cannot see it; None sees all."""
    routes = Route.objects.all() if by is None else Route.objects.visible_to(by)
    return routes.select_for_update(of=("self",)).select_related("model", "degrades_to").get(pk=pk)


def require_generation(route: Route, based_on: int) -> None:
    """Raise Conflict (`route_changed`) if someone changed the route since the generation `based_on`."""
    if route.generation != based_on:
        raise Conflict(
            _("Someone else changed this route first. Reload to see its current state."), code="route_changed"
        )


def save_next_generation(route: Route, *names: str) -> None:
    """Save the named fields of a locked route as its next generation, and tell gateways."""
    route.generation, route.changed_at = route.generation + 1, now()
    route.revision = raise_revision(routing=True)
    route.save(update_fields=["generation", "changed_at", "revision", *names])
