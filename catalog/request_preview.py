"""The request form as it was sent, and what the request would mean, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, QueryDict
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from accounts.permissions import signed_in
from catalog.actions import Preview, preview_access_request
from catalog.answers import field_name, sets_in_force
from catalog.models import CatalogModel, QuestionSet, Track
from catalog.pace import paces_of, usual_time
from catalog.request_forms import LIMITS, AccessRequestForm
from catalog.serving import reach_of, unserved_words
from catalog.spend_beside import ProjectSpend, spend_beside
from core.choices import pick_field
from tenants.models import DataClass, Project, Tenant


def read_form(request: HttpRequest, tenant: Tenant, model: CatalogModel) -> AccessRequestForm:
    """The form as it was sent, with the questions of the tracks that the request needs."""
    user = signed_in(request)
    form = AccessRequestForm(request.POST, user=user, tenant=tenant, model=model)
    sets = needed_questions(form)
    if sets:
        # It has been read already; fields come before that.
        form = AccessRequestForm(request.POST, user=user, tenant=tenant, model=model)
        form.ask(sets)
    return form


def needed_questions(form: AccessRequestForm) -> dict[str, QuestionSet]:
    """The questions in force of the tracks that the request would need, by track; none while it is incomplete."""
    if not QuestionSet.objects.filter(state=QuestionSet.State.IN_FORCE).exists():
        return {}
    preview = read_preview(form)
    return sets_in_force(review.track for review in preview.reviews) if preview else {}


def answers_of(sent: QueryDict, sets: Mapping[str, QuestionSet]) -> dict[str, dict[str, str]]:
    """What was typed so far for the questions, by track and code."""
    return {
        track: {one.code: sent.get(field_name(track, one.code), "") for one in found.questions.all()}
        for track, found in sets.items()
    }


def read_preview(form: AccessRequestForm) -> Preview | None:
    """The preview of a form that may be incomplete; None until it has a number of tokens."""
    form.is_valid()
    answers = form.cleaned_data
    project: Project | None = answers.get("project") or pick_field(form, "project").preferred
    if project is None or answers.get("expected_tokens_per_day") is None:
        return None
    return preview_access_request(
        project,
        form.model,
        expected_tokens_per_day=answers["expected_tokens_per_day"],
        data_class=answers.get("data_class") or DataClass.INTERNAL,
        limits={kind: answers.get(kind) for kind in LIMITS},
        duration_days=answers.get("duration_days") or 365,
        more=[row.wanted for row in form.further if row.is_valid()],
    )


@dataclass(frozen=True)
class PreviewWords:
    """What a request would mean, in words."""

    cost: Decimal | None
    low: Decimal | None
    high: Decimal | None
    currency: str
    cost_reason: str
    decision_on: datetime | None
    decision_note: str
    problems: list[str]
    reviews: list[dict[str, Any]]
    spend: list[ProjectSpend]
    # Of each model, if there are several.
    items: list[dict[str, Any]]
    # Why calls with the chosen class of data get no answer, if others do.
    unserved: str


def preview_words(form: AccessRequestForm) -> PreviewWords | None:
    """The preview of a form in the words that the template needs; None until it has a number of tokens."""
    preview = read_preview(form)
    if preview is None:
        return None
    estimate = preview.estimate
    tracks = Track.objects.select_related("calendar").in_bulk(
        [review.track for review in preview.reviews], field_name="code"
    )
    due = [track.due_at(now()) for track in tracks.values()]
    paces = paces_of(tracks.values())
    return PreviewWords(
        cost=estimate.amount if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        currency=estimate.currency if estimate else "USD",
        cost_reason="" if estimate else _unpriced(preview),
        decision_on=max(due, default=None),
        decision_note=ngettext("%(n)s review", "%(n)s reviews", len(preview.reviews))
        % {"n": len(preview.reviews)},
        problems=list(preview.problems.values()),
        reviews=[
            {
                "label": tracks[review.track].label,
                "why": review.reason,
                "usual": usual_time(tracks[review.track], paces),
            }
            for review in preview.reviews
        ],
        spend=spend_beside(form.user, form.tenant, preview.items),
        items=[
            {"name": str(one.item), "cost": one.estimate.amount, "currency": one.estimate.currency}
            if one.estimate
            else {"name": str(one.item), "cost": None}
            for one in preview.items
        ]
        if len(preview.items) > 1
        else [],
        unserved=_unserved_class(form, preview),
    )


def _unpriced(preview: Preview) -> str:
    """Why a preview has no cost of all its models together."""
    names = [one.item.model.title for one in preview.items if one.estimate is None]
    if len(preview.items) == 1:
        return _("The model has no price yet.")
    if not names:
        return _("The models have prices in different currencies.")
    return _("Without a price: %(models)s.") % {"models": pgettext("between two of a list", ", ").join(names)}


def _unserved_class(form: AccessRequestForm, preview: Preview) -> str:
    """What is to be said if calls with a chosen class of data get no answer, by model if there are several.

    If none of the only model do, the form itself says so.
    """
    items = [one.item for one in preview.items]
    reach = reach_of([form.tenant], [item.model for item in items])[form.tenant.pk]
    if len(items) == 1:
        reached = reach.get(items[0].model_id)
        return unserved_words(reached, items[0].data_class) if reached is not None else ""
    said = [(item, unserved_words(reach.get(item.model_id), item.data_class)) for item in items]
    return "; ".join(f"{item}: {words}" for item, words in said if words)
