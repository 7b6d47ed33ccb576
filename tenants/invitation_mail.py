"""The mail that carries an invitation's link: the only place, besides its reader's mailbox, where the link is seen."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from django.conf import settings
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.mail import REFUSED, compose, mail_server, person_in_words, quoted, refusal
from core.secrets import INVITATION, derived_secret, digest
from tenants.models import Invitation

log = structlog.get_logger(__name__)


def link_secret(pk: UUID, expires_at: datetime) -> str:
    """The secret of an invitation's link: a signature of the row's id and last moment with SECRET_KEY.

    So the task that sends the mail can make it again, and neither the database nor the queue holds it.
    """
    signature = salted_hmac("tenants.invitation", f"{pk}|{expires_at.isoformat()}", algorithm="sha256")
    return derived_secret(INVITATION, signature.digest())


def link_url(secret: str) -> str:
    """Where the link leads, from outside."""
    return f"{settings.CONSOLE_URL}{reverse('invitation', args=[secret])}"


def send_invitation(pk: UUID | str) -> bool:
    """Mail an open invitation that has not been sent, and say whether it went out. Never sends one twice.

    The mail is claimed (`sent_at`) before the server gets it, so of two workers one sends. Whatever goes wrong
    after the server has been reached is noted on the row (`mail_problem`) for the inviter, who can send again.

    Raises MailServerAwayError if the server could not be reached.
    """
    unsent = Invitation.objects.across_tenants().open().filter(pk=pk, sent_at=None)
    invitation = unsent.acceptable().select_related("tenant", "invited_by").first()
    if invitation is None:
        return False
    secret = link_secret(invitation.pk, invitation.expires_at)
    subject = _("Join %(tenant)s on Quartermaster") % {"tenant": quoted(invitation.tenant)}
    words = {
        "invitation": invitation,
        "tenant": quoted(invitation.tenant),
        "inviter": person_in_words(invitation.invited_by),
    }
    mail = compose("invitation", subject, invitation.email, url=link_url(secret), **words)
    with mail_server() as mail.connection:
        # By the row's own columns: a join would make it IN (SELECT ...), which is not asked again after a wait.
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
