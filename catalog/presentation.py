"""Presentation of a request on pages: badge, steps, tracks, timeline, and whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from audit.models import AuditEntry
from catalog.models import AccessRequest, RequestItem, Review, ReviewDecision
from core.dates import day, day_and_year
from core.page_parts import Badge, Fact
from core.stored_words import retold
from tenants.models import ApiKey, DataClass, Limit

Words = dict[str, Any]


def granted_keys(access_request: AccessRequest) -> list[ApiKey]:
    """The keys that an approved request gave its models to. Requires `with_items()`."""
    if access_request.state != AccessRequest.State.APPROVED:
        return []
    return list({item.key_id: item.key for item in access_request.named_items() if item.key}.values())


def badge_of(access_request: AccessRequest) -> Badge:
    """The badge of a request for the people of its tenant, who claim its keys. Requires `with_items()`."""
    keys = granted_keys(access_request)
    if any(key.is_claimable for key in keys):
        return Badge("warn", _("Claim your key"), "key")
    if any(key.state == ApiKey.State.CLAIMABLE for key in keys):
        return Badge("", _("Claim date passed"))
    return state_badge(access_request)


def state_badge(access_request: AccessRequest) -> Badge:
    """The state of a request, in the words that all pages use, whatever became of its keys."""
    return {
        AccessRequest.State.PENDING: Badge("info", _("In review"), "clock"),
        AccessRequest.State.APPROVED: Badge("ok", _("Approved")),
        AccessRequest.State.REJECTED: Badge("bad", _("Rejected")),
        AccessRequest.State.RETURNED: Badge("warn", _("Changes wanted"), "message-circle"),
        AccessRequest.State.WITHDRAWN: Badge("", _("Withdrawn")),
    }[AccessRequest.State(access_request.state)]


def claim_notice(keys: list[ApiKey]) -> str:
    """What to do about a key that nobody claimed in time; empty if there is none."""
    if not any(key.state == ApiKey.State.CLAIMABLE and not key.is_claimable for key in keys):
        return ""
    return _("The time to claim this key has passed. Request access again.")


@dataclass(frozen=True)
class RequestRow:
    """A row in a list of requests."""

    pk: UUID
    reference: str
    model_title: str
    project_name: str
    requested_by: str
    badge: Badge
    waiting_for: str
    cost: Decimal | None
    currency: str
    sent_at: datetime


def row_of(access_request: AccessRequest) -> RequestRow:
    """A row of a list. Requires `with_names()`."""
    open_tracks = [r.track.label for r in access_request.reviews.all() if r.state == Review.State.PENDING]
    waiting_for = ""
    if access_request.state == AccessRequest.State.PENDING:
        waiting_for = _("%(tracks)s review") % {
            "tracks": pgettext("between two of a list", ", ").join(open_tracks)
        }
    elif access_request.state == AccessRequest.State.RETURNED:
        waiting_for = _("changes by %(who)s") % {"who": access_request.requested_by}
    elif any(key.is_claimable for key in granted_keys(access_request)):
        waiting_for = _("someone to claim the key")
    return RequestRow(
        pk=access_request.pk,
        reference=access_request.reference,
        model_title=access_request.models_label,
        project_name=access_request.projects_label,
        requested_by=str(access_request.requested_by),
        badge=badge_of(access_request),
        waiting_for=waiting_for,
        cost=access_request.expected_monthly_cost,
        currency=access_request.currency,
        sent_at=access_request.created_at,
    )


def steps_of(access_request: AccessRequest, reviews: list[Review]) -> list[Words]:
    """The steps sent, reviews, decision and key: the completed ones and the current one."""
    State = AccessRequest.State
    state = access_request.state
    is_open, is_approved = state in (State.PENDING, State.RETURNED), state == State.APPROVED
    decided = sum(review.state == Review.State.APPROVED for review in reviews)
    latest = max((review.due_at for review in reviews if review.state == Review.State.PENDING), default=None)
    due = _("due %(date)s") % {"date": day(latest)} if latest else ""
    keys = granted_keys(access_request)
    unclaimed = [key for key in keys if key.state == ApiKey.State.CLAIMABLE]
    claim_by = min((key.claim_by for key in unclaimed if key.claim_by), default=None)
    is_claimed = bool(keys) and not unclaimed
    is_late = bool(unclaimed) and not any(key.is_claimable for key in unclaimed)
    stopped = {State.REJECTED: _("Rejected"), State.WITHDRAWN: _("Withdrawn")}.get(State(state))
    return [
        {"label": _("Sent"), "state": "done", "note": day(access_request.created_at)},
        {
            "label": _("Reviews"),
            "state": "now" if is_open else "done" if is_approved else "bad",
            "note": _("%(done)s of %(all)s approved") % {"done": decided, "all": len(reviews)}
            if reviews
            else pgettext("reviews of a request", "none needed"),
        },
        {
            "label": stopped or (_("Approved") if is_approved else _("Decision")),
            "state": "done" if is_approved else "bad" if stopped else "todo",
            "note": day(access_request.decided_at) if access_request.decided_at else due,
        },
        {
            "label": (
                _("Key claimed") if is_claimed else _("Claim date passed") if is_late else _("Claim the key")
            ),
            "state": "done" if is_claimed else "bad" if is_late else "now" if is_approved else "todo",
            "note": _("by %(date)s") % {"date": day(claim_by)} if claim_by else "",
        },
    ]


@dataclass(frozen=True)
class ReviewRow:
    """A row in the list of a request's reviews: one review and its comments."""

    label: str
    state: str
    badge: Any
    note: str
    text: str
    quote: str
    # Whom it waits for, and how long that usually takes.
    waits: str = ""


def review_rows(reviews: list[Review], waits: Mapping[UUID, str] | None = None) -> list[ReviewRow]:
    """All reviews with the reviewers' comments, open ones first. Requires prefetched decisions.

    Args:
        reviews: of one request.
        waits: by review, what it waits for (`catalog.waiting.waits_of`).
    """
    kinds = {
        Review.State.PENDING: ("now", Badge("info", _("In review"))),
        Review.State.APPROVED: ("done", Badge("ok", _("Approved"))),
        Review.State.REJECTED: ("bad", Badge("bad", _("Rejected"))),
        Review.State.CANCELLED: ("", Badge("", _("Not needed"))),
    }
    rows = []
    for review in sorted(reviews, key=lambda r: (r.state != Review.State.PENDING, r.due_at)):
        state, badge = kinds[Review.State(review.state)]
        said = sorted(review.decisions.all(), key=lambda one: one.at)
        present = [one for one in said if one.round == review.round]
        rejections = [one for one in present if one.verdict == ReviewDecision.Verdict.REJECT]
        decision = next(iter([*rejections, *present[::-1]]), None)
        given = sum(one.verdict == ReviewDecision.Verdict.APPROVE for one in present)
        if decision is not None and decision.verdict == ReviewDecision.Verdict.RETURN:
            state, badge = "ask", Badge("warn", _("Changes wanted"))
        note = ""
        if review.state == Review.State.PENDING:
            note = _("due %(date)s") % {"date": day(review.due_at)}
            if review.round > 1:
                note = _("new round, %(note)s") % {"note": note}
            if review.quorum > 1:
                counts = {"note": note, "given": given, "needed": review.quorum}
                note = _("%(given)s of %(needed)s approvals, %(note)s") % counts
        elif decision is not None:
            note = _("%(who)s, %(date)s") % {"who": _decider(decision), "date": day(decision.at)}
        rows.append(
            ReviewRow(
                label=review.track.label,
                state=state,
                badge=badge,
                note=note,
                text=retold(review.reason),
                quote="\n".join(filter(None, (one.comment for one in rejections or present))),
                waits=(waits or {}).get(review.pk, ""),
            )
        )
    return rows


def _decider(decision: ReviewDecision) -> str:
    if decision.delegation is None:
        return str(decision.reviewer)
    names = {"who": decision.reviewer, "giver": decision.delegation.giver}
    return _("%(who)s for %(giver)s") % names


_ACTIONS = {
    "access_request.raised": gettext_noop("sent the request"),
    "access_request.facts_changed": gettext_noop("found that the facts have changed"),
    "access_request.asked_again": gettext_noop("found that a review must be repeated"),
    "access_request.commented": gettext_noop("wrote a comment"),
    "access_request.returned": gettext_noop("returned the request to its requester"),
    "access_request.resent": gettext_noop("sent the request again"),
    "access_request.withdrawn": gettext_noop("withdrew the request"),
    "access_request.approved": gettext_noop("completed the reviews: access is approved"),
    "access_request.rejected": gettext_noop("rejected the request"),
    "grant.given": gettext_noop("gave the project access"),
    "grant.revoked": gettext_noop("revoked the access"),
    "api_key.prepared": gettext_noop("prepared a key to claim"),
    "api_key.claimed": gettext_noop("claimed the key"),
    "api_key.models_changed": gettext_noop("changed the models of the key"),
    "api_key.revoked": gettext_noop("revoked the key"),
}


_VERDICTS = {
    "review.approved": gettext_noop("approved the %(track)s review"),
    "review.rejected": gettext_noop("rejected the %(track)s review"),
    "review.returned": gettext_noop("asked for changes in the %(track)s review"),
    "review.escalated": gettext_noop("escalated the late %(track)s review"),
    "review.stepped_back": gettext_noop("stepped back from the %(track)s review"),
}


def timeline_of(access_request: AccessRequest, reviews: list[Review]) -> list[Words]:
    """Events, newest first, from the audit log of the request, its reviews, its grants and the keys made for it."""
    subjects = [access_request.pk, *(review.pk for review in reviews)]
    for item in access_request.named_items():
        if grant := getattr(item, "grant", None):
            subjects.append(grant.pk)
            # A key that was chosen has a history of its own.
            subjects += [item.key_id] if item.key_id else []
    entries = (
        AuditEntry.objects.in_tenant(access_request.tenant)
        .filter(subject_id__in=[str(pk) for pk in subjects])
        .select_related("actor")
        .order_by("-at", "-id")[:100]
    )
    tracks = {str(review.pk): review.track.label.lower() for review in reviews}
    timeline = []
    for entry in entries:
        if sentence := _VERDICTS.get(entry.verb):
            text = _(sentence) % {"track": tracks.get(entry.subject_id, "")}
        elif entry.verb == "access_request.approved" and entry.actor is None:
            text = _("approved the request at once, as the rules say")
        else:
            text = _(_ACTIONS.get(entry.verb, entry.verb))
        actor = str(entry.actor) if entry.actor else _("Quartermaster")
        timeline.append({"actor": actor, "text": text, "at": entry.at})
    return timeline


def refusal_of(access_request: AccessRequest, reviews: list[Review]) -> Words | None:
    """Why the request was rejected, in the reviewer's words, and what to do next; None unless rejected."""
    if access_request.state != AccessRequest.State.REJECTED:
        return None
    for review in reviews:
        for decision in review.decisions.all():
            if decision.verdict == ReviewDecision.Verdict.REJECT:
                return {
                    "reason": decision.comment,
                    "way_out": _("Change what the reviewer criticized and send a new request."),
                }
    return None


def changes_wanted(access_request: AccessRequest, reviews: list[Review]) -> str:
    """What a reviewer wants changed, in their words; empty unless the request was returned."""
    if access_request.state != AccessRequest.State.RETURNED:
        return ""
    returns = [
        decision
        for review in reviews
        for decision in review.decisions.all()
        if decision.verdict == ReviewDecision.Verdict.RETURN
    ]
    newest = max(returns, key=lambda one: one.at, default=None)
    return newest.comment if newest else ""


def item_facts(item: RequestItem, model_url: str = "") -> list[Fact]:
    """What was requested of one model, as facts."""
    return [
        Fact(_("Model"), item.model.title, model_url),
        Fact(_("Project"), item.project.name),
        Fact(_("Data class"), DataClass(item.data_class).label),
        Fact(_("Tokens per day"), f"{item.expected_tokens_per_day:,}"),
        *limit_facts(item),
        *renewal_facts(item),
        *([Fact(_("Goes into the key"), str(item.into_key))] if item.into_key else []),
    ]


def renewal_facts(item: RequestItem) -> list[Fact]:
    """Which request it renews, and until when that grant lasts; empty unless it is a renewal."""
    if item.renews is None:
        return []
    reference = item.renews.item.access_request.reference
    words = _("%(reference)s, until %(date)s")
    return [
        Fact(_("Renews"), words % {"reference": reference, "date": day_and_year(item.renews.valid_until)})
    ]


def request_facts(access_request: AccessRequest) -> list[Fact]:
    """What was requested for all its models."""
    return [
        Fact(_("Duration"), _("%(days)s days") % {"days": access_request.duration_days}),
        Fact(_("Rules"), access_request.rule_version),
    ]


def cost_words(cost: Decimal | None, currency: str) -> str:
    """An expected cost a month in words."""
    return f"{cost:,.2f} {currency}" if cost is not None else _("unknown: not priced")


def limit_facts(item: RequestItem) -> list[Fact]:
    """The requested limits in words; money with its currency."""
    facts = []
    for kind, value in item.limits.items():
        if kind in Limit.Kind.values:
            number = f"{Decimal(value):,f}"
            is_money = kind == Limit.Kind.MONEY_PER_MONTH
            facts.append(Fact(Limit.Kind(kind).label, f"{number} {item.currency}" if is_money else number))
    return facts
