"""The current facts of an open request, and the reviews that become necessary when facts have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from catalog.actions.access_requests import lock_facts_of_models, write_cost
from catalog.actions.evaluations import evaluate_in_english, record_evaluation
from catalog.asked_facts import AskedFacts, as_json, facts_of_items, known_changes, worse_in_words
from catalog.models import AccessRequest, RequestDelegate, Review, ReviewDecision, Track
from catalog.notices import REQUEST_NEEDS_MORE, tell_requester, tell_reviewers
from catalog.rule_table import NeededReview
from catalog.stored_sentences import MORE_PEOPLE
from core.stored_words import in_english, retold


def facts_now(access_request: AccessRequest) -> AskedFacts:
    """The current facts that the rules consider for this request. Changes nothing."""
    items = access_request.items.select_related("project__tenant", "model")
    return facts_of_items(items, access_request.duration_days)


def lock_facts(access_request: AccessRequest) -> AskedFacts:
    """The current facts. Locks models and prices, so the facts stay true until the caller's transaction ends."""
    items = list(access_request.items.select_related("project__tenant"))
    models = {model.pk: model for model in lock_facts_of_models(item.model_id for item in items)}
    for item in items:
        item.model = models[item.model_id]
    return facts_of_items(items, access_request.duration_days)


def renew_facts(
    access_request: AccessRequest, facts: AskedFacts, *, by: User, occasion: str, opens_reviews: bool = True
) -> list[Review]:
    """Update the facts of an open request, which the caller has locked; return the reviews that open as a result.

    Adds tracks that the rules now require and the request lacks. Starts another round for a track if the facts are
    now worse than those of an approval, even one of several, or if a person who approved it could act for the requester
    in the meantime. This does not depend on whether the rules still require the track. If the rules now require more
    people, an open review waits for them, and an approved one starts another round. The audit entry has the old and new
    facts.

    Args:
        access_request: the locked request.
        facts: the current facts.
        by: the person whose action updates the facts.
        occasion: of the evaluation that this stores, from `RuleEvaluation.Occasion`.
        opens_reviews: False if the request is about to end. Then only the stored facts change.
    """
    before, present = dict(access_request.facts), as_json(facts)
    reviews = {
        review.track_id: review
        for review in Review.objects.across_tenants()
        .filter(access_request=access_request)
        .select_related("track__calendar")
        .select_for_update(of=("self",))
    }
    added: list[Review] = []
    again: list[Review] = []
    table, said = evaluate_in_english(facts)
    record_evaluation(access_request, facts, table, said, occasion=occasion)
    if opens_reviews:
        with in_english():
            wanted = {one.track: one for one in said.required}
            added = [_add(access_request, one, facts) for one in wanted.values() if one.track not in reviews]
            for track, review in reviews.items():
                more = _wants_more_people(review, wanted[track].quorum if track in wanted else 0)
                if reason := _outdated(review, facts) or more:
                    why = f"{wanted[track].reason} {reason}" if track in wanted else reason
                    again.append(ask_again(review, why))
    if before == present and not added and not again:
        return []
    access_request.facts = present
    for one in facts:
        write_cost(one)
        one.item.save(update_fields=["expected_monthly_cost", "currency"])
    access_request.save(update_fields=["facts"])
    audit.record(
        "access_request.facts_changed" if before != present or added else "access_request.asked_again",
        actor=by,
        subject=access_request,
        changes=_changes(before, facts),
        tracks_added=[review.track_id for review in added],
        tracks_asked_again=[review.track_id for review in again],
        rule_version=table.version,
    )
    if opened := added + again:
        tell_reviewers(opened, access_request)
        tell_requester(REQUEST_NEEDS_MORE, access_request, occasion=f"{opened[0].pk} {opened[0].round}")
    return opened


def notice_of(reviews: list[Review]) -> str:
    """A notice about reviews that are new, or needed again, since the request was made; empty if there are none."""
    return " ".join(
        _("Now needs a %(track)s review: %(reason)s")
        % {"track": review.track.label.lower(), "reason": retold(review.reason)}
        for review in reviews
        if review.opened_by_facts and review.state == Review.State.PENDING
    )


def _outdated(review: Review, facts: AskedFacts) -> str:
    """Why the approvals in the review's current round are no longer valid, in words; empty if they are valid."""
    approvals = ReviewDecision.objects.across_tenants().filter(
        review=review, round=review.round, verdict=ReviewDecision.Verdict.APPROVE
    )
    if review.state not in (Review.State.PENDING, Review.State.APPROVED):
        return ""
    delegates = RequestDelegate.objects.across_tenants().filter(access_request=review.access_request_id)
    if approvals.filter(reviewer__in=delegates.values("person")).exists():
        return _(
            "The person who approved it could act for the service account that asked, while the "
            "request was open."
        )
    return next(
        filter(None, (worse_in_words(review.track_id, approval.facts, facts) for approval in approvals)), ""
    )


def _wants_more_people(review: Review, quorum: int) -> str:
    """Let an open review wait for as many people as rules require. Why an approved one has too few, in words."""
    if quorum <= review.quorum or review.state not in (Review.State.PENDING, Review.State.APPROVED):
        return ""
    review.quorum = quorum
    if review.state == Review.State.APPROVED:
        return str(MORE_PEOPLE(count=quorum))
    review.save(update_fields=["quorum"])
    return ""


def _changes(before: Mapping[str, Any], asked: AskedFacts) -> dict[str, Any]:
    """The old and new value of each fact that differs; of several items, with the item's model and project."""
    changes: dict[str, Any] = {}
    for one in asked:
        present = one.facts.as_json()
        differing = audit.difference(before.get(str(one.item.pk)) or {}, present, sorted(present))
        name = "" if len(asked) == 1 else f"{one.item.model.name} {one.item.project.slug} "
        changes |= {f"{name}{fact}": values for fact, values in differing.items()}
    return changes


def _add(access_request: AccessRequest, wanted: NeededReview, facts: AskedFacts) -> Review:
    changed = known_changes(wanted.track, access_request.facts, facts)
    track = Track.objects.select_related("calendar").get(code=wanted.track)
    return Review.objects.create(
        tenant=access_request.tenant,
        access_request=access_request,
        track=track,
        reason=f"{wanted.reason} {changed}".strip()[:300],
        quorum=max(track.quorum, wanted.quorum),
        due_at=track.due_at(now()),
        opened_by_facts=True,
    )


def ask_again(review: Review, reason: str) -> Review:
    """Start another round of a review that the caller has locked; earlier approvals stay readable and do not count."""
    review.round += 1
    review.state, review.decided_at = Review.State.PENDING, None
    review.reason, review.opened_by_facts = reason[:300], True
    review.quorum, review.due_at = max(review.quorum, review.track.quorum), review.track.due_at(now())
    review.escalated_at = None
    review.save(
        update_fields=[
            "round", "state", "decided_at", "reason", "opened_by_facts", "quorum", "due_at", "escalated_at",
        ]
    )  # fmt: skip
    return review
