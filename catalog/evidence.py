"""The evidence that a reviewer sees beside the decision: model, request, tenant status, and other tracks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from catalog import presentation
from catalog.actions.facts import facts_now
from catalog.answers import answered_tracks
from catalog.asked_facts import AskedFacts, ItemFacts, as_json, worse_in_words
from catalog.models import AccessRequest, Grant, RequestItem, Review, ReviewDecision
from catalog.precedents import Precedents, precedents_of
from catalog.prices import list_prices
from catalog.serving import why_item_unserved
from core.page_parts import Fact
from tenants.models import DataClass, Tenant


@dataclass(frozen=True)
class Evidence:
    """The evidence that a reviewer sees beside the decision."""

    groups: list[dict[str, Any]]
    tracks: list[presentation.ReviewRow]
    precedents: Precedents
    timeline: list[presentation.Words]
    decisions: QuerySet[ReviewDecision]
    seen: str
    changed: str


def evidence_of(review: Review, access_request: AccessRequest) -> Evidence:
    """The current facts in groups, with the version of the rules, and every review of the request with its comments.

    `seen` has the facts for the decision. `changed` says which of the review's own facts are worse than in the request.
    """
    is_open = access_request.state == AccessRequest.State.PENDING
    asked = facts_now(access_request)
    reviews = list(
        Review.objects.across_tenants()
        .filter(access_request=access_request)
        .select_related("track", "access_request")
        .prefetch_related("decisions__reviewer", "decisions__delegation__giver")
        .order_by("due_at", "pk")
    )
    return Evidence(
        groups=[
            {"title": _("Request"), "facts": _asked(access_request, asked, is_open=is_open)},
            *(_item_group(one, access_request, of_several=len(asked) > 1, is_open=is_open) for one in asked),
            {"title": _("The tenant"), "facts": _standing(access_request)},
            *({"title": one.title, "facts": one.facts} for one in answered_tracks(access_request)),
        ],
        tracks=presentation.review_rows(reviews),
        precedents=precedents_of(access_request, asked),
        timeline=presentation.timeline_of(access_request, reviews),
        decisions=ReviewDecision.objects.across_tenants().filter(review=review).select_related("reviewer"),
        seen=json.dumps(as_json(asked)),
        changed=worse_in_words(review.track_id, access_request.facts, asked) if access_request.facts else "",
    )


def _asked(access_request: AccessRequest, asked: AskedFacts, *, is_open: bool) -> list[Fact]:
    """The request as a whole. What of it is about the only model follows here too."""
    person = access_request.requested_by
    said = [
        Fact(_("Purpose"), access_request.purpose, is_long=True),
        Fact(_("Asked by"), _("%(name)s (%(code)s)") % {"name": person, "code": person.email}),
    ]
    if len(asked) == 1:
        said += _wanted(asked[0], access_request, is_open=is_open)
    return [*said, *presentation.request_facts(access_request)]


def _item_group(
    one: ItemFacts, access_request: AccessRequest, *, of_several: bool, is_open: bool
) -> dict[str, Any]:
    """The facts about one model; among several, with what the request wants of it."""
    if not of_several:
        return {"title": _("The model"), "facts": _model(one.item, access_request.tenant)}
    wanted = _wanted(one, access_request, is_open=is_open)
    return {"title": str(one.item), "facts": wanted + _model(one.item, access_request.tenant)}


def _wanted(one: ItemFacts, access_request: AccessRequest, *, is_open: bool) -> list[Fact]:
    """What the request wants of one model. Its cost is that of now, or the stored one if the request is decided."""
    item, cost, currency = one.item, one.item.expected_monthly_cost, one.item.currency
    if is_open:
        cost, currency = one.facts.expected_monthly_cost, one.facts.currency
    return [
        Fact(_("Project"), f"{item.project.name}, {access_request.tenant.name}"),
        Fact(_("Data class"), DataClass(item.data_class).label),
        Fact(_("Expected tokens per day"), f"{item.expected_tokens_per_day:,}"),
        Fact(_("Expected monthly cost"), presentation.cost_words(cost, currency)),
        *presentation.limit_facts(item),
        *presentation.renewal_facts(item),
    ]


def _model(item: RequestItem, tenant: Tenant) -> list[Fact]:
    model = item.model
    prices = list_prices([model.name]).get(model.name, {})
    return [
        Fact(_("Name"), _("%(name)s (%(code)s)") % {"name": model.title, "code": model.name}),
        Fact(_("Maker"), model.maker or "—"),
        Fact(_("Risk tier"), model.get_risk_tier_display()),
        Fact(_("Allowed up to"), DataClass(model.highest_data_class).label),
        Fact(_("Runs on"), model.host_label),
        Fact(_("Calls"), why_item_unserved(item, tenant) or _("answered now")),
        Fact(_("Regions offered"), ", ".join(model.regions) or _("not stated")),
        Fact(
            _("Price per million"),
            pgettext("between two of a list", ", ").join(
                f"{words} {prices[kind].normalize():f} USD"
                for kind, words in (("input", _("Input")), ("output", _("Output")))
                if kind in prices
            )
            or _("not priced"),
        ),
        Fact(_("Lifecycle"), model.get_lifecycle_display()),
    ]


def _standing(access_request: AccessRequest) -> list[Fact]:
    tenant = access_request.tenant
    requests = AccessRequest.objects.in_tenant(tenant).exclude(pk=access_request.pk)
    by_state = {state: requests.filter(state=state).count() for state in ("approved", "rejected")}
    return [
        Fact(_("Status"), tenant.get_status_display()),
        Fact(_("Allowed up to"), DataClass(tenant.highest_data_class).label),
        Fact(_("Regions allowed"), ", ".join(tenant.regions) or _("any")),
        Fact(_("Grants in force"), str(Grant.objects.in_tenant(tenant).in_force().count())),
        Fact(_("Earlier requests"), _("%(approved)s approved, %(rejected)s rejected") % by_state),
    ]
