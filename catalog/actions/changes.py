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
from catalog.actions.access_requests import find_problems
from catalog.actions.evaluations import lock_table_in_force
from catalog.actions.facts import ask_again, lock_facts, renew_facts
from catalog.models import AccessRequest, Review, ReviewDecision, RuleEvaluation
from catalog.notices import tell_reviewers
from catalog.rule_table import evaluate
from catalog.stored_sentences import CHANGED
from core.errors import Conflict
from core.names import read_prose
from tenants.actions.limits import clean_limits
from tenants.models import DataClass
from tenants.status import in_active_tenant, lock_tenant_shared

CHANGEABLE = ("purpose", "data_class", "expected_tokens_per_day", "limits", "duration_days")


def _require_requester(by: User, access_request: AccessRequest) -> None:
    if access_request.requested_by_id != by.pk:
        raise PermissionDenied(
            _("Someone else made this request. Only they can change it and send it again.")
        )


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
    on=lambda access_request: access_request.project,
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
) -> AccessRequest:
    """Change a returned request and send it again. What is None stays as it was.

    Approvals stay if the request asks for nothing that it did not ask for before; otherwise their reviews start another
    round. Then the rules run over the new facts, as at a decision (`renew_facts`). Open reviews are due anew: nobody
    is late for the time in which the request was with its requester. Those who decide them are told.

    Args:
        pk: id of the request.
        purpose: what the model is for.
        expected_tokens_per_day: input and output together.
        data_class: the most sensitive data, from `DataClass`.
        limits: all requested limits, by kind.
        duration_days: how long the grant will last.

    Raises:
        AccessRequest.DoesNotExist: `by` cannot see such a request.
        PermissionDenied: `by` did not make it, or may no longer ask for access here.
        Conflict: nobody asked for changes, or the tenant is not active.
        ValidationError: by field, what cannot be requested.
    """
    found = AccessRequest.objects.visible_to(by).select_related("tenant").get(pk=pk)
    tenant = lock_tenant_shared(found.tenant)
    access_request = (
        AccessRequest.objects.in_tenant(tenant)
        .select_for_update(of=("self",), no_key=True)
        .select_related("tenant", "project", "model", "requested_by")
        .get(pk=pk)
    )
    access_request.tenant = tenant
    resend_access_request.require(by, access_request)
    before = {name: getattr(access_request, name) for name in CHANGEABLE}
    wanted = {
        "purpose": purpose,
        "expected_tokens_per_day": expected_tokens_per_day,
        "data_class": data_class,
        "limits": None if limits is None else _stored(clean_limits(limits)),
        "duration_days": duration_days,
    }
    after: dict[str, Any] = {name: before[name] if value is None else value for name, value in wanted.items()}
    asked: dict[str, Any] = {name: after[name] for name in CHANGEABLE if name != "limits"}
    problems = find_problems(tenant, access_request.model, **asked)
    if problems:
        raise ValidationError(dict(problems))
    after["purpose"] = read_prose(after["purpose"])

    more = asks_more(before, after)
    again = _prepare_reviews(access_request, starts_again=bool(more))
    for name, value in after.items():
        setattr(access_request, name, value)
    access_request.move_to(AccessRequest.State.PENDING)
    access_request.save(update_fields=[*CHANGEABLE, "state"])
    access_request.refresh_from_db(fields=["resent_at"])
    audit.record(
        "access_request.resent",
        actor=by,
        subject=access_request,
        changes=audit.difference(before, after, list(CHANGEABLE)),
        asks_more=more,
        tracks_asked_again=[review.track_id for review in again],
    )
    facts = lock_facts(access_request)
    if problems := evaluate(lock_table_in_force(), facts).problems:
        raise ValidationError(dict(problems))
    renew_facts(access_request, facts, by=by, occasion=RuleEvaluation.Occasion.RESENT)
    reviews = Review.objects.in_tenant(tenant).filter(access_request=access_request)
    tell_reviewers(reviews.filter(state=Review.State.PENDING).select_related("track"), access_request)
    return access_request


def asks_more(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of what `after` asks for beyond `before`, which no earlier approval covers.

    Another purpose is always more, because reviewers decide on it. The function `catalog_asks_more` of
    catalog/migrations/ asks the same.
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
    return [name for name in CHANGEABLE if is_more[name]]


def _stored(limits: Mapping[str, Decimal]) -> dict[str, str]:
    return {kind: format(value, "f") for kind, value in limits.items()}


def _prepare_reviews(access_request: AccessRequest, *, starts_again: bool) -> list[Review]:
    """Start another round where approvals no longer cover the request; give the other open reviews a new due time."""
    reviews = (
        Review.objects.in_tenant(access_request.tenant)
        .filter(access_request=access_request)
        .select_related("track__calendar")
        .select_for_update(of=("self",))
    )
    again = []
    for review in reviews:
        approvals = review.decisions.filter(round=review.round, verdict=ReviewDecision.Verdict.APPROVE)
        if starts_again and approvals.exists():
            again.append(ask_again(review, CHANGED()))
        elif review.state == Review.State.PENDING:
            review.due_at = review.track.due_at(now())
            review.save(update_fields=["due_at"])
    return again
