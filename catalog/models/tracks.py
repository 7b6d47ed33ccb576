"""Tracks of reviews, the calendars by which they are due, and the scopes in which people decide them."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from catalog.models.offered import CatalogModel
from core.ids import uuid7
from core.names import NameField, one_line
from core.stored_labels import StoredLabel, of_choices
from core.working_hours import WorkingHours
from tenants.models import Tenant

MOST_QUORUM: Final = 9
MOST_DELEGATION_DAYS: Final = 180
# Working hours: about half a year.
MOST_DUE_HOURS: Final = 1000
TRACK_CODE = RegexValidator(
    r"^[a-z][a-z0-9-]*$", _("Lower-case letters, digits and hyphens; a letter first.")
)
# The names of the tracks of a new installation, for as long as nobody has renamed them.
FIRST_NAMES: Final = {
    "security": pgettext_lazy("track", "Security"),
    "compliance": pgettext_lazy("track", "Compliance"),
    "cost": pgettext_lazy("track", "Cost"),
}

ALL_TENANTS: Final = pgettext_lazy("scope", "all tenants")
ALL_MODELS: Final = pgettext_lazy("scope", "all models")
_SCOPE: Final = StoredLabel(
    "catalog.reviewscope",
    pgettext_lazy("scope", "%(track)s: %(tenant)s, %(model)s"),
    track=of_choices(lambda: list(FIRST_NAMES.items())),
    tenant=of_choices(lambda: [("", ALL_TENANTS)]),
    model=of_choices(lambda: [("", ALL_MODELS)]),
)


def _monday_to_friday() -> list[int]:
    return [1, 2, 3, 4, 5]


class WorkingCalendar(models.Model):
    """The hours in which reviewers of some tracks work. Only these hours count until a review is due."""

    EDITABLE: ClassVar[tuple[str, ...]] = ("name", "time_zone", "opens", "closes", "weekdays", "holidays")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = NameField(_("name"), max_length=80, unique=True)
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    opens = models.TimeField(_("working day begins"), default=time(9))
    closes = models.TimeField(_("working day ends"), default=time(17))
    # Monday is 1, Sunday 7 (ISO 8601).
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(), verbose_name=_("working days"), default=_monday_to_friday
    )
    holidays = ArrayField(models.DateField(), verbose_name=_("holidays"), default=list, blank=True)

    class Meta:
        verbose_name = _("working calendar")
        verbose_name_plural = _("working calendars")
        constraints = [
            one_line("name", of="working_calendar"),
            CheckConstraint(name="working_calendar_opens_first", condition=Q(opens__lt=F("closes"))),
            CheckConstraint(
                name="working_calendar_has_days",
                condition=Q(weekdays__contained_by=[1, 2, 3, 4, 5, 6, 7]) & ~Q(weekdays=[]),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def hours(self) -> WorkingHours:
        return WorkingHours(
            time_zone=self.time_zone,
            opens=self.opens,
            closes=self.closes,
            weekdays=frozenset(self.weekdays),
            holidays=frozenset(self.holidays),
        )


class Track(models.Model):
    """One kind of approval: how many people must agree, and within which time.

    The rules (catalog/rules.py) say which requests need the track, by its code; scopes say who decides it.
    """

    EDITABLE: ClassVar[tuple[str, ...]] = (
        "name",
        "quorum",
        "due_hours",
        "calendar",
        "longest_delegation_days",
        "escalates_after_hours",
    )

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # What rules, the API and audit entries call it. It stays.
    code = models.CharField(_("code"), max_length=12, unique=True, validators=[TRACK_CODE])
    name = NameField(_("name"), max_length=60)
    quorum = models.PositiveSmallIntegerField(
        _("approvals needed"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_QUORUM)],
    )
    due_hours = models.PositiveSmallIntegerField(
        _("due after working hours"),
        default=16,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_DUE_HOURS)],
    )
    calendar = models.ForeignKey(
        WorkingCalendar, models.PROTECT, verbose_name=_("working calendar"), related_name="tracks"
    )
    # 0: reviewers of the track do not delegate.
    longest_delegation_days = models.PositiveSmallIntegerField(
        _("longest delegation in days"),
        default=30,
        db_default=30,
        validators=[MaxValueValidator(MOST_DELEGATION_DAYS)],
    )
    # Working hours after a review was due. Null: late reviews stay with those who decide the track.
    escalates_after_hours = models.PositiveSmallIntegerField(
        _("escalates after working hours"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(MOST_DUE_HOURS)],
    )

    class Meta:
        verbose_name = _("track")
        verbose_name_plural = _("tracks")
        ordering = ["code"]
        permissions = [("manage_track", "Change tracks, their calendars and who decides them")]
        constraints = [
            one_line("name", of="track"),
            CheckConstraint(name="track_wants_people", condition=Q(quorum__range=(1, MOST_QUORUM))),
            CheckConstraint(name="track_is_due", condition=Q(due_hours__range=(1, MOST_DUE_HOURS))),
            CheckConstraint(
                name="track_delegation_ends",
                condition=Q(longest_delegation_days__lte=MOST_DELEGATION_DAYS),
            ),
            CheckConstraint(
                name="track_escalates",
                condition=Q(escalates_after_hours=None) | Q(escalates_after_hours__lte=MOST_DUE_HOURS),
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """Its name for people; that of a new installation in the language of the page."""
        first = FIRST_NAMES.get(self.code)
        return str(first) if first is not None and self.name == _english_name(self.code) else self.name

    @property
    def usual_time(self) -> str:
        """How long a decision usually takes, in words: in working days where it is some whole ones."""
        days, rest = divmod(timedelta(hours=self.due_hours), self.calendar.hours.per_day)
        if days and not rest:
            return ngettext("within %(n)s working day", "within %(n)s working days", days) % {"n": days}
        hours = self.due_hours
        return ngettext("within %(n)s working hour", "within %(n)s working hours", hours) % {"n": hours}

    def due_at(self, begins: datetime) -> datetime:
        """When a review that begins then is due, by the track's calendar (which should be selected with it)."""
        return self.calendar.hours.after(begins, timedelta(hours=self.due_hours))

    def escalates_at(self, due_at: datetime) -> datetime | None:
        """When a review that was due then is passed on; None: never."""
        if self.escalates_after_hours is None:
            return None
        return self.calendar.hours.after(due_at, timedelta(hours=self.escalates_after_hours))


class ReviewScope(models.Model):
    """A part of the requests, in which some people decide one track: of a tenant or all, for a model or all.

    django-guardian stores the people: the object permission `decide_review` of a person or a group on the scope, and
    `decide_late_review` of those who decide as well once a review is escalated.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    track = models.ForeignKey(
        Track,
        models.PROTECT,
        to_field="code",
        db_column="track",
        verbose_name=_("track"),
        related_name="scopes",
    )
    # Null: all.
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, verbose_name=_("tenant"), null=True, blank=True, related_name="+"
    )
    model = models.ForeignKey(
        CatalogModel, models.PROTECT, verbose_name=_("model"), null=True, blank=True, related_name="+"
    )

    class Meta:
        verbose_name = _("review scope")
        verbose_name_plural = _("review scopes")
        permissions = [
            ("decide_review", "Decide reviews"),
            ("decide_late_review", "Decide reviews that are escalated"),
        ]
        constraints = [
            UniqueConstraint(
                fields=["track", "tenant", "model"], name="review_scope_once", nulls_distinct=False
            )
        ]

    @property
    def is_everything(self) -> bool:
        """Whether it covers all tenants and all models."""
        return self.tenant_id is None and self.model_id is None

    def __str__(self) -> str:
        return _SCOPE(
            track=self.track.label,
            tenant=self.tenant.name if self.tenant else ALL_TENANTS,
            model=self.model.title if self.model else ALL_MODELS,
        )


def _english_name(code: str) -> str:
    return code.capitalize()
