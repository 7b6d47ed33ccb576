"""Which reviews wait for a person."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from guardian.models import GroupObjectPermission

from accounts.models import User
from catalog.delegated import barred_by_delegations
from catalog.models import AccessRequest, RequestDelegate, Review, ReviewDecision, ReviewScope
from catalog.review_scopes import covered_by, decided_by, stepped_back


def has_decided(user: User) -> Exists:
    """Whether `user` has decided a review in its present round; it then waits for other people."""
    own = ReviewDecision.unscoped.filter(reviewer=user, review=OuterRef("pk"), round=OuterRef("round"))
    own = own.exclude(verdict=ReviewDecision.Verdict.RETURN)
    return Exists(own)


def open_for_decision(reviews: QuerySet[Review]) -> QuerySet[Review]:
    """Those that somebody can decide now: open, and not of a request that is with its requester for changes."""
    return reviews.filter(state=Review.State.PENDING, access_request__state=AccessRequest.State.PENDING)


def waiting_for_groups(user: User, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """Those that wait for this person because one of their groups decides in a scope, and so for its other members."""
    held = GroupObjectPermission.objects.filter(
        group__in=user.groups.all(), permission__codename="decide_review", content_type__app_label="catalog"
    )
    scopes = ReviewScope.objects.filter(pk__in=[UUID(pk) for pk in held.values_list("object_pk", flat=True)])
    return waiting_for(user, reviews.filter(covered_by(scopes)))


def place_in_queue(user: User, review: Review) -> dict[str, str]:
    """The pages of the reviews before and after this one in the person's queue: `previous_url`, `next_url`, or ""."""
    waiting = waiting_for(user, Review.objects.visible_to(user)).exclude(pk=review.pk)
    here = {"due_at": review.due_at, "pk": review.pk}
    after = waiting.filter(Q(due_at__gt=here["due_at"]) | Q(due_at=here["due_at"], pk__gt=here["pk"]))
    before = waiting.filter(Q(due_at__lt=here["due_at"]) | Q(due_at=here["due_at"], pk__lt=here["pk"]))
    return {
        "next_url": _page(after.order_by("due_at", "pk").first()),
        "previous_url": _page(before.order_by("-due_at", "-pk").first()),
    }


def _page(review: Review | None) -> str:
    return reverse("admin:catalog_review_change", args=[review.pk]) if review is not None else ""


def waiting_for(user: User, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """The reviews that wait for this person: open, in their scopes, allowed by four eyes, not decided by them."""
    barred = RequestDelegate.unscoped.filter(person=user).values("access_request")
    open_reviews = decided_by(user, open_for_decision(reviews), still=True)
    allowed = open_reviews.exclude(access_request__requested_by=user).exclude(access_request__in=barred)
    allowed = allowed.exclude(has_decided(user)).exclude(barred_by_delegations(user))
    return allowed.exclude(stepped_back(user.pk))
