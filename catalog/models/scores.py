"""Scores of models in evaluations, as somebody published them."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.models.offered import CatalogModel
from core.ids import uuid7
from core.joined import named


class EvaluationScore(models.Model):
    """One number of a model in one benchmark, with the page that states it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(CatalogModel, models.PROTECT, verbose_name=_("model"), related_name="scores")
    benchmark = models.CharField(_("benchmark"), max_length=80)
    # Accuracy, pass@1, …; empty if the benchmark has only one.
    metric = models.CharField(_("metric"), max_length=40, blank=True)
    value = models.DecimalField(_("score"), max_digits=12, decimal_places=4)
    source_url = models.URLField(_("source"), max_length=500)
    # When it was measured or published.
    stated_on = models.DateField(_("date"))
    at = models.DateTimeField(_("entered"), default=now, editable=False)
    by = models.ForeignKey(User, models.PROTECT, verbose_name=_("entered by"), null=True, related_name="+")

    class Meta:
        verbose_name = _("evaluation score")
        verbose_name_plural = _("evaluation scores")
        constraints = [
            UniqueConstraint(fields=["model", "benchmark", "metric"], name="evaluation_score_once"),
            CheckConstraint(name="evaluation_score_has_a_source", condition=Q(source_url__startswith="http")),
        ]

    def __str__(self) -> str:
        return named(self.label, self.shown)

    @property
    def label(self) -> str:
        """The benchmark and its metric: "MMLU (accuracy)"."""
        return f"{self.benchmark} ({self.metric})" if self.metric else self.benchmark

    @property
    def shown(self) -> str:
        """The number without zeros at its end."""
        whole, _point, rest = f"{self.value:,.4f}".partition(".")
        rest = rest.rstrip("0")
        return f"{whole}.{rest}" if rest else whole
