"""What a timer does for attestation campaigns: prepare, open, remind twice, let lapse, close. All safe to repeat.

Every step is a batch with a transaction of its own, so a worker that dies loses one batch, and two workers do nothing
twice. Attestations are locked before campaigns, whose counters a trigger writes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from time import monotonic
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import now

import audit
from accounts.models import User
from accounts.outbox.events import Event
from accounts.outbox.posting import tell
from catalog.actions.granted_keys import take_from_key
from catalog.actions.grants import revoke_locked_grant
from catalog.campaign_notices import CAMPAIGN_OPENED, CAMPAIGN_REMINDS, GRANTS_LAPSED
from catalog.grant_notices import MOST_TOLD, managers_of
from catalog.models import Attestation, AttestationCampaign, Grant
from catalog.stored_sentences import NOT_CONFIRMED
from tenants.models import Tenant
from tenants.revision import raise_revision

PREPARED_AT_ONCE: Final = 2000
LAPSED_AT_ONCE: Final = 200
# Seconds that one run may take before it leaves the rest to the next.
LONGEST_RUN: Final = 240
# The least time between the last reminder and the end.
LAST_CHANCE: Final = timedelta(days=1)

State = AttestationCampaign.State
Answer = Attestation.Answer


def go_on(seconds: float = LONGEST_RUN) -> bool:
    """Do what is due for all campaigns, for about so many seconds; return whether something is left for later."""
    until = monotonic() + seconds
    live = AttestationCampaign.objects.filter(state__in=[State.PREPARING, State.OPEN]).order_by("pk")
    for campaign in live:
        for _step in _steps(campaign):
            if monotonic() > until:
                return True
    return False


def _steps(campaign: AttestationCampaign) -> Iterator[None]:
    while campaign.state == State.PREPARING and _prepare_some(campaign):
        yield
    campaign.refresh_from_db()
    if campaign.state != State.OPEN:
        return
    if campaign.reminders < AttestationCampaign.REMINDERS and reminder_due(campaign) <= now():
        yield from _remind(campaign)
    if _has_closed(campaign):
        while _lapse_some(campaign):
            yield
        _close(campaign)


def reminder_due(campaign: AttestationCampaign) -> datetime:
    """When the next reminder is due: the first after half of the time, the second when a sixth is left."""
    assert campaign.opened_at is not None
    length = campaign.closes_at - campaign.opened_at
    return campaign.closes_at - length / (2, 6)[campaign.reminders]


def grants_of(campaign: AttestationCampaign) -> QuerySet[Grant]:
    """The grants of its scope that are not over."""
    scope = Q()
    if campaign.only_tenant_id:
        scope &= Q(tenant=campaign.only_tenant_id)
    if campaign.only_model_id:
        scope &= Q(model=campaign.only_model_id)
    if campaign.only_risk_tier:
        scope &= Q(model__risk_tier=campaign.only_risk_tier)
    return Grant.objects.across_tenants().not_over().filter(scope)


@transaction.atomic
def _prepare_some(campaign: AttestationCampaign) -> bool:
    """Make the next attestations; once there are no more, open the campaign and tell owners. False if it was opened."""
    locked = AttestationCampaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    if locked.state != State.PREPARING:
        return False
    rows = Attestation.objects.across_tenants().filter(campaign=campaign)
    last = rows.order_by("-grant_id").values_list("grant_id", flat=True).first()
    grants = grants_of(campaign).filter(created_at__lte=campaign.created_at)
    if last is not None:
        grants = grants.filter(pk__gt=last)
    found = list(grants.order_by("pk").values_list("pk", "tenant_id")[:PREPARED_AT_ONCE])
    Attestation.objects.bulk_create(
        Attestation(campaign=campaign, grant_id=pk, tenant_id=tenant) for pk, tenant in found
    )
    if found:
        return True
    AttestationCampaign.objects.filter(pk=campaign.pk).update(state=State.OPEN, opened_at=now())
    audit.record("attestation_campaign.opened", actor=None, subject=campaign)
    _tell_all(campaign, CAMPAIGN_OPENED, occasion="opened", answer=Answer.PENDING)
    return False


def _remind(campaign: AttestationCampaign) -> Iterator[None]:
    """Tell whoever has not answered. The number of the reminder is written once all are told."""
    number = campaign.reminders + 1
    for tenant in _tenants_of(campaign, Answer.PENDING):
        with transaction.atomic():
            _tell_in(tenant, campaign, CAMPAIGN_REMINDS, occasion=f"reminder {number}", answer=Answer.PENDING)
        yield
    with transaction.atomic():
        again = AttestationCampaign.objects.filter(pk=campaign.pk, state=State.OPEN, reminders=number - 1)
        if again.update(reminders=number, reminded_at=now()):
            audit.record("attestation_campaign.reminded", actor=None, subject=campaign, number=number)
    campaign.refresh_from_db()


def _has_closed(campaign: AttestationCampaign) -> bool:
    """Whether what is unanswered lapses now: it has closed, and the second reminder was a day ago."""
    return (
        campaign.closes_at <= now()
        and campaign.reminders == AttestationCampaign.REMINDERS
        and campaign.reminded_at is not None
        and campaign.reminded_at <= now() - LAST_CHANCE
    )


@transaction.atomic
def _lapse_some(campaign: AttestationCampaign) -> bool:
    """Let the next unanswered attestations lapse, and end their grants. Returns whether there were any."""
    pending = Attestation.objects.across_tenants().filter(campaign=campaign, answer=Answer.PENDING)
    rows = list(pending.select_for_update(of=("self",), skip_locked=True).order_by("pk")[:LAPSED_AT_ONCE])
    grants = {
        grant.pk: grant
        for grant in Grant.objects.across_tenants()
        .filter(pk__in=[row.grant_id for row in rows])
        .select_for_update(of=("self",))
        .select_related("tenant", "project", "model", "item")
        .order_by("pk")
    }
    reason = NOT_CONFIRMED(campaign=campaign.name)
    ended = [grant for grant in grants.values() if not grant.is_over]
    keys: list[UUID] = []
    for grant in ended:
        revoke_locked_grant(grant, actor=None, reason=reason)
        audit.record(
            "grant.lapsed", actor=None, subject=grant, model=grant.model.name, campaign=campaign.name
        )
        keys += take_from_key(grant, actor=None, reason=reason)
    lapsed = {grant.pk for grant in ended}
    moment = now()
    for row in rows:
        row.answer = Answer.LAPSED if row.grant_id in lapsed else Answer.OVER
        row.answered_at = moment
    Attestation.objects.across_tenants().bulk_update(rows, ["answer", "answered_at"])
    if ended:
        raise_revision(projects={grant.project_id for grant in ended}, keys=keys)
    return bool(rows)


@transaction.atomic
def _close(campaign: AttestationCampaign) -> None:
    """Close a campaign of which nothing is left, and tell owners what lapsed."""
    pending = Attestation.objects.across_tenants().filter(campaign=campaign, answer=Answer.PENDING)
    if pending.exists():
        # Somebody is just answering; the next run looks again.
        return
    still = AttestationCampaign.objects.filter(pk=campaign.pk, state=State.OPEN)
    if still.update(state=State.CLOSED, ended_at=now()):
        audit.record("attestation_campaign.closed", actor=None, subject=campaign)
        _tell_all(campaign, GRANTS_LAPSED, occasion="closed", answer=Answer.LAPSED)


def _tenants_of(campaign: AttestationCampaign, answer: str) -> QuerySet[Tenant]:
    rows = Attestation.objects.across_tenants().filter(campaign=campaign, answer=answer)
    return Tenant.objects.filter(pk__in=rows.order_by().values("tenant")).order_by("pk")


def _tell_all(campaign: AttestationCampaign, event: Event, *, occasion: str, answer: str) -> None:
    for tenant in _tenants_of(campaign, answer):
        _tell_in(tenant, campaign, event, occasion=occasion, answer=answer)


def _tell_in(
    tenant: Tenant, campaign: AttestationCampaign, event: Event, *, occasion: str, answer: str
) -> None:
    """Tell the owners of a tenant once for all their grants; of those that nobody answers for, its managers.

    Args:
        tenant: whose owners.
        campaign: the campaign.
        event: what happened.
        occasion: tells this time from others.
        answer: of the attestations that it is about.
    """
    rows = Attestation.objects.in_tenant(tenant).filter(campaign=campaign, answer=answer).order_by()
    owned = rows.filter(grant__owner__isnull=False, grant__suspended_at=None)
    people = User.objects.filter(pk__in=owned.values("grant__owner"), is_active=True)
    recipients = list(people.order_by("pk"))
    if rows.filter(Q(grant__owner=None) | Q(grant__suspended_at__isnull=False)).exists():
        recipients += [one for one in managers_of(tenant)[:MOST_TOLD] if one not in recipients]
    tell(event, recipients, subject=campaign, tenant=tenant, occasion=f"{occasion} {tenant.pk}")
