"""What the search in the top bar finds of a tenant: its projects, keys and members, and the reader's other tenants."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.palette import MOST, Finder, Hit
from core.prefix import begins_with
from tenants.models import ApiKey, Membership, Project, Tenant


def _projects(user: User, tenant: Tenant, term: str) -> Iterable[Hit]:
    found = Project.objects.visible_to(user).in_tenant(tenant).filter(begins_with(term, ["name", "slug"]))
    for project in found.order_by("name", "slug")[:MOST]:
        yield Hit(project.name, reverse("project-limits", args=[tenant.slug, project.pk]), project.slug)


def _keys(user: User, tenant: Tenant, term: str) -> Iterable[Hit]:
    found = (
        ApiKey.objects.visible_to(user)
        .in_tenant(tenant)
        .current()
        .filter(begins_with(term, ["name", "prefix"]))
    )
    for key in found.select_related("project").order_by("name", "prefix")[:MOST]:
        place = f"{reverse('key-list', args=[tenant.slug])}?{urlencode({'q': key.prefix or key.name})}"
        yield Hit(key.name, place, f"{key.prefix} · {key.project.name}" if key.prefix else key.project.name)


def _members(user: User, tenant: Tenant, term: str) -> Iterable[Hit]:
    found = Membership.objects.visible_to(user).in_tenant(tenant).filter(user__is_active=True)
    found = found.filter(begins_with(term, ["user__name", "user__email"])).select_related("user")
    for member in found.order_by("user__name", "user__email")[:MOST]:
        place = reverse("member-detail", args=[tenant.slug, member.pk])
        yield Hit(member.user.name or member.user.email, place, member.user.email)


def _tenants(user: User, tenant: Tenant, term: str) -> Iterable[Hit]:
    found = Tenant.objects.visible_to(user).exclude(pk=tenant.pk).filter(begins_with(term, ["name", "slug"]))
    for other in found.order_by("name", "slug")[:MOST]:
        yield Hit(other.name, reverse("tenant-home", args=[other.slug]), other.slug)


FINDERS = [
    Finder(_("Keys"), "key", 3, _keys),
    Finder(_("Projects"), "folder", 4, _projects),
    Finder(_("Members"), "users", 5, _members),
    Finder(_("Tenants"), "building", 6, _tenants),
]
