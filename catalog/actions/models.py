"""Publishing and retiring models."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import NoneType
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import CatalogModel
from core.errors import Conflict


def _require_publishable(by: User | None, model: CatalogModel) -> None:
    if model.is_visible:
        raise Conflict(
            _("%(model)s is already published.") % {"model": model.title}, code="already_published"
        )
    if model.deprecation_date is not None and model.deprecation_date <= now().date():
        raise Conflict(
            _("%(model)s ended on %(date)s, according to its providers.")
            % {"model": model.title, "date": model.deprecation_date},
            code="deprecation_date_past",
        )


def why_unpublishable(model: CatalogModel) -> str:
    """Why a model cannot be published now, in words; empty if it can."""
    try:
        _require_publishable(None, model)
    except Conflict as conflict:
        return conflict.message
    return ""


@dataclass(frozen=True)
class Published:
    """Names of the models that were published, and why others were not."""

    names: list[str]
    refused: dict[str, str]


@action(CatalogModel, permission="catalog.publish_model", state=_require_publishable)
@transaction.atomic
def publish_model(pk: UUID | str, *, by: User) -> CatalogModel:
    """Let tenants find and request a model. Imports never do.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not publish models.
        Conflict: the model is already published, or its deprecation date has passed.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    publish_model.require(by, model)
    return _move(model, CatalogModel.Lifecycle.PUBLISHED, "catalog_model.published", by)


@action(NoneType, permission="catalog.publish_model")
@transaction.atomic
def publish_models(pks: Collection[UUID], *, by: User | None) -> Published:
    """Publish those of these models that can be published, in a bounded number of statements.

    Drafts and retired models become published. What is published already, or past its deprecation date, stays as it is
    and is reported. The audit log gets one entry for each model.

    Args:
        pks: ids of models.
        by: an operator; None: the platform.

    Raises:
        PermissionDenied: `by` may not publish models.
    """
    publish_models.require(by, None)
    published, refused = [], {}
    for model in CatalogModel.objects.select_for_update().filter(pk__in=pks).order_by("pk"):
        if reason := why_unpublishable(model):
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
    )
    return Published([model.name for model in published], refused)


def _require_not_retired(by: User | None, model: CatalogModel) -> None:
    if model.lifecycle == CatalogModel.Lifecycle.RETIRED:
        raise Conflict(_("%(model)s is already retired.") % {"model": model.title}, code="already_retired")


@action(CatalogModel, permission="catalog.publish_model", state=_require_not_retired)
@transaction.atomic
def retire_model(pk: UUID | str, *, by: User) -> CatalogModel:
    """Hide a model from tenants; grants in force stay.

    Raises:
        CatalogModel.DoesNotExist: there is no such model.
        PermissionDenied: `by` may not retire models.
        Conflict: the model is already retired.
    """
    model = CatalogModel.objects.select_for_update().get(pk=pk)
    retire_model.require(by, model)
    return _move(model, CatalogModel.Lifecycle.RETIRED, "catalog_model.retired", by)


def _move(model: CatalogModel, lifecycle: str, verb: str, by: User) -> CatalogModel:
    before, model.lifecycle = model.lifecycle, lifecycle
    model.updated_at = now()
    model.save(update_fields=["lifecycle", "updated_at"])
    audit.record(verb, actor=by, subject=model, changes={"lifecycle": (before, lifecycle)})
    return model
