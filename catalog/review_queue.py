"""Which reviews wait for a person."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from accounts.models import User
from catalog.delegated import barred_by_delegations
from catalog.models import AccessRequest, RequestDelegate, Review, ReviewDecision
from catalog.review_scopes import decided_by


def has_decided(user: User) -> Exists:
    """Whether `user` has decided a review in its present round; it then waits for other people."""
    own = ReviewDecision.unscoped.filter(reviewer=user, review=OuterRef("pk"), round=OuterRef("round"))
    own = own.exclude(verdict=ReviewDecision.Verdict.RETURN)
    return Exists(own)


def open_for_decision(reviews: QuerySet[Review]) -> QuerySet[Review]:
    """Those that somebody can decide now: open, and not of a request that is with its requester for changes."""
    return reviews.filter(state=Review.State.PENDING, access_request__state=AccessRequest.State.PENDING)


def waiting_for(user: User, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """The reviews that wait for this person: open, in their scopes, allowed by four eyes, not decided by them."""
    barred = RequestDelegate.unscoped.filter(person=user).values("access_request")
    open_reviews = decided_by(user, open_for_decision(reviews), still=True)
    allowed = open_reviews.exclude(access_request__requested_by=user).exclude(access_request__in=barred)
    return allowed.exclude(has_decided(user)).exclude(barred_by_delegations(user))
