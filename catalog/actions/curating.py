"""Editing the facts of models, and settling where an import says something else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from datetime import datetime
from functools import partial
from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.models import publish_models, why_unpublishable
from catalog.actions.planned_changes import TOUCHES_TENANTS, plan_change, require_moment
from catalog.curating_many import MOST, Outcome, Plan, plan
from catalog.model_facts import FACTS, as_json, clean_facts, require_audience
from catalog.model_impact import ModelImpact, impact_of
from catalog.models import CatalogModel, PlannedChange
from catalog.provenance import keep_own, state_by_operator, take_stated
from catalog.publishing_checks import known_of
from core.errors import Conflict
from core.joined import listed

CURATE: Final = "catalog.curate_model"
# A code of Conflict.
EDITED_SINCE: Final = "edited_since"


@action(CatalogModel, permission=CURATE)
@transaction.atomic
def curate_model(
    pk: UUID | str,
    *,
    values: Mapping[str, Any],
    by: User | None,
    seen: Mapping[str, Any] | None = None,
    may_touch_tenants: bool = False,
    takes_effect_at: datetime | None = None,
    reason: str = "",
) -> CatalogModel:
    """Set facts of a model, now or later. They are the operator's then: imports leave them alone. Safe to repeat.

    A dangerous change of a model in use, and one for later, is a row (catalog/models/planned.py): owners are told, and
    it can be undone until it takes effect.

    Open requests follow: each decision applies the rules to the facts of that moment.

    Args:
        pk: id of the model.
        values: the facts by name, as a form or the API sends them.
        by: an operator; None: the platform.
        seen: what the person has read, as JSON has it; default: nothing, so nobody's edit is in the way.
        may_touch_tenants: confirms a dangerous change of a model that tenants use or ask for.
        takes_effect_at: None: now. Until then the model stays as it is.
        reason: what owners read of a change that they are told of.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not edit models.
        ValidationError: by fact, what is wrong; or the time has passed.
        Conflict: a fact has changed since it was read (`edited_since`); or the change is dangerous and
            `may_touch_tenants` is not set (`touches_tenants`), with the numbers in the message.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    curate_model.require(by, model)
    wanted = clean_facts(values)
    require_moment(takes_effect_at)
    require_audience(wanted.get("visibility", model.visibility), wanted.get("only_for", model.only_for))
    _require_as_seen(model, wanted, seen or {})
    wanted = {name: value for name, value in wanted.items() if value != getattr(model, name)}
    if not wanted:
        return model
    impact = _impact_if_dangerous(model, wanted)
    if impact and not may_touch_tenants:
        raise Conflict(
            _("This restricts a model in use (%(facts)s). %(impact)s Confirm to save.")
            % {"facts": listed(_dangerous(model, wanted)), "impact": impact.words},
            code=TOUCHES_TENANTS,
        )
    if impact or takes_effect_at:
        plan_change(
            PlannedChange.Kind.EDIT,
            [(model, list(wanted))],
            values=wanted,
            takes_effect_at=takes_effect_at,
            reason=reason,
            impact=impact or impact_of([model.pk]),
            by=by,
        )
        model.refresh_from_db()
        return model
    changes = {name: (as_json(getattr(model, name)), as_json(value)) for name, value in wanted.items()}
    state_by_operator(model, wanted, by=by)
    _save(model, wanted)
    audit.record("catalog_model.curated", actor=by, subject=model, changes=changes)
    return model


@action(NoneType, permission=CURATE)
@transaction.atomic
def curate_models(
    pks: Collection[UUID],
    *,
    values: Mapping[str, Any],
    by: User | None,
    may_replace: bool = False,
    publishes: bool = False,
    despite: str = "",
    may_touch_tenants: bool = False,
    takes_effect_at: datetime | None = None,
    reason: str = "",
    expected: str = "",
) -> Plan:
    """Set the same facts of many models, and publish them if wanted; in a bounded number of statements.

    Facts that an operator has entered stay, unless `may_replace`. The audit log gets an entry for each model.

    Args:
        pks: ids of the models, at most MOST.
        values: the facts by name, as a form sends them.
        by: an operator; None: the platform.
        may_replace: also change facts that an operator has entered.
        publishes: publish those that can be published.
        despite: a reason to publish also those that fail checks.
        may_touch_tenants: confirms that models in use become more restricted.
        takes_effect_at: None: now. Until then the models stay as they are.
        reason: what owners read of a change that they are told of.
        expected: the digest of the plan that the person has seen; empty: none.

    Returns what was done, model by model.

    Raises:
        PermissionDenied: `by` may not edit models, or not publish them.
        ValidationError: by fact, what is wrong; there are too many models; the time has passed, or models are to be
            published that change later.
        Conflict: the edit would do something else than the person has seen (`edited_since`); or a dangerous change
            touches tenants and `may_touch_tenants` is not set (`touches_tenants`).
    """
    curate_models.require(by, None)
    if publishes:
        publish_models.require(by, None)
    if len(pks) > MOST:
        raise ValidationError(
            _("These are too many models at once. Narrow the list to at most %(most)d.") % {"most": MOST}
        )
    require_moment(takes_effect_at)
    if publishes and takes_effect_at:
        raise ValidationError({"takes_effect_at": [_("Publish them now, and plan the change separately.")]})
    rows = CatalogModel.objects.select_for_update().defer("search")
    # Locked by id, as by everybody who locks several.
    models = sorted(rows.filter(pk__in=pks).order_by("pk"), key=lambda model: model.name)
    done = plan_edit(models, values, may_replace=may_replace, publishes=publishes, despite=despite)
    if expected and done.digest != expected:
        raise Conflict(
            _("Nothing was changed: the models have changed since the preview. Check it again."),
            code=EDITED_SINCE,
        )
    if done.impact and not may_touch_tenants:
        raise Conflict(
            _("This restricts models in use. %(impact)s Confirm to save.") % {"impact": done.impact.words},
            code=TOUCHES_TENANTS,
        )
    if done.changed and (done.impact or takes_effect_at):
        plan_change(
            PlannedChange.Kind.EDIT,
            [(one.model, list(one.values)) for one in done.changed],
            values={name: value for one in done.changed for name, value in one.values.items()},
            takes_effect_at=takes_effect_at,
            reason=reason,
            impact=done.impact or impact_of([one.model.pk for one in done.changed]),
            by=by,
        )
    else:
        _save_each(done.changed, by)
    if done.published:
        publish_models([one.model.pk for one in done.published], by=by, despite=despite)
    return done


def _save_each(outcomes: Collection[Outcome], by: User | None) -> None:
    """Set the facts of many models, with an entry for each. The outcomes keep the models as they were."""
    changed = [(one.model, one.changes) for one in outcomes]
    after = [copy(one.model) for one in outcomes]
    for model, one in zip(after, outcomes, strict=True):
        state_by_operator(model, one.values, by=by)
        model.updated_at = now()
    names = sorted({name for one in outcomes for name in one.values})
    CatalogModel.objects.bulk_update(after, [*names, "provenance", "differing", "updated_at"], batch_size=500)
    audit.record_each("catalog_model.curated", actor=by, changes=changed)


def plan_edit(
    models: Collection[CatalogModel],
    values: Mapping[str, Any],
    *,
    may_replace: bool,
    publishes: bool,
    despite: str = "",
) -> Plan:
    """What an edit of many models would do now. Changes nothing. Raises ValidationError, by fact, for wrong values.

    Args:
        models: the selection.
        values: the facts by name, as a form sends them.
        may_replace: also change facts that an operator has entered.
        publishes: publish those that can be published.
        despite: a reason to publish also those that fail checks.
    """
    wanted = clean_facts(values)
    require_audience(wanted.get("visibility", ""), wanted.get("only_for", []))
    why = partial(why_unpublishable, known=known_of(models), despite=despite) if publishes else None
    return plan(models, wanted, may_replace=may_replace, why_unpublishable=why)


def _require_differing(by: User | None, model: CatalogModel) -> None:
    if not model.differing:
        raise Conflict(
            _("The import says nothing else about %(model)s.") % {"model": model.title},
            code="nothing_differs",
        )


@action(CatalogModel, permission=CURATE, state=_require_differing)
@transaction.atomic
def settle_facts(
    pk: UUID | str, *, take: Collection[str], keep: Collection[str], by: User | None
) -> CatalogModel:
    """Decide facts of which the last import says something else: take its value, or keep the present one.

    A fact that is taken is the import's again. One that is kept stays an operator's, and is listed again only if an
    import says something new.

    Args:
        pk: id of the model.
        take: facts that get the import's value.
        keep: facts that keep theirs.
        by: an operator; None: the platform.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not edit models.
        ValidationError: by fact, that it does not differ.
        Conflict: nothing differs any more.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    settle_facts.require(by, model)
    if unknown := {*take, *keep} - set(model.differing):
        raise ValidationError(
            {name: [_("The import says nothing else about it.")] for name in sorted(unknown)}
        )
    before = {name: as_json(getattr(model, name)) for name in take}
    keep_own(model, [name for name in keep if name not in take], by=by)
    take_stated(model, take)
    _save(model, take)
    changes = {name: (before[name], as_json(getattr(model, name))) for name in take}
    audit.record("catalog_model.settled", actor=by, subject=model, changes=changes, kept=sorted(keep))
    return model


def _save(model: CatalogModel, names: Collection[str]) -> None:
    model.updated_at = now()
    model.save(update_fields=[*names, "provenance", "differing", "updated_at"])


def _require_as_seen(model: CatalogModel, wanted: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
    """Raise Conflict if a fact that is about to change is not what the person has read."""
    newer = []
    for name, value in wanted.items():
        present = as_json(getattr(model, name))
        if name in seen and seen[name] != present and present != as_json(value):
            fact = FACTS[name]
            newer.append(
                _("%(fact)s is now “%(now)s”.")
                % {"fact": fact.label, "now": fact.shown(getattr(model, name))[:200]}
            )
    if newer:
        raise Conflict(
            _("Someone else changed this model meanwhile. %(changes)s Check it and save again.")
            % {"changes": " ".join(newer)},
            code=EDITED_SINCE,
        )


def _dangerous(model: CatalogModel, wanted: Mapping[str, Any]) -> list[str]:
    """The facts of which the change takes something away from tenants, as people call them."""
    return [
        str(FACTS[name].label)
        for name, value in wanted.items()
        if FACTS[name].is_dangerous(getattr(model, name), value)
    ]


def _impact_if_dangerous(model: CatalogModel, wanted: Mapping[str, Any]) -> ModelImpact | None:
    """What the change touches, if it is dangerous and touches anything."""
    return (impact_of([model.pk]) or None) if _dangerous(model, wanted) else None
