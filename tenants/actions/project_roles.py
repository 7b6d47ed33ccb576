"""A member's role in one project: narrower or wider than their role in the tenant."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from tenants.actions.members import lock_members_of, require_other
from tenants.models import Membership, Project, ProjectRole
from tenants.roles import NEVER_NARROWED, PROJECT_ROLES, Role
from tenants.status import in_active_tenant
from tenants.stored_sentences import NO_ROLE_OF_THEIR_OWN, ROLE_IS_NOW
from tenants.suspension import follow_role


def _require_other(by: User, given: ProjectRole) -> None:
    # Without a membership, the form does not yet name the member.
    if given.membership_id is not None:
        require_other(by, given.membership.user)


@action(
    ProjectRole,
    permission="tenants.manage_members",
    on=lambda given: given.tenant,
    rule=_require_other,
    state=in_active_tenant,
)
@transaction.atomic
def set_project_role(
    project_pk: UUID | str, membership_pk: UUID | str, role: str | None, *, by: User
) -> ProjectRole | None:
    """Give a member of the tenant a role in one project; None removes it, and the tenant role applies again.

    It decides what they may do with the project's requests, keys and limits. It does not change what they see, or what
    they may do in the tenant. It takes effect at their next request. Keys of the project that it does not let them
    hold are suspended on every gateway within seconds, until a role allows them again. Safe to repeat.

    Args:
        project_pk: id of the project.
        membership_pk: id of the membership in the project's tenant.
        role: the role; None means no project role.
        by: owner, admin or operator.

    Raises:
        Project.DoesNotExist, Membership.DoesNotExist: `by` cannot see such a project, or it has no such member.
        PermissionDenied: `by` may not manage members of the tenant, or the member is `by`.
        Conflict: the member is an owner or admin of the tenant, whose role no project narrows, or the tenant is not
            active.
        ValidationError: projects have no role `role`.
    """
    project = Project.objects.visible_to(by).select_related("tenant").get(pk=project_pk)
    project.tenant = lock_members_of(project.tenant_id)
    member = (
        Membership.objects.visible_to(by)
        .in_tenant(project.tenant)
        .select_for_update(of=("self",))
        .select_related("user")
        .get(pk=membership_pk)
    )
    set_project_role.require(by, ProjectRole(tenant=project.tenant, project=project, membership=member))
    if role is not None and member.role in NEVER_NARROWED:
        raise Conflict(
            _(
                "%(name)s is %(role)s of %(tenant)s and may do everything in all its projects. Change that role first."
            )
            % {"name": member.user, "role": Role(member.role).label.lower(), "tenant": project.tenant},
            code="never_narrowed",
        )
    if role is not None and role not in PROJECT_ROLES:
        raise ValidationError({"role": _("Choose one of: %(roles)s.") % {"roles": ", ".join(PROJECT_ROLES)}})

    existing = (
        ProjectRole.objects.in_tenant(project.tenant).filter(membership=member, project=project).first()
    )
    before = existing.role if existing else None
    if before == role:
        return existing
    said: dict[str, Any] = {"actor": by, "subject": project, "user": member.user.email, "before": before}
    if role is None:
        assert existing is not None
        existing.delete()
        existing = None
        audit.record("project_role.taken", **said)
        reason = NO_ROLE_OF_THEIR_OWN(place=project)
    else:
        if existing is None:
            existing = ProjectRole.objects.create(
                tenant=project.tenant, membership=member, project=project, role=role
            )
        else:
            existing.role = role
            existing.save(update_fields=["role"])
        audit.record("project_role.changed" if before else "project_role.given", role=role, **said)
        reason = ROLE_IS_NOW(place=project, role=Role(role).value)
    follow_role(member.user, project.tenant, project=project, reason=reason, by=by)
    return existing
