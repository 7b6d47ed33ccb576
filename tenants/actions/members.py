"""Who belongs to a tenant, and in which role.

Every change of roles locks the tenant first, so that changes take turns. Two owners who remove each other
therefore cannot leave the tenant without an owner. tenants/actions/owned_resources.py transfers what a departing
member owns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import Source, User
from core.errors import Conflict
from tenants.actions import owned_resources
from tenants.actions.tokens import revoke_tokens_issued_by
from tenants.models import Invitation, Membership, Tenant
from tenants.permissions import forget_permissions, permissions_in
from tenants.roles import ROLE_PERMISSIONS, Role
from tenants.status import in_active_tenant, in_open_tenant
from tenants.stored_sentences import ROLE_IS_NOW
from tenants.suspension import HOLDERS, follow_role


def may_give(actor: User, tenant: Tenant, role: str) -> bool:
    """Whether `actor` may give `role`: those who decide about owners may give any role, others up to their own."""
    if actor.has_perm("tenants.manage_owners", tenant):
        return True
    return role != Role.OWNER and ROLE_PERMISSIONS[role] <= permissions_in(actor, tenant)


def require_may_give(actor: User, tenant: Tenant, role: str) -> None:
    """Raise PermissionDenied, with an explanation, if `role` is above that of `actor`."""
    if role not in Role.values:
        raise ValueError(f"{role} is not a role. Choose one of {', '.join(Role.values)}.")
    if not may_give(actor, tenant, role):
        words = {"role": Role(role).label.lower()}
        raise PermissionDenied(
            _("Only an owner can decide about owners.")
            if role == Role.OWNER
            else _("The role %(role)s is above your own. Ask an owner.") % words
        )


def require_other(by: User, user: User) -> None:
    """Raise PermissionDenied if `by` would decide about their own role."""
    if by.pk == user.pk:
        raise PermissionDenied(_("You cannot change your own role; another owner or admin can."))


@action(
    Tenant,
    permission="tenants.manage_members",
    on=lambda tenant: tenant,
    state=in_active_tenant,
)
@transaction.atomic
def add_member(
    tenant: Tenant, user: User, role: str, *, by: User | None, source: str = Source.PERSON
) -> Membership:
    """Give `user` a role in `tenant`, replacing the one they have. Safe to repeat.

    Args:
        by: None means the platform itself: an import, a group mapping.
        source: where the membership comes from; people can change only memberships that people gave.

    Raises:
        PermissionDenied: `by` may not manage members here, has less than `role` themselves, or raises their own role;
            or `user` is a service account.
        Conflict: the tenant would have no owner, the role comes from a group mapping, or a person adds
            somebody while the tenant is not active.
    """
    locked = lock_members_of(tenant.pk)
    if user.is_service_account:
        _require_made_for(user, tenant, role, by)
    existing = (
        Membership.objects.in_tenant(tenant)
        .select_for_update(of=("self",))
        .select_related("user", "tenant")
        .filter(user=user)
        .first()
    )
    if by is not None:
        add_member.require_permission(by, locked)
        require_other(by, user)
        require_may_give(by, tenant, role)
        if existing:
            _require_by_hand(existing)
            require_may_give(by, tenant, existing.role)
        add_member.require(by, locked)
    if source == Source.PERSON:
        withdraw_open_invitations(tenant, Q(email=user.email), actor=by)
    return place_member(tenant, user, role, existing=existing, source=source, actor=by)


def _require_above(by: User, membership: Membership) -> None:
    require_other(by, membership.user)
    require_may_give(by, membership.tenant, membership.role)


def _require_changeable(by: User | None, membership: Membership) -> None:
    in_active_tenant(by, membership)
    _require_by_hand(membership)


@action(
    Membership,
    permission="tenants.manage_members",
    on=lambda membership: membership.tenant,
    rule=_require_above,
    state=_require_changeable,
)
@transaction.atomic
def change_role(pk: UUID | str, role: str, *, by: User) -> Membership:
    """Give a member another role. It takes effect at their next request. Safe to repeat.

    Keys that the new role does not let them hold are suspended on every gateway within seconds, until a role allows
    them again.

    Raises:
        Membership.DoesNotExist: `by` cannot see such a member.
        PermissionDenied: `by` may not manage members here, is this member, or has less than the old or new role.
        Conflict: they are the last owner, a group mapping gave the role, or the tenant is not active.
    """
    membership = _locked_membership(pk, by)
    change_role.require(by, membership)
    require_may_give(by, membership.tenant, role)
    if membership.user.is_service_account and role == Role.OWNER:
        raise PermissionDenied(_("A service account cannot be an owner: owners must be people."))
    withdraw_open_invitations(membership.tenant, Q(email=membership.user.email), actor=by)
    return place_member(
        membership.tenant, membership.user, role, existing=membership, source=Source.PERSON, actor=by
    )


def _may_remove(by: User, membership: Membership) -> None:
    if membership.user_id != by.pk:
        require_may_give(by, membership.tenant, membership.role)


def _require_removable(by: User | None, membership: Membership) -> None:
    in_open_tenant(by, membership)
    if membership.user.is_service_account:
        raise Conflict(_("%(who)s is a service account. Delete it instead.") % {"who": membership.user})
    _require_by_hand(membership)
    if membership.role == Role.OWNER:
        _keep_an_owner(membership)


@action(
    Membership,
    permission="tenants.manage_members",
    which=lambda by, membership: "" if membership.user_id == by.pk else "tenants.manage_members",
    on=lambda membership: membership.tenant,
    rule=_may_remove,
    state=_require_removable,
)
@transaction.atomic
def remove_member(
    pk: UUID | str, *, by: User, choices: Mapping[str, owned_resources.Choice] | None = None, reason: str = ""
) -> None:
    """End a membership at the member's next request, and transfer what they own there. Ending one's own means leaving.

    Tokens that they issued for the tenant's service accounts are revoked, because they know the secrets.

    Args:
        pk: id of the membership.
        reason: why, for the audit log.
        choices: for each kind of owned resources (`owned_resources_of`), the membership of the new owner, or END.

    Raises:
        Membership.DoesNotExist: `by` cannot see such a member.
        PermissionDenied: `by` is neither this member nor may remove them.
        Conflict: they are the last owner, a group mapping made them a member, it is a service account, or the tenant
            is closed.
        ValidationError: by kind; the choice is missing or not possible.
    """
    membership = _locked_membership(pk, by)
    remove_member.require(by, membership)
    tenant, user = membership.tenant, membership.user
    is_leaving = user.pk == by.pk
    settled = owned_resources.transfer(user, tenant, choices or {}, actor=by)
    revoked = revoke_tokens_issued_by(user, tenant, actor=by)
    withdraw_open_invitations(tenant, Q(email=user.email) | Q(invited_by=user), actor=by)
    audit.record(
        "membership.left" if is_leaving else "membership.removed",
        actor=by,
        subject=membership,
        user=user.email,
        reason=reason,
        settled=settled,
        revoked_tokens_of_service_accounts=revoked,
        changes={"role": (membership.role, None)},
    )
    end_membership(membership)


def place_member(
    tenant: Tenant,
    user: User,
    role: str,
    *,
    existing: Membership | None,
    source: str,
    actor: User | None,
    **details: Any,
) -> Membership:
    """Write a member's role and the audit entry. The caller has locked the tenant and checked permission.

    If a person gives the role, what the member owns follows it (`follow_role`).

    `details` are added to the audit entry.

    Args:
        tenant: the locked tenant.
        user: the member.
        role: the new role.
        existing: the current membership; None means a new member.
        source: `person` or `mapping`.
        actor: who gives the role; None means the platform.

    Raises Conflict if the tenant would be left without an owner.
    """
    if existing and (existing.role, existing.source) == (role, source):
        return existing
    before = (existing.role, existing.source) if existing else (None, None)
    if existing:
        if existing.role == Role.OWNER and role != Role.OWNER:
            _keep_an_owner(existing)
        existing.role, existing.source = role, source
        existing.save(update_fields=["role", "source"])
        if "manage_members" not in ROLE_PERMISSIONS[role]:
            withdraw_open_invitations(tenant, Q(invited_by=user), actor=actor)
    else:
        existing = Membership.objects.create(tenant=tenant, user=user, role=role, source=source)
    forget_permissions(user)
    audit.record(
        "membership.changed" if before[0] else "membership.added",
        actor=actor,
        subject=existing,
        user=user.email,
        role=role,
        changes={"role": (before[0], role), "source": (before[1], source)},
        **details,
    )
    # A mapping handles all tenants of its person together (directory/group_mappings.py).
    if source == Source.PERSON:
        reason = ROLE_IS_NOW(place=tenant, role=Role(role).value)
        follow_role(user, tenant, was_holder=before[0] in HOLDERS, reason=reason, by=actor)
    return existing


def end_membership(membership: Membership) -> None:
    """Delete the membership with its project roles, and so every right in the tenant. The caller records it."""
    membership.delete()
    forget_permissions(membership.user)


def lock_members_of(pk: UUID) -> Tenant:
    """Lock the tenant until commit, so that changes of members take turns. (Order: tenant, person, rows, revision.)"""
    return Tenant.objects.select_for_update(no_key=True).get(pk=pk)


def withdraw_open_invitations(tenant: Tenant, which: Q, *, actor: User | None) -> int:
    """Withdraw open invitations that a change of members made obsolete, and return how many."""
    overtaken = Invitation.objects.in_tenant(tenant).open().filter(which).select_for_update(of=("self",))
    count = 0
    for invitation in overtaken.order_by("pk"):
        withdraw_locked_invitation(invitation, actor=actor, reason="overtaken")
        count += 1
    return count


def withdraw_locked_invitation(invitation: Invitation, *, actor: User | None, reason: str = "") -> None:
    """Withdraw an open invitation that the caller has locked. Its link stops working."""
    invitation.withdrawn_at = now()
    invitation.save(update_fields=["withdrawn_at"])
    audit.record("invitation.withdrawn", actor=actor, subject=invitation, reason=reason)


def _locked_membership(pk: UUID | str, by: User) -> Membership:
    """Return the membership `pk` that `by` can see. Locks its tenant and the membership until commit."""
    visible = Membership.objects.visible_to(by)
    lock_members_of(visible.values_list("tenant", flat=True).get(pk=pk))
    return visible.select_for_update(of=("self",)).select_related("user", "tenant").get(pk=pk)


def _require_made_for(account: User, tenant: Tenant, role: str, by: User | None) -> None:
    """Raise PermissionDenied unless the platform adds a service account to its own tenant, with a role below owner."""
    if by is not None or account.service_of_id != tenant.pk or role == Role.OWNER:
        raise PermissionDenied(
            _("%(who)s is a service account. It belongs to its own tenant, and cannot be an owner.")
            % {"who": account}
        )


def _require_by_hand(membership: Membership) -> None:
    if membership.source == Source.GROUP:
        raise Conflict(
            _(
                "A group mapping makes %(who)s a member here. Change their group in the directory, or "
                "the mapping."
            )
            % {"who": membership.user},
            code="given_by_rule",
        )


def _keep_an_owner(leaving: Membership) -> None:
    """Raise Conflict if no other active person owns the tenant. The caller has locked the tenant."""
    others = Membership.objects.in_tenant(leaving.tenant).filter(
        role=Role.OWNER, user__is_active=True, user__service_of=None
    )
    if not others.exclude(pk=leaving.pk).exists():
        raise Conflict(
            _("%(who)s is the last owner of %(tenant)s. Make someone else an owner first.")
            % {"who": leaving.user, "tenant": leaving.tenant},
            code="last_owner",
        )
