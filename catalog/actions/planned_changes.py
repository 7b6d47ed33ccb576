"""Planning changes that take something away from tenants, undoing them, and putting them into effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.model_facts import as_json, clean_facts, require_audience
from catalog.model_impact import ModelImpact, impact_of
from catalog.models import CatalogModel, PlannedChange, PlannedChangeOfModel
from catalog.planned_notices import tell_owners
from catalog.provenance import state_by_operator
from core.errors import Conflict

log = structlog.get_logger(__name__)

State, Lifecycle = PlannedChange.State, CatalogModel.Lifecycle
# A code of Conflict.
TOUCHES_TENANTS: Final = "touches_tenants"
LONGEST_REASON: Final = 300
# A typing error in the year is caught here.
FURTHEST: Final = timedelta(days=2 * 366)
_LIFECYCLES: Final = {
    PlannedChange.Kind.DEPRECATE: Lifecycle.DEPRECATED,
    PlannedChange.Kind.RETIRE: Lifecycle.RETIRED,
}
_VERBS: Final = {
    PlannedChange.Kind.EDIT: "catalog_model.curated",
    PlannedChange.Kind.DEPRECATE: "catalog_model.deprecated",
    PlannedChange.Kind.RETIRE: "catalog_model.retired",
}


def require_moment(takes_effect_at: datetime | None) -> None:
    """Raise ValidationError unless a change can be planned for then; None is now."""
    if takes_effect_at is None:
        return
    if takes_effect_at <= now():
        raise ValidationError({"takes_effect_at": [_("This time has passed. Leave it empty for now.")]})
    if takes_effect_at > now() + FURTHEST:
        raise ValidationError({"takes_effect_at": [_("At most two years ahead.")]})


def plan_change(
    kind: PlannedChange.Kind,
    models: Sequence[tuple[CatalogModel, Sequence[str]]],
    *,
    values: Mapping[str, Any],
    takes_effect_at: datetime | None,
    reason: str,
    impact: ModelImpact,
    by: User | None,
) -> PlannedChange:
    """Write down a change, with what it touches, and put it into effect at once if it is for now.

    Part of an action, which has checked the permission and holds the models.

    Args:
        kind: what becomes of the models.
        models: each with the facts that change.
        values: the new values of these facts, cleaned.
        takes_effect_at: checked by `require_moment`; None: now.
        reason: what owners read.
        impact: what the change touches now.
        by: who plans it; None: the platform.
    """
    change = PlannedChange.objects.create(
        kind=kind,
        values={name: as_json(value) for name, value in values.items()},
        takes_effect_at=takes_effect_at or now(),
        reason=reason,
        planned_by=by,
        impact=impact.as_json(),
    )
    PlannedChangeOfModel.objects.bulk_create(
        (
            PlannedChangeOfModel(
                change=change, model=model, before={name: as_json(getattr(model, name)) for name in facts}
            )
            for model, facts in models
        ),
        batch_size=1000,
    )
    if takes_effect_at is None:
        _put_into_effect(change, actor=by)
    else:
        audit.record(
            "planned_change.planned",
            actor=by,
            subject=change,
            takes_effect_at=takes_effect_at.isoformat(),
            kind=kind.value,
            models=len(models),
            tenants=impact.tenants,
            reason=reason,
            changes={name: (None, value) for name, value in change.values.items()},
        )
    _tell_soon()
    return change


def _require_published(by: User | None, model: CatalogModel) -> None:
    if model.lifecycle not in (Lifecycle.PUBLISHED, Lifecycle.PREVIEW):
        raise Conflict(
            _("%(model)s is not published, or deprecated already.") % {"model": model.title},
            code="not_published",
        )


def _require_not_retired(by: User | None, model: CatalogModel) -> None:
    if model.lifecycle == Lifecycle.RETIRED:
        raise Conflict(_("%(model)s is already retired.") % {"model": model.title}, code="already_retired")


@action(CatalogModel, permission="catalog.publish_model", state=_require_published)
@transaction.atomic
def deprecate_model(
    pk: UUID | str,
    *,
    by: User,
    successor: str = "",
    takes_effect_at: datetime | None = None,
    reason: str = "",
    may_touch_tenants: bool = False,
) -> PlannedChange:
    """Advise against a model, now or later. It stays in the catalog, can be requested, and grants stay.

    Args:
        pk: id of the model.
        by: an operator.
        successor: public name of the model that follows it; empty: as it is.
        takes_effect_at: None: now.
        reason: what owners read.
        may_touch_tenants: confirms it for a model that tenants use or ask for.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not retire models.
        ValidationError: by argument, what is wrong.
        Conflict: the model is not published; or tenants are touched (`touches_tenants`), with the numbers.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    deprecate_model.require(by, model)
    return _end(
        PlannedChange.Kind.DEPRECATE,
        model,
        by=by,
        successor=successor,
        takes_effect_at=takes_effect_at,
        reason=reason,
        may_touch_tenants=may_touch_tenants,
    )


@action(CatalogModel, permission="catalog.publish_model", state=_require_not_retired)
@transaction.atomic
def retire_model(
    pk: UUID | str,
    *,
    by: User,
    successor: str = "",
    takes_effect_at: datetime | None = None,
    reason: str = "",
    may_touch_tenants: bool = False,
) -> PlannedChange:
    """Hide a model from tenants, now or later; grants in force stay.

    Args:
        pk: id of the model.
        by: an operator.
        successor: public name of the model that follows it; empty: as it is.
        takes_effect_at: None: now.
        reason: what owners read.
        may_touch_tenants: confirms it for a model that tenants use or ask for.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not retire models.
        ValidationError: by argument, what is wrong.
        Conflict: the model is already retired; or tenants are touched (`touches_tenants`), with the numbers.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    retire_model.require(by, model)
    return _end(
        PlannedChange.Kind.RETIRE,
        model,
        by=by,
        successor=successor,
        takes_effect_at=takes_effect_at,
        reason=reason,
        may_touch_tenants=may_touch_tenants,
    )


def _end(
    kind: PlannedChange.Kind,
    model: CatalogModel,
    *,
    by: User,
    successor: str,
    takes_effect_at: datetime | None,
    reason: str,
    may_touch_tenants: bool,
) -> PlannedChange:
    require_moment(takes_effect_at)
    values = clean_facts({"successor": successor}) if successor else {}
    if values and values["successor"] == model.name:
        raise ValidationError({"successor": [_("A model does not follow itself.")]})
    impact = impact_of([model.pk])
    if impact and not may_touch_tenants:
        raise Conflict(
            _("Tenants use or ask for this model. %(impact)s Confirm to go on.") % {"impact": impact.words},
            code=TOUCHES_TENANTS,
        )
    facts = [name for name, value in values.items() if value != getattr(model, name)]
    return plan_change(
        kind,
        [(model, facts)],
        values={name: values[name] for name in facts},
        takes_effect_at=takes_effect_at,
        reason=reason,
        impact=impact,
        by=by,
    )


def _require_planned(by: User | None, change: PlannedChange) -> None:
    if change.state != State.PLANNED:
        raise Conflict(
            _("This change is no longer planned: %(state)s.") % {"state": change.get_state_display()},
            code="change_ended",
        )


@action(PlannedChange, permission="catalog.publish_model", state=_require_planned)
@transaction.atomic
def undo_change(pk: UUID | str, *, by: User) -> PlannedChange:
    """Take a planned change back before it takes effect. Owners who were told of it are told.

    Raises:
        PlannedChange.DoesNotExist: there is no such change.
        PermissionDenied: `by` may not publish and retire models.
        Conflict: it has taken effect, or was undone already (`change_ended`).
    """
    change = PlannedChange.objects.select_for_update().get(pk=pk)
    undo_change.require(by, change)
    change.state, change.ended_at, change.undone_by = State.UNDONE, now(), by
    change.save(update_fields=["state", "ended_at", "undone_by"])
    audit.record("planned_change.undone", actor=by, subject=change)
    _tell_soon()
    return change


def _tell_soon() -> None:
    """Let a worker tell the owners once this transaction has committed."""
    # That module imports this one.
    from catalog.tasks import tell_of_changes as task

    transaction.on_commit(task.delay, robust=True)


def put_due_into_effect() -> int:
    """Put the changes whose time has come into effect, each in a transaction of its own; return how many.

    Safe to run twice, at once or after a crash: whoever holds the row decides it, and it ends once. One that raises is
    logged, stays planned, and holds no other up.
    """
    done = 0
    due = PlannedChange.objects.filter(state=State.PLANNED, takes_effect_at__lte=now())
    for pk in list(due.order_by("takes_effect_at", "pk").values_list("pk", flat=True)[:1000]):
        try:
            with transaction.atomic():
                change = due.select_for_update(skip_locked=True).filter(pk=pk).first()
                if change is not None:
                    _put_into_effect(change, actor=None)
                    done += 1
        except Exception:
            log.exception("planned_change_not_in_effect", change=str(pk))
    return done


def tell_of_changes() -> int:
    """Tell owners of changes that were planned, undone, or took effect since they were last told; return how many.

    Each once: what was told is in the row of the change, in the same transaction as the messages.
    """
    told = 0
    waiting = PlannedChange.objects.exclude(announced=F("state"))
    for pk in list(waiting.order_by("pk").values_list("pk", flat=True)[:1000]):
        with transaction.atomic():
            change = waiting.select_for_update(skip_locked=True).filter(pk=pk).first()
            if change is None:
                continue
            # Whoever was not told of the plan needs not know that it is undone.
            if change.state != State.UNDONE or change.announced:
                tell_owners(change)
            change.announced = change.state
            change.save(update_fields=["announced"])
            told += 1
    return told


def _put_into_effect(change: PlannedChange, *, actor: User | None) -> None:
    """Change the models as planned. The caller holds the change. What can no longer be done is noted on it."""
    try:
        with transaction.atomic():
            _apply(change, actor)
        change.state = State.IN_EFFECT
    except ValidationError as error:
        change.state, change.problem = State.FAILED, " ".join(error.messages)
    change.ended_at = now()
    change.save(update_fields=["state", "ended_at", "problem"])
    audit.record(
        "planned_change.took_effect" if change.state == State.IN_EFFECT else "planned_change.failed",
        actor=actor,
        subject=change,
        kind=change.kind,
        problem=change.problem,
        planned_by=str(change.planned_by or ""),
    )
    _tell_soon()


def _apply(change: PlannedChange, actor: User | None) -> None:
    """Set facts and lifecycle of the models, in a bounded number of statements, with an entry for each model."""
    before = dict(change.of_models.values_list("model", "before"))
    values = clean_facts(change.values)
    rows = CatalogModel.objects.select_for_update().defer("search").filter(pk__in=before)
    lifecycle = _LIFECYCLES.get(PlannedChange.Kind(change.kind))
    changed: list[tuple[CatalogModel, dict[str, tuple[Any, Any]]]] = []
    # Locked by id, as by everybody who locks several.
    for model in sorted(rows.order_by("pk"), key=lambda model: model.name):
        wanted = {name: values[name] for name in before[model.pk] if values[name] != getattr(model, name)}
        changes = {name: (as_json(getattr(model, name)), as_json(value)) for name, value in wanted.items()}
        if wanted:
            state_by_operator(model, wanted, by=change.planned_by)
            require_audience(model.visibility, model.only_for)
        if lifecycle and model.lifecycle not in (lifecycle, Lifecycle.RETIRED):
            changes["lifecycle"] = (model.lifecycle, lifecycle)
            model.lifecycle = lifecycle
        if changes:
            model.updated_at = now()
            changed.append((model, changes))
    columns = sorted({*values, "lifecycle", "provenance", "differing", "updated_at"})
    CatalogModel.objects.bulk_update([model for model, _changes in changed], columns, batch_size=500)
    audit.record_each(
        _VERBS[PlannedChange.Kind(change.kind)],
        actor=actor,
        changes=changed,
        details={model.pk: {"planned_change": str(change.pk)} for model, _changes in changed},
    )
