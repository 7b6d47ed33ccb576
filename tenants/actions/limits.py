"""Limits that gateways enforce."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from tenants.models import ApiKey, Limit, Project, Tenant
from tenants.revision import raise_revision
from tenants.status import in_active_tenant, lock_tenant_shared


@action(
    Limit,
    permission="tenants.manage_limits",
    on=lambda limit: limit.project or (limit.key.project if limit.key else limit.tenant),
    state=in_active_tenant,
)
@transaction.atomic
def set_limits(
    tenant: Tenant,
    values: Mapping[str, Decimal | None],
    *,
    by: User | None,
    project: Project | None = None,
    key: ApiKey | None = None,
    model: str = "",
) -> list[Limit]:
    """Set limits by kind on a tenant, a project or a key, for one model or (empty) all; None removes a limit.

    Omitted kinds stay. Safe to repeat: a limit that does not change is not written. Returns the limits that `values`
    sets. Gateways check every limit that applies to a call, so a project's limit never widens its tenant's.

    Raises:
        PermissionDenied: `by` may not change limits here.
        Conflict: the tenant is not active.
        ValidationError: by kind; an unknown kind, or a number that no limit can have.
        ValueError: the project or key belongs to another tenant.
    """
    if any(owned is not None and owned.tenant_id != tenant.pk for owned in (project, key)):
        raise ValueError(f"These limits are for {tenant}, but the project or key belongs to another tenant.")
    tenant = lock_tenant_shared(tenant)
    set_limits.require(by, Limit(tenant=tenant, project=project, key=key))
    limits, is_changed = write_limits(tenant, values, actor=by, project=project, key=key, model=model)
    if is_changed:
        raise_revision(limits=[(key or project or tenant).pk])
    return limits


def write_limits(
    tenant: Tenant,
    values: Mapping[str, Decimal | None],
    *,
    actor: User | None,
    project: Project | None = None,
    key: ApiKey | None = None,
    model: str = "",
) -> tuple[list[Limit], bool]:
    """Set limits as `set_limits` does, in a tenant that the caller has locked; also returns whether one changed.

    The caller raises the revision, after the limits of all places. Raises ValidationError by kind.

    Args:
        tenant: locked in shared mode.
        values: by kind; None removes a limit.
        actor: who sets them; None: the platform.
        project: the place, if it is not the tenant.
        key: the place, if it is neither.
        model: public name; empty: all.
    """
    wanted = clean_limits(values)
    limits: list[Limit] = []
    changes: dict[str, tuple[str | None, str | None]] = {}
    here = {"tenant": tenant, "project": project, "key": key, "model": model}
    rows = Limit.objects.in_tenant(tenant).select_for_update().order_by("kind")
    # Locked in one order, so that concurrent changes of the same limits take turns.
    for limit in rows.filter(**here):
        if limit.kind in wanted or limit.kind not in values:
            continue
        changes[limit.kind] = (_number(limit.value), None)
        limit.delete()
    for kind, value in sorted(wanted.items()):
        limit, is_new = rows.get_or_create(**here, kind=kind, defaults={"value": value})
        if is_new or limit.value != value:
            changes[kind] = (None if is_new else _number(limit.value), _number(value))
            limit.value = value
            limit.save(update_fields=["value"])
        limits.append(limit)
    if changes:
        audit.record(
            "limits.set",
            actor=actor,
            subject=key or project or tenant,
            tenant=tenant,
            model=model,
            changes=changes,
        )
    return limits, bool(changes)


def clean_limits(limits: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return the wanted limits as decimals by kind, without empty ones. Raises ValidationError by kind."""
    cleaned, problems = {}, {}
    for kind, value in limits.items():
        if value in (None, ""):
            continue
        if kind not in Limit.Kind.values:
            kinds = ", ".join(Limit.Kind.values)
            problems["limits"] = _("%(kind)s is not a kind of limit. Use: %(kinds)s.") % {
                "kind": kind,
                "kinds": kinds,
            }
            continue
        try:
            number = Decimal(str(value)) if not isinstance(value, bool | float) else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        is_money = kind == Limit.Kind.MONEY_PER_MONTH
        if not number.is_finite() or number <= 0:
            problems[kind] = _("Enter a number above 0.")
        elif number >= Decimal(10) ** 12:
            problems[kind] = _("Enter a number below 1,000,000,000,000.")
        elif not is_money and number != number.to_integral_value():
            problems[kind] = _("Enter a whole number.")
        elif number != number.quantize(Decimal("0.00000001")):
            problems[kind] = _("Enter at most 8 decimals.")
        else:
            cleaned[kind] = number.normalize()
    if problems:
        raise ValidationError(problems)
    return cleaned


def _number(value: Decimal) -> str:
    """Return a limit's number as people write it: 1000 and 1000.00000000 are the same limit."""
    return f"{Decimal(value).normalize():f}"
