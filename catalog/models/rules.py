"""Versions of the rules that decide which reviews a request needs, and their rules."""

from __future__ import annotations

from typing import ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Deferrable, F, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from catalog import rule_table
from catalog.models.tracks import MOST_QUORUM, Track
from catalog.rule_table import Outcome, RuleTable, Usage
from catalog.rules import RiskTier
from core.ids import uuid7
from tenants.models import DataClass, Limit, Tenant

MOST_DAYS: Final = 730
MOST_RULES: Final = 200
_HELD: Final = ("in_force", "superseded")


class RuleSet(models.Model):
    """One version of the rules. Exactly one is in force; from its proposal on, triggers keep it as it is."""

    class State(models.TextChoices):
        DRAFT = "draft", pgettext_lazy("rules", "Draft")
        PROPOSED = "proposed", pgettext_lazy("rules", "Proposed")
        IN_FORCE = "in_force", pgettext_lazy("rules", "In force")
        SUPERSEDED = "superseded", pgettext_lazy("rules", "Superseded")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # What evaluations, the API and audit entries call it.
    version = models.CharField(_("version"), max_length=40, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.DRAFT)
    note = models.CharField(_("what changes, and why"), max_length=500, blank=True)
    # Decides the requests for which no rule says anything. Null only in versions of an earlier release.
    other_track = models.ForeignKey(
        Track,
        models.PROTECT,
        to_field="code",
        db_column="other_track",
        verbose_name=_("track of all other requests"),
        null=True,
        related_name="+",
    )
    created_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    proposed_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("proposed by"), null=True, related_name="+"
    )
    proposed_at = models.DateTimeField(_("proposed"), null=True)
    put_in_force_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("put in force by"), null=True, related_name="+"
    )
    in_force_at = models.DateTimeField(_("in force from"), null=True)
    superseded_at = models.DateTimeField(_("in force until"), null=True)

    class Meta:
        verbose_name = _("version of the rules")
        verbose_name_plural = _("versions of the rules")
        permissions = [("manage_ruleset", "Change rules, and put them in force")]
        constraints = [
            UniqueConstraint(fields=["state"], condition=Q(state="in_force"), name="rule_set_one_in_force"),
            CheckConstraint(
                name="rule_set_takes_two",
                condition=~Q(put_in_force_by=F("proposed_by")) | Q(put_in_force_by=None),
            ),
            CheckConstraint(
                name="rule_set_says_who",
                condition=Q(state="draft", proposed_by=None, put_in_force_by=None, in_force_at=None)
                | Q(state="proposed", proposed_by__isnull=False, put_in_force_by=None, in_force_at=None)
                | Q(state__in=_HELD, in_force_at__isnull=False, proposed_by=None, put_in_force_by=None)
                | Q(
                    state__in=_HELD,
                    in_force_at__isnull=False,
                    proposed_by__isnull=False,
                    put_in_force_by__isnull=False,
                ),
            ),
            CheckConstraint(
                name="rule_set_has_a_track_for_others",
                condition=Q(state__in=["draft", "superseded"]) | Q(other_track__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.version

    @property
    def table(self) -> RuleTable:
        """Its rules as the evaluation takes them."""
        rules = sorted(self.rules.all(), key=lambda rule: rule.position)
        return RuleTable(self.version, tuple(rule.as_rule for rule in rules), self.other_track_id or "")


class Rule(models.Model):
    """One rule of a version: conditions, all of which must hold, and what follows. An empty condition always holds."""

    CONDITIONS: ClassVar[tuple[str, ...]] = (
        "usage", "risk_tiers", "data_classes", "tenant", "cost_above", "cost_up_to", "outside_regions", "limit_kind",
        "limit_above",
    )  # fmt: skip
    EDITABLE: ClassVar[tuple[str, ...]] = (
        "outcome", "track", "quorum", "longest_days", "sentence", *CONDITIONS,
    )  # fmt: skip

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    rule_set = models.ForeignKey(
        RuleSet, models.CASCADE, verbose_name=_("version of the rules"), related_name="rules"
    )
    # From 1, without gaps.
    position = models.PositiveSmallIntegerField(_("number"))
    outcome = models.CharField(_("what follows"), max_length=9, choices=Outcome)
    track = models.ForeignKey(
        Track,
        models.PROTECT,
        to_field="code",
        db_column="track",
        verbose_name=_("track"),
        null=True,
        blank=True,
        related_name="+",
    )
    # 0: as many as the track says.
    quorum = models.PositiveSmallIntegerField(_("approvals needed at least"), default=0)
    longest_days = models.PositiveSmallIntegerField(_("longest duration in days"), null=True, blank=True)
    sentence = models.CharField(_("sentence"), max_length=200, blank=True)

    usage = models.CharField(_("use so far"), max_length=5, choices=Usage, blank=True)
    risk_tiers = ArrayField(
        models.CharField(max_length=10, choices=RiskTier),
        verbose_name=_("risk tiers"),
        default=list,
        blank=True,
    )
    data_classes = ArrayField(
        models.CharField(max_length=12, choices=DataClass),
        verbose_name=_("data classes"),
        default=list,
        blank=True,
    )
    # Not `tenant_id`: every tenant's requests meet all rules, so row-level security hides none.
    tenant = models.ForeignKey(
        Tenant,
        models.PROTECT,
        db_column="of_tenant",
        verbose_name=_("tenant"),
        null=True,
        blank=True,
        related_name="+",
    )
    # A month, in the currency of the prices.
    cost_above = models.DecimalField(_("cost above"), max_digits=16, decimal_places=2, null=True, blank=True)
    cost_up_to = models.DecimalField(_("cost up to"), max_digits=16, decimal_places=2, null=True, blank=True)
    outside_regions = ArrayField(
        models.CharField(max_length=60),
        verbose_name=_("offered in none of the regions"),
        default=list,
        blank=True,
    )
    limit_kind = models.CharField(_("kind of limit"), max_length=20, choices=Limit.Kind, blank=True)
    limit_above = models.DecimalField(
        _("limit above"), max_digits=20, decimal_places=2, null=True, blank=True
    )

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        ordering = ["rule_set", "position"]
        constraints = [
            UniqueConstraint(
                fields=["rule_set", "position"], name="rule_position_once", deferrable=Deferrable.DEFERRED
            ),
            CheckConstraint(
                name="rule_has_one_outcome",
                condition=Q(outcome="review", track__isnull=False, quorum__lte=MOST_QUORUM, longest_days=None)
                | Q(outcome="automatic", track=None, quorum=0, longest_days=None)
                | Q(outcome="reject", track=None, quorum=0, longest_days=None) & ~Q(sentence="")
                | Q(outcome="duration", track=None, quorum=0, longest_days__range=(1, MOST_DAYS)),
            ),
            CheckConstraint(
                name="rule_limit_has_kind_and_number",
                condition=Q(limit_kind="", limit_above=None)
                | Q(limit_kind__in=Limit.Kind.values, limit_above__gte=0),
            ),
            CheckConstraint(
                name="rule_conditions_are_known",
                condition=Q(usage__in=["", *Usage.values])
                & Q(risk_tiers__contained_by=RiskTier.values)
                & Q(data_classes__contained_by=DataClass.values),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_set.version}, {self.position}"

    @property
    def as_rule(self) -> rule_table.Rule:
        """The rule as the evaluation takes it."""
        return rule_table.Rule(
            outcome=self.outcome,
            track=self.track_id or "",
            quorum=self.quorum,
            sentence=self.sentence,
            longest_days=self.longest_days or 0,
            usage=self.usage,
            risk_tiers=tuple(self.risk_tiers),
            data_classes=tuple(self.data_classes),
            tenant=str(self.tenant_id or ""),
            cost_above=self.cost_above,
            cost_up_to=self.cost_up_to,
            outside_regions=tuple(self.outside_regions),
            limit_kind=self.limit_kind,
            limit_above=self.limit_above,
        )

    @classmethod
    def from_rule(cls, rule_set: RuleSet, position: int, rule: rule_table.Rule) -> Rule:
        """The row, not stored yet, of a rule."""
        return cls(
            rule_set=rule_set,
            position=position,
            outcome=rule.outcome,
            track_id=rule.track or None,
            quorum=rule.quorum,
            sentence=rule.sentence,
            longest_days=rule.longest_days or None,
            usage=rule.usage,
            risk_tiers=list(rule.risk_tiers),
            data_classes=list(rule.data_classes),
            tenant_id=rule.tenant or None,
            cost_above=rule.cost_above,
            cost_up_to=rule.cost_up_to,
            outside_regions=list(rule.outside_regions),
            limit_kind=rule.limit_kind,
            limit_above=rule.limit_above,
        )
