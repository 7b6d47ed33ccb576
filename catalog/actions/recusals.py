"""Stepping back: a reviewer leaves a request to others, for good."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.facts import ask_again
from catalog.models import AccessRequest, Review, ReviewDecision, ReviewRecusal
from catalog.notices import tell_reviewers
from catalog.review_scopes import DECIDE, may_decide
from catalog.stored_sentences import STEPPED_BACK
from core.database_conflicts import conflicts_of_database
from core.errors import Conflict
from core.names import read_line
from tenants.status import lock_tenant_shared


def _require_scope(by: User, review: Review) -> None:
    if not may_decide(by, review):
        raise PermissionDenied(
            _("Other people decide these reviews: none of your review scopes covers this one.")
        )


def _require_undecided(by: User | None, review: Review) -> None:
    access_request = review.access_request
    if access_request.state not in (AccessRequest.State.PENDING, AccessRequest.State.RETURNED):
        raise Conflict(
            _("This request is %(state)s; there is nothing left to decide.")
            % {"state": access_request.get_state_display().lower()},
            code="already_decided",
        )
    if by is not None and access_request.recusals.filter(person=by).exists():
        raise Conflict(_("You have stepped back from this request already."), code="already_stepped_back")


@action(Review, permission=DECIDE, rule=_require_scope, state=_require_undecided)
@conflicts_of_database()
@transaction.atomic
def step_back(pk: UUID | str, *, reason: str, by: User) -> Review:
    """Leave a request to others: `by` decides none of its reviews from now on, and nobody does in their place.

    Nobody takes that back. Reviews that `by` had approved, or somebody in their place, are asked again in another
    round. Those who still decide the open reviews are told.

    Args:
        pk: id of a review of the request.
        reason: for reviewers and the audit log, such as a conflict of interest.
        by: a reviewer with a scope that covers the review.

    Raises:
        Review.DoesNotExist: `by` cannot see such a review.
        PermissionDenied: no scope of `by` covers the review.
        Conflict: the request is decided, or `by` has stepped back already.
        ValidationError: there is no reason, or it is too long.
    """
    found = Review.objects.visible_to(by).select_related("tenant").get(pk=pk)
    tenant = lock_tenant_shared(found.tenant)
    # The order of `decide_review`: tenant, request, reviews.
    access_request = (
        AccessRequest.objects.in_tenant(tenant)
        .select_for_update(of=("self",), no_key=True)
        .get(pk=found.access_request_id)
    )
    access_request.tenant = tenant
    reviews = list(
        Review.objects.in_tenant(tenant)
        .filter(access_request=access_request)
        .select_related("track__calendar")
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    review = next(one for one in reviews if one.pk == found.pk)
    review.access_request = access_request
    step_back.require(by, review)
    reason = read_line(reason)
    if not reason:
        raise ValidationError({"reason": _("Say why you step back.")})
    again = [ask_again(one, STEPPED_BACK()) for one in reviews if _approved_by_right_of(by, one)]
    recusal = ReviewRecusal(tenant=tenant, access_request=access_request, person=by, reason=reason)
    recusal.full_clean(exclude=["tenant", "access_request", "person"])
    recusal.save(force_insert=True)
    audit.record(
        "review.stepped_back",
        actor=by,
        subject=review,
        request=str(access_request.pk),
        reason=reason,
        tracks_asked_again=[one.track_id for one in again],
    )
    if access_request.state == AccessRequest.State.PENDING:
        still_open = [one for one in reviews if one.state == Review.State.PENDING]
        tell_reviewers(still_open, access_request, anew=f", {recusal.pk}")
    return review


def _approved_by_right_of(person: User, review: Review) -> bool:
    """Whether an approval of the present round, in a review that can be asked again, is theirs or in their place."""
    if review.state not in (Review.State.PENDING, Review.State.APPROVED):
        return False
    approvals = review.decisions.filter(round=review.round, verdict=ReviewDecision.Verdict.APPROVE)
    return approvals.filter(Q(reviewer=person) | Q(delegation__giver=person)).exists()
