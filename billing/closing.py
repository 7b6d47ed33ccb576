"""A tenant's final export: requested when closing begins, and compared with the ledger when it ends."""

from __future__ import annotations

import hashlib
from datetime import date
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, Min
from django.utils.translation import gettext as _

from accounts.declared import action
from accounts.models import User
from billing.cost_reports import cost_report_of, prepare_rows
from billing.costs import today_of
from billing.models import RollupDay
from core.errors import Conflict
from exports.actions import queue_export
from exports.csv_formats import mark_of
from exports.models import Export
from tenants.actions.closing import open_closing, require_suspended
from tenants.actions.suspending import suspend_locked
from tenants.models import Tenant
from tenants.status import in_active_tenant, lock_tenant


@action(Tenant, permission="tenants.propose_closing", on=lambda tenant: tenant, state=in_active_tenant)
@transaction.atomic
def begin_closing(pk: UUID | str, *, by: User, reason: str) -> Export:
    """Suspend a tenant so that its ledger stops changing, and queue its final export.

    Raises:
        Tenant.DoesNotExist: `by` cannot see such a tenant. PermissionDenied: `by` may not propose its closing.
        Conflict: the tenant is already suspended or closed. ValidationError: no reason.
    """
    tenant = lock_tenant(pk, by=by)
    begin_closing.require(by, tenant)
    suspend_locked(tenant, by=by, reason=reason)
    return _queue(tenant, by=by)


def _require_buildable(by: User | None, tenant: Tenant) -> None:
    require_suspended(by, tenant)
    if open_closing(tenant) is not None:
        raise Conflict(
            _("The closing is already proposed. Withdraw the proposal first."), code="closing_proposed"
        )
    latest = latest_final_export(tenant)
    if latest is not None and latest.state in (Export.State.QUEUED, Export.State.RUNNING):
        raise Conflict(_("The final export is being built. Wait until it is ready."), code="not_ready")


@action(Tenant, permission="tenants.propose_closing", on=lambda tenant: tenant, state=_require_buildable)
@transaction.atomic
def build_final_export(pk: UUID | str, *, by: User) -> Export:
    """Queue the final export of a suspended tenant. Call it again if usage arrived after the last export.

    The export covers the whole ledger, however long, and its file is kept.

    Raises:
        Tenant.DoesNotExist: `by` cannot see such a tenant. PermissionDenied: `by` may not propose its closing.
        Conflict: the tenant is not suspended, its closing is already proposed, or an export is being built.
    """
    tenant = lock_tenant(pk, by=by)
    build_final_export.require(by, tenant)
    return _queue(tenant, by=by)


def latest_final_export(tenant: Tenant) -> Export | None:
    """The newest final export since the tenant was suspended."""
    if tenant.suspended_at is None:
        return None
    finals = Export.objects.in_tenant(tenant).filter(is_final=True, created_at__gte=tenant.suspended_at)
    return finals.with_names().order_by("-pk").first()


def verify_final_export(tenant: Tenant, export_id: UUID) -> str:
    """The SHA-256 of a final export that still matches the ledger: a new build would be the same, byte for byte.

    Raises Conflict if the export does not match. The message says what to do.
    """
    export = Export.objects.in_tenant(tenant).filter(pk=export_id, is_final=True, project=None).first()
    if export is None or tenant.suspended_at is None or export.created_at < tenant.suspended_at:
        raise Conflict(
            _("This is not a final export since %(tenant)s was suspended. Build one.")
            % {"tenant": tenant.name},
            code="export_missing",
        )
    if export.state != Export.State.DONE or not export.sha256:
        raise Conflict(_("The final export is not ready. Wait until it is built."), code="not_ready")
    first, last = _ledger_days(tenant)
    covers = first is None or last is None or (export.start_day <= first and export.end_day >= last)
    if not covers or _ledger_sha256(tenant, export) != export.sha256:
        raise Conflict(
            _("Usage has arrived since the final export was built. Build it again."), code="export_outdated"
        )
    return str(export.sha256)


def _queue(tenant: Tenant, *, by: User) -> Export:
    first, last = _ledger_days(tenant)
    today = today_of(tenant)
    start_day, end_day = min(first or today, today), max(last or today, today)
    export = cost_report_of(tenant, start_day, end_day, is_final=True)
    return queue_export(export, by=by, is_final=True)


def _ledger_days(tenant: Tenant) -> tuple[date | None, date | None]:
    days = RollupDay.objects.in_tenant(tenant).aggregate(first=Min("day"), last=Max("day"))
    return days["first"], days["last"]


def _ledger_sha256(tenant: Tenant, export: Export) -> str:
    """The SHA-256 that the export's file would have if it were built now."""
    digest = hashlib.sha256(mark_of(export.csv_format))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.cost_report")
        prepared = prepare_rows(cursor, export)
        with cursor.copy(prepared.statement) as copy:
            for line in copy:
                digest.update(line)
        cursor.execute("DROP TABLE pg_temp.cost_report")
    return digest.hexdigest()
