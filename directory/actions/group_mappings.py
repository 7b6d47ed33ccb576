"""Create, replace and end the mappings from directory groups to roles. Previews are in directory/group_mappings.py."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from directory import group_mappings
from directory.models import GroupMapping
from directory.oidc import tasks
from tenants.actions.members import require_may_give
from tenants.models import Tenant


def draft_group_mapping(
    *, group: str, tenant: Tenant | None = None, role: str = "", staff_role: str = ""
) -> GroupMapping:
    """Return an unsaved mapping, to preview or to begin. Raises ValidationError unless it gives exactly one role.

    Args:
        group: name of the group, exactly as the directory writes it.
        tenant: tenant of the role; None for a staff role.
        role: role in the tenant; empty for a staff role.
        staff_role: staff role; empty for a role in a tenant.
    """
    mapping = GroupMapping(group=group, tenant=tenant, role=role, staff_role=staff_role)
    mapping.clean_fields()
    if bool(tenant) == bool(staff_role) or bool(tenant) != bool(role):
        raise ValidationError(_("Choose a tenant with a role in it, or a staff role."))
    return mapping


def _permission_for(by: User, mapping: GroupMapping) -> str:
    return "accounts.assign_staff_role" if mapping.tenant is None else "tenants.manage_members"


def _require_may_give(by: User, mapping: GroupMapping) -> None:
    if mapping.tenant is not None:
        require_may_give(by, mapping.tenant, mapping.role)


def _require_open_tenant(by: User | None, mapping: GroupMapping) -> None:
    if mapping.tenant and mapping.tenant.status == Tenant.Status.CLOSED:
        raise Conflict(_("%(tenant)s is closed; nobody can get a role there.") % {"tenant": mapping.tenant})


@action(
    GroupMapping,
    permission=("tenants.manage_members", "accounts.assign_staff_role"),
    which=_permission_for,
    rule=_require_may_give,
    state=_require_open_tenant,
)
@transaction.atomic
def begin_group_mapping(mapping: GroupMapping, *, by: User, ending: UUID | str | None = None) -> GroupMapping:
    """Begin a drafted mapping, in place of the mapping `ending` if given. A task gives its roles.

    Raises:
        PermissionDenied: `by` may not create such a mapping, or would get a role from it.
        ValidationError: the same mapping already exists.
        Conflict: the tenant is closed, the replaced mapping has already ended, or someone else has just created the
            same mapping.
    """
    begin_group_mapping.require(by, mapping)
    old = GroupMapping.objects.filter(pk=ending).first() if ending else None
    for change in group_mappings.preview(beginning=mapping, ending=old):
        if change.person.pk == by.pk and not change.kept and not change.is_loss:
            raise PermissionDenied(
                _("You cannot create a mapping that gives you a role. Ask another administrator.")
            )
    if ending:
        _end(ending, by)
    mapping.validate_constraints()
    mapping.created_by = by
    try:
        with transaction.atomic():
            mapping.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(_("Someone else has just created a mapping for this group.")) from error
    audit.record("group_mapping.begun", actor=by, subject=mapping, tenant=mapping.tenant, **_facts(mapping))
    tasks.apply_group_mapping.delay_on_commit(str(mapping.pk))  # type: ignore[attr-defined]
    return mapping


def _require_in_force(by: User | None, mapping: GroupMapping) -> None:
    if mapping.ended_at is not None:
        raise Conflict(_("This mapping has already ended."))


@action(
    GroupMapping,
    permission=("tenants.manage_members", "accounts.assign_staff_role"),
    which=_permission_for,
    rule=_require_may_give,
    state=_require_in_force,
)
@transaction.atomic
def end_group_mapping(pk: UUID | str, *, by: User) -> GroupMapping:
    """End a mapping; a task removes the roles that it gave.

    Raises:
        GroupMapping.DoesNotExist: there is no such mapping.
        PermissionDenied: `by` may not end such a mapping.
        Conflict: it has already ended.
    """
    return _end(pk, by)


def _end(pk: UUID | str, by: User) -> GroupMapping:
    mapping = GroupMapping.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=pk)
    end_group_mapping.require(by, mapping)
    mapping.ended_at, mapping.applied_at = now(), None
    mapping.save(update_fields=["ended_at", "applied_at"])
    audit.record("group_mapping.ended", actor=by, subject=mapping, tenant=mapping.tenant, **_facts(mapping))
    tasks.apply_group_mapping.delay_on_commit(str(mapping.pk))  # type: ignore[attr-defined]
    return mapping


def _facts(mapping: GroupMapping) -> dict[str, Any]:
    return {"group": mapping.group, "role": mapping.role or mapping.staff_role}
