"""Who decides which reviews: one question for pages, the queue, the API, the admin and, in SQL, the database.

A person decides a review if they hold the permission `catalog.decide_review` by a staff role, and the same permission
on a scope that covers the review (django-guardian), alone or as a member of a group. A superuser decides all. The
function `catalog_may_decide` of catalog/migrations/0007_tracks.py asks the same; tests/catalog/test_review_scopes.py
compares the two.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet
from guardian.models import GroupObjectPermission, UserObjectPermission
from guardian.shortcuts import get_objects_for_user

from accounts.models import User
from catalog.models import AccessRequest, Review, ReviewScope, Track
from core.scope import platform_scope

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


def deciders_of(review: Review, access_request: AccessRequest) -> QuerySet[User]:
    """The people who may decide this review by their role and a scope, without the requester; not superusers.

    Four eyes may keep more of them from it (`review_queue.waiting_for`). The scopes of all tenants are asked, whatever
    the scope of this connection.
    """
    with platform_scope("who decides a review", is_routine=True):
        covering = ReviewScope.objects.filter(_covers(review.tenant_id, access_request.model_id))
        scopes = covering.filter(track__code=review.track_id).values_list("pk", flat=True)
        here = {"object_pk__in": [str(pk) for pk in scopes], "permission__codename": "decide_review"}
    groups = GroupObjectPermission.objects.filter(**here).values("group")
    people = UserObjectPermission.objects.filter(**here).values("user")
    reviewers = User.objects.filter(
        is_active=True, is_staff=True, groups__permissions__codename="decide_review"
    )
    able = reviewers.filter(Q(pk__in=people) | Q(groups__in=groups)).exclude(
        pk=access_request.requested_by_id
    )
    return able.order_by("pk").distinct()


def _covers(tenant: Any, model: Any) -> Q:
    return (Q(tenant=None) | Q(tenant=tenant)) & (Q(model=None) | Q(model=model))
