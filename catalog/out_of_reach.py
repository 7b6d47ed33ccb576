"""Whether enough people are left to approve a review."""

from __future__ import annotations

from django.utils.translation import gettext as _

from catalog.models import AccessRequest, RequestDelegate, Review, ReviewDecision
from catalog.review_scopes import own_deciders_of


def why_out_of_reach(review: Review, access_request: AccessRequest) -> str:
    """That too few people are left to approve an open review, in words; empty if they are enough.

    Counts people with a right of their own: a colleague in somebody's place is the same approval. The requester, who
    could act for them, who stepped back and who has decided in this round do not count as people who are left.
    """
    if review.state != Review.State.PENDING or access_request.state != AccessRequest.State.PENDING:
        return ""
    decisions = ReviewDecision.objects.in_tenant(access_request.tenant).filter(
        review=review, round=review.round
    )
    decided = list(decisions.exclude(verdict=ReviewDecision.Verdict.RETURN).select_related("delegation"))
    whose = {one.delegation.giver_id if one.delegation else one.reviewer_id for one in decided}
    delegates = RequestDelegate.objects.in_tenant(access_request.tenant).filter(access_request=access_request)
    left = own_deciders_of(review, access_request).exclude(pk__in=whose)
    left = left.exclude(pk=access_request.requested_by_id).exclude(pk__in=delegates.values("person"))
    able, missing = left.distinct().count(), review.quorum - len(decided)
    if able >= missing:
        return ""
    return _(
        "This review can no longer be approved. Approvals missing: %(missing)s; people left who may decide it: "
        "%(able)s. An operator must let more people decide it."
    ) % {"missing": missing, "able": able}
