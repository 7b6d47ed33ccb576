"""Requesting access to a model, and withdrawing the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog import rules
from catalog.actions.approving import approve_request
from catalog.actions.evaluations import evaluate_in_english, record_evaluation, table_in_force
from catalog.models import AccessRequest, CatalogModel, Grant, Review, RuleEvaluation, Track
from catalog.notices import tell_reviewers
from catalog.prices import Estimate, lock_prices, monthly_cost
from catalog.rule_table import Answer, NeededReview, evaluate
from catalog.serving import mode_problem
from core.errors import Conflict
from core.names import read_prose
from core.regions import is_allowed
from tenants.actions.limits import clean_limits
from tenants.models import DataClass, Project, Tenant
from tenants.status import in_active_tenant, lock_tenant_shared

LONGEST_DAYS = 730
MOST_TOKENS_PER_DAY = 10**13
# As requests store it, so that rules decide on what is stored.
STORED_COST = Decimal("0.00000001")


@dataclass(frozen=True)
class Preview:
    """What a request would mean: the reviews it needs and why, its cost, and what the rules reject."""

    # None: the model has no price.
    estimate: Estimate | None
    reviews: Sequence[NeededReview]
    # By field: why the request is not possible with these values.
    problems: dict[str, str]


@action(Project, permission="tenants.request_access", on=lambda project: project, state=in_active_tenant)
@transaction.atomic
def raise_access_request(
    project: Project,
    model_name: str,
    *,
    by: User,
    purpose: str,
    expected_tokens_per_day: int,
    data_class: str = DataClass.INTERNAL,
    limits: Mapping[str, Any] | None = None,
    duration_days: int = 365,
) -> AccessRequest:
    """Request a model for a project, and open the reviews that the rules require. What they approve is so at once.

    Args:
        model_name: public name of the model.
        purpose: what the model is for; reviewers read it.
        expected_tokens_per_day: input and output together.
        data_class: the most sensitive data, from `DataClass`.
        limits: requested numbers by kind of `tenants.Limit`, such as {"requests_per_minute": 3}; absent kinds
            get no limit.
        duration_days: how long the grant will last, 1 to 730.

    Raises:
        Project.DoesNotExist: `by` cannot see such a project. PermissionDenied: `by` may not ask for access
        here. Conflict: the tenant is not active, or the project already has an open request for the model.
        ValidationError: by field, what cannot be requested: an unpublished model, data above what the model or
            the tenant allows, a model that the gateway has no endpoint for, a region the tenant does not allow,
            limits or durations out of range, whatever a rule rejects.
    """
    project = Project.objects.visible_to(by).select_related("tenant").get(pk=project.pk)
    project.tenant = lock_tenant_shared(project.tenant)
    raise_access_request.require(by, project)
    model = CatalogModel.objects.offered_to([project.tenant]).filter(name=model_name).first()
    if model is None:
        raise ValidationError(
            {"model": _("There is no published model with this name. Choose one from the catalog.")}
        )
    # So what the rules see stays true until the end, in case they approve.
    model = lock_facts_of_model(model.pk)
    wanted = clean_limits(limits or {})
    numbers = {"expected_tokens_per_day": expected_tokens_per_day, "duration_days": duration_days}
    problems = find_problems(project.tenant, model, data_class=data_class, purpose=purpose, **numbers)
    if problems:
        raise ValidationError(dict(problems))
    if (
        AccessRequest.objects.in_tenant(project.tenant)
        .undecided()
        .filter(project=project, model=model)
        .exists()
    ):
        raise _already_open()

    estimate = monthly_cost(model.name, expected_tokens_per_day)
    facts = facts_of(project, model, data_class, estimate, limits=wanted, duration_days=duration_days)
    table, said = evaluate_in_english(facts)
    if said.rejections:
        raise ValidationError(said.problems)
    try:
        with transaction.atomic():
            access_request = AccessRequest.objects.create(
                tenant=project.tenant,
                project=project,
                model=model,
                requested_by=by,
                purpose=read_prose(purpose),
                data_class=data_class,
                limits=facts.limits,
                expected_monthly_cost=facts.expected_monthly_cost,
                currency=facts.currency,
                facts=facts.as_json(),
                **numbers,
            )
    except IntegrityError as error:
        if "access_request_one_open" in str(error):
            raise _already_open() from error
        raise
    record_evaluation(access_request, facts, table, said, occasion=RuleEvaluation.Occasion.RAISED)
    tracks = Track.objects.select_related("calendar").in_bulk(
        [review.track for review in said.reviews], field_name="code"
    )
    reviews = Review.objects.bulk_create(
        Review(
            tenant=project.tenant,
            access_request=access_request,
            track=(track := tracks[review.track]),
            reason=review.reason[:300],
            quorum=max(track.quorum, review.quorum),
            due_at=track.due_at(access_request.created_at),
        )
        for review in said.reviews
    )

    audit.record(
        "access_request.raised",
        actor=by,
        subject=access_request,
        model=model.name,
        project=project.slug,
        data_class=data_class,
        expected_tokens_per_day=expected_tokens_per_day,
        limits=access_request.limits,
        tracks=[review.track for review in said.reviews],
        rule_version=table.version,
    )
    tell_reviewers(reviews, access_request)
    if said.answer == Answer.AUTOMATIC:
        approve_request(access_request, by=None)
    return access_request


def lock_facts_of_model(pk: UUID) -> CatalogModel:
    """The model as it is now. It and all prices stay so until the caller's transaction ends."""
    model = CatalogModel.objects.raw("SELECT * FROM catalog_catalogmodel WHERE id = %s FOR SHARE", [pk])[0]
    lock_prices()
    return model


def _require_own_or_manager(by: User, access_request: AccessRequest) -> None:
    if access_request.requested_by_id != by.pk and not by.has_perm(
        "tenants.manage_members", access_request.tenant
    ):
        raise PermissionDenied(
            _("Someone else made this request. They, an owner or an admin can withdraw it.")
        )


@action(
    AccessRequest,
    permission="tenants.request_access",
    on=lambda access_request: access_request.project,
    rule=_require_own_or_manager,
    state=lambda by, access_request: access_request.require_move(AccessRequest.State.WITHDRAWN),
)
@transaction.atomic
def withdraw_access_request(pk: UUID | str, *, by: User) -> AccessRequest:
    """Withdraw an open request and cancel its open reviews.

    Raises:
        AccessRequest.DoesNotExist: `by` cannot see such a request.
        PermissionDenied: `by` neither made the request nor manages the tenant's members.
        Conflict: the request has already been decided or withdrawn.
    """
    access_request = (
        AccessRequest.objects.visible_to(by)
        .select_for_update(of=("self",))
        .select_related("tenant", "project", "model")
        .get(pk=pk)
    )
    withdraw_access_request.require(by, access_request)
    withdraw_locked_request(access_request, actor=by)
    return access_request


def withdraw_locked_request(access_request: AccessRequest, *, actor: User, reason: str = "") -> None:
    """Withdraw a request that the caller has locked, and cancel its open reviews.

    Raises Conflict if the request has already been decided or withdrawn.
    """
    access_request.move_to(AccessRequest.State.WITHDRAWN)
    access_request.save(update_fields=["state"])
    cancel_open_reviews(access_request)
    audit.record("access_request.withdrawn", actor=actor, subject=access_request, reason=reason)


def preview_access_request(
    project: Project,
    model: CatalogModel,
    *,
    expected_tokens_per_day: int | None,
    data_class: str,
    limits: Mapping[str, Any] | None = None,
    duration_days: int = 365,
) -> Preview:
    """Preview what `raise_access_request` would do with these values. Changes nothing.

    Args:
        project: the project that would make the request.
        model: the model.
        expected_tokens_per_day: input and output together; None: not entered yet.
        data_class: the most sensitive data, from `DataClass`.
        limits: requested numbers by kind of `tenants.Limit`.
        duration_days: how long the grant would last.
    """
    numbers = {"expected_tokens_per_day": expected_tokens_per_day or 1, "duration_days": duration_days}
    problems = find_problems(project.tenant, model, data_class=data_class, purpose="preview", **numbers)
    wanted: Mapping[str, Decimal] = {}
    try:
        wanted = clean_limits(limits or {})
    except ValidationError as error:
        problems |= {name: texts[0] for name, texts in error.message_dict.items()}
    if expected_tokens_per_day is None:
        return Preview(None, [], problems)
    estimate = monthly_cost(model.name, expected_tokens_per_day)
    known_class = data_class if data_class in DataClass.values else DataClass.INTERNAL
    facts = facts_of(project, model, known_class, estimate, limits=wanted, duration_days=duration_days)
    said = evaluate(table_in_force(), facts)
    return Preview(estimate, said.reviews, said.problems | problems)


def find_problems(
    tenant: Tenant,
    model: CatalogModel,
    *,
    data_class: str,
    purpose: str,
    expected_tokens_per_day: int,
    duration_days: int,
) -> dict[str, str]:
    """By field, why this request is not possible; empty if it is. Checked again when the last review approves.

    Args:
        tenant: the tenant that makes the request.
        model: the model.
        data_class: the most sensitive data, from `DataClass`.
        purpose: what the model is for.
        expected_tokens_per_day: input and output together.
        duration_days: how long the grant would last.
    """
    problems = {}
    try:
        if not read_prose(purpose):
            problems["purpose"] = _("Say in a sentence what the model is for.")
        elif len(purpose) > 2000:
            problems["purpose"] = _("Use at most 2,000 characters.")
    except ValidationError as error:
        problems["purpose"] = " ".join(error.messages)
    if not 1 <= expected_tokens_per_day <= MOST_TOKENS_PER_DAY:
        problems["expected_tokens_per_day"] = _("Enter a whole number of tokens, at least 1.")
    if not 1 <= duration_days <= LONGEST_DAYS:
        problems["duration_days"] = _("Enter 1 to %(most)s days.") % {"most": LONGEST_DAYS}
    if data_class not in DataClass.values:
        problems["data_class"] = _("Choose one of: %(classes)s.") % {"classes": ", ".join(DataClass.values)}
    elif problem := data_class_problem(tenant, model, data_class):
        problems["data_class"] = problem
    if problem := mode_problem(model) or region_problem(tenant, model):
        problems["model"] = problem
    return problems


def data_class_problem(tenant: Tenant, model: CatalogModel, data_class: str) -> str | None:
    """Why data of this class may not go to the model; None if it may."""
    wanted = DataClass(data_class)
    for holder, highest in (
        (model.title, DataClass(model.highest_data_class)),
        (tenant.name, DataClass(tenant.highest_data_class)),
    ):
        if wanted.rank > highest.rank:
            return _("%(name)s is allowed up to %(highest)s data. Choose %(highest)s or lower.") % {
                "name": holder,
                "highest": highest.label,
            }
    return None


def region_problem(tenant: Tenant, model: CatalogModel) -> str | None:
    """Why the tenant's regions rule out the model; None if they do not."""
    if not tenant.regions or model.hosting == CatalogModel.Hosting.OURS:
        return None
    if any(is_allowed(region, tenant.regions) for region in model.regions):
        return None
    return _("No provider offers %(model)s in a region that %(tenant)s allows (%(regions)s).") % {
        "model": model.title,
        "tenant": tenant.name,
        "regions": ", ".join(tenant.regions),
    }


def cancel_open_reviews(access_request: AccessRequest) -> None:
    """Close the open reviews, which no longer need a decision."""
    open_reviews = Review.objects.in_tenant(access_request.tenant).filter(
        access_request=access_request, state=Review.State.PENDING
    )
    open_reviews.update(state=Review.State.CANCELLED, decided_at=now())


def facts_of(
    project: Project,
    model: CatalogModel,
    data_class: str,
    estimate: Estimate | None,
    *,
    limits: Mapping[str, Decimal],
    duration_days: int,
) -> rules.Facts:
    """The facts that the rules consider, as they are now.

    Args:
        project: the project that makes the request.
        model: the model.
        data_class: the most sensitive data, from `DataClass`.
        estimate: expected cost; None: the model has no price.
        limits: requested numbers by kind of `tenants.Limit`.
        duration_days: how long the grant would last.
    """
    had_grant = Grant.objects.in_tenant(project.tenant).filter(project=project, model=model).exists()
    return rules.Facts(
        is_new_to_project=not had_grant,
        risk_tier=model.risk_tier,
        data_class=data_class,
        expected_monthly_cost=estimate.amount.quantize(STORED_COST) if estimate else None,
        currency=estimate.currency if estimate else "USD",
        tenant=str(project.tenant_id),
        regions=tuple(model.regions),
        limits={kind: format(value, "f") for kind, value in limits.items()},
        duration_days=duration_days,
    )


def _already_open() -> Conflict:
    return Conflict(
        _("This project already has an open request for this model. Wait for its decision, or withdraw it."),
        code="already_open",
    )
