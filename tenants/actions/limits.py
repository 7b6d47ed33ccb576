"""Numbers that gateways enforce."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from tenants import audit
from tenants.models import ApiKey, Limit, Project, Tenant, User
from tenants.permissions import require
from tenants.revision import raise_revision
from tenants.standing import require_active


@transaction.atomic
def set_limits(
    tenant: Tenant,
    values: dict[str, Decimal],
    *,
    by: User | None,
    project: Project | None = None,
    key: ApiKey | None = None,
    model: str = "",
) -> list[Limit]:
    """Set limits by kind on a tenant, a project or a key, for one model or (empty) all. Safe to repeat.

    Every limit that applies to a call is checked, so a project's limit never widens its tenant's.

    Raises:
        PermissionDenied: `by` may not change limits here.
        Conflict: the tenant is not active.
        ValueError: the project or key is another tenant's.
    """
    if any(owned is not None and owned.tenant_id != tenant.pk for owned in (project, key)):
        raise ValueError(f"These limits are for {tenant}; the project or key is another tenant's.")
    if by is not None:
        require(by, "tenants.manage_limits", project or (key.project if key else tenant))
    require_active(tenant)
    limits, changes = [], {}
    for kind, value in sorted(values.items()):
        limit, is_new = (
            Limit.objects.in_tenant(tenant)
            .select_for_update()
            .get_or_create(
                tenant=tenant, project=project, key=key, model=model, kind=kind, defaults={"value": value}
            )
        )
        changes[kind] = (None if is_new else _number(limit.value), _number(value))
        limit.value = value
        limit.save(update_fields=["value"])
        limits.append(limit)
    audit.record(
        "limits.set", actor=by, subject=key or project or tenant, tenant=tenant, model=model, changes=changes
    )
    raise_revision()
    return limits


def _number(value: Decimal) -> str:
    """A limit's number as people write it: 1000 and 1000.00000000 are the same limit."""
    return f"{Decimal(value).normalize():f}"
