"""Which reviews wait for a person."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.models import User
from catalog.actions.reviews import tracks_decided_by
from catalog.models import RequestDelegate, Review


def waiting_for(user: User, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """The reviews that wait for this person: open, on their tracks, and allowed by four eyes."""
    barred = RequestDelegate.unscoped.filter(person=user).values("access_request")
    open_reviews = reviews.filter(state=Review.State.PENDING, track__in=tracks_decided_by(user))
    return open_reviews.exclude(access_request__requested_by=user).exclude(access_request__in=barred)
