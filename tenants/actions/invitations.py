"""Inviting people by mail. The link contains a signature of the row; only the mail has it, the row has its digest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import Source, User
from accounts.outbox.posting import tell
from core.addresses import read_mail_address
from core.errors import Conflict
from core.ids import uuid7
from core.names import read_field
from core.scope import platform_scope
from core.secrets import INVITATION as LINK
from core.secrets import digest, looks_like
from tenants.actions.members import (
    lock_members_of,
    may_give,
    place_member,
    require_may_give,
    withdraw_locked_invitation,
)
from tenants.invitation_mail import INVITATION, link_secret, occasion_of
from tenants.models import Invitation, Membership, Tenant
from tenants.roles import ROLE_PERMISSIONS, Role
from tenants.status import in_active_tenant, in_open_tenant

LONGEST_NAME = 150
NEWCOMERS = "somebody who is no member yet opens the link of an invitation"


@action(
    Tenant,
    permission="tenants.manage_members",
    on=lambda tenant: tenant,
    state=in_active_tenant,
)
@transaction.atomic
def invite(tenant: Tenant, email: str, role: str, *, by: User) -> tuple[Invitation, str]:
    """Offer a role to an address by mail, and return the invitation with its link's secret.

    The action does not check whether the address has an account here, so no answer can reveal it. Show the secret
    only to the address: anyone who opens the link proves that they read its mail.

    Args:
        tenant: the tenant.
        email: address to invite.
        role: role to offer.
        by: owner, admin or operator.

    Raises:
        Tenant.DoesNotExist: `by` cannot see the tenant.
        PermissionDenied: `by` may not manage members here, has less than `role`, or invites themselves.
        ValidationError: mail cannot reach this address.
        Conflict: the address belongs to a member, is already invited, or the tenant is not active.
    """
    tenant = Tenant.objects.visible_to(by).get(pk=tenant.pk)
    invite.require_permission(by, tenant)
    require_may_give(by, tenant, role)
    email = _clean_address(email)
    if email == by.email:
        raise PermissionDenied(_("You cannot invite yourself; another owner or admin can change your role."))
    invite.require(by, lock_members_of(tenant.pk))
    if Membership.objects.in_tenant(tenant).filter(user__email=email).exists():
        raise Conflict(
            _("%(email)s is already a member. Change their role instead.") % {"email": email},
            code="already_member",
        )
    earlier = Invitation.objects.in_tenant(tenant).open().to(email).select_for_update(of=("self",)).first()
    if earlier and earlier.expires_at > now():
        raise Conflict(
            _("%(email)s is already invited. Send that invitation again, or withdraw it.") % {"email": email},
            code="already_invited",
        )
    if earlier:
        earlier.withdrawn_at = now()
        earlier.save(update_fields=["withdrawn_at"])
    pk, expires_at = uuid7(), _expiry()
    secret = link_secret(pk, expires_at)
    invitation = Invitation.objects.create(
        pk=pk,
        tenant=tenant,
        email=email,
        role=role,
        digest=digest(secret),
        invited_by=by,
        expires_at=expires_at,
    )
    audit.record("invitation.created", actor=by, subject=invitation, email=email, role=role)
    _send(invitation)
    return invitation, secret


def _send(invitation: Invitation) -> None:
    tell(
        INVITATION,
        [invitation.email],
        subject=invitation,
        tenant=invitation.tenant,
        occasion=occasion_of(invitation),
    )


def _require_open(by: User | None, invitation: Invitation) -> None:
    in_open_tenant(by, invitation)
    if invitation.accepted_at:
        raise Conflict(_("%(email)s has accepted this invitation.") % {"email": invitation.email})
    if invitation.withdrawn_at:
        raise Conflict(_("This invitation is withdrawn. Invite them again."))


def _may_resend(by: User, invitation: Invitation) -> None:
    require_may_give(by, invitation.tenant, invitation.role)


def _require_resendable(by: User | None, invitation: Invitation) -> None:
    in_active_tenant(by, invitation)
    _require_open(by, invitation)


@action(
    Invitation,
    permission="tenants.manage_members",
    on=lambda invitation: invitation.tenant,
    rule=_may_resend,
    state=_require_resendable,
)
@transaction.atomic
def resend_invitation(pk: UUID | str, *, by: User) -> tuple[Invitation, str]:
    """Send an open invitation again, with a new link and expiry. The old link stops working. `by` becomes the inviter.

    Raises:
        Invitation.DoesNotExist: `by` cannot see such an invitation.
        PermissionDenied: `by` may not manage members here, or has less than its role.
        Conflict: it was accepted or withdrawn, or the tenant is not active.
    """
    invitation = _locked_invitation(pk, by)
    resend_invitation.require(by, invitation)
    before, invitation.expires_at = invitation.expires_at, _expiry()
    secret = link_secret(invitation.pk, invitation.expires_at)
    invitation.digest, invitation.invited_by = digest(secret), by
    invitation.sent_at, invitation.mail_problem = None, ""
    invitation.save(update_fields=["expires_at", "digest", "invited_by", "sent_at", "mail_problem"])
    audit.record(
        "invitation.resent",
        actor=by,
        subject=invitation,
        changes={"expires_at": (before.isoformat(), invitation.expires_at.isoformat())},
    )
    _send(invitation)
    return invitation, secret


@action(
    Invitation,
    permission="tenants.manage_members",
    on=lambda invitation: invitation.tenant,
    state=_require_open,
)
@transaction.atomic
def withdraw_invitation(pk: UUID | str, *, by: User) -> Invitation:
    """Withdraw an open invitation. Its link stops working.

    Raises:
        Invitation.DoesNotExist: `by` cannot see such an invitation.
        PermissionDenied: `by` may not manage members here.
        Conflict: it is already accepted or withdrawn, or the tenant is closed.
    """
    invitation = _locked_invitation(pk, by)
    withdraw_invitation.require(by, invitation)
    withdraw_locked_invitation(invitation, actor=by)
    return invitation


def find_invitation(secret: str) -> Invitation:
    """Return the invitation that a link opens now. Changes nothing.

    Raises the same Invitation.DoesNotExist if the link is unknown, used, withdrawn or expired, if its tenant is not
    active, or if the inviter may no longer invite to this role.
    """
    if not looks_like(LINK, secret):
        raise Invitation.DoesNotExist
    with platform_scope(NEWCOMERS):
        invitation = (
            Invitation.objects.across_tenants()
            .acceptable()
            .select_related("tenant", "invited_by")
            .get(digest=digest(secret))
        )
        if not _is_inviter_entitled(invitation):
            raise Invitation.DoesNotExist
    return invitation


def accept_invitation(secret: str, user: User) -> Membership:
    """Make `user` a member with the offered role. The link cannot be used again.

    Existing members keep the higher role: the offered role replaces theirs only if it includes everything that theirs
    gives. A second click by the same member changes nothing.

    Raises:
        Invitation.DoesNotExist: the link opens nothing, or no longer does; see `find_invitation`.
        PermissionDenied: it was sent to another address than that of `user`; the message names that address.
    """
    with platform_scope(NEWCOMERS), transaction.atomic():
        try:
            invitation = _locked_by_link(secret)
        except Invitation.DoesNotExist:
            if membership := _accepted_before(secret, user):
                return membership
            raise
        if user.email != invitation.email:
            raise PermissionDenied(
                _("This invitation is for %(email)s. Sign in with that address to accept it.")
                % {"email": invitation.email}
            )
        if user.is_service_account or not user.is_active or user.pk == invitation.invited_by_id:
            raise PermissionDenied(_("This account cannot accept invitations."))
        return _join(invitation, user)


def accept_as_newcomer(secret: str, *, name: str, password: str) -> tuple[Membership, User]:
    """Create a local account for the invited address, which the link proves to be theirs, and its membership.

    Raises:
        Invitation.DoesNotExist: the link opens nothing, or no longer does; see `find_invitation`.
        Conflict: the address already has an account and should sign in instead, or local accounts are switched off.
        ValidationError: the name is missing, or the password is too weak (Django's validators).
    """
    if not newcomers_choose_passwords():
        raise Conflict(_("People sign in here with their organization's account. Do so, then open the link."))
    with platform_scope(NEWCOMERS), transaction.atomic():
        invitation = _locked_by_link(secret)
        if User.objects.filter(email=invitation.email).exists():
            raise _has_account()
        problems: dict[str, Any] = {}
        try:
            name = read_field("name", name, missing=_("Enter your name."))[:LONGEST_NAME]
        except ValidationError as error:
            problems |= error.message_dict
        try:
            validate_password(password, User(email=invitation.email, name=name))
        except ValidationError as error:
            problems["password"] = error.messages
        if problems:
            raise ValidationError(problems)
        try:
            with transaction.atomic():
                user = User.objects.create_user(invitation.email, password, name=name)
        # Another tenant's link created the account at the same moment.
        except IntegrityError as error:
            raise _has_account() from error
        audit.record("person.created", actor=user, subject=user, tenant=invitation.tenant, reason="invited")
        return _join(invitation, user), user


def _has_account() -> Conflict:
    return Conflict(_("An account for this address already exists. Sign in with it."))


def newcomers_choose_passwords() -> bool:
    """Whether invited people may create an account with a password: only if no identity provider signs people in."""
    return settings.LOCAL_ACCOUNTS and not settings.OIDC_ISSUER


def _join(invitation: Invitation, user: User) -> Membership:
    existing = (
        Membership.objects.in_tenant(invitation.tenant)
        .select_for_update(of=("self",))
        .select_related("user", "tenant")
        .filter(user=user)
        .first()
    )
    invitation.accepted_at, invitation.accepted_by = now(), user
    invitation.save(update_fields=["accepted_at", "accepted_by"])
    audit.record(
        "invitation.accepted",
        actor=user,
        subject=invitation,
        role=invitation.role,
        invited_by=invitation.invited_by.email,
    )
    if existing and not _is_higher(invitation.role, existing.role):
        return existing
    return place_member(
        invitation.tenant, user, invitation.role, existing=existing, source=Source.PERSON, actor=user
    )


def _is_higher(offered: str, held: str) -> bool:
    if Role.OWNER in (offered, held):
        return offered == Role.OWNER != held
    return ROLE_PERMISSIONS[offered] > ROLE_PERMISSIONS[held]


def _accepted_before(secret: str, by: User) -> Membership | None:
    accepted = Invitation.objects.across_tenants().filter(digest=digest(secret), accepted_by=by)
    return (
        Membership.objects.across_tenants()
        .select_related("tenant", "user")
        .filter(user=by, tenant__in=accepted.values("tenant"))
        .first()
    )


def _locked_by_link(secret: str) -> Invitation:
    found = find_invitation(secret)
    lock_members_of(found.tenant_id)
    Invitation.objects.across_tenants().select_for_update(of=("self",)).get(pk=found.pk)
    # Check again: the rows are locked now.
    return find_invitation(secret)


def _locked_invitation(pk: UUID | str, by: User) -> Invitation:
    """Return the invitation `pk` that `by` can see. Locks its tenant and the invitation."""
    visible = Invitation.objects.visible_to(by)
    tenant = lock_members_of(visible.values_list("tenant", flat=True).get(pk=pk))
    invitation = visible.select_for_update(of=("self",)).select_related("tenant", "invited_by").get(pk=pk)
    invitation.tenant = tenant
    return invitation


def _is_inviter_entitled(invitation: Invitation) -> bool:
    inviter = invitation.invited_by
    return (
        inviter.is_active
        and inviter.has_perm("tenants.manage_members", invitation.tenant)
        and may_give(inviter, invitation.tenant, invitation.role)
    )


def _clean_address(email: str) -> str:
    try:
        return read_mail_address(email)
    except ValidationError as error:
        raise ValidationError({"email": error.messages}) from error


def _expiry() -> datetime:
    return now() + timedelta(days=settings.INVITATION_DAYS)
