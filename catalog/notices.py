"""What people are told about access requests: reviewers that one waits, its author what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.mail import quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declare
from accounts.outbox.posting import tell
from accounts.roles import REVIEWERS
from catalog.models import AccessRequest, Review, ReviewDecision
from catalog.review_queue import waiting_for
from catalog.review_scopes import decided_by, deciders_of, late_deciders_of

# For reviews that more people decide, nobody is told of each one: their queue and home count them.
MOST_TOLD: Final = 20
LONGEST_REASON: Final = 500
BOTH: Final = (OutboxMessage.Channel.MAIL, OutboxMessage.Channel.INBOX)


class RequestEvent(Event):
    """Something happened to a request; whoever made it is told, as long as they see it; by mail only if it is still so.

    The inbox says what happened, so its titles stay true whatever comes later.
    """

    state: ClassVar[str]
    channels = BOTH

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        requests = AccessRequest.objects.visible_to(_recipient(messages)).filter(
            pk__in=[message.subject_id for message in messages]
        )
        if messages[0].channel == OutboxMessage.Channel.MAIL:
            requests = requests.filter(state=self.state)
        found = {one.pk: one for one in requests.select_related("tenant").with_items()}
        return {one.pk: found[one.subject_id] for one in messages if one.subject_id in found}

    def path(self, message: OutboxMessage, subject: AccessRequest) -> str:
        return reverse("request-detail", args=[subject.tenant.slug, subject.pk])


class RequestApproved(RequestEvent):
    name = "access_request.approved"
    label = gettext_lazy("Your request was approved")
    state = AccessRequest.State.APPROVED

    def title(self, message: OutboxMessage, subject: AccessRequest) -> str:
        return _("Your request for %(model)s in %(project)s was approved") % _places(subject)

    def lines(self, message: OutboxMessage, subject: AccessRequest) -> Sequence[str]:
        return [_("The request shows what to do next, such as claiming its key.")]


class RequestRejected(RequestEvent):
    name = "access_request.rejected"
    label = gettext_lazy("Your request was rejected")
    state = AccessRequest.State.REJECTED

    def title(self, message: OutboxMessage, subject: AccessRequest) -> str:
        return _("Your request for %(model)s in %(project)s was rejected") % _places(subject)

    def lines(self, message: OutboxMessage, subject: AccessRequest) -> Sequence[str]:
        decisions = ReviewDecision.objects.across_tenants().filter(review__access_request=subject)
        rejection = decisions.filter(verdict=ReviewDecision.Verdict.REJECT).order_by("-at").first()
        if rejection is None:
            return []
        return [
            _("The reviewer's reason: %(reason)s") % {"reason": quoted(rejection.comment, LONGEST_REASON)}
        ]


class RequestReturned(RequestEvent):
    name = "access_request.returned"
    label = gettext_lazy("Your request needs changes")
    state = AccessRequest.State.RETURNED

    def title(self, message: OutboxMessage, subject: AccessRequest) -> str:
        if subject.state == self.state:
            return _("A reviewer wants changes to your request for %(model)s in %(project)s") % _places(
                subject
            )
        return _("A reviewer wanted changes to your request for %(model)s in %(project)s") % _places(subject)

    def lines(self, message: OutboxMessage, subject: AccessRequest) -> Sequence[str]:
        return [_("The request says which. Change it and send it again.")]


class RequestNeedsMore(RequestEvent):
    name = "access_request.needs_more"
    label = gettext_lazy("Your request needs another review")
    state = AccessRequest.State.PENDING

    def title(self, message: OutboxMessage, subject: AccessRequest) -> str:
        if subject.state == self.state:
            return _("Your request for %(model)s in %(project)s needs another review") % _places(subject)
        return _("Your request for %(model)s in %(project)s needed another review") % _places(subject)

    def lines(self, message: OutboxMessage, subject: AccessRequest) -> Sequence[str]:
        return [_("Facts that its reviews were based on have changed. You need not do anything.")]


class ReviewWaits(Event):
    """A review was opened. Those who decide it are told, as long as it waits for them."""

    name = "review.waits"
    label = gettext_lazy("A review waits for you")
    channels = BOTH

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        """For a mail, what still waits for the reviewer; in the inbox, what they may see."""
        reviewer = _recipient(messages)
        reviews = Review.objects.visible_to(reviewer).filter(pk__in=[one.subject_id for one in messages])
        is_mail = messages[0].channel == OutboxMessage.Channel.MAIL
        theirs = waiting_for(reviewer, reviews) if is_mail else decided_by(reviewer, reviews)
        found = {
            one.pk: one
            for one in theirs.select_related("tenant", "track", "access_request").prefetch_related(
                "access_request__items__project", "access_request__items__model"
            )
        }
        return {one.pk: found[one.subject_id] for one in messages if one.subject_id in found}

    def concerns(self, user: User) -> bool:
        return bool(user.staff_roles & REVIEWERS)

    def title(self, message: OutboxMessage, subject: Review) -> str:
        places = _places(subject.access_request) | {"track": subject.track.label}
        if subject.state == Review.State.PENDING:
            return _("%(track)s review waits for you: %(model)s for %(project)s") % places
        return _("%(track)s review is over: %(model)s for %(project)s") % places

    def lines(self, message: OutboxMessage, subject: Review) -> Sequence[str]:
        return [_("Tenant: %(tenant)s") % {"tenant": quoted(subject.tenant)}]

    def path(self, message: OutboxMessage, subject: Review) -> str:
        return reverse("admin:catalog_review_change", args=[subject.pk])


class ReviewEscalated(ReviewWaits):
    """A review was late for a while. Those who decide late ones are told, as long as it waits for them."""

    name = "review.escalated"
    label = gettext_lazy("A late review is escalated to you")

    def title(self, message: OutboxMessage, subject: Review) -> str:
        places = _places(subject.access_request) | {"track": subject.track.label}
        if subject.state == Review.State.PENDING:
            return _("%(track)s review is late, and you may decide it: %(model)s for %(project)s") % places
        return _("%(track)s review is over: %(model)s for %(project)s") % places


REQUEST_APPROVED: Final = declare(RequestApproved())
REQUEST_REJECTED: Final = declare(RequestRejected())
REQUEST_RETURNED: Final = declare(RequestReturned())
REQUEST_NEEDS_MORE: Final = declare(RequestNeedsMore())
REVIEW_WAITS: Final = declare(ReviewWaits())
REVIEW_ESCALATED: Final = declare(ReviewEscalated())


def tell_requester(event: Event, access_request: AccessRequest, *, occasion: str = "") -> None:
    """Tell whoever made a request; for a service account, the person who answers for it."""
    person = access_request.requested_by
    recipient = person.responsible if person.is_service_account else person
    if recipient is not None:
        tell(event, [recipient], subject=access_request, tenant=access_request.tenant, occasion=occasion)


def tell_reviewers(reviews: Iterable[Review], access_request: AccessRequest, *, anew: str = "") -> None:
    """Tell those who decide these open reviews, and have not, that they wait.

    They are told anew in each round, each time the request is sent again, and for each occasion that `anew` names.
    """
    resent = f", resent {access_request.resent_at.isoformat()}" if access_request.resent_at else ""
    for review in reviews:
        verdicts = ReviewDecision.objects.in_tenant(access_request.tenant).filter(
            review=review, round=review.round
        )
        decided = verdicts.exclude(verdict=ReviewDecision.Verdict.RETURN).values("reviewer")
        people = list(deciders_of(review, access_request).exclude(pk__in=decided)[: MOST_TOLD + 1])
        if len(people) <= MOST_TOLD:
            occasion = f"round {review.round}{resent}{anew}"
            tell(REVIEW_WAITS, people, subject=review, tenant=access_request.tenant, occasion=occasion)


def tell_of_escalation(review: Review, access_request: AccessRequest) -> None:
    """Tell those who may decide a review now that it is escalated; those who could before were told when it opened."""
    people = late_deciders_of(review, access_request)[:MOST_TOLD]
    tell(
        REVIEW_ESCALATED,
        people,
        subject=review,
        tenant=access_request.tenant,
        occasion=f"due {review.due_at.isoformat()}",
    )


def _recipient(messages: Sequence[OutboxMessage]) -> User:
    """The one person of these messages: none of these events is for a bare address."""
    person = messages[0].user
    assert person is not None
    return person


def _places(access_request: AccessRequest) -> dict[str, str]:
    return {"model": access_request.models_label, "project": quoted(access_request.projects_label)}
