"""Making, editing and retiring versions of models."""

from __future__ import annotations

from collections.abc import Mapping
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
from catalog.fact_fields import TenantList
from catalog.model_facts import MOST_TENANTS, require_audience
from catalog.models import CatalogModel, ModelVersion
from catalog.serving import servable_modes
from catalog.version_uses import use_of
from core.editing import assign
from core.errors import Conflict
from core.joined import listed
from core.names import read_name

MANAGE: Final = "catalog.manage_version"
MOST_WORDS: Final = 100


@action(NoneType, permission=MANAGE)
@transaction.atomic
def add_version(
    *,
    model: str,
    org: str,
    version: str,
    values: Mapping[str, Any],
    base: UUID | str | None = None,
    by: User | None,
) -> ModelVersion:
    """Add a version of a model, which can be deployed from now on. Nothing runs by that.

    Args:
        model: public name of a model.
        org: who made these weights, the first part of the version's name.
        version: the last part of its name.
        values: the other fields (`ModelVersion.EDITABLE`).
        base: id of the version whose weights it changes, for a LoRA adapter.
        by: an operator; None: the platform (set-up).

    Raises:
        PermissionDenied: `by` may not manage versions.
        ValidationError: by field, what is wrong.
        Conflict: the model has such a version.
    """
    add_version.require(by, None)
    of = CatalogModel.objects.filter(name=model).first()
    if of is None:
        raise ValidationError({"model": [_("The catalog has no model with this name.")]})
    row = ModelVersion(model=of, org=read_name(org), version=read_name(version))
    row.base = _base(base, of)
    _set(row, values)
    if of.versions.filter(version=row.version).exists():
        raise Conflict(
            _("There is a version %(name)s already. Choose another name.") % {"name": row.full_name},
            code="name_taken",
        )
    row.save(force_insert=True)
    audit.record(
        "model_version.added",
        actor=by,
        subject=row,
        name=row.full_name,
        base=row.base.full_name if row.base else "",
        changes=_recorded(audit.difference(None, _state(row), ModelVersion.EDITABLE)),
    )
    return row


def _require_current(_by: User | None, version: ModelVersion) -> None:
    if version.is_retired:
        raise Conflict(_("%(version)s is retired.") % {"version": version.full_name}, code="already_retired")


@action(ModelVersion, permission=MANAGE, state=_require_current)
@transaction.atomic
def change_version(pk: UUID | str, *, values: Mapping[str, Any], by: User | None) -> ModelVersion:
    """Change fields of a version; those that are not named keep their values. Safe to repeat.

    What a deployment runs stays once there are deployments of it, gone ones included: another version is made instead.

    Args:
        pk: id of the version.
        values: fields by name (`ModelVersion.EDITABLE`).
        by: an operator; None: the platform.

    Raises:
        ModelVersion.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not manage versions.
        ValidationError: by field, what is wrong.
        Conflict: it is retired; it has been deployed, and something that it runs would change (`version_deployed`); or
            a deployment serves tenants that could no longer use it (`version_serves_others`).
    """
    row = _lock(pk)
    change_version.require(by, row)
    before = _state(row)
    _set(row, values)
    changes = audit.difference(before, _state(row), ModelVersion.EDITABLE)
    if not changes:
        return row
    _require_deployments_allow(row, changes)
    _require_adapters_allow(row)
    row.save(update_fields=list(ModelVersion.EDITABLE))
    audit.record(
        "model_version.changed", actor=by, subject=row, name=row.full_name, changes=_recorded(changes)
    )
    return row


@action(ModelVersion, permission=MANAGE, state=_require_current)
@transaction.atomic
def retire_version(pk: UUID | str, *, by: User) -> ModelVersion:
    """Offer a version to nobody any more, and deploy it no more. Its deployments go on.

    Raises:
        ModelVersion.DoesNotExist: there is no such version.
        PermissionDenied: `by` may not manage versions.
        Conflict: it is retired already.
    """
    row = _lock(pk)
    retire_version.require(by, row)
    row.retired_at = now()
    row.save(update_fields=["retired_at"])
    audit.record("model_version.retired", actor=by, subject=row, name=row.full_name)
    return row


def _lock(pk: UUID | str) -> ModelVersion:
    return (
        ModelVersion.objects.select_related("model", "base__model").select_for_update(of=("self",)).get(pk=pk)
    )


def _state(version: ModelVersion) -> dict[str, Any]:
    return {name: getattr(version, name) for name in ModelVersion.EDITABLE}


def _recorded(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes as the audit log has them: no field there is called `digest`, as those of secrets are."""
    return {"sha256" if name == "digest" else name: pair for name, pair in changes.items()}


def _base(pk: UUID | str | None, model: CatalogModel) -> ModelVersion | None:
    """The base of a new adapter, locked so that it stays one. Raises ValidationError if it cannot be one."""
    if not pk:
        return None
    rows = ModelVersion.objects.select_related("model").select_for_update(of=("self",))
    base = rows.filter(pk=pk).first()
    wrong = ""
    if base is None:
        wrong = _("There is no such version.")
    elif base.is_retired:
        wrong = _("%(base)s is retired.") % {"base": base.full_name}
    elif base.base_id is not None:
        wrong = _("%(base)s is an adapter itself. Name the version that it changes.") % {
            "base": base.full_name
        }
    elif base.model.mode != model.mode:
        wrong = _("%(base)s is a version of another kind of model.") % {"base": base.full_name}
    if wrong:
        raise ValidationError({"base": [wrong]})
    return base


def _set(version: ModelVersion, values: Mapping[str, Any]) -> None:
    """Set and check fields in memory. Raises ValidationError, by field."""
    wanted = dict(values)
    if "upstream_name" in wanted:
        wanted["upstream_name"] = read_name(wanted["upstream_name"])
    if "only_for" in wanted:
        try:
            wanted["only_for"] = sorted(TenantList(most=MOST_TENANTS, longest=60).clean(wanted["only_for"]))
        except ValidationError as error:
            raise ValidationError({"only_for": error.messages}) from error
    assign(version, wanted)
    if version.visibility == ModelVersion.Visibility.ALL:
        version.only_for = []
    require_audience(version.visibility, version.only_for)
    version.full_clean(validate_unique=False, validate_constraints=False)
    _require_command(version.command)
    if unknown := sorted(set(version.endpoints) - servable_modes()):
        raise ValidationError(
            {"endpoints": [_("Gateways have no endpoint for %(mode)s.") % {"mode": unknown[0]}]}
        )
    _require_base_allows(version)


def _require_command(command: list[str]) -> None:
    if len(command) > MOST_WORDS:
        raise ValidationError({"command": [_("Write at most %(most)d words.") % {"most": MOST_WORDS}]})
    if any(not word.isprintable() for word in command):
        raise ValidationError({"command": [_("A word has a character that cannot be seen.")]})


def _is_within(version: ModelVersion, base: ModelVersion) -> bool:
    """Whether every tenant that may use `version` may use `base`."""
    if base.visibility == ModelVersion.Visibility.ALL:
        return True
    return version.visibility == ModelVersion.Visibility.TENANTS and {*version.only_for} <= {*base.only_for}


def _require_base_allows(version: ModelVersion) -> None:
    if version.base is not None and not _is_within(version, version.base):
        raise ValidationError(
            {
                "only_for": [
                    _("Choose tenants that may use its base %(base)s: %(tenants)s.")
                    % {"base": version.base.full_name, "tenants": listed(version.base.only_for)}
                ]
            }
        )


def _require_adapters_allow(version: ModelVersion) -> None:
    """Raise Conflict if an adapter is for tenants that could no longer use its base."""
    adapters = version.adapters.current().select_related("model").order_by("pk")
    if left := [one.full_name for one in adapters if not _is_within(one, version)]:
        raise Conflict(
            _("These adapters are for more tenants: %(adapters)s. Change them first.")
            % {"adapters": listed(left)},
            code="adapters_serve_others",
        )


def _require_deployments_allow(version: ModelVersion, changes: Mapping[str, Any]) -> None:
    """Raise Conflict if deployments speak against the changes, which are set in memory."""
    use = use_of(version.pk)
    fields = {field.name: field.verbose_name for field in ModelVersion._meta.fields}
    fixed = [str(fields[name]) for name in ModelVersion.RUNS if name in changes]
    if fixed and use.is_deployed:
        raise Conflict(
            _("This version has been deployed, so this stays as it is: %(fields)s. Make another version.")
            % {"fields": listed(fixed)},
            code="version_deployed",
        )
    if version.visibility == ModelVersion.Visibility.TENANTS:
        others = sorted(name for name, tenant in use.living.items() if tenant not in version.only_for)
        if others:
            raise Conflict(
                _(
                    "These deployments serve other tenants: %(deployments)s. Give each to one chosen tenant first."
                )
                % {"deployments": listed(others)},
                code="version_serves_others",
            )
