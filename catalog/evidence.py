"""The evidence that a reviewer sees beside the decision: model, request, tenant status, and other tracks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from catalog import presentation, rules
from catalog.actions.facts import facts_now, what_is_worse
from catalog.models import AccessRequest, Grant, Review, ReviewDecision
from catalog.precedents import Precedents, precedents_of
from catalog.prices import list_prices
from catalog.serving import why_request_unserved
from core.page_parts import Fact
from tenants.models import DataClass


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
    facts = facts_now(access_request)
    reviews = list(
        Review.objects.across_tenants()
        .filter(access_request=access_request)
        .select_related("track", "access_request")
        .prefetch_related("decisions__reviewer", "decisions__delegation__giver")
        .order_by("due_at", "pk")
    )
    return Evidence(
        groups=[
            {"title": _("Request"), "facts": _asked(access_request, facts if is_open else None)},
            {"title": _("The model"), "facts": _model(access_request)},
            {"title": _("The tenant"), "facts": _standing(access_request)},
        ],
        tracks=presentation.review_rows(reviews),
        precedents=precedents_of(access_request, facts.as_json()),
        timeline=presentation.timeline_of(
            access_request,
            reviews,
            Grant.objects.across_tenants().filter(access_request=access_request).first(),
        ),
        decisions=ReviewDecision.objects.across_tenants().filter(review=review).select_related("reviewer"),
        seen=json.dumps(facts.as_json()),
        changed=what_is_worse(review, access_request.facts, facts) if access_request.facts else "",
    )


def _asked(access_request: AccessRequest, facts: rules.Facts | None) -> list[Fact]:
    """The request. Its cost comes from `facts`, or is the stored one if the request is decided."""
    cost, currency = access_request.expected_monthly_cost, access_request.currency
    person = access_request.requested_by
    if facts is not None:
        cost, currency = facts.expected_monthly_cost, facts.currency
    return [
        Fact(_("Purpose"), access_request.purpose, is_long=True),
        Fact(_("Asked by"), _("%(name)s (%(code)s)") % {"name": person, "code": person.email}),
        Fact(_("Project"), f"{access_request.project.name}, {access_request.tenant.name}"),
        Fact(_("Data class"), DataClass(access_request.data_class).label),
        Fact(_("Expected tokens per day"), f"{access_request.expected_tokens_per_day:,}"),
        Fact(
            _("Expected monthly cost"),
            f"{cost:,.2f} {currency}" if cost is not None else _("unknown: not priced"),
        ),
        *presentation.limit_facts(access_request),
        Fact(_("Duration"), _("%(days)s days") % {"days": access_request.duration_days}),
        Fact(_("Rules"), access_request.rule_version),
    ]


def _model(access_request: AccessRequest) -> list[Fact]:
    model = access_request.model
    prices = list_prices([model.name]).get(model.name, {})
    return [
        Fact(_("Name"), _("%(name)s (%(code)s)") % {"name": model.title, "code": model.name}),
        Fact(_("Maker"), model.maker or "—"),
        Fact(_("Risk tier"), model.get_risk_tier_display()),
        Fact(_("Allowed up to"), DataClass(model.highest_data_class).label),
        Fact(_("Runs on"), model.host_label),
        Fact(_("Calls"), why_request_unserved(access_request) or _("answered now")),
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
