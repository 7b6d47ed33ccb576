"""What owners of grants are told about attestation campaigns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import prefetch_related_objects
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.mail import quoted
from accounts.models import OutboxMessage
from accounts.outbox.events import Event, declare
from catalog.grant_notices import BOTH
from catalog.models import Attestation, AttestationCampaign
from core.dates import day_and_year
from tenants.models import Tenant


class CampaignEvent(Event):
    """Something of a campaign, in one tenant. The subject is the campaign, whose rows the reader may see there."""

    channels = BOTH

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        """The campaigns; for a mail, only open ones with something to answer for in its tenant."""
        reader = messages[0].user
        # None of these events is for a bare address.
        assert reader is not None
        prefetch_related_objects(messages, "of_tenant")
        seen = Attestation.objects.visible_to(reader).filter(
            campaign__in=[one.subject_id for one in messages]
        )
        if messages[0].channel == OutboxMessage.Channel.MAIL:
            seen = self.still(seen)
        pairs = set(seen.order_by().values_list("campaign", "tenant").distinct())
        campaigns = AttestationCampaign.objects.in_bulk({campaign for campaign, _tenant in pairs})
        return {
            one.pk: campaigns[one.subject_id]
            for one in messages
            if (one.subject_id, one.of_tenant_id) in pairs
        }

    def still(self, attestations: Any) -> Any:
        """Those of which a mail may still say it."""
        return attestations.filter(
            answer=Attestation.Answer.PENDING, campaign__state=AttestationCampaign.State.OPEN
        )

    def path(self, message: OutboxMessage, subject: AttestationCampaign) -> str:
        return reverse("attestation-list", args=[_tenant_of(message).slug])

    def lines(self, message: OutboxMessage, subject: AttestationCampaign) -> Sequence[str]:
        date = {"date": day_and_year(subject.closes_at)}
        return [_("What nobody has confirmed by %(date)s ends: its calls are refused from then on.") % date]


class CampaignOpened(CampaignEvent):
    name = "attestation_campaign.opened"
    label = gettext_lazy("Say which access is still needed")

    def title(self, message: OutboxMessage, subject: AttestationCampaign) -> str:
        words = {"tenant": quoted(_tenant_of(message)), "campaign": quoted(subject.name)}
        return _("Say which access in %(tenant)s is still needed (%(campaign)s)") % words


class CampaignReminds(CampaignEvent):
    name = "attestation_campaign.reminded"
    label = gettext_lazy("Reminder: say which access is still needed")

    def title(self, message: OutboxMessage, subject: AttestationCampaign) -> str:
        words = {"tenant": quoted(_tenant_of(message)), "campaign": quoted(subject.name)}
        return _("Reminder: say which access in %(tenant)s is still needed (%(campaign)s)") % words


class GrantsLapsed(CampaignEvent):
    name = "attestation_campaign.lapsed"
    label = gettext_lazy("Access that you answered for lapsed")

    def still(self, attestations: Any) -> Any:
        return attestations.filter(answer=Attestation.Answer.LAPSED)

    def title(self, message: OutboxMessage, subject: AttestationCampaign) -> str:
        words = {"tenant": quoted(_tenant_of(message)), "campaign": quoted(subject.name)}
        return _("Access in %(tenant)s that nobody confirmed has ended (%(campaign)s)") % words

    def lines(self, message: OutboxMessage, subject: AttestationCampaign) -> Sequence[str]:
        return [_("Request the access again where it is still needed.")]

    def path(self, message: OutboxMessage, subject: AttestationCampaign) -> str:
        return reverse("grant-list", args=[_tenant_of(message).slug]) + "?tab=over"


CAMPAIGN_OPENED: Final = declare(CampaignOpened())
CAMPAIGN_REMINDS: Final = declare(CampaignReminds())
GRANTS_LAPSED: Final = declare(GrantsLapsed())


def _tenant_of(message: OutboxMessage) -> Tenant:
    """Each of these messages is about one tenant."""
    assert message.of_tenant is not None
    return message.of_tenant
