"""Undoing what is set for all gateways or providers, and limits."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from django.utils.translation import gettext as _

from accounts.declared import Action
from accounts.models import User
from audit.models import AuditEntry
from core.joined import listed, named
from deployments.list_settings import ListSetting
from gateway.undo.steps import Step, changed_since
from tenants.actions import set_limits
from tenants.models import ApiKey, Limit, Project, Tenant


def list_set(setting: ListSetting, put: Action[None, ..., list[str]]) -> Callable[[AuditEntry], Step]:
    """How to undo that a list was set: `put`, its action, sets what was there before."""

    def step(entry: AuditEntry) -> Step:
        before, after = entry.changes[setting.name]

        def undo(by: User | None) -> None:
            if ", ".join(setting.current(is_locked=True)) != after:
                raise changed_since(setting.name)
            put(before.split(", ") if before else [], by=by)

        words = _("Set %(name)s to: %(values)s") % {"name": setting.name, "values": before or _("nothing")}
        return Step(entry, words, undo)

    return step


def limits(entry: AuditEntry) -> Step:
    """The inverse of setting them."""
    model = str(entry.details.get("model", ""))
    shown = listed(
        named(Limit.Kind(kind).label, before or _("none")) for kind, (before, _after) in entry.changes.items()
    )
    words = _("Set limits of %(on)s to %(limits)s") % {"on": entry.subject_label, "limits": shown}

    def undo(by: User | None) -> None:
        assert entry.tenant_id is not None
        tenant = Tenant.objects.get(pk=entry.tenant_id)
        project, key = _place_of(entry, tenant)
        # As the action does, so that nobody sets them between this check and the change.
        rows = Limit.objects.in_tenant(tenant).select_for_update().order_by("kind")
        found = rows.filter(project=project, key=key, model=model)
        now = {limit.kind: f"{limit.value.normalize():f}" for limit in found}
        if any(now.get(kind) != after for kind, (_before, after) in entry.changes.items()):
            raise changed_since(entry.subject_label)
        values = {
            kind: Decimal(before) if before else None for kind, (before, _after) in entry.changes.items()
        }
        set_limits(tenant, values, by=by, project=project, key=key, model=model)

    return Step(entry, words, undo)


def _place_of(entry: AuditEntry, tenant: Tenant) -> tuple[Project | None, ApiKey | None]:
    """The project or the key whose limits were set; neither for the tenant's own. Raises Conflict if it is gone."""
    try:
        if entry.subject_type == "tenants.project":
            return Project.objects.in_tenant(tenant).get(pk=entry.subject_id), None
        if entry.subject_type == "tenants.apikey":
            return None, ApiKey.objects.in_tenant(tenant).get(pk=entry.subject_id)
    except (Project.DoesNotExist, ApiKey.DoesNotExist) as error:
        raise changed_since(entry.subject_label) from error
    return None, None
