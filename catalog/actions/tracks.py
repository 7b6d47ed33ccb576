"""Changing tracks and working calendars: how many people must approve, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import Track, WorkingCalendar
from core.editing import assign
from core.local_days import zones_to_choose

MANAGE: Final = "catalog.manage_track"


@action(Track, permission=MANAGE)
@transaction.atomic
def change_track(pk: UUID | str, *, by: User, **values: Any) -> Track:
    """Change the name, the quorum, the due time or the calendar of a track. Safe to repeat.

    Reviews that are open keep their quorum and due time until they are asked again; a quorum never becomes smaller for
    them.

    Args:
        pk: id of the track.
        by: an operator.
        values: new values by name, of `Track.EDITABLE`.

    Raises:
        Track.DoesNotExist: there is no such track.
        PermissionDenied: `by` may not manage tracks.
        ValidationError: by field, what is outside its range.
    """
    track = Track.objects.select_for_update().get(pk=pk)
    change_track.require(by, track)
    before = {name: _recorded(getattr(track, name)) for name in Track.EDITABLE}
    assign(track, values)
    track.full_clean()
    changes = audit.difference(
        before, {name: _recorded(getattr(track, name)) for name in Track.EDITABLE}, Track.EDITABLE
    )
    if changes:
        track.save(update_fields=list(Track.EDITABLE))
        audit.record("track.changed", actor=by, subject=track, changes=changes)
    return track


@action(NoneType, permission=MANAGE)
@transaction.atomic
def add_calendar(*, by: User, **values: Any) -> WorkingCalendar:
    """Add a working calendar, which tracks can then use.

    Args:
        by: an operator.
        values: values by name, of `WorkingCalendar.EDITABLE`; others have their defaults.

    Raises:
        PermissionDenied: `by` may not manage tracks.
        ValidationError: by field, what is wrong: a name that another calendar has, an unknown time zone, a day that
            ends before it begins, no working day.
    """
    add_calendar.require(by, None)
    calendar = WorkingCalendar()
    _set_calendar(calendar, values)
    calendar.save(force_insert=True)
    audit.record(
        "working_calendar.added",
        actor=by,
        subject=calendar,
        changes=audit.difference(None, _state(calendar), WorkingCalendar.EDITABLE),
    )
    return calendar


@action(WorkingCalendar, permission=MANAGE)
@transaction.atomic
def change_calendar(pk: UUID | str, *, by: User, **values: Any) -> WorkingCalendar:
    """Change a working calendar. Reviews that are open keep their due times. Safe to repeat.

    Raises:
        WorkingCalendar.DoesNotExist: there is no such calendar.
        PermissionDenied: `by` may not manage tracks.
        ValidationError: as for `add_calendar`.
    """
    calendar = WorkingCalendar.objects.select_for_update().get(pk=pk)
    change_calendar.require(by, calendar)
    before = _state(calendar)
    _set_calendar(calendar, values)
    changes = audit.difference(before, _state(calendar), WorkingCalendar.EDITABLE)
    if changes:
        calendar.save(update_fields=list(WorkingCalendar.EDITABLE))
        audit.record("working_calendar.changed", actor=by, subject=calendar, changes=changes)
    return calendar


def _set_calendar(calendar: WorkingCalendar, values: Mapping[str, Any]) -> None:
    """Set and check the values. Raises ValidationError."""
    assign(calendar, values)
    calendar.weekdays = sorted(set(calendar.weekdays))
    calendar.holidays = sorted(set(calendar.holidays))
    if calendar.time_zone not in zones_to_choose():
        raise ValidationError({"time_zone": _("This is no time zone, such as Europe/Berlin.")})
    if not set(calendar.weekdays) <= set(range(1, 8)) or not calendar.weekdays:
        raise ValidationError({"weekdays": _("Choose at least one working day.")})
    if calendar.opens >= calendar.closes:
        raise ValidationError({"closes": _("The working day must end after it begins.")})
    calendar.full_clean()


def _state(calendar: WorkingCalendar) -> dict[str, Any]:
    return {name: _recorded(getattr(calendar, name)) for name in WorkingCalendar.EDITABLE}


def _recorded(value: Any) -> Any:
    """A value as the audit log keeps it."""
    if isinstance(value, list):
        return [_recorded(one) for one in value]
    return value if isinstance(value, int | str) else str(value)
