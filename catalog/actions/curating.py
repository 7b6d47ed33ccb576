"""Editing the facts of models, and settling where an import says something else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.model_facts import FACTS, as_json, clean_facts
from catalog.model_impact import impact_of
from catalog.models import CatalogModel
from catalog.provenance import keep_own, state_by_operator, take_stated
from core.errors import Conflict

CURATE: Final = "catalog.curate_model"
# Codes of Conflict.
EDITED_SINCE: Final = "edited_since"
TOUCHES_TENANTS: Final = "touches_tenants"


@action(CatalogModel, permission=CURATE)
@transaction.atomic
def curate_model(
    pk: UUID | str,
    *,
    values: Mapping[str, Any],
    by: User | None,
    seen: Mapping[str, Any] | None = None,
    may_touch_tenants: bool = False,
) -> CatalogModel:
    """Set facts of a model. They are the operator's from now on: imports leave them alone. Safe to repeat.

    Open requests follow: each decision applies the rules to the facts of that moment.

    Args:
        pk: id of the model.
        values: the facts by name, as a form or the API sends them.
        by: an operator; None: the platform.
        seen: what the person has read, as JSON has it; default: nothing, so nobody's edit is in the way.
        may_touch_tenants: confirms a dangerous change of a model that tenants use or ask for.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not edit models.
        ValidationError: by fact, what is wrong.
        Conflict: a fact has changed since it was read (`edited_since`); or the change is dangerous and
            `may_touch_tenants` is not set (`touches_tenants`), with the numbers in the message.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    curate_model.require(by, model)
    wanted = clean_facts(values)
    _require_as_seen(model, wanted, seen or {})
    wanted = {name: value for name, value in wanted.items() if value != getattr(model, name)}
    if not wanted:
        return model
    if not may_touch_tenants:
        _require_harmless(model, wanted)
    changes = {name: (as_json(getattr(model, name)), as_json(value)) for name, value in wanted.items()}
    state_by_operator(model, wanted, by=by)
    _save(model, wanted)
    audit.record("catalog_model.curated", actor=by, subject=model, changes=changes)
    return model


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


def _require_harmless(model: CatalogModel, wanted: Mapping[str, Any]) -> None:
    dangerous = [
        str(FACTS[name].label)
        for name, value in wanted.items()
        if FACTS[name].is_dangerous(getattr(model, name), value)
    ]
    if dangerous and (impact := impact_of([model.pk])):
        raise Conflict(
            _("This restricts a model in use (%(facts)s). %(impact)s Confirm to save.")
            % {"facts": ", ".join(dangerous), "impact": impact.words},
            code=TOUCHES_TENANTS,
        )
