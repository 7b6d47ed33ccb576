"""Routing a provider's models to it, many at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Exists, OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.declared import action
from accounts.models import User
from deployments.models import Provider, ProviderModel, RouteEntry, Target
from deployments.provider_declared import lock_provider
from deployments.routes import change_route, make_routable, plan_with, route_of

MOST_AT_ONCE = 50


@dataclass(frozen=True)
class Routable:
    """A model of a provider that its catalog model's route does not have yet."""

    row: ProviderModel
    # Targets that the route has already.
    others: int

    @property
    def effect(self) -> str:
        """What routing it changes, in words."""
        if not self.others:
            return _("nothing serves it now")
        return ngettext(
            "beside %(count)d target, with weight 1", "beside %(count)d targets, with weight 1", self.others
        ) % {"count": self.others}


def routable_models(provider: Provider, *, most: int = MOST_AT_ONCE) -> list[Routable]:
    """Models of a provider that could be routed: matched with the catalog, listed, and in no route. One query."""
    entries = RouteEntry.objects.filter(target__provider_model=OuterRef("pk"))
    rows = (
        ProviderModel.objects.filter(~Exists(entries), provider=provider, model__isnull=False)
        .select_related("model", "provider")
        .annotate(others=Count("model__route__entries"))
        .order_by("name", "pk")
    )
    found = (row for row in rows.iterator(chunk_size=500) if row.is_listed)
    return [Routable(row, row.others) for row, _number in zip(found, range(most), strict=False)]


@action(Provider, permission="deployments.manage_route")
@transaction.atomic
def route_provider_models(
    pk: UUID | str, models: Collection[UUID | str], *, by: User
) -> Sequence[ProviderModel]:
    """Let a provider serve these of its models too: each joins its catalog model's route with weight 1, order 0.

    All or none. A model that is in its route already stays as it is. Gateways follow within seconds.

    Args:
        pk: id of the provider.
        models: ids of its models, at most MOST_AT_ONCE.
        by: who routes them.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not change routes.
        ValidationError: no model, too many, one of another provider, or one that is not matched with the catalog.
        Conflict: somebody changed one of the routes at the same moment.
    """
    provider = lock_provider(pk, by)
    route_provider_models.require(by, provider)
    wanted = {str(one) for one in models}
    if not wanted or len(wanted) > MOST_AT_ONCE:
        raise ValidationError({"models": _("Choose 1 to %(most)d models.") % {"most": MOST_AT_ONCE}})
    rows = list(
        ProviderModel.objects.filter(provider=provider, pk__in=wanted)
        .select_related("model", "provider")
        .order_by("name", "pk")
    )
    if len(rows) < len(wanted):
        raise ValidationError({"models": _("%(provider)s has no such model.") % {"provider": provider}})
    if unmatched := [row.name for row in rows if row.model is None]:
        message = _("%(name)s is not matched with a model of the catalog. Match it first.")
        raise ValidationError({"models": message % {"name": unmatched[0]}})
    make_routable(rows)
    targets = {one.provider_model_id: one for one in Target.objects.filter(provider_model__in=rows)}
    for row in rows:
        assert row.model is not None
        route, target = route_of(row.model), targets[row.pk]
        if not route.entries.filter(target=target).exists():
            change_route(route.pk, plan_with(route, target), based_on=route.generation, by=by)
    return rows
