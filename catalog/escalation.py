"""Escalation: a review that is late for a while is passed on to people who were named for it; they decide it, too."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet, UUIDField
from django.db.models.functions import Cast
from django.utils.timezone import now
from guardian.models import GroupObjectPermission, UserObjectPermission

import audit
from catalog.models import AccessRequest, Review, ReviewScope
from catalog.notices import tell_of_escalation
from catalog.review_queue import open_for_decision
from catalog.review_scopes import covered_by
from tenants.status import lock_tenant_shared

# In one run; the rest is escalated by the next.
MOST: Final = 500


def escalate_late_reviews() -> int:
    """Escalate the open reviews that have been late for as long as their track says; return how many. Safe to repeat.

    Only those for which somebody is named: a review that nobody more could decide stays as it is.
    """
    late = open_for_decision(Review.objects.across_tenants()).filter(
        due_at__lt=now(), escalated_at=None, track__escalates_after_hours__isnull=False
    )
    named = late.filter(covered_by(_scopes_with_somebody())).select_related("track__calendar")
    return sum(_escalate(review.pk) for review in named.order_by("due_at", "pk")[:MOST] if _is_time(review))


def _is_time(review: Review) -> bool:
    at = review.track.escalates_at(review.due_at)
    return at is not None and at <= now()


@transaction.atomic
def _escalate(pk: UUID) -> bool:
    """Escalate one review, unless it was decided, due anew or escalated meanwhile."""
    found = Review.objects.across_tenants().select_related("tenant").get(pk=pk)
    # As decisions do: tenant, request, review.
    lock_tenant_shared(found.tenant)
    access_request = (
        AccessRequest.objects.across_tenants()
        .select_for_update(of=("self",), no_key=True)
        .select_related("tenant")
        .get(pk=found.access_request_id)
    )
    review = (
        Review.objects.across_tenants()
        .select_for_update(of=("self",))
        .select_related("track__calendar")
        .get(pk=pk)
    )
    is_open = (review.state, access_request.state) == (Review.State.PENDING, AccessRequest.State.PENDING)
    if not is_open or review.escalated_at is not None or not _is_time(review):
        return False
    review.escalated_at = now()
    review.save(update_fields=["escalated_at"])
    audit.record(
        "review.escalated", actor=None, subject=review, track=review.track_id, request=str(access_request.pk)
    )
    tell_of_escalation(review, access_request)
    return True


def _scopes_with_somebody() -> QuerySet[ReviewScope]:
    """The scopes for which somebody is named."""
    late = {"permission__codename": "decide_late_review", "permission__content_type__app_label": "catalog"}
    scope = Cast("object_pk", UUIDField())
    by_people = UserObjectPermission.objects.filter(**late).values(scope=scope)
    by_groups = GroupObjectPermission.objects.filter(**late).values(scope=scope)
    return ReviewScope.objects.filter(Q(pk__in=by_people) | Q(pk__in=by_groups))
