"""Requesting access to a model, and withdrawing the request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.approving import approve_request
from catalog.actions.evaluations import evaluate_in_english, record_evaluation
from catalog.actions.granted_keys import own_keys
from catalog.answers import carried_over, read_answers, sets_in_force, store_answers
from catalog.asked_facts import ItemFacts, as_json, facts_of_items
from catalog.models import AccessRequest, CatalogModel, Grant, RequestItem, Review, RuleEvaluation, Track
from catalog.notices import tell_reviewers
from catalog.prices import lock_prices
from catalog.request_problems import data_class_problem, region_problem
from catalog.rule_table import Answer
from catalog.serving import mode_problem
from core.errors import Conflict
from core.names import read_prose
from tenants.actions.limits import clean_limits
from tenants.models import ApiKey, DataClass, Project, Tenant
from tenants.status import in_active_tenant, lock_tenant_shared

LONGEST_DAYS = 730
MOST_TOKENS_PER_DAY = 10**13
MOST_ITEMS = 20


@dataclass(frozen=True)
class WantedItem:
    """One model for one project, as somebody asks for it.

    `model_name` is public, the tokens are input and output together, `data_class` is the most sensitive data, and
    `limits` are numbers by kind of `tenants.Limit`, such as {"requests_per_minute": 3}; absent kinds get no limit.
    """

    project: Project
    model_name: str
    expected_tokens_per_day: int
    data_class: str = DataClass.INTERNAL
    limits: Mapping[str, Any] = field(default_factory=dict)
    # The grant that this one is to follow.
    renews: Grant | None = None
    # The key that is to get the model; None: a new one.
    into_key: ApiKey | None = None


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
    more: Sequence[WantedItem] = (),
    renews: Grant | None = None,
    into_key: ApiKey | None = None,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
) -> AccessRequest:
    """Request a model for a project, and `more` with it, and open the reviews that the rules require.

    What the rules approve is so at once.

    Args:
        model_name: public name of the model.
        purpose: what the models are for; reviewers read it.
        expected_tokens_per_day: input and output together.
        data_class: the most sensitive data, from `DataClass`.
        limits: requested numbers by kind of `tenants.Limit`, such as {"requests_per_minute": 3}; absent kinds
            get no limit.
        duration_days: how long the grants will last, 1 to 730.
        more: further models and projects of the same tenant, to be decided with the first.
        renews: the grant for the same project and model that this request renews.
        into_key: a key of the first item's project that gets all models of this project: one of `by`, or of a service
            account that `by` answers for. None: a new key to claim.
        answers: to the questions of the tracks that the rules require, by track and code.

    Raises:
        Project.DoesNotExist: `by` cannot see such a project. PermissionDenied: `by` may not ask for access
        in one of the projects. Conflict: the tenant is not active, or a project already has an open request for the
        model. ValidationError: by field, what cannot be requested: an unpublished model, data above what the model or
            the tenant allows, a model that the gateway has no endpoint for, a region the tenant does not allow,
            limits or durations out of range, whatever a rule rejects, the same model twice for a project. Fields of
            `more` are named by their number, such as "items.1.model".
    """
    first = WantedItem(project, model_name, expected_tokens_per_day, data_class, limits or {}, renews)
    wanted = [
        replace(one, into_key=into_key) if one.project.pk == project.pk else one for one in [first, *more]
    ]
    items, tenant = _read_items(wanted, by=by, purpose=purpose, duration_days=duration_days)
    asked = facts_of_items(items, duration_days)
    table, said = evaluate_in_english(asked)
    if said.rejections:
        raise ValidationError(said.problems)
    sets = sets_in_force(review.track for review in said.reviews)
    answered = read_answers(sets, answers or {}) if renews is None else carried_over(sets, renews)
    access_request = AccessRequest(
        tenant=tenant,
        requested_by=by,
        purpose=read_prose(purpose),
        duration_days=duration_days,
        facts=as_json(asked),
    )
    for one in asked:
        one.item.access_request = access_request
        write_cost(one)
    try:
        with transaction.atomic():
            access_request.save(force_insert=True)
            # In one order, so that two requests for the same do not wait for each other.
            RequestItem.objects.bulk_create(sorted(items, key=lambda item: (item.project_id, item.model_id)))
    except IntegrityError as error:
        if "request_item_one_open" in str(error):
            raise _already_open() from error
        raise
    record_evaluation(access_request, asked, table, said, occasion=RuleEvaluation.Occasion.RAISED)
    tracks = Track.objects.select_related("calendar").in_bulk(
        [review.track for review in said.reviews], field_name="code"
    )
    reviews = Review.objects.bulk_create(
        Review(
            tenant=tenant,
            access_request=access_request,
            track=(track := tracks[review.track]),
            reason=review.reason[:300],
            quorum=max(track.quorum, review.quorum),
            due_at=track.due_at(access_request.created_at),
        )
        for review in said.reviews
    )

    for code, questions in sets.items():
        store_answers(access_request, questions, answered[code])

    details = [
        {
            **({"into_key": str(item.into_key)} if item.into_key else {}),
            "model": item.model.name,
            "project": item.project.slug,
            "data_class": item.data_class,
            "expected_tokens_per_day": item.expected_tokens_per_day,
            "limits": item.limits,
        }
        for item in items
    ]
    audit.record(
        "access_request.raised",
        actor=by,
        subject=access_request,
        tracks=[review.track for review in said.reviews],
        rule_version=table.version,
        **(details[0] if len(details) == 1 else {"items": details}),
    )
    tell_reviewers(reviews, access_request)
    if said.answer == Answer.AUTOMATIC:
        approve_request(access_request, items, by=None)
    return access_request


def _read_items(
    wanted: Sequence[WantedItem], *, by: User, purpose: str, duration_days: int
) -> tuple[list[RequestItem], Tenant]:
    """The items of a new request, not stored yet, and their tenant, locked in shared mode.

    Raises as `raise_access_request` does.
    """
    found = (
        Project.objects.visible_to(by).select_related("tenant").in_bulk([one.project.pk for one in wanted])
    )
    if any(one.project.pk not in found for one in wanted):
        raise Project.DoesNotExist
    tenant = lock_tenant_shared(found[wanted[0].project.pk].tenant)
    if any(project.tenant_id != tenant.pk for project in found.values()):
        raise ValidationError({"items": _("All projects of a request belong to one tenant.")})
    for project in found.values():
        project.tenant = tenant
        raise_access_request.require(by, project)
    if len(wanted) > MOST_ITEMS:
        raise ValidationError({"items": _("At most %(most)s models in one request.") % {"most": MOST_ITEMS}})

    offered = CatalogModel.objects.offered_to([tenant]).filter(name__in=[one.model_name for one in wanted])
    # So what the rules see stays true until the end, in case they approve.
    models = {model.name: model for model in lock_facts_of_models(offered.values_list("pk", flat=True))}
    problems: dict[str, Any] = {}
    items: list[RequestItem] = []
    for number, one in enumerate(wanted):
        item, wrong = read_item(one, found[one.project.pk], models.get(one.model_name))
        if item is not None:
            if one.into_key and not own_keys(by).filter(pk=one.into_key.pk, project=item.project).exists():
                wrong["into_key"] = _("Choose a key of this project that is yours and still in use.")
            wrong |= find_problems(item, purpose=purpose, duration_days=duration_days)
            if any((item.project, item.model) == (other.project, other.model) for other in items):
                wrong["model"] = _("You ask for this model twice in the project.")
            items.append(item)
        problems |= {field_of(number, name): words for name, words in wrong.items()}
    if problems:
        raise ValidationError(problems)
    same = Q(pk__in=[])
    for item in items:
        same |= Q(project=item.project, model=item.model)
    if RequestItem.objects.in_tenant(tenant).filter(same, is_open=True).exists():
        raise _already_open()
    return items, tenant


def field_of(number: int, name: str) -> str:
    """The name of a field in errors: of the request and its first item as it is, of others with the item's number."""
    return name if number == 0 or name in ("purpose", "duration_days") else f"items.{number}.{name}"


def read_item(
    wanted: WantedItem, project: Project, model: CatalogModel | None
) -> tuple[RequestItem | None, dict[str, Any]]:
    """The item, not stored yet, or None without a model; and by field what is wrong with the values themselves.

    Raises nothing.
    """
    if model is None:
        words = _("There is no published model with this name. Choose one from the catalog.")
        return None, {"model": words}
    limits, wrong = {}, {}
    try:
        limits = clean_limits(wanted.limits)
    except ValidationError as error:
        wrong = dict(error.message_dict)
    item = RequestItem(
        tenant=project.tenant,
        project=project,
        model=model,
        data_class=wanted.data_class,
        expected_tokens_per_day=wanted.expected_tokens_per_day,
        limits={kind: format(value, "f") for kind, value in limits.items()},
        renews=wanted.renews,
        into_key=wanted.into_key,
    )
    return item, wrong


def write_cost(one: ItemFacts) -> None:
    """Write the expected cost among the facts into the item. Saves nothing."""
    one.item.expected_monthly_cost = one.facts.expected_monthly_cost
    if one.facts.expected_monthly_cost is not None:
        one.item.currency = one.facts.currency


def lock_facts_of_models(pks: Iterable[UUID]) -> list[CatalogModel]:
    """The models as they are now. They and all prices stay so until the caller's transaction ends."""
    # In one order, so that two transactions do not wait for each other.
    locked = CatalogModel.objects.raw(
        "SELECT * FROM catalog_catalogmodel WHERE id = ANY(%s) ORDER BY id FOR SHARE", [list(pks)]
    )
    models = list(locked)
    lock_prices()
    return models


def require_in_every_project(by: User, access_request: AccessRequest) -> None:
    """Raise PermissionDenied unless `by` may ask for access in the project of every item."""
    projects = {item.project_id: item.project for item in access_request.items.select_related("project")}
    for project in projects.values():
        project.tenant = access_request.tenant
        raise_access_request.require_permission(by, project)


def _require_own_or_manager(by: User, access_request: AccessRequest) -> None:
    require_in_every_project(by, access_request)
    if access_request.requested_by_id != by.pk and not by.has_perm(
        "tenants.manage_members", access_request.tenant
    ):
        raise PermissionDenied(
            _("Someone else made this request. They, an owner or an admin can withdraw it.")
        )


@action(
    AccessRequest,
    permission="tenants.request_access",
    on=lambda access_request: access_request.first_project,
    rule=_require_own_or_manager,
    state=lambda by, access_request: access_request.require_move(AccessRequest.State.WITHDRAWN),
)
@transaction.atomic
def withdraw_access_request(pk: UUID | str, *, by: User) -> AccessRequest:
    """Withdraw an open request and cancel its open reviews.

    Raises:
        AccessRequest.DoesNotExist: `by` cannot see such a request.
        PermissionDenied: `by` may not ask for access in one of its projects, or neither made the request nor manages
            the tenant's members.
        Conflict: the request has already been decided or withdrawn.
    """
    access_request = (
        AccessRequest.objects.visible_to(by)
        .select_for_update(of=("self",))
        .select_related("tenant")
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


def find_problems(item: RequestItem, *, purpose: str, duration_days: int) -> dict[str, str]:
    """By field, why this item cannot be requested; empty if it can. Checked again when the last review approves.

    Args:
        item: what is requested, stored or not.
        purpose: what the model is for.
        duration_days: how long the grant would last.
    """
    tenant, model, data_class = item.tenant, item.model, item.data_class
    problems = {}
    try:
        if not read_prose(purpose):
            problems["purpose"] = _("Say in a sentence what the model is for.")
        elif len(purpose) > 2000:
            problems["purpose"] = _("Use at most 2,000 characters.")
    except ValidationError as error:
        problems["purpose"] = " ".join(error.messages)
    if not 1 <= item.expected_tokens_per_day <= MOST_TOKENS_PER_DAY:
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


def cancel_open_reviews(access_request: AccessRequest) -> None:
    """Close the open reviews, which no longer need a decision."""
    open_reviews = Review.objects.in_tenant(access_request.tenant).filter(
        access_request=access_request, state=Review.State.PENDING
    )
    open_reviews.update(state=Review.State.CANCELLED, decided_at=now())


def _already_open() -> Conflict:
    return Conflict(
        _("This project already has an open request for this model. Wait for its decision, or withdraw it."),
        code="already_open",
    )
