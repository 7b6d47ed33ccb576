"""What a field suggests while a person types: rows they may know of, by the beginning of a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from accounts.models import User
from accounts.permissions import signed_in
from core.choices import MOST, as_options
from core.ids import is_uuid
from core.prefix import begins_with
from tenants.actions import claim_api_key
from tenants.limits import models_of
from tenants.models import ApiKey, Limit, Membership, Project, Tenant
from tenants.permissions import projects_where, service_accounts_where
from tenants.views.mixins import TenantPageMixin

# In characters, for the beginning of a name.
LONGEST: Final = 100
Pairs = list[tuple[Any, Any]]


def _by_slug(found: QuerySet[Any], term: str) -> Pairs:
    found = found.filter(begins_with(term, ["name", "slug"])) if term else found
    return list(found.order_by("name", "slug").values_list("slug", "name")[:MOST])


def _projects(user: User, tenant: Tenant, term: str, within: UUID | None) -> Pairs:
    return _by_slug(Project.objects.visible_to(user).in_tenant(tenant), term)


def _askable_projects(user: User, tenant: Tenant, term: str, within: UUID | None) -> Pairs:
    return _by_slug(projects_where(user, "tenants.request_access", tenant), term)


def _people(members: QuerySet[Membership], term: str) -> Pairs:
    found = members.filter(user__is_active=True)
    found = found.filter(begins_with(term, ["user__name", "user__email"])) if term else found
    rows = found.order_by("user__name", "user__email").values_list("user__email", "user__name")[:MOST]
    return [(email, name or email) for email, name in rows]


def _members(user: User, tenant: Tenant, term: str, within: UUID | None) -> Pairs:
    return _people(Membership.objects.visible_to(user).in_tenant(tenant), term)


def _new_owners(user: User, tenant: Tenant, term: str, within: UUID | None) -> Pairs:
    members = Membership.objects.visible_to(user).in_tenant(tenant)
    return _people(members.exclude(pk=within) if within else members, term)


def _service_accounts(user: User, tenant: Tenant, term: str, within: UUID | None) -> Pairs:
    members = Membership.objects.visible_to(user).in_tenant(tenant).filter(user__service_of=tenant)
    # Only accounts that may hold keys of this project.
    if within is not None:
        here = Project.objects.visible_to(user).in_tenant(tenant).filter(pk=within).first()
        holders = service_accounts_where(claim_api_key.permission, here) if here else User.objects.none()
        members = members.filter(user__in=holders)
    return _people(members, term)


def _keys(user: User, tenant: Tenant, term: str, within: UUID | None) -> Pairs:
    found = ApiKey.objects.visible_to(user).in_tenant(tenant).current().exclude(prefix="")
    found = found if within is None else found.filter(project=within)
    found = found.filter(begins_with(term, ["name", "prefix"])) if term else found
    return list(found.order_by("name", "prefix").values_list("prefix", "name")[:MOST])


def _models(user: User, tenant: Tenant, term: str, within: UUID | None) -> Pairs:
    is_member = user.own_tenants().filter(tenant=tenant).exists()
    if not (is_member or user.is_superuser or user.staff_roles & Limit.visible_to_staff):
        return []
    projects = Project.objects.visible_to(user).in_tenant(tenant)
    project = projects.filter(pk=within).first() if within else None
    names = models_of(project) if project else []
    found = [name for name in names if name.startswith((term, term.lower()))]
    return [(name, name) for name in found[:MOST]]


Kind = Callable[[User, Tenant, str, "UUID | None"], Pairs]
# Other apps add theirs with `register`.
KINDS: Final[dict[str, Kind]] = {
    "projects": _projects,
    "askable-projects": _askable_projects,
    "members": _members,
    "new-owners": _new_owners,
    "service-accounts": _service_accounts,
    "keys": _keys,
    "models": _models,
}


def register(name: str, kind: Kind) -> None:
    """Let fields be filled from the suggestions of another app. `name` is in their address."""
    KINDS[name] = kind


AMONG: Final[dict[str, Callable[[User, QuerySet[Tenant]], QuerySet[Tenant]]]] = {
    "": lambda user, tenants: tenants,
    "own": lambda user, tenants: tenants.filter(pk__in=user.own_tenants()),
    "open": lambda user, tenants: tenants.exclude(status="closed"),
}


class Suggestions(TenantPageMixin):
    """Some of a tenant's projects, members, service accounts, keys or models, as options of a list.

    `in` is an id. With a project's id, the suggestions are its keys, the models of its keys, or service accounts that
    may hold its keys. For new owners it is the id of the departing member.
    """

    def get(self, request: HttpRequest, *args: Any, kind: str, **kwargs: Any) -> HttpResponse:
        if kind not in KINDS:
            raise Http404
        said = request.GET.get("in", "")
        within = UUID(said) if is_uuid(said) else None
        found = KINDS[kind](signed_in(request), self.tenant, term_of(request), within)
        return HttpResponse(as_options(found))


@login_required
def tenant_suggestions(request: HttpRequest) -> HttpResponse:
    """Suggest some of the tenants that the person may open, as options of a list; `among` narrows them for a form."""
    user, among = signed_in(request), request.GET.get("among", "")
    if among not in AMONG:
        raise Http404
    found = AMONG[among](user, Tenant.objects.visible_to(user))
    return HttpResponse(as_options(_by_slug(found, term_of(request))))


def term_of(request: HttpRequest) -> str:
    """Return what was typed so far: the value of the field that the address names with `of`, else of `q`."""
    return request.GET.get(request.GET.get("of", "q"), "").strip()[:LONGEST]
