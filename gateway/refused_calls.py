"""Calls that gateways refused: recording their reports, forgetting old ones, and the sums that pages show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Max, QuerySet, Sum
from django.utils.functional import Promise
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from gateway.contract import NANO
from gateway.contract.refusals import RefusalBatch, RefusedReport
from gateway.models import Gateway, RefusedCalls
from tenants.models import ApiKey, Limit, Project, Tenant

log = structlog.get_logger(__name__)
# A report may wait for hours at a gateway whose console is away; a wrong clock is no reason to keep a future one.
_OLDEST: Final = timedelta(days=2)
_FUTURE: Final = timedelta(minutes=5)
# Rows deleted by one statement.
_AT_ONCE: Final = 10_000
_LOOKED_AT: Final = 500  # newest reports, for samples


def record_refusals(gateway: Gateway, batch: RefusalBatch) -> int:
    """Keep the reports of a batch; return how many are new. Safe to repeat.

    Reports of unknown keys, and of times that cannot be right, are left out and logged. The tenant and the project are
    those of the key.
    """
    moment = now()
    keys = ApiKey.objects.across_tenants().filter(pk__in={report.key_id for report in batch.reports})
    homes = {
        str(pk): (tenant, project) for pk, tenant, project in keys.values_list("pk", "tenant", "project")
    }
    rows = [
        _row(gateway, report, *homes[report.key_id])
        for report in batch.reports
        if report.key_id in homes and moment - _OLDEST <= _at(report.minute) <= moment + _FUTURE
    ]
    known = set(
        RefusedCalls.objects.across_tenants()
        .filter(pk__in=[row.pk for row in rows])
        .values_list("pk", flat=True)
    )
    RefusedCalls.objects.bulk_create(rows, ignore_conflicts=True)
    if batch.dropped or len(rows) < len(batch.reports):
        log.warning(
            "refusals.not_counted",
            gateway=gateway.name,
            dropped=batch.dropped,
            strange=len(batch.reports) - len(rows),
        )
    return len(rows) - len(known)


def _row(gateway: Gateway, report: RefusedReport, tenant_id: UUID, project_id: UUID) -> RefusedCalls:
    limit = report.limit
    return RefusedCalls(
        id=UUID(report.report_id),
        tenant_id=tenant_id,
        project_id=project_id,
        key_id=UUID(report.key_id),
        gateway_name=gateway.name,
        minute=_at(report.minute),
        model=report.model,
        status=report.status,
        code=report.code,
        count=report.count,
        limit_id=UUID(limit.id) if limit else None,
        limit_scope=limit.scope if limit else "",
        limit_scope_id=UUID(limit.scope_id) if limit else None,
        limit_kind=limit.kind if limit else "",
        limit_value=limit.value if limit else None,
        limit_model=(limit.model or "") if limit else "",
        samples=[{"call_id": one.call_id, "at": one.at} for one in report.samples],
    )


def _at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def forget_refusals() -> int:
    """Delete reports that are older than REFUSALS_KEEP_DAYS; return how many. Safe to repeat."""
    before = now() - timedelta(days=settings.REFUSALS_KEEP_DAYS)
    forgotten = 0
    while True:
        old = RefusedCalls.objects.across_tenants().filter(minute__lt=before).order_by("minute")
        ids = list(old.values_list("pk", flat=True)[:_AT_ONCE])
        if not ids:
            return forgotten
        RefusedCalls.objects.across_tenants().filter(pk__in=ids).delete()
        forgotten += len(ids)


@dataclass(frozen=True)
class RefusedGroup:
    """Calls of one key that were refused for the same reason since some moment."""

    calls: int
    last: datetime
    code: str
    status: int
    model: str
    key: ApiKey | None
    project: Project | None
    limit_kind: str
    limit_value: str
    limit_place: str
    # Ids of some of the calls.
    call_ids: list[str]

    @property
    def reason(self) -> str:
        """Why gateways refused them, for people."""
        return reason_in_words(self.code, self.status)


def refused_since(
    rows: QuerySet[RefusedCalls], tenant: Tenant, since: datetime, *, most: int
) -> tuple[list[RefusedGroup], bool]:
    """Why calls of a tenant were refused since then, the most frequent reasons first; and whether there are more.

    Args:
        rows: those that the person may see.
        tenant: whose calls.
        since: the first minute that counts.
        most: groups to return.
    """
    names = ("code", "status", "model", "key_id", "project_id", "limit_id", "limit_kind", "limit_value")
    places = ("limit_scope", "limit_scope_id", "limit_model")
    found = rows.filter(minute__gte=since)
    sums = found.order_by().values(*names, *places).annotate(calls=Sum("count"), last=Max("minute"))
    groups = list(sums.order_by("-calls", "-last", *names)[: most + 1])
    samples = _latest_samples(found, names)
    keys = ApiKey.objects.in_tenant(tenant).in_bulk({group["key_id"] for group in groups})
    projects = Project.objects.in_tenant(tenant).in_bulk({group["project_id"] for group in groups})
    places_by_id = {pk: str(key) for pk, key in keys.items()} | {pk: one.name for pk, one in projects.items()}
    shown = [
        RefusedGroup(
            calls=group["calls"],
            last=group["last"],
            code=group["code"],
            status=group["status"],
            model=group["model"],
            key=keys.get(group["key_id"]),
            project=projects.get(group["project_id"]),
            limit_kind=kind_in_words(group["limit_kind"]),
            limit_value=value_in_words(group["limit_kind"], group["limit_value"], tenant.currency),
            limit_place=_place(group, tenant, places_by_id),
            call_ids=samples.get(tuple(group[name] for name in names), []),
        )
        for group in groups[:most]
    ]
    return shown, len(groups) > most


def _latest_samples(rows: QuerySet[RefusedCalls], names: tuple[str, ...]) -> dict[tuple[Any, ...], list[str]]:
    """Ids of calls by group, from the newest reports."""
    samples: dict[tuple[Any, ...], list[str]] = {}
    for row in rows.order_by("-minute", "-pk")[:_LOOKED_AT]:
        group = tuple(getattr(row, name) for name in names)
        samples.setdefault(group, [one["call_id"] for one in row.samples])
    return samples


_BY_CODE: Final[dict[str, Promise]] = {
    "model_not_found": _("The key may not call this model, or nothing serves it"),
    "wrong_endpoint": _("This model is called at another path"),
    "too_many_wrong_calls": _("Too many wrong calls in a row"),
}
_BY_STATUS: Final[dict[int, Promise]] = {
    400: _("The call is not valid"),
    403: _("The call is not allowed"),
    404: _("Not found"),
    408: _("The call arrived too slowly"),
    413: _("The call is too large"),
    429: _("Too many calls"),
}


def reason_in_words(code: str, status: int) -> str:
    """Why a gateway refused a call, for people; the code says it exactly."""
    words = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if words is None:
        words = _("No target could serve the call") if status >= 500 else _("The call was refused")
    return str(words)


def kind_in_words(kind: str) -> str:
    """The kind of a limit as people read it; a kind that this console does not know, as the gateway named it."""
    return str(Limit.Kind(kind).label) if kind in Limit.Kind.values else kind


def value_in_words(kind: str, value: int | None, currency: str) -> str:
    """The value of a limit as people read it; empty without one."""
    if value is None:
        return ""
    if kind != Limit.Kind.MONEY_PER_MONTH:
        return f"{value:,}"
    return f"{(Decimal(value) / NANO).normalize():,f} {currency}"


def _place(group: dict[str, Any], tenant: Tenant, names: dict[UUID, str]) -> str:
    """In words, what the limit is set on."""
    if not group["limit_scope_id"]:
        return ""
    on = names.get(group["limit_scope_id"]) or (tenant.name if group["limit_scope"] == "tenant" else "")
    return f"{on}, {group['limit_model']}" if group["limit_model"] else on
