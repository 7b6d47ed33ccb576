"""How earlier requests for the same model went, and what changed since the tenant was last granted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _

from catalog import presentation, rules
from catalog.asked_facts import AskedFacts
from catalog.models import AccessRequest, RequestItem, ReviewDecision
from core.page_parts import Badge

MOST: Final = 5
_DECIDED: Final = (AccessRequest.State.APPROVED, AccessRequest.State.REJECTED)


@dataclass(frozen=True)
class Precedent:
    """One decided request for the same model; `reason` has the words of who rejected it."""

    tenant: str
    project: str
    data_class: str
    badge: Badge
    reason: str
    decided_at: datetime | None
    url: str


@dataclass(frozen=True)
class Precedents:
    """The newest decided requests of all tenants, and the last approval in this one with what changed since."""

    rows: list[Precedent]
    last_approval: datetime | None
    last_project: str
    changes: list[str]


def precedents_of(access_request: AccessRequest, asked: AskedFacts) -> Precedents:
    """What was decided before about its models. Four queries, by an index, however many requests there are.

    Args:
        access_request: the request; it is left out.
        asked: its facts as they are now. What changed is said of a request for one model.
    """
    earlier = (
        RequestItem.objects.across_tenants()
        .filter(model__in=[one.item.model_id for one in asked], is_open=False)
        .filter(access_request__state__in=_DECIDED)
        .exclude(access_request=access_request.pk)
        .select_related("tenant", "project", "access_request")
    )
    newest = earlier.prefetch_related("access_request__reviews__decisions").order_by("-pk")[:MOST]
    approved = earlier.filter(
        tenant=access_request.tenant_id, access_request__state=AccessRequest.State.APPROVED
    )
    last = approved.order_by("-access_request__created_at", "-pk").first() if len(asked) == 1 else None
    return Precedents(
        rows=[_precedent(one) for one in newest],
        last_approval=last.access_request.decided_at if last else None,
        last_project=last.project.name if last else "",
        changes=_changes(last.access_request.facts.get(str(last.pk), {}), asked[0].facts.as_json())
        if last
        else [],
    )


def _precedent(item: RequestItem) -> Precedent:
    access_request = item.access_request
    rejections = [
        decision.comment
        for review in access_request.reviews.all()
        for decision in review.decisions.all()
        if decision.verdict == ReviewDecision.Verdict.REJECT
    ]
    return Precedent(
        tenant=item.tenant.name,
        project=item.project.name,
        data_class=item.get_data_class_display(),
        badge=presentation.state_badge(access_request),
        reason=" ".join(rejections),
        decided_at=access_request.decided_at,
        url=reverse("admin:catalog_accessrequest_change", args=[access_request.pk]),
    )


def _changes(then: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """What is otherwise than at the approval, for better or worse. Whether the project is new says nothing of it."""
    names = [name for name in rules.FACTS if name != "is_new_to_project" and name in present]
    words = [
        rules.change_in_words(name, then, present)
        for name in names
        if name in then and then[name] != present[name]
    ]
    if any(name not in then for name in names):
        words.append(_("Some of the earlier facts are not recorded."))
    return words
