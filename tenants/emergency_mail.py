"""The mail that notifies a tenant's owners as soon as emergency access is opened."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.mail import REFUSED, compose, in_language_of, mail_server, person_in_words, quoted, refusal
from accounts.models import User
from tenants.models import EmergencyAccess
from tenants.roles import Role

log = structlog.get_logger(__name__)


def notify_owners(pk: UUID | str) -> int:
    """Mail every owner of the tenant that emergency access was opened; return how many mails went out. Never twice.

    The mails are claimed (`mailed_at`) before the server receives the first. If the server refuses one, the other
    owners still get theirs, and the row keeps the problem (`mail_problem`) for the platform's staff.

    Raises MailServerAwayError if the server cannot be reached.
    """
    unsent = EmergencyAccess.objects.across_tenants().filter(pk=pk, mailed_at=None)
    access = unsent.select_related("tenant", "opened_by").first()
    if access is None:
        return 0
    words = {
        "access": access,
        "tenant": quoted(access.tenant),
        "who": person_in_words(access.opened_by),
        "reason": quoted(access.reason, 500),
        "url": f"{settings.CONSOLE_URL}{reverse('emergency-access-list', args=[access.tenant.slug])}",
        "contact": settings.SUPPORT_CONTACT,
    }
    mails = [_mail_for(owner, words) for owner in owners_of(access.tenant_id)]
    sent, problem = 0, ""
    with mail_server() as server:
        # Filters by the row's own columns only, so that the database checks them again after a wait.
        if not unsent.update(mailed_at=now()):
            return 0
        for mail in mails:
            mail.connection = server
            try:
                sent += mail.send()
            except REFUSED as error:
                log.warning("emergency_mail_not_sent", emergency_access=str(pk), error=type(error).__name__)
                problem = refusal(error)
    if problem:
        EmergencyAccess.objects.across_tenants().filter(pk=pk).update(mail_problem=problem)
    log.info("emergency_mail_sent", emergency_access=str(access.pk), mails=sent)
    return sent


def _mail_for(owner: User, words: dict[str, Any]) -> EmailMultiAlternatives:
    with in_language_of(owner):
        subject = _("Emergency access to %(tenant)s was opened") % {"tenant": words["tenant"]}
        return compose("emergency_access", subject, owner.email, owner=owner, **words)


def owners_of(tenant_id: UUID) -> list[User]:
    """Return the people to notify: every active owner."""
    owners = User.objects.filter(memberships__tenant=tenant_id, memberships__role=Role.OWNER, is_active=True)
    return list(owners.order_by("email"))
