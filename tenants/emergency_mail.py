"""The mail that tells a tenant's owners of emergency access as soon as it is opened."""

from __future__ import annotations

from smtplib import SMTPException
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from tenants.invitation_mail import MailServerAwayError
from tenants.models import EmergencyAccess, User
from tenants.roles import Role

log = structlog.get_logger(__name__)


def tell_owners(pk: UUID | str) -> int:
    """Mail every owner of the tenant that emergency access was opened; return how many mails went out. Never twice.

    The mail is claimed (`mailed_at`) before the server gets it, so of two workers one sends. Whatever goes wrong
    after the server has been reached is noted on the row (`mail_problem`), for the platform's staff, and keeps no
    other owner from being told.

    Raises MailServerAwayError if the server could not be reached.
    """
    unsent = EmergencyAccess.objects.across_tenants().filter(pk=pk, mailed_at=None)
    access = unsent.select_related("tenant", "opened_by").first()
    if access is None:
        return 0
    connection = get_connection()
    try:
        connection.open()
    except (OSError, SMTPException) as error:
        raise MailServerAwayError(str(error)) from error
    sent = 0
    try:
        if not unsent.update(mailed_at=now()):  # by the row's own columns: asked again after a wait
            return 0
        for owner in owners_of(access.tenant_id):
            mail = _compose(access, owner)
            mail.connection = connection
            try:
                sent += mail.send()
            except (OSError, SMTPException) as error:
                _note_problem(access, type(error).__name__)
    finally:
        connection.close()
    log.info("emergency_mail_sent", emergency_access=str(access.pk), mails=sent)
    return sent


def _note_problem(access: EmergencyAccess, kind: str) -> None:
    log.warning("emergency_mail_not_sent", emergency_access=str(access.pk), error=kind)
    problem = _("The mail server refused it (%(kind)s).") % {"kind": kind}
    EmergencyAccess.objects.across_tenants().filter(pk=access.pk).update(mail_problem=problem)


def owners_of(tenant_id: UUID) -> list[User]:
    """The people who are told: every active owner."""
    owners = User.objects.filter(memberships__tenant=tenant_id, memberships__role=Role.OWNER, is_active=True)
    return list(owners.order_by("email"))


def _compose(access: EmergencyAccess, owner: User) -> EmailMultiAlternatives:
    page = reverse("emergency-access-list", args=[access.tenant.slug])
    words = {
        "access": access,
        "tenant": access.tenant,
        "owner": owner,
        "url": f"{settings.CONSOLE_URL}{page}",
        "contact": settings.SUPPORT_CONTACT,
    }
    subject = _("Emergency access to %(tenant)s was opened") % {"tenant": access.tenant.name}
    mail = EmailMultiAlternatives(
        subject=" ".join(subject.split()),  # a header has one line
        body=render_to_string("tenants/mail/emergency_access.txt", words),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[owner.email],
    )
    mail.attach_alternative(render_to_string("tenants/mail/emergency_access.html", words), "text/html")
    return mail
