"""Tenants and projects."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import transaction

from tenants import audit
from tenants.models import Project, Tenant, User
from tenants.permissions import require
from tenants.role_groups import role_group
from tenants.roles import Role


@transaction.atomic
def create_tenant(*, by: User | None, slug: str, name: str, **fields: object) -> Tenant:
    """Create an active tenant with its role groups. `by` None means the platform (set-up, import).

    Raises:
        PermissionDenied: `by` may not create tenants.
        ValidationError: `fields` name a time zone that there is not; one such would stop every snapshot.
    """
    if by is not None:
        require(by, "tenants.create_tenant")
    if fields.get("timezone", "UTC") not in available_timezones():
        raise ValidationError({"timezone": "Use an IANA name, such as Europe/Berlin."})
    tenant = Tenant.objects.create(slug=slug, name=name, **fields)
    for role in Role.values:
        role_group(tenant, role)
    audit.record("tenant.created", actor=by, subject=tenant)
    return tenant


@transaction.atomic
def create_project(tenant: Tenant, *, by: User | None, slug: str, name: str, **fields: object) -> Project:
    """Create a project in `tenant`. Raises PermissionDenied unless `by` manages projects there."""
    if by is not None:
        require(by, "tenants.manage_projects", tenant)
    project: Project = Project.objects.create(tenant=tenant, slug=slug, name=name, **fields)
    audit.record("project.created", actor=by, subject=project)
    return project
