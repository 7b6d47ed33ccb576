"""The mail with an invitation's link. Only this mail and its recipient's mailbox contain the link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.mail import compose, person_in_words, quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declare
from core.secrets import INVITATION as LINK
from core.secrets import derived_secret, digest
from tenants.models import Invitation


def link_secret(pk: UUID, expires_at: datetime) -> str:
    """Return the secret of an invitation's link: a signature with SECRET_KEY of the row's id and expiry.

    Whoever sends the mail computes it again, so neither the database nor the queue stores it.
    """
    signature = salted_hmac("tenants.invitation", f"{pk}|{expires_at.isoformat()}", algorithm="sha256")
    return derived_secret(LINK, signature.digest())


def link_url(secret: str) -> str:
    """Return the public address of the link."""
    return f"{settings.CONSOLE_URL}{reverse('invitation', args=[secret])}"


class InvitationMail(Event):
    """Somebody is invited to a tenant. The address is told, with a link that only this mail contains."""

    name = "invitation"
    label = gettext_lazy("Invitation to a tenant")
    is_optional = False

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        """Open invitations, unless they were sent again since: then their link and expiry are others."""
        found = {}
        for message in messages:
            open_ones = Invitation.objects.across_tenants().open().acceptable().filter(pk=message.subject_id)
            invitation = open_ones.select_related("tenant", "invited_by").first()
            if invitation and occasion_of(invitation) == message.occasion:
                found[message.pk] = invitation
        return found

    def reader(self, message: OutboxMessage, subject: Invitation) -> User | None:
        """Somebody without an account probably speaks as their inviter does."""
        return User.objects.filter(email=message.address).first() or subject.invited_by

    def mail(self, message: OutboxMessage, subject: Invitation) -> EmailMultiAlternatives:
        words = {
            "invitation": subject,
            "tenant": quoted(subject.tenant),
            "inviter": person_in_words(subject.invited_by),
            "url": link_url(link_secret(subject.pk, subject.expires_at)),
        }
        title = _("Join %(tenant)s on Quartermaster") % {"tenant": words["tenant"]}
        return compose("invitation", title, message.recipient, **words)

    def settle(self, message: OutboxMessage) -> None:
        """Note on the invitation that it was sent, with the digest of the link that was, or why it was not."""
        invitation = Invitation.objects.across_tenants().filter(pk=message.subject_id).first()
        if invitation is None or occasion_of(invitation) != message.occasion:
            return
        if message.state == OutboxMessage.State.SENT:
            invitation.sent_at, invitation.mail_problem = now(), ""
            invitation.digest = digest(link_secret(invitation.pk, invitation.expires_at))
        elif message.state == OutboxMessage.State.FAILED:
            invitation.mail_problem = message.problem
        invitation.save(update_fields=["sent_at", "mail_problem", "digest"])


INVITATION: Final = declare(InvitationMail())


def occasion_of(invitation: Invitation) -> str:
    """Tells the mails of one invitation apart: each has a link of its own, by its expiry."""
    return invitation.expires_at.isoformat()
