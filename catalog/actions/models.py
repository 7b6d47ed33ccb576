"""Publishing and retiring models."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import CatalogModel
from catalog.publishing_checks import Checked, Known, known_of, missing_of
from core.errors import Conflict
from core.joined import listed

# A code of Conflict.
CHECKS_FAIL: Final = "checks_fail"


def _require_publishable(by: User | None, model: CatalogModel) -> None:
    if model.is_visible and model.lifecycle != CatalogModel.Lifecycle.DEPRECATED:
        raise Conflict(
            _("%(model)s is already published.") % {"model": model.title}, code="already_published"
        )
    if model.deprecation_date is not None and model.deprecation_date <= now().date():
        raise Conflict(
            _("%(model)s ended on %(date)s, according to its providers.")
            % {"model": model.title, "date": model.deprecation_date},
            code="deprecation_date_past",
        )


def why_unpublishable(model: CatalogModel, known: Known, *, despite: str = "") -> str:
    """Why a model cannot be published now, in words; empty if it can.

    Args:
        model: the model as it would be.
        known: what the checks need to know.
        despite: a reason to publish it although checks fail; empty: none may fail.
    """
    try:
        _require_publishable(None, model)
        _require_checked(model, missing_of(model, known), despite)
    except Conflict as conflict:
        return conflict.message
    return ""


def _require_checked(model: CatalogModel, missing: Sequence[Checked], despite: str) -> None:
    if missing and not despite:
        raise Conflict(
            _("%(model)s lacks what a published model needs: %(missing)s.")
            % {"model": model.title, "missing": listed(one.label for one in missing)},
            code=CHECKS_FAIL,
        )


@dataclass(frozen=True)
class Published:
    """Names of the models that were published, and why others were not."""

    names: list[str]
    refused: dict[str, str]


@action(CatalogModel, permission="catalog.publish_model", state=_require_publishable)
@transaction.atomic
def publish_model(pk: UUID | str, *, by: User, despite: str = "") -> CatalogModel:
    """Let tenants find and request a model. Imports never do. Nothing is approved by it.

    The checks of catalog/publishing_checks.py are asked again here, on the locked row.

    Args:
        pk: id of the model.
        by: an operator.
        despite: a reason to publish it although checks fail; the audit log keeps it, and which fail.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not publish models.
        Conflict: the model is already published, or its deprecation date has passed; or checks fail (`checks_fail`),
            which the message names, and there is no reason to publish it despite them.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    publish_model.require(by, model)
    missing = missing_of(model)
    _require_checked(model, missing, despite)
    details = _despite(missing, despite)
    return _move(model, CatalogModel.Lifecycle.PUBLISHED, "catalog_model.published", by, **details)


@action(NoneType, permission="catalog.publish_model")
@transaction.atomic
def publish_models(pks: Collection[UUID], *, by: User | None, despite: str = "") -> Published:
    """Publish those of these models that can be published, in a bounded number of statements.

    Drafts, deprecated and retired models become published. What is published already, past its deprecation date, or
    fails a check, stays as it is and is reported. The audit log gets one entry for each model.

    Args:
        pks: ids of models.
        by: an operator; None: the platform.
        despite: a reason to publish also those that fail checks.

    Raises:
        PermissionDenied: `by` may not publish models.
    """
    publish_models.require(by, None)
    published, refused = [], {}
    models = list(CatalogModel.objects.select_for_update().defer("search").filter(pk__in=pks).order_by("pk"))
    known = known_of(models)
    for model in models:
        if reason := why_unpublishable(model, known, despite=despite):
            refused[model.name] = reason
        else:
            published.append(model)
    before = {model.pk: model.lifecycle for model in published}
    for model in published:
        model.lifecycle, model.updated_at = CatalogModel.Lifecycle.PUBLISHED, now()
    CatalogModel.objects.bulk_update(published, ["lifecycle", "updated_at"], batch_size=500)
    audit.record_each(
        "catalog_model.published",
        actor=by,
        changes=[(model, {"lifecycle": (before[model.pk], model.lifecycle)}) for model in published],
        details={model.pk: _despite(missing_of(model, known), despite) for model in published},
    )
    return Published([model.name for model in published], refused)


def _despite(missing: Sequence[Checked], reason: str) -> dict[str, Any]:
    """What the audit log says of a model that was published although checks fail."""
    return {"missing": [one.name for one in missing], "reason": reason} if missing else {}


def _move(model: CatalogModel, lifecycle: str, verb: str, by: User, **details: Any) -> CatalogModel:
    before, model.lifecycle = model.lifecycle, lifecycle
    model.updated_at = now()
    model.save(update_fields=["lifecycle", "updated_at"])
    audit.record(verb, actor=by, subject=model, changes={"lifecycle": (before, lifecycle)}, **details)
    return model
