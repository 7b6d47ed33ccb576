"""The mail with an invitation's link. Only this mail and its recipient's mailbox contain the link."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from django.conf import settings
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.mail import REFUSED, compose, in_language_of, mail_server, person_in_words, quoted, refusal
from accounts.models import User
from core.secrets import INVITATION, derived_secret, digest
from tenants.models import Invitation

log = structlog.get_logger(__name__)


def link_secret(pk: UUID, expires_at: datetime) -> str:
    """Return the secret of an invitation's link: a signature with SECRET_KEY of the row's id and expiry.

    The task that sends the mail can compute it again, so neither the database nor the queue stores it.
    """
    signature = salted_hmac("tenants.invitation", f"{pk}|{expires_at.isoformat()}", algorithm="sha256")
    return derived_secret(INVITATION, signature.digest())


def link_url(secret: str) -> str:
    """Return the public address of the link."""
    return f"{settings.CONSOLE_URL}{reverse('invitation', args=[secret])}"


def send_invitation(pk: UUID | str) -> bool:
    """Mail an open invitation that has not been sent, and return whether it went out. Never sends one twice.

    The mail is claimed (`sent_at`) before the server receives it, so only one of two workers sends it. The row keeps
    any problem after the server was reached (`mail_problem`) for the inviter, who can send it again.

    Raises MailServerAwayError if the server cannot be reached.
    """
    unsent = Invitation.objects.across_tenants().open().filter(pk=pk, sent_at=None)
    invitation = unsent.acceptable().select_related("tenant", "invited_by").first()
    if invitation is None:
        return False
    secret = link_secret(invitation.pk, invitation.expires_at)
    words = {
        "invitation": invitation,
        "tenant": quoted(invitation.tenant),
        "inviter": person_in_words(invitation.invited_by),
    }
    # Somebody without an account probably speaks as their inviter does.
    recipient = User.objects.filter(email=invitation.email).first() or invitation.invited_by
    with in_language_of(recipient):
        subject = _("Join %(tenant)s on Quartermaster") % {"tenant": words["tenant"]}
        mail = compose("invitation", subject, invitation.email, url=link_url(secret), **words)
    with mail_server() as mail.connection:
        # By the row's own columns: a join would become IN (SELECT ...), which is not checked again after a wait.
        claimed = unsent.filter(expires_at=invitation.expires_at)
        if not claimed.update(sent_at=now(), digest=digest(secret)):
            return False
        try:
            mail.send()
        except REFUSED as error:
            log.warning("invitation_not_sent", invitation=str(invitation.pk), error=type(error).__name__)
            Invitation.objects.across_tenants().filter(pk=invitation.pk).update(mail_problem=refusal(error))
            return False
    log.info("invitation_sent", invitation=str(invitation.pk))
    return True
