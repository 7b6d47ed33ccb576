"""The mail that tells a tenant's owners as soon as emergency access is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.mail import compose, person_in_words, quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declare
from tenants.models import EmergencyAccess
from tenants.roles import Role


class EmergencyAccessMail(Event):
    """Emergency access was opened. Each owner of the tenant is told."""

    name = "emergency_access.opened"
    label = gettext_lazy("Emergency access opened")
    is_optional = False

    channels = (OutboxMessage.Channel.MAIL, OutboxMessage.Channel.INBOX)

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        owner = messages[0].user_id
        accesses = EmergencyAccess.objects.across_tenants().filter(
            pk__in=[message.subject_id for message in messages],
            tenant__memberships__user=owner,
            tenant__memberships__role=Role.OWNER,
        )
        found = {access.pk: access for access in accesses.select_related("tenant", "opened_by")}
        return {one.pk: found[one.subject_id] for one in messages if one.subject_id in found}

    def title(self, message: OutboxMessage, subject: EmergencyAccess) -> str:
        return _("Emergency access to %(tenant)s was opened") % {"tenant": quoted(subject.tenant)}

    def path(self, message: OutboxMessage, subject: EmergencyAccess) -> str:
        return reverse("emergency-access-list", args=[subject.tenant.slug])

    def mail(self, message: OutboxMessage, subject: EmergencyAccess) -> EmailMultiAlternatives:
        words = {
            "access": subject,
            "owner": message.user,
            "tenant": quoted(subject.tenant),
            "who": person_in_words(subject.opened_by),
            "reason": quoted(subject.reason, 500),
            "url": f"{settings.CONSOLE_URL}{self.path(message, subject)}",
            "contact": settings.SUPPORT_CONTACT,
        }
        return compose("emergency_access", self.title(message, subject), message.recipient, **words)

    def settle(self, message: OutboxMessage) -> None:
        """Note on the access when the first owner got their mail, and why the last one without did not."""
        access = EmergencyAccess.objects.across_tenants().filter(pk=message.subject_id)
        if message.state == OutboxMessage.State.SENT:
            access.filter(mailed_at=None).update(mailed_at=now())
        elif message.state == OutboxMessage.State.FAILED:
            access.update(mail_problem=message.problem)


EMERGENCY_ACCESS: Final = declare(EmergencyAccessMail())


def owners_of(tenant_id: UUID) -> list[User]:
    """Return the people to tell: every active owner."""
    owners = User.objects.filter(memberships__tenant=tenant_id, memberships__role=Role.OWNER, is_active=True)
    return list(owners.order_by("email"))
