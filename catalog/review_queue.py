"""Which reviews wait for a person."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.models import User
from catalog.models import RequestDelegate, Review
from catalog.review_scopes import decided_by


def waiting_for(user: User, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """The reviews that wait for this person: open, in their scopes, and allowed by four eyes."""
    barred = RequestDelegate.unscoped.filter(person=user).values("access_request")
    open_reviews = decided_by(user, reviews.filter(state=Review.State.PENDING))
    return open_reviews.exclude(access_request__requested_by=user).exclude(access_request__in=barred)
