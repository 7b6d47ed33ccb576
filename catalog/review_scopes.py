"""Who decides which reviews: one question for pages, the queue, the API, the admin and, in SQL, the database.

A person decides a review if they hold the permission `catalog.decide_review` by a staff role, and the same permission
on a scope that covers the review (django-guardian), alone or as a member of a group. A superuser decides all. The
function `catalog_may_decide` of catalog/migrations/0007_tracks.py asks the same; tests/catalog/test_review_scopes.py
compares the two.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet
from guardian.shortcuts import get_objects_for_user

from accounts.models import User
from catalog.models import Review, ReviewScope, Track

DECIDE: Final = "catalog.decide_review"


def scopes_of(user: User) -> QuerySet[ReviewScope]:
    """The scopes in which `user` decides. None for people who are no reviewers by their role; all for superusers."""
    if user.is_service_account or not user.has_perm(DECIDE):
        return ReviewScope.objects.none()
    scopes: QuerySet[ReviewScope] = get_objects_for_user(
        user, DECIDE, klass=ReviewScope.objects.all(), accept_global_perms=False
    )
    return scopes


def tracks_decided_by(user: User) -> QuerySet[Track]:
    """The tracks that `user` decides, be it for one model of one tenant."""
    if user.is_active and user.is_superuser:
        return Track.objects.all()
    return Track.objects.filter(code__in=scopes_of(user).values("track_id"))


def decided_by(user: User, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """Those of `reviews` that a scope of `user` covers, whatever their state and four eyes."""
    if user.is_active and user.is_superuser:
        return reviews
    covering = scopes_of(user).filter(_covers(OuterRef("tenant"), OuterRef("access_request__model")))
    return reviews.filter(Exists(covering.filter(track=OuterRef("track"))))


def may_decide(user: User, review: Review) -> bool:
    """Whether a scope of `user` covers this review; for one that is not stored, whether one is of its track at all."""
    if user.is_active and user.is_superuser:
        return True
    scopes = scopes_of(user)
    if review.tenant_id is None:
        known = Track.objects.filter(code=review.track_id).exists()
        return scopes.filter(track__code=review.track_id).exists() if known else scopes.exists()
    covering = _covers(review.tenant_id, review.access_request.model_id)
    return scopes.filter(covering, track__code=review.track_id).exists()


def _covers(tenant: Any, model: Any) -> Q:
    return (Q(tenant=None) | Q(tenant=tenant)) & (Q(model=None) | Q(model=model))
