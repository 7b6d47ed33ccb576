"""How long reviews of a track usually take, measured from those that were decided lately."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Final

from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from catalog.models import Review, Track
from core.scope import platform_scope

DAYS: Final = 30
# The newest reviews of a track that are looked at.
MOST: Final = 60
# With fewer, a median says little, and might be of one tenant.
FEWEST: Final = 5
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Pace:
    """The median time of a track's reviews, in working hours of its calendar, and how many reviews it is of."""

    working: timedelta
    reviews: int
    # Of the calendar.
    per_day: timedelta

    @property
    def hours(self) -> float:
        return round(self.working / HOUR, 1)

    @property
    def words(self) -> str:
        """Such as "usually 5 working hours": hours up to two working days, then days."""
        if self.working < HOUR:
            return _("usually less than a working hour")
        if self.working >= 2 * self.per_day:
            days = round(self.working / self.per_day)
            return ngettext("usually %(n)s working day", "usually %(n)s working days", days) % {"n": days}
        hours = round(self.working / HOUR)
        return ngettext("usually %(n)s working hour", "usually %(n)s working hours", hours) % {"n": hours}


def paces_of(tracks: Iterable[Track]) -> dict[str, Pace]:
    """The paces of tracks, by code; without those that had too few reviews in the last 30 days.

    Counts reviews of all tenants that were decided in their first round, and whose request was not sent again: the time
    in which a requester had it is nobody's. One query by index for each track, of at most 60 rows. The calendar should
    be selected with the track.
    """
    since = now() - timedelta(days=DAYS)
    paces = {}
    for track in tracks:
        with platform_scope("how long reviews take", is_routine=True):
            decided = Review.objects.across_tenants().filter(
                track__code=track.code,
                state__in=[Review.State.APPROVED, Review.State.REJECTED],
                round=1,
                decided_at__gte=since,
                access_request__resent_at=None,
            )
            times = list(decided.order_by("-decided_at").values_list("created_at", "decided_at")[:MOST])
        if len(times) < FEWEST:
            continue
        hours = track.calendar.hours
        seconds = median(
            hours.between(begun, decided_at).total_seconds() for begun, decided_at in times if decided_at
        )
        paces[track.code] = Pace(timedelta(seconds=seconds), len(times), hours.per_day)
    return paces


def usual_time(track: Track, paces: dict[str, Pace]) -> str:
    """How long a decision takes, in words: as measured, or else until when it is due."""
    pace = paces.get(track.code)
    return pace.words if pace else track.usual_time
