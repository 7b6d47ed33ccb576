"""Creating and changing projects. Their slug is permanent, because keys, limits and costs refer to it."""

from __future__ import annotations

from copy import copy
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from audit.recording import require_no_secret
from core.editing import assign
from core.errors import Conflict
from tenants.models import Membership, Project, Tenant
from tenants.status import in_active_tenant, lock_tenant_shared


@action(Tenant, permission="tenants.manage_projects", on=lambda tenant: tenant, state=in_active_tenant)
@transaction.atomic
def create_project(tenant: Tenant, *, by: User | None, slug: str, name: str, **fields: Any) -> Project:
    """Create a project in `tenant`; `fields` are from `Project.EDITABLE`. `by` None means the platform (setup, import).

    Args:
        tenant: the tenant.
        by: owner, admin or operator; None means the platform.
        slug: permanent name in addresses.
        name: name on pages.

    Raises:
        PermissionDenied: `by` may not manage projects here. Conflict: the tenant is not active, or already has a
        project with this slug. ValidationError: by field; an owner who is not a member, a slug that is a key or token.
    """
    tenant = lock_tenant_shared(tenant)
    create_project.require(by, tenant)
    project = Project(tenant=tenant, slug=slug)
    assign(project, {"name": name, **fields})
    _clean(project)
    try:
        with transaction.atomic():
            project.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            _("%(tenant)s already has a project with the slug %(slug)s. Choose another one.")
            % {"tenant": tenant.name, "slug": slug},
            code="slug_taken",
        ) from error
    audit.record("project.created", actor=by, subject=project)
    return project


@action(Project, permission="tenants.manage_projects", on=lambda project: project, state=in_active_tenant)
@transaction.atomic
def change_project(pk: UUID | str, *, by: User, **fields: Any) -> Project:
    """Change some of `Project.EDITABLE` (owner None: nobody). Omitted fields stay.

    Raises:
        Project.DoesNotExist: `by` cannot see such a project. PermissionDenied: `by` may not manage it.
        Conflict: its tenant is not active. ValidationError: by field; a new owner who is not an active member.
    """
    found = Project.objects.visible_to(by).select_related("tenant").get(pk=pk)
    found.tenant = lock_tenant_shared(found.tenant)
    change_project.require(by, found)
    project = (
        Project.objects.in_tenant(found.tenant)
        .select_related("owner", "tenant")
        .select_for_update(of=("self",))
        .get(pk=pk)
    )
    before = copy(project)
    assign(project, fields)
    _clean(project, owner_before=before.owner)
    if changes := audit.difference(_facts(before), _facts(project), Project.EDITABLE):
        project.save(update_fields=list(changes))
        audit.record("project.changed", actor=by, subject=project, changes=changes)
    return project


def _facts(project: Project) -> dict[str, Any]:
    """Return what can be changed, in the words of the audit log: the owner is their address."""
    facts = {name: getattr(project, name) for name in Project.EDITABLE}
    return facts | {"owner": project.owner.email if project.owner else None}


def _clean(project: Project, *, owner_before: User | None = None) -> None:
    """Normalize the fields. An owner who stays may be disabled. Raises ValidationError by field."""
    problems: dict[str, Any] = {}
    try:
        project.clean_fields(exclude=["tenant", "owner"])
    except ValidationError as error:
        problems |= error.error_dict
    if project._state.adding:
        try:
            # It would be on pages, in reports and in the logs of gateways.
            require_no_secret(project.slug)
        except ValidationError as error:
            problems["slug"] = error
    owner = project.owner
    if owner is not None and owner != owner_before and not _is_member(project.tenant, owner):
        problems["owner"] = _("Choose a member of %(tenant)s.") % {"tenant": project.tenant.name}
    if problems:
        raise ValidationError(problems)


def _is_member(tenant: Tenant, user: User) -> bool:
    return bool(Membership.objects.in_tenant(tenant).filter(user=user, user__is_active=True).exists())
