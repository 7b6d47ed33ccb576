"""Blocks of gateways on home pages: which one lags, refuses or is silent, and how many calls were refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Max, Q, QuerySet, Sum
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from core.counting import count_of
from core.home import Content, Need, Reader, Site, home_block
from core.page_parts import Badge
from core.reading import note_tenant
from gateway.acknowledged import lag_in_words, lagging, refusing
from gateway.models import Gateway, RefusedCalls
from gateway.querysets import ALIVE_WITHIN
from gateway.refused import standing_refusal
from gateway.refused_calls import kind_in_words, reason_in_words, value_in_words
from tenants.models import ApiKey
from tenants.views.mixins import not_shown

MOST_ROWS: Final = 5
# Reports of refused calls that are summed; beyond, the number is a lower bound.
MOST_REPORTS: Final = 20_000
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
# Newest reports of a tenant whose calls are summed; if its last day has more, the sums begin later, and say when.
LOOKED_AT: Final = 20_000


@dataclass(frozen=True)
class GatewayLine:
    """A gateway that needs a look."""

    name: str
    badge: Badge
    lag: str
    last_seen_at: datetime | None
    pending: int
    # In words, what keeps it from the newest configuration.
    trouble: str
    url: str


@dataclass(frozen=True)
class Gateways:
    """The gateways in service in numbers."""

    in_service: int | str
    behind: int | str
    refusing: int | str
    # In service, and not heard of for minutes: their calls are not in the ledger yet.
    silent: int | str
    # Calls on the disks of gateways.
    pending: int
    rows: list[GatewayLine]


@home_block(
    Site.STAFF, order=30, permissions=["gateway.view_gateway"], template="gateway/home/_gateways.html"
)
def gateways(reader: Reader) -> Content:
    """Gateways that refuse a configuration, lag, or are silent; and their usage that is not in the ledger."""
    in_service = Gateway.objects.visible_to(reader.user).in_service()
    silent = in_service.filter(Q(last_seen_at=None) | Q(last_seen_at__lt=now() - ALIVE_WITHIN))
    rows = list(_lines(silent))
    facts = Gateways(
        in_service=count_of(in_service),
        behind=count_of(lagging()),
        refusing=count_of(refusing()),
        silent=count_of(silent),
        pending=in_service.aggregate(pending=Sum("spool_pending"))["pending"] or 0,
        rows=rows,
    )
    return Content(facts, list(_needs(rows)))


def _lines(silent: QuerySet[Gateway]) -> Iterator[GatewayLine]:
    """The gateways that need a look, each once, by its gravest trouble."""
    troubles = [
        (Badge("bad", _("Refuses")), refusing()),
        (Badge("bad", _("Behind")), lagging()),
        (Badge("warn", _("Silent")), silent.order_by("last_seen_at", "name")),
    ]
    seen: set[Any] = set()
    for badge, found in troubles:
        rows: Any = found
        for gateway in rows.with_lag()[:MOST_ROWS]:
            if gateway.pk not in seen and len(seen) < MOST_ROWS:
                seen.add(gateway.pk)
                yield GatewayLine(
                    name=gateway.name,
                    badge=badge,
                    lag=lag_in_words(gateway),
                    last_seen_at=gateway.last_seen_at,
                    pending=gateway.spool_pending,
                    trouble=_trouble_of(gateway),
                    url=reverse("admin:gateway_gateway_change", args=[gateway.pk]),
                )


def _trouble_of(gateway: Any) -> str:
    """The reason of a refusal, else the lag."""
    refused = gateway.report.get("refused") or {}
    return str(refused.get("reason") or _("behind by: %(lag)s") % {"lag": lag_in_words(gateway)})


def _needs(rows: list[GatewayLine]) -> Iterator[Need]:
    if (refusal := standing_refusal()) is not None:
        yield Need(
            text=_("A part of the configuration is not published"),
            note=refusal.reason,
            url=reverse("admin:gateway_gateway_changelist"),
            action=_("Look"),
            icon_name="alert-triangle",
            is_late=True,
        )
    for row in rows:
        if row.badge.kind == "bad":
            text = _("Gateway %(name)s does not serve the newest configuration")
            yield Need(
                text=text % {"name": row.name},
                note=row.trouble,
                url=row.url,
                action=_("Look"),
                icon_name="alert-triangle",
                is_late=True,
            )


@dataclass(frozen=True)
class RefusedInAnHour:
    """Calls that gateways refused in the last hour and in the hour before."""

    calls: int
    before: int
    # There are more calls than were read.
    is_more: bool
    is_more_before: bool
    by_tenant: list[tuple[str, int]]


@home_block(
    Site.STAFF,
    order=35,
    permissions=["gateway.view_refusedcalls"],
    template="gateway/home/_refused.html",
    is_aside=True,
)
def refused_in_an_hour(reader: Reader) -> Content:
    """Refused calls of all tenants, with the tenants that have the most; sums at most MOST_REPORTS reports an hour."""
    rows = RefusedCalls.objects.visible_to(reader.user)
    moment = now()
    last = rows.filter(minute__gte=moment - _HOUR)
    earlier = rows.filter(minute__gte=moment - 2 * _HOUR, minute__lt=moment - _HOUR)
    summed, is_more = _summed(last)
    before, is_more_before = _summed(earlier)
    calls: dict[tuple[UUID, str], int] = {}
    for tenant, name, count in summed:
        calls[tenant, name] = calls.get((tenant, name), 0) + count
    most = sorted(calls.items(), key=lambda each: (-each[1], each[0][1]))[:MOST_ROWS]
    for (tenant, _name), _count in most:
        note_tenant(tenant)
    facts = RefusedInAnHour(
        calls=sum(calls.values()),
        before=sum(count for _tenant, _name, count in before),
        is_more=is_more,
        is_more_before=is_more_before,
        by_tenant=[(name, count) for (_tenant, name), count in most],
    )
    return Content(facts)


def _summed(rows: QuerySet[RefusedCalls]) -> tuple[list[tuple[UUID, str, int]], bool]:
    """Tenant and calls of the newest reports, and whether there are more reports than were read."""
    found = list(
        rows.order_by("-minute").values_list("tenant_id", "tenant__name", "count")[: MOST_REPORTS + 1]
    )
    return found[:MOST_REPORTS], len(found) > MOST_REPORTS


@dataclass(frozen=True)
class RefusedLine:
    """Calls of one key that were refused alike."""

    reason: str
    key: str
    model: str
    calls: int
    last: datetime


@dataclass(frozen=True)
class LastRefused:
    """The refused calls of a tenant, each sum exact from `since` on; None: of the last 24 hours."""

    since: datetime | None
    rows: list[RefusedLine]


@home_block(
    Site.TENANT, order=45, permissions=["tenants.view_cost"], template="gateway/home/_last_refused.html"
)
def last_refused(reader: Reader) -> Content:
    """Why calls were refused last, with the number of calls in a day; no block without any.

    Nor for staff who may not see refused calls: an empty block would suggest that nothing was refused.
    """
    if not_shown(reader.user, reader.tenant, RefusedCalls):
        return Content()
    found = RefusedCalls.objects.visible_to(reader.user).in_tenant(reader.tenant)
    found = found.filter(minute__gte=now() - _DAY)
    since = found.order_by("-minute").values_list("minute", flat=True)[LOOKED_AT : LOOKED_AT + 1].first()
    if since is not None:
        found = found.filter(minute__gte=since)
    names = ("key_id", "code", "status", "model", "limit_id", "limit_kind", "limit_value")
    sums = found.order_by().values(*names).annotate(calls=Sum("count"), last=Max("minute"))
    groups = list(sums.order_by("-last", "-calls", *names)[:MOST_ROWS])
    keys = ApiKey.objects.in_tenant(reader.tenant).in_bulk([group["key_id"] for group in groups])
    rows = [
        RefusedLine(
            reason=_reason_of(group, reader.tenant.currency),
            key=keys[group["key_id"]].name if group["key_id"] in keys else "—",
            model=group["model"],
            calls=group["calls"],
            last=group["last"],
        )
        for group in groups
    ]
    return Content(LastRefused(since, rows) if rows else None)


def _reason_of(group: dict[str, Any], currency: str) -> str:
    if not group["limit_kind"]:
        return reason_in_words(group["code"], group["status"])
    value = value_in_words(group["limit_kind"], group["limit_value"], currency)
    return _("%(limit)s: %(value)s") % {"limit": kind_in_words(group["limit_kind"]), "value": value}
