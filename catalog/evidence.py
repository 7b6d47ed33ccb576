"""What a reviewer sees beside the decision: the model, the request, the tenant's status, the other tracks."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _

from catalog import presentation, rules
from catalog.actions.facts import facts_now, what_is_worse
from catalog.models import AccessRequest, Grant, Review, ReviewDecision
from catalog.prices import list_prices
from tenants.models import DataClass

Fact = dict[str, Any]


def evidence_of(review: Review, access_request: AccessRequest) -> dict[str, Any]:
    """Facts in groups, as they are now, every review of the request with what was said, and the rules that chose them.

    `seen` has the facts, for the decision; `changed` says what of the review's own has become worse than was asked.
    """
    is_open = access_request.state == AccessRequest.State.PENDING
    facts = facts_now(access_request)
    reviews = list(
        Review.objects.across_tenants()
        .filter(access_request=access_request)
        .prefetch_related("decisions__reviewer")
        .order_by("due_at", "pk")
    )
    return {
        "groups": [
            {"title": _("What is asked"), "facts": _asked(access_request, facts if is_open else None)},
            {"title": _("The model"), "facts": _model(access_request)},
            {"title": _("The tenant"), "facts": _standing(access_request)},
        ],
        "tracks": presentation.tracks_of(reviews),
        "decisions": ReviewDecision.objects.across_tenants().filter(review=review).select_related("reviewer"),
        "seen": json.dumps(facts.as_json()),
        "changed": what_is_worse(review, access_request.facts, facts) if access_request.facts else "",
    }


def _asked(access_request: AccessRequest, facts: rules.Facts | None) -> list[Fact]:
    """What was asked; the cost by `facts`, or as it was when the request was decided."""
    cost, currency = access_request.expected_monthly_cost, access_request.currency
    if facts is not None:
        cost, currency = facts.expected_monthly_cost, facts.currency
    return [
        {"label": _("Purpose"), "value": access_request.purpose, "is_long": True},
        {
            "label": _("Asked by"),
            "value": f"{access_request.requested_by} ({access_request.requested_by.email})",
        },
        {"label": _("Project"), "value": f"{access_request.project.name}, {access_request.tenant.name}"},
        {"label": _("Data class"), "value": DataClass(access_request.data_class).label},
        {"label": _("Expected tokens per day"), "value": f"{access_request.expected_tokens_per_day:,}"},
        {
            "label": _("Expected cost a month"),
            "value": f"{cost:,.2f} {currency}" if cost is not None else _("unknown: not priced"),
        },
        *presentation.limit_facts(access_request),
        {"label": _("Duration"), "value": _("%(days)s days") % {"days": access_request.duration_days}},
        {"label": _("Rules"), "value": access_request.rule_version},
    ]


def _model(access_request: AccessRequest) -> list[Fact]:
    model = access_request.model
    prices = list_prices([model.name]).get(model.name, {})
    return [
        {"label": _("Name"), "value": f"{model.title} ({model.name})"},
        {"label": _("Maker"), "value": model.maker or "—"},
        {"label": _("Risk tier"), "value": model.get_risk_tier_display()},
        {"label": _("Allowed up to"), "value": DataClass(model.highest_data_class).label},
        {"label": _("Runs on"), "value": model.host_label},
        {"label": _("Regions offered"), "value": ", ".join(model.regions) or _("not stated")},
        {
            "label": _("Price per million"),
            "value": ", ".join(
                f"{kind} {prices[kind].normalize():f} USD" for kind in ("input", "output") if kind in prices
            )
            or _("not priced"),
        },
        {"label": _("Lifecycle"), "value": model.get_lifecycle_display()},
    ]


def _standing(access_request: AccessRequest) -> list[Fact]:
    tenant = access_request.tenant
    requests = AccessRequest.objects.in_tenant(tenant).exclude(pk=access_request.pk)
    by_state = {state: requests.filter(state=state).count() for state in ("approved", "rejected")}
    return [
        {"label": _("Status"), "value": tenant.get_status_display()},
        {"label": _("Allowed up to"), "value": DataClass(tenant.highest_data_class).label},
        {"label": _("Regions allowed"), "value": ", ".join(tenant.regions) or _("any")},
        {"label": _("Grants in force"), "value": Grant.objects.in_tenant(tenant).in_force().count()},
        {
            "label": _("Earlier requests"),
            "value": _("%(approved)s approved, %(rejected)s rejected") % by_state,
        },
    ]
