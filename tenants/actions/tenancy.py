"""Tenants and projects."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from tenants import audit
from tenants.errors import Conflict
from tenants.models import Project, Tenant, User
from tenants.permissions import require
from tenants.roles import Role


@transaction.atomic
def create_tenant(*, by: User | None, slug: str, name: str, **fields: object) -> Tenant:
    """Create an active tenant with its role groups. `by` None means the platform (set-up, import).

    Raises:
        PermissionDenied: `by` may not create tenants.
        ValidationError: `fields` name a time zone that there is not; one such would stop every snapshot.
    """
    from tenants.actions.members import role_group  # which itself asks whether a tenant is active

    if by is not None:
        require(by, "tenants.manage_members")
    if fields.get("timezone", "UTC") not in available_timezones():
        raise ValidationError({"timezone": "Use an IANA name, such as Europe/Berlin."})
    tenant = Tenant.objects.create(slug=slug, name=name, **fields)
    for role in Role.values:
        role_group(tenant, role)
    audit.record("tenant.created", actor=by, subject=tenant)
    return tenant


@transaction.atomic
def create_project(tenant: Tenant, *, by: User | None, slug: str, name: str, **fields: object) -> Project:
    """Create a project in `tenant`."""
    if by is not None:
        require(by, "tenants.manage_members", tenant)
    project: Project = Project.objects.create(tenant=tenant, slug=slug, name=name, **fields)
    audit.record("project.created", actor=by, subject=project)
    return project


def require_active(tenant: Tenant) -> None:
    """Raise Conflict, with the reason and whom to ask, unless `tenant` is active; active, it stays so until commit.

    Every action that creates or decides something for a tenant calls this in its transaction, after it has
    asked for the permission and before it locks other rows: suspending waits for deeds that are under way, and
    whatever comes later finds the tenant suspended. (Order of locks: tenant, person, rows, revision.)
    """
    held = hold_tenant(tenant)
    if held.status != Tenant.Status.ACTIVE:
        raise Conflict(why_not_active(held), code="tenant_not_active")


def hold_tenant(tenant: Tenant) -> Tenant:
    """The tenant as it is now and stays until commit: whoever suspends or closes it waits. Others may hold it too."""
    return Tenant.objects.raw("SELECT * FROM tenants_tenant WHERE id = %s FOR SHARE", [tenant.pk])[0]


def why_not_active(tenant: Tenant) -> str:
    """What a suspended or closed tenant's people are told: the state, the reason, and whom to ask."""
    if tenant.status == Tenant.Status.CLOSED:
        return _("%(tenant)s is closed: nothing can be changed here any more.") % {"tenant": tenant.name}
    words = {
        "tenant": tenant.name,
        "because": tenant.suspended_because.rstrip(".") or _("no reason was noted"),
        "contact": settings.SUPPORT_CONTACT or _("the platform's operators"),
    }
    return _("%(tenant)s is suspended: %(because)s. Ask %(contact)s to resume it.") % words
