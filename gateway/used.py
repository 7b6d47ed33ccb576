"""How much of a daily or monthly limit the ledger has seen used: where a starting gateway begins to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from uuid import UUID

from django.db.models import F, Sum
from django.utils.timezone import now

from billing.costs import today_of
from billing.kinds import TOKEN_KINDS
from billing.models import RollupDay
from gateway.contract import NANO
from tenants.models import Limit

WINDOWED = frozenset({Limit.Kind.TOKENS_PER_DAY, Limit.Kind.TOKENS_PER_MONTH, Limit.Kind.MONEY_PER_MONTH})
OLDEST_LOCAL_MONTH = timedelta(days=32)  # reaches back to the first of the month in every time zone


@dataclass(frozen=True)
class Seen:
    """Tokens, or nano-units of money, used in the current window up to the second `as_of`."""

    amount: int
    as_of: int


@dataclass(frozen=True)
class _Row:
    project: UUID
    key: UUID
    model: str
    day: date  # in the tenant's time zone, as the limit's window is
    tokens: int
    amount: Decimal


Used = dict[UUID, Seen]  # by limit


def used_of(limits: Sequence[Limit]) -> Used:
    """What the ledger says of the limits that have a window of a day or a month, in one query.

    Calls that are still on a gateway's disk are not in it; that gateway itself counted them.
    """
    windowed = [limit for limit in limits if limit.kind in WINDOWED]
    moment = now()
    rows = _rows({limit.tenant_id for limit in windowed}, moment)
    used = {}
    for limit in windowed:
        today = today_of(limit.tenant, moment)
        since = today if limit.kind == Limit.Kind.TOKENS_PER_DAY else today.replace(day=1)
        mine = [row for row in rows.get(limit.tenant_id, ()) if row.day >= since and _binds(limit, row)]
        used[limit.pk] = Seen(_measure(limit, mine), int(moment.timestamp()))
    return used


def _rows(tenants: set[UUID], moment: datetime) -> dict[UUID, list[_Row]]:
    rows: dict[UUID, list[_Row]] = {}
    found = (
        RollupDay.objects.across_tenants()
        .filter(tenant__in=tenants, day__gt=(moment - OLDEST_LOCAL_MONTH).date())
        .values_list("tenant_id", "project_id", "key_id", "model__name", "day")
        .annotate(
            tokens=Sum(sum((F(kind) for kind in TOKEN_KINDS), start=F("input") * 0)), money=Sum("amount")
        )
    )
    for tenant, project, key, model, day, tokens, money in found:
        rows.setdefault(tenant, []).append(_Row(project, key, model, day, int(tokens), money or Decimal()))
    return rows


def _binds(limit: Limit, row: _Row) -> bool:
    if limit.model and limit.model != row.model:
        return False
    if limit.key_id:
        return limit.key_id == row.key
    return not limit.project_id or limit.project_id == row.project


def _measure(limit: Limit, rows: Sequence[_Row]) -> int:
    if limit.kind == Limit.Kind.MONEY_PER_MONTH:
        money = sum((row.amount for row in rows), start=Decimal())
        return int((money * NANO).to_integral_value(ROUND_CEILING))
    return sum(row.tokens for row in rows)
