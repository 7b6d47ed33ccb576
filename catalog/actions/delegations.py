"""Delegating reviews: a colleague decides in a reviewer's place for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

import audit
from accounts.declared import action
from accounts.models import User
from accounts.people import lock_person
from catalog.actions.tracks import MANAGE
from catalog.models import ReviewDelegation, Track
from catalog.review_scopes import DECIDE, scopes_of
from core.addresses import address_or_none
from core.database_conflicts import constraint_of
from core.errors import Conflict

# How far ahead a delegation may begin.
FURTHEST_DAYS = 366


@action(Track, permission=DECIDE)
@transaction.atomic
def delegate_reviews(
    pk: UUID | str, *, email: str, begins_at: datetime | None = None, ends_at: datetime, by: User
) -> ReviewDelegation:
    """Let a colleague decide in the place of `by`, on one track and for a while.

    The colleague decides as themselves what the own scopes of `by` cover at that moment, and the decision names the
    delegation. What `by` may decide only by a delegation they do not pass on. Neither of the two decides requests of
    the other meanwhile (docs/catalog.md).

    Args:
        pk: id of the track.
        email: of the colleague, who needs a reviewer's role.
        begins_at: None: now.
        ends_at: at most as long after the beginning as the track allows.
        by: a reviewer with a scope of the track.

    Raises:
        Track.DoesNotExist: there is no such track.
        PermissionDenied: `by` has no scope of the track.
        ValidationError: by field; there is no such reviewer, it is `by`, or the period is over, too long (by itself, or
            together with delegations less than a week away), or too far ahead.
        Conflict: somebody else decides in the place of `by` on this track in this period.
    """
    track = Track.objects.get(pk=pk)
    delegate_reviews.require(by, track)
    # Two delegations of one person take turns.
    if not lock_person(by) or not scopes_of(by).filter(track=track).exists():
        raise PermissionDenied(_("You have no review scope of this track, so you have nothing to delegate."))
    receiver = User.objects.filter(email=address_or_none(email) or "", service_of=None).first()
    if receiver is None or not receiver.has_perm(DECIDE):
        raise ValidationError({"email": _("Nobody with this address has a reviewer's role.")})
    if receiver == by:
        raise ValidationError({"email": _("This is your own address.")})
    moment = now()
    begins_at = max(begins_at or moment, moment)
    _require_period(track, begins_at, ends_at)
    others = ReviewDelegation.objects.not_over().filter(giver=by, track=track)
    if (
        other := others.filter(begins_at__lt=ends_at, ends_at__gt=begins_at)
        .select_related("receiver")
        .first()
    ):
        raise Conflict(
            _("%(who)s decides in your place in this period. End that delegation first.")
            % {"who": other.receiver},
            code="already_delegated",
        )
    try:
        with transaction.atomic():
            given = ReviewDelegation.objects.create(
                track=track, giver=by, receiver=receiver, begins_at=begins_at, ends_at=ends_at
            )
    except IntegrityError as error:
        if constraint_of(error) == "review_delegation_adds_up":
            raise ValidationError({"ends_at": _too_long_together(track)}) from error
        raise
    audit.record(
        "review_delegation.given",
        actor=by,
        subject=given,
        track=track.code,
        receiver=receiver.email,
        begins_at=begins_at,
        ends_at=ends_at,
    )
    return given


def _require_not_over(_by: User | None, given: ReviewDelegation) -> None:
    if given.is_over:
        raise Conflict(_("This delegation is over."), code="over")


@action(
    ReviewDelegation,
    permission=[DECIDE, MANAGE],
    which=lambda by, given: DECIDE if by.pk in (given.giver_id, given.receiver_id) else MANAGE,
    state=_require_not_over,
)
@transaction.atomic
def end_delegation(pk: UUID | str, *, by: User) -> ReviewDelegation:
    """End a delegation now, or one that has not begun. Decisions that were made stay.

    Raises:
        ReviewDelegation.DoesNotExist: there is no such delegation.
        PermissionDenied: `by` is neither one of the two reviewers nor an operator.
        Conflict: it is over.
    """
    given = (
        ReviewDelegation.objects.select_for_update(of=("self",))
        .select_related("track", "giver", "receiver")
        .get(pk=pk)
    )
    end_delegation.require(by, given)
    given.ended_at = now()
    given.save(update_fields=["ended_at"])
    audit.record(
        "review_delegation.ended",
        actor=by,
        subject=given,
        track=given.track_id,
        giver=given.giver.email,
        receiver=given.receiver.email,
    )
    return given


def _require_period(track: Track, begins_at: datetime, ends_at: datetime) -> None:
    """Raise ValidationError unless the period is one that the track allows."""
    if ends_at <= begins_at:
        raise ValidationError({"ends_at": _("It must end after it begins, and not in the past.")})
    if begins_at > now() + timedelta(days=FURTHEST_DAYS):
        raise ValidationError({"begins_at": _("It must begin within a year.")})
    days = track.longest_delegation_days
    if ends_at - begins_at > timedelta(days=days):
        message = ngettext(
            "Reviewers of this track delegate for at most %(n)s day.",
            "Reviewers of this track delegate for at most %(n)s days.",
            days,
        )
        raise ValidationError({"ends_at": message % {"n": days}})


def _too_long_together(track: Track) -> str:
    days = track.longest_delegation_days
    message = ngettext(
        "Your delegations that are less than a week apart count together: at most %(n)s day. "
        "Decide yourself for a week first.",
        "Your delegations that are less than a week apart count together: at most %(n)s days. "
        "Decide yourself for a week first.",
        days,
    )
    return message % {"n": days}
