"""Changing tracks and working calendars: how many people must approve, and until when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, time
from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
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
def change_track(
    pk: UUID | str,
    *,
    name: str,
    quorum: int,
    due_hours: int,
    calendar: WorkingCalendar,
    longest_delegation_days: int,
    escalates_after_hours: int | None = None,
    by: User,
) -> Track:
    """Change what is editable of a track. Safe to repeat.

    Reviews that are open keep their quorum and due time until they are asked again; a quorum never becomes smaller for
    them. Delegations that were given stay as they are.

    Args:
        pk: id of the track.
        name: for people; the code stays.
        quorum: how many people must approve.
        due_hours: working hours until a review is due.
        calendar: whose working hours count.
        longest_delegation_days: for how long reviewers may delegate at most; 0: not at all.
        escalates_after_hours: working hours after a review was due until it is escalated; None: never.
        by: an operator.

    Raises:
        Track.DoesNotExist: there is no such track.
        PermissionDenied: `by` may not manage tracks.
        ValidationError: by field, what is outside its range, or more working hours than the calendar has.
    """
    track = Track.objects.select_for_update().get(pk=pk)
    change_track.require(by, track)
    before = {name: _recorded(getattr(track, name)) for name in Track.EDITABLE}
    values: dict[str, Any] = {"name": name, "quorum": quorum, "due_hours": due_hours, "calendar": calendar}
    values["longest_delegation_days"] = longest_delegation_days
    assign(track, values | {"escalates_after_hours": escalates_after_hours})
    track.full_clean()
    _require_due_time(track, "due_hours")
    changes = audit.difference(
        before, {name: _recorded(getattr(track, name)) for name in Track.EDITABLE}, Track.EDITABLE
    )
    if changes:
        track.save(update_fields=list(Track.EDITABLE))
        audit.record("track.changed", actor=by, subject=track, changes=changes)
    return track


@action(NoneType, permission=MANAGE)
@transaction.atomic
def add_calendar(
    *,
    name: str,
    time_zone: str,
    opens: time,
    closes: time,
    weekdays: Collection[int],
    holidays: Collection[date] = (),
    by: User,
) -> WorkingCalendar:
    """Add a working calendar, which tracks can then use.

    Args:
        name: for people.
        time_zone: an IANA name.
        opens: when a working day begins, by the clock there.
        closes: when it ends, on the same day.
        weekdays: Monday is 1, Sunday 7.
        holidays: days on which nobody works.
        by: an operator.

    Raises:
        PermissionDenied: `by` may not manage tracks.
        ValidationError: by field, what is wrong: a name that another calendar has, an unknown time zone, a day that
            ends before it begins, no working day.
    """
    add_calendar.require(by, None)
    calendar = WorkingCalendar()
    _set_calendar(calendar, _values(name, time_zone, opens, closes, weekdays, holidays))
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
def change_calendar(
    pk: UUID | str,
    *,
    name: str,
    time_zone: str,
    opens: time,
    closes: time,
    weekdays: Collection[int],
    holidays: Collection[date] = (),
    by: User,
) -> WorkingCalendar:
    """Change a working calendar. Reviews that are open keep their due times. Safe to repeat.

    Args:
        pk: id of the calendar.
        name: for people.
        time_zone: an IANA name.
        opens: when a working day begins, by the clock there.
        closes: when it ends, on the same day.
        weekdays: Monday is 1, Sunday 7.
        holidays: days on which nobody works; those of before are replaced.
        by: an operator.

    Raises:
        WorkingCalendar.DoesNotExist: there is no such calendar.
        PermissionDenied: `by` may not manage tracks.
        ValidationError: as for `add_calendar`, or a track that uses it would never be due.
    """
    calendar = WorkingCalendar.objects.select_for_update().get(pk=pk)
    change_calendar.require(by, calendar)
    before = _state(calendar)
    _set_calendar(calendar, _values(name, time_zone, opens, closes, weekdays, holidays))
    for track in calendar.tracks.all():
        track.calendar = calendar
        _require_due_time(track, "weekdays")
    changes = audit.difference(before, _state(calendar), WorkingCalendar.EDITABLE)
    if changes:
        calendar.save(update_fields=list(WorkingCalendar.EDITABLE))
        audit.record("working_calendar.changed", actor=by, subject=calendar, changes=changes)
    return calendar


def _values(
    name: str,
    time_zone: str,
    opens: time,
    closes: time,
    weekdays: Collection[int],
    holidays: Collection[date],
) -> dict[str, Any]:
    return {
        "name": name,
        "time_zone": time_zone,
        "opens": opens,
        "closes": closes,
        "weekdays": sorted(set(weekdays)),
        "holidays": sorted(set(holidays)),
    }


def _require_due_time(track: Track, field: str) -> None:
    """Raise ValidationError unless a review of the track that began now would be due some day."""
    try:
        track.due_at(now())
    except ValueError as error:
        message = _(
            "With these working hours, reviews of the track %(track)s would be due in more than ten years."
        )
        raise ValidationError({field: message % {"track": track.label}}) from error


def _set_calendar(calendar: WorkingCalendar, values: Mapping[str, Any]) -> None:
    """Set and check the values. Raises ValidationError."""
    assign(calendar, values)
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
    return value if isinstance(value, int | str | NoneType) else str(value)
