"""Changes of models that take something away from tenants: planned, told, undone until they take effect."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from catalog.models.offered import CatalogModel
from core.ids import uuid7
from core.names import LineField, one_line
from core.stored_labels import StoredLabel

_KINDS = {"Edit": _("Edit"), "Deprecate": _("Deprecate"), "Retire": _("Retire")}
_LABEL = StoredLabel(
    "catalog.plannedchange", _("%(kind)s on %(day)s"), kind=lambda word: _KINDS.get(word, word)
)


class PlannedChange(models.Model):
    """One change of one model or many, at one time. A trigger keeps what was planned, and each ends once."""

    class Kind(models.TextChoices):
        EDIT = "edit", _("Edit")
        DEPRECATE = "deprecate", _("Deprecate")
        RETIRE = "retire", _("Retire")

    class State(models.TextChoices):
        PLANNED = "planned", pgettext_lazy("a change", "Planned")
        IN_EFFECT = "in_effect", pgettext_lazy("a change", "In effect")
        UNDONE = "undone", pgettext_lazy("a change", "Undone")
        FAILED = "failed", pgettext_lazy("a change", "Failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    # Facts that it sets, as JSON has them (catalog/model_facts.py).
    values = models.JSONField(default=dict)
    takes_effect_at = models.DateTimeField(_("takes effect"))
    # Owners read it.
    reason = LineField(_("reason"), max_length=300, blank=True)
    planned_at = models.DateTimeField(_("planned"), default=now, editable=False)
    # Null: the platform.
    planned_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("planned by"), null=True, related_name="+"
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PLANNED)
    # When it took effect, was undone, or failed.
    ended_at = models.DateTimeField(_("ended"), null=True)
    undone_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("undone by"), null=True, related_name="+"
    )
    # What it touched when it was planned (catalog/model_impact.py).
    impact = models.JSONField(default=dict)
    # Why it could not take effect.
    problem = models.TextField(_("problem"), blank=True)
    # The state of which owners were told last; empty: none yet.
    announced = models.CharField(max_length=10, blank=True, editable=False)
    models = models.ManyToManyField(
        CatalogModel, through="PlannedChangeOfModel", related_name="planned_changes"
    )

    class Meta:
        verbose_name = _("planned change")
        verbose_name_plural = _("planned changes")
        ordering = ["-takes_effect_at", "-id"]
        constraints = [
            CheckConstraint(
                name="planned_change_ends_at_a_time",
                condition=Q(state="planned", ended_at=None) | ~Q(state="planned") & Q(ended_at__isnull=False),
            ),
            CheckConstraint(
                name="planned_change_is_undone_by_somebody",
                condition=Q(state="undone") | Q(undone_by=None),
            ),
            one_line("reason", of="planned_change"),
        ]
        indexes = [
            Index(fields=["takes_effect_at"], name="planned_change_due", condition=Q(state="planned")),
            Index(fields=["id"], name="planned_change_to_tell", condition=~Q(announced=models.F("state"))),
        ]

    def __str__(self) -> str:
        return _LABEL(kind=self.get_kind_display(), day=self.takes_effect_at.date())


class PlannedChangeOfModel(models.Model):
    """A model that a change is of, with the values that its facts had when it was planned."""

    change = models.ForeignKey(PlannedChange, models.CASCADE, related_name="of_models")
    model = models.ForeignKey(CatalogModel, models.CASCADE, related_name="+")
    # By fact. Facts that are absent stay as they are.
    before = models.JSONField(default=dict)

    class Meta:
        constraints = [UniqueConstraint(fields=["model", "change"], name="planned_change_of_model_once")]

    def __str__(self) -> str:
        return f"{self.model}: {self.change}"
