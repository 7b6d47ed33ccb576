"""Entering scores of models in evaluations."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.curating import CURATE
from catalog.fact_fields import WebAddress
from catalog.models import CatalogModel, EvaluationScore
from core.names import read_name

# Scores of one model.
MOST_SCORES: Final = 100


@action(CatalogModel, permission=CURATE)
@transaction.atomic
def set_score(
    pk: UUID | str,
    *,
    benchmark: str,
    metric: str = "",
    value: Decimal | None,
    source_url: str = "",
    stated_on: date | None = None,
    by: User | None,
) -> EvaluationScore | None:
    """Set the score of a model by one metric of a benchmark, or remove it. Safe to repeat.

    Args:
        pk: id of the model.
        benchmark: the benchmark's name.
        metric: what the number is, such as accuracy.
        value: the score; None removes it.
        source_url: the page that states it, required for a score.
        stated_on: when it was measured or published; default: today.
        by: an operator; None: the platform.

    Returns the score, or None if there is none.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not edit models.
        ValidationError: by field, what is wrong.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    set_score.require(by, model)
    benchmark, metric = read_name(benchmark), read_name(metric)
    present = model.scores.filter(benchmark=benchmark, metric=metric).first()
    if value is None:
        if present is None:
            raise ValidationError({"benchmark": [_("The model has no such score.")]})
        audit.record(
            "catalog_model.score_removed",
            actor=by,
            subject=model,
            benchmark=present.label,
            score=present.shown,
        )
        present.delete()
        return None
    if present is None and model.scores.count() >= MOST_SCORES:
        words = _("A model has at most %(most)d scores.") % {"most": MOST_SCORES}
        raise ValidationError({"benchmark": [words]})
    score = present or EvaluationScore(model=model, benchmark=benchmark, metric=metric)
    score.value, score.source_url = value, _address(source_url)
    score.stated_on, score.at, score.by = stated_on or now().date(), now(), by
    score.full_clean(validate_unique=False, validate_constraints=False)
    score.save()
    audit.record(
        "catalog_model.scored",
        actor=by,
        subject=model,
        benchmark=score.label,
        score=score.shown,
        source=score.source_url,
    )
    return score


def _address(said: str) -> str:
    try:
        found: str = WebAddress().clean(said)
    except ValidationError as error:
        raise ValidationError({"source_url": error.messages}) from error
    if not found:
        raise ValidationError({"source_url": [_("Name the page that states this score.")]})
    return found
