"""Deciding reviews, and the result: a grant with its limits and key, or a rejection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from accounts.second_factor import require_second_factor
from catalog.actions.access_requests import cancel_open_reviews, field_of, find_problems
from catalog.actions.approving import approve_request
from catalog.actions.evaluations import lock_table_in_force
from catalog.actions.facts import lock_facts, renew_facts
from catalog.actions.four_eyes import why_not_decide
from catalog.actions.grants import lock_renewed
from catalog.asked_facts import AskedFacts, as_json, evaluate_items, worse_in_words
from catalog.grant_owners import hold_owners_to_be
from catalog.models import AccessRequest, Review, ReviewDecision, RuleEvaluation
from catalog.notices import REQUEST_REJECTED, REQUEST_RETURNED, tell_requester
from catalog.review_scopes import DECIDE, may_decide
from core.database_conflicts import conflicts_of_database, constraint_of
from core.errors import Conflict
from core.names import read_prose
from tenants.emergency import was_open
from tenants.status import in_active_tenant, lock_tenant_shared


class _FactsChanged(Exception):
    """The track's facts are worse than those that the request shows, so nothing is decided."""


def _require_scope_and_second_person(by: User, review: Review) -> None:
    if not may_decide(by, review):
        raise PermissionDenied(
            _("Other people decide these reviews: none of your review scopes covers this one.")
        )
    if reason := why_not_decide(by, review.access_request, review):
        raise PermissionDenied(reason)
    if settings.APPROVALS_NEED_SECOND_FACTOR:
        require_second_factor(by, _("decide reviews"))


def _require_open(by: User | None, review: Review) -> None:
    access_request = review.access_request
    if access_request.state == AccessRequest.State.RETURNED:
        raise Conflict(
            _(
                "This request is with its requester, who was asked for changes. It comes back when it is sent again."
            ),
            code="changes_wanted",
        )
    if access_request.state != AccessRequest.State.PENDING:
        raise Conflict(
            _("This request is %(state)s; there is nothing left to decide.")
            % {"state": access_request.get_state_display().lower()},
            code="already_decided",
        )
    if review.state != Review.State.PENDING:
        raise Conflict(
            _("Someone else has already decided this review: %(state)s.")
            % {"state": review.get_state_display().lower()},
            code="already_decided",
        )


@action(Review, permission=DECIDE, rule=_require_scope_and_second_person, state=_require_open)
@conflicts_of_database()
def decide_review(
    pk: UUID | str, *, by: User, verdict: str, comment: str = "", seen: Mapping[str, Any] | None = None
) -> Review:
    """Approve or reject one track of a request, or ask for changes, based on the current facts.

    A rejection rejects the whole request. Asking for changes returns it to its requester; other decisions stay
    (catalog/actions/changes.py). The approval that completes the last track creates the grant, its limits and a
    claimable key in the same transaction. Deciding twice raises Conflict and changes nothing.

    The rules run again first. They open reviews that are now required and not yet decided, and ask again for approvals
    whose facts are now worse (`rules.worse`); the request then stays open. If the facts of this track are worse than
    those that the request shows, nothing is decided: the request shows the new facts, and Conflict says so.

    Args:
        pk: id of the review.
        verdict: "approve", "reject" or "return" (changes wanted).
        comment: the requester reads it; a rejection and a return require one.
        seen: the facts that `by` has seen (`read_facts`); None: those that the request shows.

    Raises:
        Review.DoesNotExist: `by` cannot see such a review.
        PermissionDenied: no scope of `by` covers the review, or `by` made the request, can or could act for the
            service account that made it, or signed in without the second factor that approvals need here.
        Conflict: the review or the request is decided, `by` has already decided here, the facts are worse than shown,
            or the request is no longer allowed (the model was retired, the tenant suspended, a data class
            lowered).
        ValidationError: the verdict is unknown, or a rejection or a return has no reason.
    """
    try:
        return _decide_review(pk, by=by, verdict=verdict, comment=comment, seen=seen)
    except _FactsChanged as change:
        words = str(change)
    # Store the new facts even though nothing is decided.
    with transaction.atomic():
        access_request = _lock_review(pk, by)[1]
        if access_request.state == AccessRequest.State.PENDING:
            facts = lock_facts(access_request)
            renew_facts(access_request, facts, by=by, occasion=RuleEvaluation.Occasion.FACTS_CHANGED)
    raise Conflict(
        _("%(what)s Check the request again, then decide.") % {"what": words}, code="facts_changed"
    )


@transaction.atomic
def _decide_review(
    pk: UUID | str, *, by: User, verdict: str, comment: str, seen: Mapping[str, Any] | None
) -> Review:
    review, access_request = _lock_review(pk, by)
    decide_review.require(by, review)
    is_approval, comment = read_verdict(verdict, comment)
    facts = lock_facts(access_request)
    if is_approval:
        _require_still_allowed(access_request, facts)
        then = access_request.facts if seen is None else seen
        if worse := worse_in_words(review.track_id, then, facts):
            raise _FactsChanged(worse)
    renew_facts(
        access_request, facts, by=by, occasion=RuleEvaluation.Occasion.DECIDED, opens_reviews=is_approval
    )
    review.refresh_from_db(fields=["round", "state", "reason", "quorum"])

    _record_decision(review, by=by, verdict=verdict, comment=comment, facts=facts)
    audit.record(
        _VERBS[verdict],
        actor=by,
        subject=review,
        track=review.track_id,
        request=str(access_request.pk),
        comment=comment,
        facts=as_json(facts),
    )
    approvals = review.decisions.filter(round=review.round, verdict=ReviewDecision.Verdict.APPROVE)
    if verdict == ReviewDecision.Verdict.RETURN:
        _return(access_request, by=by, reason=comment)
    elif not is_approval:
        _close(review, Review.State.REJECTED)
        _refuse(access_request, by=by, reason=comment)
    elif approvals.count() >= review.quorum:
        _close(review, Review.State.APPROVED)
        reviews = Review.objects.across_tenants().filter(access_request=access_request)
        if not reviews.exclude(state=Review.State.APPROVED).exists():
            approve_request(access_request, [one.item for one in facts], by=by)
    return review


def _lock_review(pk: UUID | str, by: User) -> tuple[Review, AccessRequest]:
    """A review that `by` can see, with its request. Locks both, and the tenant in shared mode."""
    found = Review.objects.visible_to(by).select_related("tenant").get(pk=pk)
    lock_tenant_shared(found.tenant)
    # Every action that locks several of these uses this order: tenant, people, request, review.
    hold_owners_to_be(found.access_request_id)
    access_request = (
        AccessRequest.objects.across_tenants()
        .select_for_update(of=("self",), no_key=True)
        .select_related("tenant", "requested_by")
        .get(pk=found.access_request_id)
    )
    review = Review.objects.across_tenants().select_for_update().get(pk=pk)
    review.access_request = access_request
    return review, access_request


_RETURN = ReviewDecision.Verdict.RETURN
_VERBS: dict[str, str] = {
    ReviewDecision.Verdict.APPROVE: "review.approved",
    ReviewDecision.Verdict.REJECT: "review.rejected",
    ReviewDecision.Verdict.RETURN: "review.returned",
}


def _record_decision(review: Review, *, by: User, verdict: str, comment: str, facts: AskedFacts) -> None:
    if review.decisions.filter(reviewer=by, round=review.round).exclude(verdict=_RETURN).exists():
        raise Conflict(_("You have already decided this review."), code="already_decided")
    try:
        with transaction.atomic():
            ReviewDecision.objects.create(
                tenant=review.access_request.tenant,
                review=review,
                reviewer=by,
                verdict=verdict,
                comment=comment,
                round=review.round,
                facts=as_json(facts),
            )
    except IntegrityError as error:
        constraint = constraint_of(error)
        if constraint == "review_decision_one_per_person":
            raise Conflict(_("You have already decided this review."), code="already_decided") from error
        # The reviewer lost the staff role or the scope in the meantime.
        if constraint == "review_decision_by_reviewers":
            raise PermissionDenied(_("You may no longer decide these reviews.")) from error
        if constraint == "review_decision_once_per_right":
            raise Conflict(
                _(
                    "The reviewer in whose place you decide, or who decides in yours, has decided it just now."
                ),
                code="already_decided",
            ) from error
        # The trigger also sees changes made after the check above.
        if constraint == "review_decision_four_eyes":
            raise PermissionDenied(
                _("You asked for this access, or could act for the requester; someone else must decide it.")
            ) from error
        raise


def read_verdict(verdict: str, comment: str) -> tuple[bool, str]:
    """Whether the verdict is an approval, and the comment as stored.

    Raises ValidationError for an unknown verdict, a rejection without a reason, or a comment with invisible characters.
    """
    if verdict not in ReviewDecision.Verdict.values:
        raise ValidationError({"verdict": _("Choose approve, reject or ask for changes.")})
    if len(comment) > 2000:
        raise ValidationError({"comment": _("Use at most 2,000 characters.")})
    try:
        comment = read_prose(comment)
    except ValidationError as error:
        raise ValidationError({"comment": error.messages}) from error
    is_approval = verdict == ReviewDecision.Verdict.APPROVE
    if not is_approval and not comment:
        raise ValidationError({"comment": _("Give a reason, so that the requester knows what to change.")})
    return is_approval, comment


def _require_still_allowed(access_request: AccessRequest, facts: AskedFacts) -> None:
    """Raise Conflict unless all that the request asks for would still be allowed now."""
    tenant = access_request.tenant
    in_active_tenant(None, lock_tenant_shared(tenant))
    asker = access_request.requested_by
    items = [one.item for one in facts]
    may_ask = all(asker.has_perm("tenants.request_access", item.project) for item in items)
    # A request made with emergency access is on behalf of the tenant, whose own members claim the key.
    if not may_ask and not was_open(asker, tenant, access_request.created_at):
        raise Conflict(
            _("%(who)s may no longer request access here, but would get a key. Reject the request.")
            % {"who": asker},
            code="requester_may_no_longer_ask",
        )
    lock_renewed(items)
    problems: dict[str, str] = {}
    for number, item in enumerate(items):
        if not item.model.is_offered_to(tenant):
            raise Conflict(
                _("%(model)s is no longer published.") % {"model": item.model.title},
                code="model_not_published",
            )
        item.tenant = tenant
        days = access_request.duration_days
        found = find_problems(item, purpose=access_request.purpose, duration_days=days)
        problems |= {field_of(number, name): words for name, words in found.items()}
    # Until the end of the transaction no other rules are put in force.
    rejected = evaluate_items(lock_table_in_force(), facts).problems
    if sentences := dict.fromkeys([*problems.values(), *rejected.values()]):
        raise Conflict(" ".join(sentences), code="no_longer_allowed")


def _close(review: Review, state: str) -> None:
    review.state, review.decided_at = state, now()
    review.save(update_fields=["state", "decided_at"])


def _refuse(access_request: AccessRequest, *, by: User, reason: str) -> None:
    access_request.move_to(AccessRequest.State.REJECTED)
    access_request.decided_at = now()
    access_request.save(update_fields=["state", "decided_at"])
    cancel_open_reviews(access_request)
    audit.record("access_request.rejected", actor=by, subject=access_request, reason=reason)
    tell_requester(REQUEST_REJECTED, access_request)


def _return(access_request: AccessRequest, *, by: User, reason: str) -> None:
    access_request.move_to(AccessRequest.State.RETURNED)
    access_request.save(update_fields=["state"])
    audit.record("access_request.returned", actor=by, subject=access_request, reason=reason)
    tell_requester(REQUEST_RETURNED, access_request, occasion=now().isoformat())
