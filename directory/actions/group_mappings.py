"""The mappings by which directory groups give roles: begun, replaced, ended. Previews: directory/group_mappings.py."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from accounts.permissions import require
from core.errors import Conflict
from directory import group_mappings
from directory.models import GroupMapping
from directory.oidc import tasks
from tenants.actions.members import require_may_give
from tenants.models import Tenant


def draft_group_mapping(
    *, group: str, tenant: Tenant | None = None, role: str = "", staff_role: str = ""
) -> GroupMapping:
    """A rule that is not saved, to preview or to begin. Raises ValidationError unless it gives one role."""
    rule = GroupMapping(group=group, tenant=tenant, role=role, staff_role=staff_role)
    rule.clean_fields()
    if bool(tenant) == bool(staff_role) or bool(tenant) != bool(role):
        raise ValidationError(_("Choose a tenant with a role in it, or a staff role."))
    return rule


@transaction.atomic
def begin_group_mapping(rule: GroupMapping, *, by: User, ending: UUID | str | None = None) -> GroupMapping:
    """Let a drafted rule begin, in place of the rule `ending` if there is one. Its roles are given by a task.

    Raises:
        PermissionDenied: `by` may not write such a rule, or would give themselves a role by it.
        ValidationError: there is such a rule already.
        Conflict: the tenant is closed, the replaced mapping has ended already, or such a mapping begins at the same
            moment.
    """
    require_may_write(rule, by)
    if rule.tenant and rule.tenant.status == Tenant.Status.CLOSED:
        raise Conflict(
            _("%(tenant)s is closed; nobody gets a role there any more.") % {"tenant": rule.tenant}
        )
    old = GroupMapping.objects.filter(pk=ending).first() if ending else None
    for change in group_mappings.preview(beginning=rule, ending=old):
        if change.person.pk == by.pk and not change.kept and not change.is_loss:
            raise PermissionDenied(
                _("You cannot create a mapping that gives you a role. Ask another administrator.")
            )
    if ending:
        _end(ending, by)
    rule.validate_constraints()
    rule.begun_by = by
    try:
        with transaction.atomic():
            rule.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(_("Someone else has just created a mapping for this group.")) from error
    audit.record("group_mapping.begun", actor=by, subject=rule, tenant=rule.tenant, **_facts(rule))
    tasks.apply_group_mapping.delay_on_commit(str(rule.pk))  # type: ignore[attr-defined]
    return rule


@transaction.atomic
def end_group_mapping(pk: UUID | str, *, by: User) -> GroupMapping:
    """End a rule; a task takes away what it gave.

    Raises:
        GroupMapping.DoesNotExist: there is no such rule.
        PermissionDenied: `by` may not write such a rule.
        Conflict: it has ended already.
    """
    return _end(pk, by)


def require_may_write(rule: GroupMapping, by: User) -> None:
    """Raise PermissionDenied unless `by` may decide about what the rule gives."""
    if rule.tenant is None:
        require(by, "accounts.appoint_staff")
    else:
        require(by, "tenants.manage_members")
        require_may_give(by, rule.tenant, rule.role)


def _end(pk: UUID | str, by: User) -> GroupMapping:
    rule = GroupMapping.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=pk)
    require_may_write(rule, by)
    if rule.ended_at is not None:
        raise Conflict(_("This mapping has ended already."))
    rule.ended_at, rule.applied_at = now(), None
    rule.save(update_fields=["ended_at", "applied_at"])
    audit.record("group_mapping.ended", actor=by, subject=rule, tenant=rule.tenant, **_facts(rule))
    tasks.apply_group_mapping.delay_on_commit(str(rule.pk))  # type: ignore[attr-defined]
    return rule


def _facts(rule: GroupMapping) -> dict[str, Any]:
    return {"group": rule.group, "role": rule.role or rule.staff_role}
