"""The daily summary for reviewers: what waits for them and what is late, at the hour that they chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.mail import quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event
from accounts.outbox.posting import tell
from catalog.models import Review
from catalog.review_queue import waiting_for
from core.dates import day_and_year
from core.local_days import day_at, zone_named

# A mail lists so many reviews, the most urgent first; the queue has all.
MOST_LISTED: Final = 20


class ReviewDigest(Event):
    """What waits for a reviewer. The subject is the reviewer; what waits is read when the mail is written."""

    name = "review.digest"
    label = gettext_lazy("Daily summary of reviews")
    # The hour is the choice; none is: never.
    is_optional = False

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        """The reviewer, if something waits for them and they still want it; not a mail of an earlier day."""
        person = messages[0].user
        # It is for no bare address.
        assert person is not None
        today = day_at(now(), person.time_zone or "UTC").isoformat()
        if person.digest_hour is None or not waiting(person).exists():
            return {}
        return {one.pk: person for one in messages if one.occasion == today}

    def title(self, message: OutboxMessage, subject: User) -> str:
        count = len(_first(subject))
        if count > MOST_LISTED:
            return _("More than %(count)s reviews wait for you") % {"count": MOST_LISTED}
        return ngettext("%(count)s review waits for you", "%(count)s reviews wait for you", count) % {
            "count": count
        }

    def lines(self, message: OutboxMessage, subject: User) -> Sequence[str]:
        at = now()
        return [_line(review, at) for review in _first(subject)[:MOST_LISTED]]

    def path(self, message: OutboxMessage, subject: User) -> str:
        return reverse("admin:catalog_review_changelist")


# The app declares it when it is ready: no action imports this module.
REVIEW_DIGEST: Final = ReviewDigest()


def waiting(person: User) -> QuerySet[Review]:
    """The reviews that wait for this person, the most urgent first."""
    return waiting_for(person, Review.objects.visible_to(person)).order_by("due_at", "pk")


def _first(person: User) -> list[Review]:
    """What a mail lists, and one more if there is more."""
    return list(waiting(person).select_related("tenant", "track", "access_request")[: MOST_LISTED + 1])


def _line(review: Review, at: datetime) -> str:
    words = {
        "track": review.track.label,
        "model": review.access_request.models_label,
        "project": quoted(review.access_request.projects_label),
        "tenant": quoted(review.tenant),
        "day": day_and_year(review.due_at),
    }
    if review.due_at < at:
        return _("Late since %(day)s: %(track)s, %(model)s for %(project)s of %(tenant)s") % words
    return _("Due %(day)s: %(track)s, %(model)s for %(project)s of %(tenant)s") % words


def send_digests() -> int:
    """Let the summary wait to be sent for each reviewer whose hour it is; return for how many. Safe to repeat.

    On days on which no calendar of what waits for them works, nothing is sent.
    """
    told, at = 0, now()
    for person in User.objects.filter(digest_hour__isnull=False, is_active=True).order_by("pk"):
        local = at.astimezone(zone_named(person.time_zone or "UTC"))
        if local.hour != person.digest_hour or not _works_today(person, local.date()):
            continue
        tell(REVIEW_DIGEST, [person], subject=person, occasion=local.date().isoformat())
        told += 1
    return told


def _works_today(person: User, day: date) -> bool:
    """Whether something waits for the person in a track whose calendar has this day as a working day."""
    calendars = {
        review.track.calendar_id: review.track.calendar
        for review in waiting(person).order_by().distinct("track").select_related("track__calendar")
    }
    return any(
        day.isoweekday() in calendar.weekdays and day not in calendar.holidays
        for calendar in calendars.values()
    )
