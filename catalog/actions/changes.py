"""Changing a request that a reviewer returned, and sending it again; decisions that still hold are kept."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.access_requests import field_of, find_problems, require_in_every_project
from catalog.actions.evaluations import lock_table_in_force
from catalog.actions.facts import ask_again, lock_facts, renew_facts
from catalog.answers import read_changed_answers, store_answers
from catalog.asked_facts import evaluate_items
from catalog.models import AccessRequest, RequestItem, Review, ReviewDecision, RuleEvaluation
from catalog.notices import tell_reviewers
from catalog.stored_sentences import CHANGED
from core.errors import Conflict
from core.names import read_prose
from tenants.actions.limits import clean_limits
from tenants.models import DataClass
from tenants.status import in_active_tenant, lock_tenant_shared

OF_REQUEST = ("purpose", "duration_days")
OF_ITEM = ("data_class", "expected_tokens_per_day", "limits")


def _require_requester(by: User, access_request: AccessRequest) -> None:
    if access_request.requested_by_id != by.pk:
        raise PermissionDenied(
            _("Someone else made this request. Only they can change it and send it again.")
        )
    require_in_every_project(by, access_request)


def _require_returned(by: User | None, access_request: AccessRequest) -> None:
    in_active_tenant(by, access_request)
    if access_request.state != AccessRequest.State.RETURNED:
        raise Conflict(
            _("No changes are wanted: this request is %(state)s.")
            % {"state": access_request.get_state_display().lower()},
            code="not_returned",
        )


@action(
    AccessRequest,
    permission="tenants.request_access",
    on=lambda access_request: access_request.first_project,
    rule=_require_requester,
    state=_require_returned,
)
@transaction.atomic
def resend_access_request(
    pk: UUID | str,
    *,
    by: User,
    purpose: str | None = None,
    expected_tokens_per_day: int | None = None,
    data_class: str | None = None,
    limits: Mapping[str, Any] | None = None,
    duration_days: int | None = None,
    items: Mapping[str, Mapping[str, Any]] | None = None,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
) -> AccessRequest:
    """Change a returned request and send it again. What is None stays as it was.

    Approvals stay if the request asks for nothing that it did not ask for before; otherwise their reviews start another
    round. Then the rules run over the new facts, as at a decision (`renew_facts`). Open reviews are due anew: nobody
    is late for the time in which the request was with its requester. Those who decide them are told.

    Args:
        pk: id of the request.
        purpose: what the model is for.
        expected_tokens_per_day: of the only item; input and output together.
        data_class: of the only item; the most sensitive data, from `DataClass`.
        limits: of the only item; all requested limits, by kind.
        duration_days: how long the grants will last.
        answers: to the questions of tracks, by track and code; those of other tracks stay.
        items: of a request with several items, the same three by id of the item.

    Raises:
        AccessRequest.DoesNotExist: `by` cannot see such a request.
        PermissionDenied: `by` did not make it, or may no longer ask for access here.
        Conflict: nobody asked for changes, or the tenant is not active.
        ValidationError: by field, what cannot be requested; fields of further items as in `raise_access_request`.
    """
    found = AccessRequest.objects.visible_to(by).select_related("tenant").get(pk=pk)
    tenant = lock_tenant_shared(found.tenant)
    access_request = (
        AccessRequest.objects.in_tenant(tenant)
        .select_for_update(of=("self",), no_key=True)
        .select_related("tenant", "requested_by")
        .get(pk=pk)
    )
    access_request.tenant = tenant
    resend_access_request.require(by, access_request)
    of_only = {"data_class": data_class, "expected_tokens_per_day": expected_tokens_per_day, "limits": limits}
    stored = list(access_request.items.select_related("project__tenant", "model"))
    wanted = _wanted(stored, of_only, items or {})
    purpose = access_request.purpose if purpose is None else purpose
    duration_days = access_request.duration_days if duration_days is None else duration_days
    before = [_asked_now(access_request, item) for item in stored]
    problems: dict[str, Any] = {}
    for number, (item, values) in enumerate(zip(stored, wanted, strict=True)):
        for name, value in values.items():
            setattr(item, name, value)
        found_problems = find_problems(item, purpose=purpose, duration_days=duration_days)
        problems |= {field_of(number, name): words for name, words in found_problems.items()}
    if problems:
        raise ValidationError(dict(problems))
    of_request = {"purpose": read_prose(purpose), "duration_days": duration_days}
    after = [{name: getattr(item, name) for name in OF_ITEM} | of_request for item in stored]

    changes, more = _compared(stored, before, after)
    answered = read_changed_answers(access_request, answers or {})
    again = _prepare_reviews(
        access_request, starts_again=bool(more), answered={one.track_id for one in answered}
    )
    for item in stored:
        item.save(update_fields=OF_ITEM)
    for name, value in of_request.items():
        setattr(access_request, name, value)
    access_request.move_to(AccessRequest.State.PENDING)
    access_request.save(update_fields=[*OF_REQUEST, "state"])
    access_request.refresh_from_db(fields=["resent_at"])
    for questions, said in answered.items():
        store_answers(access_request, questions, said)
    audit.record(
        "access_request.resent",
        actor=by,
        subject=access_request,
        changes=changes,
        asks_more=more,
        tracks_asked_again=[review.track_id for review in again],
        answered_anew=sorted(one.track_id for one in answered),
    )
    facts = lock_facts(access_request)
    if problems := evaluate_items(lock_table_in_force(), facts).problems:
        raise ValidationError(dict(problems))
    renew_facts(access_request, facts, by=by, occasion=RuleEvaluation.Occasion.RESENT)
    reviews = Review.objects.in_tenant(tenant).filter(access_request=access_request)
    tell_reviewers(reviews.filter(state=Review.State.PENDING).select_related("track"), access_request)
    return access_request


def _wanted(
    stored: list[RequestItem], of_only: Mapping[str, Any], by_item: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What becomes of each item: the fields that change. Raises ValidationError for items that cannot be meant."""
    said = {name: value for name, value in of_only.items() if value is not None}
    if said and by_item:
        raise ValidationError({"items": _("Say what changes for the only model or by item, not both.")})
    if said and len(stored) > 1:
        raise ValidationError({"items": _("This request has several models. Say which of them changes.")})
    if set(by_item) - {str(item.pk) for item in stored}:
        raise ValidationError({"items": _("This request has no such item.")})
    wanted = []
    for number, item in enumerate(stored):
        values = said | {name: by_item.get(str(item.pk), {}).get(name) for name in OF_ITEM if not said}
        values = {name: value for name, value in values.items() if value is not None}
        if "limits" in values:
            values["limits"] = _stored(_limits_of(values["limits"], number))
        wanted.append(values)
    return wanted


def _limits_of(limits: Mapping[str, Any], number: int) -> Mapping[str, Decimal]:
    try:
        return clean_limits(limits)
    except ValidationError as error:
        wrong = error.update_error_dict({})
        raise ValidationError({field_of(number, name): said for name, said in wrong.items()}) from error


def _asked_now(access_request: AccessRequest, item: RequestItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in OF_ITEM} | {
        name: getattr(access_request, name) for name in OF_REQUEST
    }


def _compared(
    items: list[RequestItem], before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """What changes, and the names of what is asked for beyond what was; of several items, with the item's name."""
    changes: dict[str, Any] = {}
    more: list[str] = []
    for item, then, wanted in zip(items, before, after, strict=True):
        prefix = "" if len(items) == 1 else f"{item.model.name} {item.project.slug} "
        names = {name: name if name in OF_REQUEST else f"{prefix}{name}" for name in wanted}
        changes |= {names[name]: pair for name, pair in audit.difference(then, wanted, list(wanted)).items()}
        more += [names[name] for name in asks_more(then, wanted)]
    return changes, list(dict.fromkeys(more))


def asks_more(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of what `after` asks for beyond `before`, which no earlier approval covers.

    Another purpose is always more, because reviewers decide on it. The functions `catalog_asks_more` and
    `catalog_item_asks_more` of catalog/migrations/ ask the same.
    """
    is_more = {
        "purpose": before["purpose"] != after["purpose"],
        "data_class": DataClass(after["data_class"]).rank > DataClass(before["data_class"]).rank,
        "expected_tokens_per_day": after["expected_tokens_per_day"] > before["expected_tokens_per_day"],
        "limits": any(
            kind not in after["limits"] or Decimal(after["limits"][kind]) > Decimal(value)
            for kind, value in before["limits"].items()
        ),
        "duration_days": after["duration_days"] > before["duration_days"],
    }
    return [name for name, is_it in is_more.items() if is_it]


def _stored(limits: Mapping[str, Decimal]) -> dict[str, str]:
    return {kind: format(value, "f") for kind, value in limits.items()}


def _prepare_reviews(
    access_request: AccessRequest, *, starts_again: bool, answered: set[str]
) -> list[Review]:
    """Start another round where approvals no longer cover the request; give the other open reviews a new due time.

    Args:
        access_request: the locked request.
        starts_again: whether it asks for more than any approval covers.
        answered: the tracks whose questions were answered anew, whose approvals rested on the answers of before.
    """
    reviews = (
        Review.objects.in_tenant(access_request.tenant)
        .filter(access_request=access_request)
        .select_related("track__calendar")
        .select_for_update(of=("self",))
    )
    again = []
    for review in reviews:
        approvals = review.decisions.filter(round=review.round, verdict=ReviewDecision.Verdict.APPROVE)
        if (starts_again or review.track_id in answered) and approvals.exists():
            again.append(ask_again(review, CHANGED()))
        elif review.state == Review.State.PENDING:
            review.due_at, review.escalated_at = review.track.due_at(now()), None
            review.save(update_fields=["due_at", "escalated_at"])
    return again
