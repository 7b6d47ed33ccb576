"""The reviewers' page that decides several reviews of their queue at once, and reports what became of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action as unfold_action

from accounts.admin.base import offers
from accounts.permissions import signed_in
from catalog import rules
from catalog.actions import decide_review
from catalog.actions.many_reviews import Outcome, decide_reviews
from catalog.asked_facts import read_facts
from catalog.forms import DecideManyForm
from catalog.models import Review
from catalog.review_queue import waiting_for
from core.form_errors import show_errors

MOST: Final = 25


@dataclass(frozen=True)
class Line:
    """One review that can be decided, with the facts that its request shows; after deciding, what became of it."""

    review: Review
    risk: str
    cost: str
    seen: str
    is_chosen: bool
    outcome: Outcome | None


class DecideManyPage:
    """Mixed into the admin of reviews. The address of the page has the filters and the search of the list."""

    @offers(decide_review)
    @unfold_action(
        description=_("Decide several"), url_path="decide-many", icon="checklist", permissions=["decide_many"]
    )
    def decide_many(self: Any, request: HttpRequest) -> HttpResponse:
        """Show the first 25 reviews of the list that wait for the reader. A POST decides the chosen ones."""
        person = signed_in(request)
        try:
            found = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{_list()}?e=1")
        form = DecideManyForm(request.POST or None)
        outcomes: dict[Any, Outcome] = {}
        status = 200
        if form.is_bound:
            outcomes, status = self._decide_chosen(request, form)
        reviews = (
            Review.objects.visible_to(person)
            .select_related("tenant", "track", "access_request__requested_by")
            .prefetch_related("access_request__items__model", "access_request__items__project")
        )
        if outcomes:
            rows = list(reviews.filter(pk__in=outcomes).order_by("due_at", "pk"))
        else:
            waiting = waiting_for(person, found.queryset).order_by("due_at", "pk").values("pk")[:MOST]
            rows = list(reviews.filter(pk__in=[one["pk"] for one in waiting]).order_by("due_at", "pk"))
        chosen = set(request.POST.getlist("review"))
        context = self.frame_of_page(request, None) | {
            "title": gettext("Decide several reviews"),
            "form": form,
            "lines": [_line(review, chosen, outcomes.get(review.pk)) for review in rows],
            "is_done": bool(outcomes),
            "decided": sum(one.is_decided for one in outcomes.values()),
            "queue_keys": True,
            "back": f"{_list()}{found.get_query_string()}",
            "again": request.get_full_path(),
        }
        return render(request, "admin/catalog/review/decide_many.html", context, status=status)

    def _decide_chosen(self, request: HttpRequest, form: DecideManyForm) -> tuple[dict[Any, Outcome], int]:
        """Decide what was chosen. Returns outcomes by review, or none and the status of the page with errors."""
        if not form.is_valid():
            return {}, 400
        names = list(dict.fromkeys(request.POST.getlist("review")))
        chosen = form.read_chosen(names, request.POST)
        if not chosen or len(chosen) > MOST:
            form.add_error(None, gettext("Choose 1 to %(most)s reviews.") % {"most": MOST})
            return {}, 400
        try:
            outcomes = decide_reviews(
                [(pk, read_facts(seen)) for pk, seen in chosen],
                reviewer=signed_in(request),
                verdict=form.cleaned_data["verdict"],
                comment=form.cleaned_data["comment"],
            )
        except ValidationError as refused:
            show_errors(form, refused)
            return {}, 400
        return {one.pk: one for one in outcomes}, 200

    def has_decide_many_permission(self, request: HttpRequest) -> bool:
        return decide_review.is_for(request.user)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list. Its button to decide several leads to a page with the same search and filters."""
        answer: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        page = reverse("admin:catalog_review_decide_many")
        context: Any = getattr(answer, "context_data", None) or {}
        for button in context.get("actions_list", []):
            if button.get("path") == page:
                button["path"] = f"{page}?{request.GET.urlencode()}"
        return answer


def _line(review: Review, chosen: set[str], outcome: Outcome | None) -> Line:
    """A line with the stored facts of the request, which the decision is then based on."""
    facts = review.access_request.facts
    tiers = [one.get("risk_tier") for one in facts.values()]
    costs = [one.get("expected_monthly_cost") for one in facts.values()]
    currencies = {one.get("currency", "") for one in facts.values()}
    known = [tier for tier in rules.RiskTier if tier in tiers]
    is_priced = bool(costs) and None not in costs and len(currencies) == 1
    return Line(
        review=review,
        risk=str(known[-1].label) if known else gettext("unknown"),
        cost=f"{sum(map(Decimal, costs)):,.2f} {currencies.pop()}" if is_priced else gettext("unknown"),
        seen=json.dumps(facts),
        is_chosen=str(review.pk) in chosen,
        outcome=outcome,
    )


def _list() -> str:
    return reverse("admin:catalog_review_changelist")
