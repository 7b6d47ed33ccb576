"""The tracks that a new installation begins with; operators change them afterwards."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections


def make_first_tracks(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Make a row of each track that the rules name, and a scope for everything with the people of its first role.

    Runs after every migrate. Never changes a track that exists, nor who decides it: a track that has a scope is left
    alone. Safe to repeat.
    """
    from django.contrib.auth.models import Group
    from guardian.models import GroupObjectPermission
    from guardian.shortcuts import assign_perm

    from catalog.models import ReviewScope, Track, WorkingCalendar
    from catalog.rules import TRACKS

    there = connections[using].introspection.table_names()
    # `migrate` may stop at an earlier state.
    if not {ReviewScope._meta.db_table, GroupObjectPermission._meta.db_table} <= set(there):
        return
    for declared in TRACKS.values():
        if ReviewScope.objects.using(using).filter(track__code=declared.name).exists():
            continue
        calendar = WorkingCalendar.objects.using(using).order_by("pk").first()
        if calendar is None:
            calendar = WorkingCalendar.objects.using(using).create(name="Monday to Friday")
        Track.objects.using(using).get_or_create(
            code=declared.name,
            defaults={
                "name": declared.name.capitalize(),
                "due_hours": declared.first_due_hours,
                "calendar": calendar,
            },
        )
        scope = ReviewScope.objects.using(using).create(track_id=declared.name)
        group, _ = Group.objects.using(using).get_or_create(name=str(declared.first_role))
        assign_perm("catalog.decide_review", group, scope)
