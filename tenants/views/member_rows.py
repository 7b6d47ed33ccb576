"""Rows of the lists of members and invitations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.models import User
from core.dates import day
from core.page_parts import Badge
from tenants.models import Invitation, Membership
from tenants.roles import Role


@dataclass(frozen=True)
class MemberRow:
    """A row of the list of members."""

    pk: UUID
    name: str
    email: str
    role: str
    is_owner: bool
    is_active: bool
    source: str
    last_login: datetime | None
    since: datetime
    responsible: User | None


def member_row(membership: Membership) -> MemberRow:
    return MemberRow(
        pk=membership.pk,
        name=str(membership.user),
        email=membership.user.email,
        role=membership.get_role_display(),
        is_owner=membership.role == Role.OWNER,
        is_active=membership.user.is_active,
        source=membership.get_source_display(),
        last_login=membership.user.last_login,
        since=membership.created_at,
        responsible=membership.user.responsible,
    )


@dataclass(frozen=True)
class InvitationRow:
    """A row of the list of invitations."""

    pk: UUID
    email: str
    role: str
    invited_by: str
    sent_at: datetime | None
    problem: str
    badge: Badge


def invitation_row(invitation: Invitation) -> InvitationRow:
    if invitation.expires_at <= now():
        badge = Badge("", _("Expired"))
    elif invitation.mail_problem:
        badge = Badge("bad", _("Mail not sent"), "alert-triangle")
    elif invitation.sent_at is None:
        badge = Badge("info", _("Being sent"), "clock")
    else:
        words = {"date": day(invitation.expires_at)}
        badge = Badge("info", _("Open until %(date)s") % words, "clock")
    return InvitationRow(
        pk=invitation.pk,
        email=invitation.email,
        role=invitation.get_role_display(),
        invited_by=str(invitation.invited_by),
        sent_at=invitation.sent_at,
        problem=invitation.mail_problem,
        badge=badge,
    )
