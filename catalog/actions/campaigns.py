"""Attestation campaigns: operators start and cancel them, owners answer for each grant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import NoneType
from typing import Final
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog import tasks
from catalog.actions.granted_keys import take_from_key
from catalog.actions.grants import revoke_locked_grant
from catalog.grant_owners import hand_over_locked, may_own
from catalog.models import Attestation, AttestationCampaign, CatalogModel, Grant
from catalog.rules import RiskTier
from catalog.stored_sentences import NO_LONGER_NEEDED
from core.editing import assign
from core.errors import Conflict
from tenants.models import Tenant
from tenants.revision import raise_revision
from tenants.status import in_active_tenant
from tenants.suspension import lock_new_owner

MANAGE: Final = "catalog.manage_campaign"
# Time for two reminders, and for an answer after the second.
SHORTEST: Final = timedelta(days=7)
LONGEST: Final = timedelta(days=180)
MOST_AT_ONCE: Final = 200

State = AttestationCampaign.State
Answer = Attestation.Answer


@action(NoneType, permission=MANAGE)
@transaction.atomic
def start_campaign(
    *,
    name: str,
    closes_at: datetime,
    by: User,
    tenant: Tenant | None = None,
    model: CatalogModel | None = None,
    risk_tier: str = "",
) -> AttestationCampaign:
    """Start a campaign over all grants that last, or those of a tenant, of a model, or of models of a risk tier.

    A task prepares it, then owners are told. What they have not confirmed when it closes ends.

    Args:
        name: what owners read.
        closes_at: 7 to 180 days ahead.
        by: an operator.
        tenant: only grants of this tenant.
        model: only grants for this model.
        risk_tier: only grants for models of this tier, from `RiskTier`; empty: of any.

    Raises:
        PermissionDenied: `by` may not manage campaigns.
        ValidationError: by field; no name, or it closes too early or too late, or there is no such tier.
    """
    start_campaign.require(by, None)
    if not SHORTEST <= closes_at - now() <= LONGEST:
        raise ValidationError(
            {"closes_at": _("It must close in 7 to 180 days, so that owners have time to answer.")}
        )
    if risk_tier and risk_tier not in RiskTier.values:
        raise ValidationError({"risk_tier": _("Choose a risk tier, or none.")})
    campaign = AttestationCampaign(
        only_tenant=tenant, only_model=model, only_risk_tier=risk_tier, closes_at=closes_at, created_by=by
    )
    assign(campaign, {"name": name})
    campaign.full_clean(exclude=["only_tenant", "only_model", "created_by"])
    campaign.save(force_insert=True)
    audit.record(
        "attestation_campaign.started",
        actor=by,
        subject=campaign,
        ends_at=closes_at,
        scope=scope_of(campaign),
    )
    transaction.on_commit(tasks.go_on_with_campaigns.delay, robust=True)
    return campaign


def scope_of(campaign: AttestationCampaign) -> dict[str, str]:
    """What narrows the campaign, by name; empty: all grants."""
    said = {
        "tenant": campaign.only_tenant.slug if campaign.only_tenant else "",
        "model": campaign.only_model.name if campaign.only_model else "",
        "risk_tier": campaign.only_risk_tier,
    }
    return {name: value for name, value in said.items() if value}


def _require_not_ended(by: User | None, campaign: AttestationCampaign) -> None:
    if campaign.state in (State.CLOSED, State.CANCELLED):
        raise Conflict(_("This campaign is over."), code="over")


@action(AttestationCampaign, permission=MANAGE, state=_require_not_ended)
@transaction.atomic
def cancel_campaign(pk: UUID | str, *, by: User, reason: str = "") -> AttestationCampaign:
    """Cancel a campaign. Answers stay, and what they ended stays ended; nothing else lapses.

    Raises:
        AttestationCampaign.DoesNotExist: there is no such campaign. PermissionDenied: `by` may not manage campaigns.
        Conflict: it is over.
    """
    campaign = AttestationCampaign.objects.select_for_update(of=("self",)).get(pk=pk)
    cancel_campaign.require(by, campaign)
    campaign.state, campaign.ended_at = State.CANCELLED, now()
    campaign.save(update_fields=["state", "ended_at"])
    audit.record("attestation_campaign.cancelled", actor=by, subject=campaign, reason=reason)
    return campaign


def _require_answerable_by(by: User, attestation: Attestation) -> None:
    """The owner answers; for a grant that nobody answers for, whoever may; and those who manage members."""
    grant = attestation.grant
    if grant.owner_id == by.pk and grant.suspended_at is None:
        return
    is_free = grant.owner_id is None or grant.suspended_at is not None
    if is_free and may_own(by, grant.project):
        return
    if not is_free and by.has_perm("tenants.manage_members", grant.tenant):
        return
    raise PermissionDenied(
        _("%(owner)s answers for this grant. They, an owner or an admin can confirm it.")
        % {"owner": grant.owner or _("Nobody")}
    )


def _require_open(by: User | None, attestation: Attestation) -> None:
    in_active_tenant(by, attestation)
    if attestation.answer != Answer.PENDING:
        raise Conflict(
            _("This is already answered: %(answer)s.") % {"answer": attestation.get_answer_display()},
            code="already_answered",
        )
    campaign = attestation.campaign
    if campaign.state != State.OPEN or campaign.closes_at <= now():
        raise Conflict(_("This campaign is not open."), code="not_open")
    if attestation.grant.is_over:
        raise Conflict(_("This grant has ended; there is nothing left to confirm."), code="ended")


@action(
    Attestation,
    permission="tenants.request_access",
    on=lambda attestation: attestation.grant.project,
    rule=_require_answerable_by,
    state=_require_open,
)
@transaction.atomic
def answer_attestation(pk: UUID | str, *, by: User, answer: str) -> Attestation:
    """Say whether a grant is still needed. One that is not is revoked at once.

    Whoever confirms a grant that nobody answers for takes it over.

    Args:
        pk: id of the attestation.
        by: who answers.
        answer: "confirmed" or "dropped".

    Raises:
        Attestation.DoesNotExist: `by` cannot see such an attestation.
        PermissionDenied: somebody else answers for the grant.
        Conflict: it is answered, the campaign is not open, or the grant is over.
        ValidationError: the answer is neither of the two.
    """
    lock_new_owner(by)
    attestation = _lock(pk, by)
    answer_attestation.require(by, attestation)
    if answer not in (Answer.CONFIRMED, Answer.DROPPED):
        raise ValidationError({"answer": _("Choose confirmed or dropped.")})
    grant = attestation.grant
    projects, keys = set(), []
    if answer == Answer.DROPPED:
        reason = NO_LONGER_NEEDED(campaign=attestation.campaign.name)
        revoke_locked_grant(grant, actor=by, reason=reason)
        keys, projects = take_from_key(grant, actor=by, reason=reason), {grant.project_id}
    elif grant.owner_id is None or grant.suspended_at is not None:
        projects = {grant.project_id} if grant.suspended_at else set()
        hand_over_locked(grant, grant.owner, by, actor=by)
    attestation.answer, attestation.answered_by, attestation.answered_at = answer, by, now()
    attestation.save(update_fields=["answer", "answered_by", "answered_at"])
    audit.record(
        "grant.confirmed" if answer == Answer.CONFIRMED else "grant.dropped",
        actor=by,
        subject=grant,
        model=grant.model.name,
        campaign=attestation.campaign.name,
    )
    if projects or keys:
        raise_revision(projects=projects, keys=keys)
    return attestation


def _lock(pk: UUID | str, by: User) -> Attestation:
    # Every action that locks several of these uses this order: attestation, grant, key, campaign, revision.
    attestation = Attestation.objects.visible_to(by).select_for_update(of=("self",)).get(pk=pk)
    attestation.grant = (
        Grant.objects.across_tenants()
        .select_for_update(of=("self",))
        .select_related("tenant", "project__tenant", "model", "item__key", "owner")
        .get(pk=attestation.grant_id)
    )
    attestation.campaign = AttestationCampaign.objects.get(pk=attestation.campaign_id)
    return attestation


def answer_many(pks: Iterable[UUID], *, person: User, answer: str) -> Mapping[UUID, str]:
    """Give one answer for each of at most 200 attestations; return, by id, why those that were not answered were not.

    Each is answered by itself, so some may be while others are not.
    """
    problems: dict[UUID, str] = {}
    for pk in list(dict.fromkeys(pks))[:MOST_AT_ONCE]:
        try:
            answer_attestation(pk, by=person, answer=answer)
        except Attestation.DoesNotExist:
            problems[pk] = _("There is no such grant here.")
        except (Conflict, PermissionDenied) as refused:
            problems[pk] = str(refused)
    return problems
