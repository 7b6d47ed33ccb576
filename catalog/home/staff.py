"""The reviews that wait for a reviewer, and what they decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from catalog.models import AccessRequest, Review, ReviewDecision
from catalog.pace import paces_of
from catalog.review_queue import waiting_for
from catalog.review_scopes import DECIDE, tracks_decided_by
from core.counting import count_of, number_of
from core.home import Content, Need, Reader, Site, home_block
from core.page_parts import Badge, Fact

MOST_ROWS: Final = 6
SOON: Final = timedelta(days=1)


@dataclass(frozen=True)
class ReviewLine:
    """A review that waits, with the link to where it is decided."""

    model: str
    project: str
    track: str
    tenant: str
    due_at: datetime
    is_late: bool
    url: str


@dataclass(frozen=True)
class ReviewQueue:
    """What waits for a reviewer, and what they decided in the last seven days."""

    waiting: int | str
    overdue: int | str
    soon: int | str
    approved: int
    rejected: int
    rows: list[ReviewLine]
    # How long reviews of the reader's tracks usually take.
    paces: list[Fact]

    @property
    def decided(self) -> int:
        return self.approved + self.rejected


@home_block(
    Site.STAFF,
    order=10,
    permissions=[DECIDE],
    template="catalog/home/_reviews.html",
)
def review_queue(reader: Reader) -> Content:
    """The reader's own queue, the oldest first. Counts stop at 99, so that a long queue costs no more."""
    moment = now()
    mine = waiting_for(reader.user, Review.objects.visible_to(reader.user))
    first = mine.select_related("tenant", "track", "access_request").prefetch_related(
        "access_request__items__model", "access_request__items__project"
    )
    rows = [
        ReviewLine(
            model=review.access_request.models_label,
            project=review.access_request.projects_label,
            track=review.track.label,
            tenant=review.tenant.name,
            due_at=review.due_at,
            is_late=review.due_at < moment,
            url=reverse("admin:catalog_review_change", args=[review.pk]),
        )
        for review in first.order_by("due_at", "pk")[:MOST_ROWS]
    ]
    decided = (
        ReviewDecision.objects.visible_to(reader.user)
        .filter(reviewer=reader.user, at__gte=moment - timedelta(days=7))
        .aggregate(
            approved=Count("pk", filter=Q(verdict=ReviewDecision.Verdict.APPROVE)),
            rejected=Count("pk", filter=Q(verdict=ReviewDecision.Verdict.REJECT)),
        )
    )
    queue = ReviewQueue(
        waiting=count_of(mine),
        overdue=count_of(mine.filter(due_at__lt=moment)),
        soon=count_of(mine.filter(due_at__gte=moment, due_at__lt=moment + SOON)),
        rows=rows,
        paces=_paces(reader),
        **decided,
    )
    return Content(queue, _reviews_needed(queue))


def _paces(reader: Reader) -> list[Fact]:
    """The tracks that the reader decides, with how long a review usually takes; without those nobody decided lately."""
    tracks = list(tracks_decided_by(reader.user).select_related("calendar"))
    paces = paces_of(tracks)
    return [Fact(track.label, paces[track.code].words) for track in tracks if track.code in paces]


def _reviews_needed(queue: ReviewQueue) -> list[Need]:
    if not queue.rows:
        return []
    text = ngettext("%(n)s review waits for you", "%(n)s reviews wait for you", number_of(queue.waiting))
    note = ""
    if queue.overdue:
        late = ngettext("%(n)s is overdue", "%(n)s are overdue", number_of(queue.overdue))
        note = late % {"n": queue.overdue}
    return [
        Need(
            text=text % {"n": queue.waiting},
            note=note,
            url=queue.rows[0].url,
            action=_("Review the oldest"),
            icon_name="checklist",
            is_late=bool(queue.overdue),
        )
    ]


@dataclass(frozen=True)
class DecisionLine:
    """What the reader decided, with the link to the review."""

    model: str
    project: str
    tenant: str
    track: str
    badge: Badge
    at: datetime
    url: str


_VERDICTS: Final = {
    ReviewDecision.Verdict.APPROVE: Badge("ok", AccessRequest.State.APPROVED.label),
    ReviewDecision.Verdict.RETURN: Badge("warn", AccessRequest.State.RETURNED.label),
    ReviewDecision.Verdict.REJECT: Badge("bad", AccessRequest.State.REJECTED.label),
}


@home_block(
    Site.STAFF,
    order=12,
    permissions=[DECIDE],
    template="catalog/home/_decisions.html",
)
def own_decisions(reader: Reader) -> Content:
    """What the reader decided in the last seven days, the newest first; no block without any."""
    own = ReviewDecision.objects.visible_to(reader.user).filter(
        reviewer=reader.user, at__gte=now() - timedelta(days=7)
    )
    named = own.select_related("tenant", "review__track", "review__access_request").prefetch_related(
        "review__access_request__items__model", "review__access_request__items__project"
    )
    rows = [
        DecisionLine(
            model=decision.review.access_request.models_label,
            project=decision.review.access_request.projects_label,
            tenant=decision.tenant.name,
            track=decision.review.track.label,
            badge=_VERDICTS[ReviewDecision.Verdict(decision.verdict)],
            at=decision.at,
            url=reverse("admin:catalog_review_change", args=[decision.review_id]),
        )
        for decision in named.order_by("-at", "-pk")[:MOST_ROWS]
    ]
    return Content(rows or None)
