"""Who decides which reviews: one question for pages, the queue, the API, the admin and, in SQL, the database.

A person decides a review if they hold the permission `catalog.decide_review` by a staff role, and the same permission
on scopes that cover the review (django-guardian), alone or as a member of a group: for each model of the request one of
its track. That is their own right. Or in the place of one other reviewer, whose own scopes cover it, while a delegation
is in force. A superuser decides all. Once a review is escalated, people with `decide_late_review` on the scopes decide
it, too, in their own right.

The function `catalog_may_decide_request` of catalog/migrations/0029_escalation.py asks the same, and
tests/catalog/test_review_scopes.py compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, UUIDField
from django.db.models.functions import Cast
from guardian.models import GroupObjectPermission, UserObjectPermission
from guardian.shortcuts import get_objects_for_user

from accounts.models import User
from catalog.models import (
    AccessRequest,
    RequestItem,
    Review,
    ReviewDecision,
    ReviewDelegation,
    ReviewRecusal,
    ReviewScope,
    Track,
)
from core.scope import platform_scope

DECIDE: Final = "catalog.decide_review"
# Only on scopes: who has it decides, too, once a review is escalated.
DECIDE_LATE: Final = "catalog.decide_late_review"
IS_ESCALATED: Final = Q(escalated_at__isnull=False)


def scopes_of(user: User) -> QuerySet[ReviewScope]:
    """The own scopes of `user`. None for people who are no reviewers by their role; all for superusers."""
    return _scopes_with(user, DECIDE)


def late_scopes_of(user: User) -> QuerySet[ReviewScope]:
    """The scopes in which `user` decides what is escalated; as `scopes_of`."""
    return _scopes_with(user, DECIDE_LATE)


def _scopes_with(user: User, permission: str) -> QuerySet[ReviewScope]:
    if user.is_service_account or not user.has_perm(DECIDE):
        return ReviewScope.objects.none()
    scopes: QuerySet[ReviewScope] = get_objects_for_user(
        user, permission, klass=ReviewScope.objects.all(), accept_global_perms=False
    )
    return scopes


def delegations_to(user: User) -> QuerySet[ReviewDelegation]:
    """The delegations by which `user` may decide now, the oldest first: those in force, of people who still review."""
    received = ReviewDelegation.objects.in_force().filter(receiver=user, giver__in=_reviewers())
    return received.select_related("giver").order_by("created_at", "pk")


def tracks_decided_by(user: User) -> QuerySet[Track]:
    """The tracks that `user` decides, be it for one model of one tenant."""
    if user.is_active and user.is_superuser:
        return Track.objects.all()
    own = Q(code__in=scopes_of(user).values("track_id")) | Q(code__in=late_scopes_of(user).values("track_id"))
    if not _is_reviewer(user):
        return Track.objects.filter(own)
    return Track.objects.filter(own | Q(code__in=delegations_to(user).values("track_id")))


def decided_by(user: User, reviews: QuerySet[Review], *, still: bool = False) -> QuerySet[Review]:
    """Those of `reviews` that a right of `user` covers, whatever their state and four eyes.

    With `still`, only by rights that have not decided in the present round: a reviewer and who decides in their place
    count as one person.
    """
    if user.is_active and user.is_superuser:
        return reviews.exclude(by_right_of(user.pk)) if still else reviews
    covered = Q(pk=None)
    for holder, scopes, of_track in _rights_of(user):
        right = of_track & covered_by(scopes)
        if holder != user.pk:
            right &= ~stepped_back(holder)
        covered |= right & ~Q(by_right_of(holder)) if still else right
    return reviews.filter(covered)


def by_right_of(person: UUID) -> Exists:
    """Whether the right of a person has decided a review in its present round: they, or who acts in their place."""
    decisions = ReviewDecision.unscoped.filter(review=OuterRef("pk"), round=OuterRef("round"))
    decisions = decisions.exclude(verdict=ReviewDecision.Verdict.RETURN)
    own = Q(reviewer=person, delegation=None)
    return Exists(decisions.filter(own | Q(delegation__giver=person)))


def stepped_back(person: UUID) -> Q:
    """The reviews of requests from which a person has stepped back."""
    recusals = ReviewRecusal.unscoped.filter(person=person, access_request=OuterRef("access_request"))
    return Q(Exists(recusals))


def may_decide(user: User, review: Review) -> bool:
    """Whether a right of `user` covers this review; for one that is not stored, whether one is of its track at all."""
    if review.tenant_id is not None:
        return decided_by(user, Review.objects.across_tenants()).filter(pk=review.pk).exists()
    tracks = tracks_decided_by(user)
    is_known = Track.objects.filter(code=review.track_id).exists()
    return (tracks.filter(code=review.track_id) if is_known else tracks).exists()


def delegation_for(user: User, review: Review) -> ReviewDelegation | None:
    """The delegation on which `user` would decide the review; None for their own right, or without any.

    The database notes the same on the decision, unless another decision of the round is by that right.
    """
    this = Review.objects.across_tenants().filter(pk=review.pk)
    late = IS_ESCALATED & covered_by(late_scopes_of(user))
    if user.is_superuser or this.filter(covered_by(scopes_of(user)) | late).exists():
        return None
    for delegation in delegations_to(user).filter(track__code=review.track_id):
        by_giver = this.exclude(stepped_back(delegation.giver_id))
        if by_giver.filter(covered_by(_held_by(delegation.giver_id))).exists():
            return delegation
    return None


def _rights_of(user: User) -> Iterator[tuple[UUID, QuerySet[ReviewScope], Q]]:
    """Whose each right of a reviewer is, its scopes, and the condition on reviews where it holds."""
    yield user.pk, scopes_of(user), Q()
    yield user.pk, late_scopes_of(user), IS_ESCALATED
    if _is_reviewer(user):
        for delegation in delegations_to(user):
            yield delegation.giver_id, _held_by(delegation.giver_id), Q(track=delegation.track_id)


def _is_reviewer(user: User) -> bool:
    return not user.is_service_account and user.has_perm(DECIDE)


def _reviewers() -> QuerySet[User]:
    """The people with the permission to decide reviews by a staff role, or their own. As `catalog_reviews_by_role`."""
    permission = {"codename": "decide_review", "content_type__app_label": "catalog"}
    by_role = {f"groups__permissions__{name}": value for name, value in permission.items()}
    in_person = {f"user_permissions__{name}": value for name, value in permission.items()}
    people = User.objects.filter(is_active=True, service_of=None)
    return people.filter(Q(is_staff=True, **by_role) | Q(**in_person))


def _held_by(person: UUID) -> QuerySet[ReviewScope]:
    """The scopes on which a person has the right, alone or by a group, whatever their role."""
    decide = {"permission__codename": "decide_review", "permission__content_type__app_label": "catalog"}
    scope = Cast("object_pk", UUIDField())
    alone = UserObjectPermission.objects.filter(user=person, **decide).values(scope=scope)
    by_group = GroupObjectPermission.objects.filter(group__user=person, **decide).values(scope=scope)
    return ReviewScope.objects.filter(Q(pk__in=alone) | Q(pk__in=by_group))


def covered_by(scopes: QuerySet[ReviewScope]) -> Q:
    """The reviews that these scopes cover: each model of the request."""
    covering = scopes.filter(
        _covers(OuterRef("tenant"), OuterRef("model")), track=OuterRef(OuterRef("track"))
    )
    items = RequestItem.unscoped.filter(access_request=OuterRef("access_request"))
    return Q(Exists(items)) & ~Q(Exists(items.filter(~Exists(covering))))


def reviewers_by_track() -> dict[str, int]:
    """How many people decide everything of each track by their own right: reviewers on its scope for all."""
    tracks = dict(ReviewScope.objects.filter(tenant=None, model=None).values_list("pk", "track__code"))
    decide = {"permission__codename": "decide_review", "object_pk__in": [str(pk) for pk in tracks]}
    alone = UserObjectPermission.objects.filter(**decide).values_list("object_pk", "user")
    by_group = GroupObjectPermission.objects.filter(**decide).values_list("object_pk", "group__user")
    reviewers = set(_reviewers().values_list("pk", flat=True))
    held = {(UUID(scope), person) for scope, person in [*alone, *by_group] if person in reviewers}
    return dict(Counter(tracks[scope] for scope, _person in held))


def deciders_of(review: Review, access_request: AccessRequest) -> QuerySet[User]:
    """The people who may decide this review, themselves or in somebody's place; not superusers.

    Without the requester, and without those who stepped back. Four eyes may keep more of them from it
    (`review_queue.waiting_for`). The scopes of all tenants are asked, whatever the scope of this connection.
    """
    reviewers = _by_role()
    own = own_deciders_of(review, access_request)
    received = ReviewDelegation.objects.in_force().filter(track=review.track, giver__in=own.values("pk"))
    able = reviewers.filter(Q(pk__in=own.values("pk")) | Q(pk__in=received.values("receiver")))
    recused = _recused(access_request)
    return able.exclude(pk=access_request.requested_by_id).exclude(pk__in=recused).order_by("pk").distinct()


def own_deciders_of(review: Review, access_request: AccessRequest) -> QuerySet[User]:
    """The people whose own right covers this review, without those who stepped back; not superusers."""
    own = _by_role()
    permissions = ["decide_review", *(["decide_late_review"] if review.escalated_at else [])]
    for item in access_request.named_items():
        own = own.filter(_holds(review, item.model_id, permissions))
    return own.exclude(pk__in=_recused(access_request))


def late_deciders_of(review: Review, access_request: AccessRequest) -> QuerySet[User]:
    """The people who decide this review when it is escalated, without the requester and those who stepped back."""
    late = _by_role()
    for item in access_request.named_items():
        late = late.filter(_holds(review, item.model_id, ["decide_late_review"]))
    late = late.exclude(pk=access_request.requested_by_id).exclude(pk__in=_recused(access_request))
    return late.order_by("pk").distinct()


def _by_role() -> QuerySet[User]:
    return User.objects.filter(is_active=True, is_staff=True, groups__permissions__codename="decide_review")


def _recused(access_request: AccessRequest) -> QuerySet[Any]:
    recusals = ReviewRecusal.objects.in_tenant(access_request.tenant).filter(access_request=access_request)
    return recusals.values("person")


def _holds(review: Review, model: UUID, permissions: list[str]) -> Q:
    """The people with one of these rights on a scope of the review's track that covers the model."""
    with platform_scope("who decides a review", is_routine=True):
        covering = ReviewScope.objects.filter(_covers(review.tenant_id, model))
        scopes = covering.filter(track__code=review.track_id).values_list("pk", flat=True)
        here = {"object_pk__in": [str(pk) for pk in scopes], "permission__codename__in": permissions}
    groups = GroupObjectPermission.objects.filter(**here).values("group")
    people = UserObjectPermission.objects.filter(**here).values("user")
    return Q(pk__in=people) | Q(groups__in=groups)


def _covers(tenant: Any, model: Any) -> Q:
    return (Q(tenant=None) | Q(tenant=tenant)) & (Q(model=None) | Q(model=model))
