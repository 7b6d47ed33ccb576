"""What a field suggests while somebody types: rows that they may know of, by the beginning of a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from tenants.choices import MOST, as_options, is_key
from tenants.models import ApiKey, Membership, Project, Tenant, User
from tenants.permissions import signed_in
from tenants.prefix import begins_with
from tenants.views.mixins import TenantPageMixin

LONGEST: Final = 100  # characters of a beginning
Pairs = list[tuple[Any, Any]]


def _projects(user: User, tenant: Tenant, term: str, project: UUID | None) -> Pairs:
    found = Project.objects.visible_to(user).in_tenant(tenant)
    found = found.filter(begins_with(term, ["name", "slug"])) if term else found
    return list(found.order_by("name", "slug").values_list("slug", "name")[:MOST])


def _people(members: QuerySet[Membership], term: str) -> Pairs:
    found = members.filter(user__is_active=True)
    found = found.filter(begins_with(term, ["user__name", "user__email"])) if term else found
    rows = found.order_by("user__name", "user__email").values_list("user__email", "user__name")[:MOST]
    return [(email, name or email) for email, name in rows]


def _members(user: User, tenant: Tenant, term: str, project: UUID | None) -> Pairs:
    return _people(Membership.objects.visible_to(user).in_tenant(tenant), term)


def _service_accounts(user: User, tenant: Tenant, term: str, project: UUID | None) -> Pairs:
    members = Membership.objects.visible_to(user).in_tenant(tenant)
    return _people(members.filter(user__service_of=tenant), term)


def _keys(user: User, tenant: Tenant, term: str, project: UUID | None) -> Pairs:
    found = ApiKey.objects.visible_to(user).in_tenant(tenant).current().exclude(prefix="")
    found = found if project is None else found.filter(project=project)
    found = found.filter(begins_with(term, ["name", "prefix"])) if term else found
    return list(found.order_by("name", "prefix").values_list("prefix", "name")[:MOST])


KINDS: Final[dict[str, Callable[[User, Tenant, str, UUID | None], Pairs]]] = {
    "projects": _projects,
    "members": _members,
    "service-accounts": _service_accounts,
    "keys": _keys,
}


class Suggestions(TenantPageMixin):
    """Some of a tenant's projects, members, service accounts or keys (`in` a project), as options of a list."""

    def get(self, request: HttpRequest, *args: Any, kind: str, **kwargs: Any) -> HttpResponse:
        if kind not in KINDS:
            raise Http404
        within = request.GET.get("in", "")
        project = UUID(within) if is_key(within) else None
        found = KINDS[kind](signed_in(request), self.tenant, term_of(request), project)
        return HttpResponse(as_options(found))


@login_required
def tenant_suggestions(request: HttpRequest) -> HttpResponse:
    """Some of the tenants that the person may open, as options of a list."""
    found = Tenant.objects.visible_to(signed_in(request))
    term = term_of(request)
    found = found.filter(begins_with(term, ["name", "slug"])) if term else found
    return HttpResponse(as_options(found.order_by("name", "slug").values_list("slug", "name")[:MOST]))


def term_of(request: HttpRequest) -> str:
    """What was typed so far: the value of the field that the address names with `of`, else of `q`."""
    return request.GET.get(request.GET.get("of", "q"), "").strip()[:LONGEST]
