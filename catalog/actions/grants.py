"""Revoking a grant, and taking one over whose owner has left."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.granted_keys import take_from_key
from catalog.grant_notices import tell_of_revoked
from catalog.grant_owners import hand_over_locked, may_own
from catalog.models import Grant, RequestItem
from core.errors import Conflict
from core.names import read_field
from tenants.revision import raise_revision
from tenants.status import in_active_tenant
from tenants.suspension import lock_new_owner


def require_not_over(by: User | None, grant: Grant) -> None:
    """Raise Conflict if the grant is revoked or has ended."""
    if grant.revoked_at is not None:
        raise Conflict(_("This grant is already revoked."), code="already_revoked")
    if grant.valid_until <= now():
        raise Conflict(_("This grant has ended; there is nothing left to change."), code="ended")


@action(Grant, permission="tenants.revoke_key", on=lambda grant: grant.project, state=require_not_over)
@transaction.atomic
def revoke_grant(pk: UUID | str, *, by: User, reason: str) -> Grant:
    """End a grant now; gateways refuse the model from the next revision on. Its owner and holders of its key are told.

    Its key loses the model, and is revoked if it has no other. Limits that came with it stay: a limit gives no access,
    and without it a later grant would allow more than before.

    Args:
        pk: id of the grant.
        by: who revokes it.
        reason: at most 500 characters; the tenant's people read it.

    Raises:
        Grant.DoesNotExist: `by` cannot see such a grant.
        PermissionDenied: `by` may not revoke here.
        Conflict: the grant has already been revoked or has ended.
        ValidationError: no reason.
    """
    grant = _lock_grant(pk, by)
    revoke_grant.require(by, grant)
    reason = read_field(
        "reason",
        reason,
        missing=_("Give a reason. People who use the model in this project read it."),
        longest=Grant.LONGEST_REASON,
        is_line=True,
    )
    revoke_locked_grant(grant, actor=by, reason=reason)
    tell_of_revoked(grant, by=by)
    keys = take_from_key(grant, actor=by, reason=reason)
    raise_revision(projects=[grant.project_id], keys=keys)
    return grant


def revoke_locked_grant(grant: Grant, *, actor: User | None, reason: str) -> None:
    """End a grant that the caller has locked.

    The caller then takes the model from its key, and raises the revision once for all grants.
    """
    grant.revoked_at, grant.revoked_by, grant.revoked_reason = now(), actor, reason
    grant.save(update_fields=["revoked_at", "revoked_by", "revoked_reason"])
    audit.record("grant.revoked", actor=actor, subject=grant, model=grant.model.name, reason=reason)


def lock_renewed(items: list[RequestItem]) -> list[Grant]:
    """Lock the grants that items renew, in one order. The caller has locked the request, or is making it.

    Raises Conflict if one was revoked meanwhile: its renewal would bring it back.
    """
    pks = [item.renews_id for item in items if item.renews_id]
    renewed = Grant.objects.across_tenants().filter(pk__in=pks).select_related("tenant", "project", "model")
    grants = list(renewed.select_for_update(of=("self",)).order_by("pk"))
    for grant in grants:
        if grant.revoked_at is not None:
            raise Conflict(
                _(
                    "The access to %(model)s that this request renews was revoked. Whoever still needs it asks anew."
                )
                % {"model": grant.model.title},
                code="renewed_grant_revoked",
            )
    return grants


def end_renewed(grants: list[Grant], *, at: datetime, by: User | None) -> None:
    """End the grants that approved items renew, unless they are over. The caller raises the revision.

    Args:
        grants: locked (`lock_renewed`).
        at: when the new grants begin.
        by: who approved; None: the rules.
    """
    for grant in grants:
        if grant.is_over:
            continue
        changes = {"valid_until": (grant.valid_until, at)}
        grant.valid_until = at
        grant.save(update_fields=["valid_until"])
        audit.record("grant.renewed", actor=by, subject=grant, model=grant.model.name, changes=changes)


def _require_free_or_manager(by: User, grant: Grant) -> None:
    """Raise PermissionDenied unless `by` may become the owner: whoever may ask, if nobody answers for the grant now."""
    if not may_own(by, grant.project):
        raise PermissionDenied(
            _("A member who may request access in %(project)s answers for its grants.")
            % {"project": grant.project.name}
        )
    is_free = grant.owner_id in (None, by.pk) or grant.suspended_at is not None
    if not is_free and not by.has_perm("tenants.manage_members", grant.tenant):
        raise PermissionDenied(
            _("%(owner)s answers for this grant. They, an owner or an admin decide who does.")
            % {"owner": grant.owner}
        )


def _require_takable(by: User | None, grant: Grant) -> None:
    in_active_tenant(by, grant)
    require_not_over(by, grant)
    if by is not None and grant.owner_id == by.pk and grant.suspended_at is None:
        raise Conflict(_("You already answer for this grant."), code="already_yours")


@action(
    Grant,
    permission="tenants.request_access",
    on=lambda grant: grant.project,
    rule=_require_free_or_manager,
    state=_require_takable,
)
@transaction.atomic
def take_over_grant(pk: UUID | str, *, by: User) -> Grant:
    """Become the owner of a grant, and resume it if it is suspended: gateways accept its calls from the next revision.

    Raises:
        Grant.DoesNotExist: `by` cannot see such a grant.
        PermissionDenied: `by` may not request access in its project as a member, or somebody else answers for it and
            `by` does not manage members.
        Conflict: it is over, `by` already answers for it, or the tenant is not active.
    """
    # Until commit, nobody takes the right away from `by`.
    lock_new_owner(by)
    grant = _lock_grant(pk, by)
    take_over_grant.require(by, grant)
    was_suspended = grant.suspended_at is not None
    hand_over_locked(grant, grant.owner, by, actor=by)
    if was_suspended:
        raise_revision(projects=[grant.project_id])
    return grant


def _lock_grant(pk: UUID | str, by: User) -> Grant:
    return (
        Grant.objects.visible_to(by)
        .select_for_update(of=("self",))
        .select_related("tenant", "project__tenant", "model", "item__key", "owner")
        .get(pk=pk)
    )
