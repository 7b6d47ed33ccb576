"""What delegations forbid: whoever delegated to a person who asks, or the other way round, does not decide for them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import User
from catalog.models import RequestDelegate, ReviewDelegation


def barred_by_delegations(user: User) -> Q:
    """The reviews that a delegation forbids `user` to decide. Two of a delegation may not decide for each other.

    That holds on its track, for requests that were open before it was over: those of the other person, of a service
    account that they answer for, and of one that they could act for. A trigger asks the same for every decision.
    """
    others: dict[tuple[UUID, str], datetime] = {}
    for delegation in ReviewDelegation.objects.of(user).once_in_force():
        is_giver = delegation.giver_id == user.pk
        other = (delegation.receiver_id if is_giver else delegation.giver_id, delegation.track_id)
        others[other] = max(delegation.over_at, others.get(other, delegation.over_at))
    barred = Q(pk=None)
    for (person, track), over_at in others.items():
        could_act = RequestDelegate.unscoped.filter(person=person).values("access_request")
        asked = (
            Q(access_request__requested_by=person)
            | Q(access_request__requested_by__responsible=person)
            | Q(access_request__in=could_act)
        )
        barred |= Q(track=track, access_request__created_at__lt=over_at) & asked
    return barred
