"""Locks on people, because gaining and losing access at the same time would interfere with each other."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from accounts.models import User


def lock_person(user: User) -> bool:
    """Lock `user` until commit against gaining and losing access at the same time; return whether they are active."""
    return bool(
        User.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk=user.pk)
        .values_list("is_active", flat=True)
        .first()
    )


def lock_people(ids: Iterable[UUID | str]) -> None:
    """Lock several people until commit, always in the same order, so that concurrent callers cannot deadlock."""
    for person in User.objects.filter(pk__in=ids).order_by("pk"):
        lock_person(person)
