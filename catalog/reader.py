"""Who looks at the catalog: which models they may call, asked for, may ask for, and which answer them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from django.db.models import Q

from accounts.models import User
from catalog.actions.access_requests import raise_access_request
from catalog.mix import Mix
from catalog.models import CatalogModel, Grant, RequestItem
from catalog.serving import answered, reach_of, servable_modes, within
from tenants.models import Project, Tenant
from tenants.permissions import may_somewhere
from tenants.views.mixins import not_shown


class Reader:
    """`user` in `tenants`, or in one `project` of the only tenant. Its conditions are on models."""

    def __init__(
        self, user: User, tenants: Sequence[Tenant], project: Project | None = None, *, mix: Mix | None = None
    ) -> None:
        self.user, self.tenants, self.project, self.mix = user, tenants, project, mix or Mix()
        scope = Q(tenant__in=tenants) & (Q(project=project) if project else Q())
        self._grants = Grant.objects.visible_to(user).in_force().without_lapsed_keys().filter(scope)
        self._requests = RequestItem.objects.visible_to(user).filter(scope, is_open=True)
        self.granted = Q(pk__in=self._grants.values("model"))
        self.waiting = Q(pk__in=self._requests.values("model"))

    @cached_property
    def served(self) -> Q:
        """The condition that calls get an answer now: with the data of a grant, else of a request, else with any."""
        reach = reach_of(self.tenants)
        found = Q(pk__in=self._grants.filter(answered(reach)).values("model"))
        anywhere = set()
        for tenant in self.tenants:
            theirs = reach.get(tenant.pk, {})
            asked = self._requests.filter(within(theirs, "data_class"), tenant=tenant).values("model")
            found |= ~self.granted & Q(pk__in=asked)
            anywhere |= set(theirs)
        return found | ~self.granted & ~self.waiting & Q(pk__in=sorted(anywhere))

    @cached_property
    def requestable(self) -> Q:
        """The condition that a project of theirs may ask for a model that it neither has nor asked for."""
        possible = Q(pk__in=[])
        for tenant in self.tenants:
            may_ask = tenant.status == Tenant.Status.ACTIVE and (
                raise_access_request.is_permitted(self.user, self.project)
                if self.project
                else may_somewhere(self.user, raise_access_request.permission, tenant)
            )
            if may_ask:
                nearby = Q(hosting=CatalogModel.Hosting.OURS) | Q(places__overlap=list(tenant.regions))
                possible |= nearby if tenant.regions else Q(pk__isnull=False)
        return possible & Q(mode__in=sorted(servable_modes()))

    @cached_property
    def sees_access(self) -> bool:
        """Who sees no grants would read that nobody may use any model."""
        return all(not not_shown(self.user, tenant, Grant) for tenant in self.tenants)
