"""Attestation campaigns: owners confirm which grants are still needed; what nobody confirms ends."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from accounts.roles import REVIEWERS
from catalog.models.items import Grant
from catalog.models.offered import CatalogModel
from catalog.rules import RiskTier
from core.ids import uuid7
from core.names import NameField, one_line
from core.stored_labels import StoredLabel
from core.tenant_managers import TenantOwned
from tenants.models import Tenant

_ATTESTATION = StoredLabel("catalog.attestation", pgettext_lazy("attestation", "%(grant)s, %(campaign)s"))


class AttestationCampaign(models.Model):
    """A campaign over the grants of its scope, of which each gets an attestation. A trigger counts the answers.

    It is prepared in batches, then open until it closes. Two reminders precede the close; what is unanswered then
    lapses in batches, and the campaign is closed once nothing is left.
    """

    class State(models.TextChoices):
        PREPARING = "preparing", pgettext_lazy("campaign", "Preparing")
        OPEN = "open", pgettext_lazy("campaign", "Open")
        CLOSED = "closed", pgettext_lazy("campaign", "Closed")
        CANCELLED = "cancelled", pgettext_lazy("campaign", "Cancelled")

    EDITABLE: ClassVar[tuple[str, ...]] = ("name",)
    REMINDERS: ClassVar[int] = 2

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = NameField(_("name"), max_length=80)
    # The scope: all that are not null, and all grants if none is.
    only_tenant = models.ForeignKey(
        Tenant, models.PROTECT, verbose_name=_("tenant"), null=True, related_name="+"
    )
    only_model = models.ForeignKey(
        CatalogModel, models.PROTECT, verbose_name=_("model"), null=True, related_name="+"
    )
    only_risk_tier = models.CharField(_("risk tier"), max_length=10, choices=RiskTier, blank=True, default="")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PREPARING)
    closes_at = models.DateTimeField(_("closes"))
    created_by = models.ForeignKey(User, models.PROTECT, verbose_name=_("started by"), related_name="+")
    created_at = models.DateTimeField(_("started"), default=now, editable=False)
    opened_at = models.DateTimeField(_("opened"), null=True, editable=False)
    reminders = models.PositiveSmallIntegerField(_("reminders sent"), default=0, editable=False)
    reminded_at = models.DateTimeField(_("last reminder"), null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    # Written by a trigger.
    total = models.PositiveIntegerField(_("grants"), default=0, editable=False)
    confirmed = models.PositiveIntegerField(_("confirmed"), default=0, editable=False)
    dropped = models.PositiveIntegerField(_("dropped"), default=0, editable=False)
    lapsed = models.PositiveIntegerField(_("lapsed"), default=0, editable=False)
    over = models.PositiveIntegerField(_("over before an answer"), default=0, editable=False)

    class Meta:
        verbose_name = _("attestation campaign")
        verbose_name_plural = _("attestation campaigns")
        permissions = [("manage_campaign", "Start and cancel attestation campaigns")]
        constraints = [
            one_line("name", of="attestation_campaign"),
            CheckConstraint(name="campaign_reminds_twice", condition=Q(reminders__lte=2)),
            CheckConstraint(name="campaign_closes_later", condition=Q(closes_at__gt=F("created_at"))),
            CheckConstraint(
                name="campaign_counts_its_grants",
                condition=Q(total__gte=F("confirmed") + F("dropped") + F("lapsed") + F("over")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def pending(self) -> int:
        """How many grants nobody has answered for."""
        return self.total - self.confirmed - self.dropped - self.lapsed - self.over


class Attestation(TenantOwned):
    """One grant of a campaign, and what its owner said. Triggers keep an answer, and let nothing lapse too early."""

    class Answer(models.TextChoices):
        PENDING = "pending", pgettext_lazy("attestation", "Waits for an answer")
        CONFIRMED = "confirmed", pgettext_lazy("attestation", "Still needed")
        DROPPED = "dropped", pgettext_lazy("attestation", "No longer needed")
        LAPSED = "lapsed", pgettext_lazy("attestation", "Lapsed without an answer")
        # It ended or was revoked while the campaign was open.
        OVER = "over", pgettext_lazy("attestation", "Over before an answer")

    visible_to_staff = TenantOwned.visible_to_staff | REVIEWERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    campaign = models.ForeignKey(
        AttestationCampaign, models.PROTECT, verbose_name=_("campaign"), related_name="attestations"
    )
    grant = models.ForeignKey(Grant, models.PROTECT, verbose_name=_("grant"), related_name="attestations")
    answer = models.CharField(_("answer"), max_length=9, choices=Answer, default=Answer.PENDING)
    answered_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("answered by"), null=True, related_name="+"
    )
    answered_at = models.DateTimeField(_("answered"), null=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("attestation")
        verbose_name_plural = _("attestations")
        constraints = [
            UniqueConstraint(fields=["campaign", "grant"], name="attestation_once"),
            CheckConstraint(
                name="attestation_answered_by_people",
                condition=(
                    Q(answer="pending", answered_by=None, answered_at=None)
                    | Q(
                        answer__in=["confirmed", "dropped"],
                        answered_by__isnull=False,
                        answered_at__isnull=False,
                    )
                    | Q(answer__in=["lapsed", "over"], answered_by=None, answered_at__isnull=False)
                ),
            ),
        ]
        indexes = [
            Index(fields=["tenant", "id"], condition=Q(answer="pending"), name="attestation_of_tenant"),
            Index(fields=["campaign", "id"], condition=Q(answer="pending"), name="attestation_pending"),
        ]

    def __str__(self) -> str:
        return _ATTESTATION(grant=self.grant, campaign=self.campaign)
