"""Limits, and how much of a day or month the ledger has recorded as used: a starting gateway counts from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, TypeAlias, get_args
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from billing.costs import today_of
from gateway.contract import NANO, LimitKind
from gateway.contract.stream import LimitSetting, LimitsRecord
from tenants.models import Limit, Tenant

WINDOWED: Final = (Limit.Kind.TOKENS_PER_DAY, Limit.Kind.TOKENS_PER_MONTH, Limit.Kind.MONEY_PER_MONTH)
AT_ONCE: Final = 2000  # rows
# Gateways keep and count numbers in 64 bits. A larger limit is cut, which never lets more pass.
MOST: Final = 2**63 - 1
# Told of the kind and id of a thing whose limits cannot be read, and why.
Unread: TypeAlias = Callable[[str, str, Exception], None]
_KINDS: Final = frozenset(get_args(LimitKind))
_EVERY_SCOPE: Final = (
    "l.key_id IS NULL OR EXISTS (SELECT FROM tenants_apikey k WHERE k.id = l.key_id AND k.state = 'active')"
)
# Each by its own index.
_SOME_SCOPES: Final = (
    "l.key_id = ANY (%(scopes)s) OR l.project_id = ANY (%(scopes)s) "
    "OR l.tenant_id = ANY (%(scopes)s) AND l.project_id IS NULL AND l.key_id IS NULL"
)
_GIVEN: Final = (
    "(SELECT *, NULL::numeric AS value, true AS is_hard FROM unnest(%(ids)s::uuid[], %(tenants)s::uuid[], "
    "%(projects)s::uuid[], %(keys)s::uuid[], %(kinds)s::text[], %(models)s::text[]) "
    "AS g (id, tenant_id, project_id, key_id, kind, model))"
)
# Each array is hashed; && of arrays would scan all of them for each row.
_SPENT_THERE: Final = (
    "(r.key_id = ANY (%(scopes)s::uuid[]) OR r.project_id = ANY (%(scopes)s::uuid[]) "
    "OR r.tenant_id = ANY (%(scopes)s::uuid[]))"
)

# A limit is on a key, a project or a tenant (`scope`), for one model or all (''). The rollup is summed once for each
# such pair; then every limit finds its sum by an equality, however many limits and rows there are. LATERAL: an index
# finds a tenant's month, which is summed by itself; otherwise the planner would read and sort all usage ever recorded.
_STATEMENT: Final = f"""
WITH place AS (
    SELECT * FROM unnest(%(zones)s::text[], %(days)s::date[]) AS p (timezone, today)
), chosen AS MATERIALIZED (
    SELECT l.id, coalesce(l.key_id, l.project_id, l.tenant_id) AS scope, l.tenant_id, l.project_id, l.key_id,
           l.kind, l.model, l.value, l.is_hard, t.timezone, l.kind = ANY (%(windowed)s) AS is_windowed
      FROM {{limits}} l JOIN tenants_tenant t ON t.id = l.tenant_id
     WHERE {{chosen}}
), since AS MATERIALIZED (
    SELECT t.id AS tenant_id, p.today, date_trunc('month', p.today)::date AS month
      FROM tenants_tenant t JOIN place p ON p.timezone = t.timezone
     WHERE t.id IN (SELECT tenant_id FROM chosen WHERE is_windowed)
), sums AS (
    SELECT coalesce(r.key_id, r.project_id, s.tenant_id) AS scope, r.model_id, r.day_tokens, r.month_tokens, r.money
      FROM since s CROSS JOIN LATERAL (
        SELECT r.project_id, r.key_id, r.model_id,
               sum(r.tokens) FILTER (WHERE r.day >= s.today) AS day_tokens,
               sum(r.tokens) AS month_tokens,
               sum(r.amount) AS money
          FROM rollup_day r
         WHERE r.tenant_id = s.tenant_id AND r.day >= s.month AND {{spent}}
         GROUP BY GROUPING SETS ((), (model_id), (project_id), (project_id, model_id), (key_id), (key_id, model_id))
      ) r
)
SELECT l.scope::text,
       CASE WHEN l.key_id IS NOT NULL THEN 'key' WHEN l.project_id IS NOT NULL THEN 'project' ELSE 'tenant' END,
       l.timezone, l.id::text, l.kind, l.model, l.is_hard,
       trunc(CASE l.kind WHEN 'money_per_month' THEN l.value * {NANO} ELSE l.value END)::text,
       CASE WHEN l.is_windowed THEN trunc(coalesce(
           CASE l.kind WHEN 'tokens_per_day' THEN s.day_tokens WHEN 'tokens_per_month' THEN s.month_tokens
                       ELSE ceil(s.money * {NANO}) END, 0))::text END
  FROM chosen l
  LEFT JOIN billed_model m ON m.name = l.model
  LEFT JOIN sums s ON s.scope = l.scope AND l.is_windowed
        AND coalesce(s.model_id, 0) = CASE l.model WHEN '' THEN 0 ELSE m.id END
 ORDER BY l.scope, l.id
"""  # noqa: S608


def used_of(limits: Collection[Limit]) -> dict[UUID, int]:
    """Tokens, or nano-units of money, that the ledger has recorded for limits of a day or month, by limit.

    In one statement. The limits need not be stored: a page asks what a limit that is not set yet would count.
    """
    parameters = _today() | {
        "scopes": [limit.key_id or limit.project_id or limit.tenant_id for limit in limits],
        "ids": [limit.pk for limit in limits],
        "tenants": [limit.tenant_id for limit in limits],
        "projects": [limit.project_id for limit in limits],
        "keys": [limit.key_id for limit in limits],
        "kinds": [str(limit.kind) for limit in limits],
        "models": [limit.model for limit in limits],
    }
    statement = _STATEMENT.format(limits=_GIVEN, chosen="true", spent=_SPENT_THERE)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return {UUID(row[3]): int(row[-1]) for row in cursor.fetchall() if row[-1] is not None}


def limits_on(
    scopes: Collection[UUID] | None = None, *, unread: Unread | None = None
) -> Iterator[LimitsRecord]:
    """The limits on the given tenants, projects and keys, or on all, with what the ledger has recorded as used.

    One statement, read as it comes. Keys that are not in use are left out, unless they are named. Scopes without
    limits have no record. `used` excludes calls that are still on a gateway's disk; that gateway counted them.

    Args:
        scopes: ids of tenants, projects and keys; None for all.
        unread: told of a scope whose limits cannot be read, which then gets a limit that allows no call. None: that
            raises the exception.
    """
    as_of = int(now().timestamp())
    statement = _STATEMENT.format(
        limits="tenants_limit",
        chosen=_EVERY_SCOPE if scopes is None else _SOME_SCOPES,
        spent="true" if scopes is None else _SPENT_THERE,
    )
    parameters = _today() | {"scopes": list(scopes or ())}
    for scope, rows in groupby(_rows(statement, parameters), key=itemgetter(0)):
        found = list(rows)
        _, kind, time_zone, first, *_ = found[0]
        try:
            limits = [_limit(row) for row in found]
        except Exception as error:
            if unread is None:
                raise
            unread(kind, scope, error)
            limits = [LimitSetting(id=first, kind="requests_per_minute", value=0)]
        yield LimitsRecord(
            scope=kind,
            scope_id=scope,
            limits=limits,
            time_zone=time_zone,
            used_as_of=as_of,
        )


def _today() -> dict[str, Any]:
    """The current day in each time zone, as the ledger counts days."""
    moment = now()
    zones = list(Tenant.objects.order_by().values_list("timezone", flat=True).distinct())
    days = [today_of(Tenant(timezone=zone), moment) for zone in zones]
    return {"zones": zones, "days": days, "windowed": [str(kind) for kind in WINDOWED]}


def _rows(statement: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(AT_ONCE):
            yield from rows


def _limit(row: tuple[Any, ...]) -> LimitSetting:
    """Exact: money has eight decimals, counts are whole. Numbers come as text, which Python reads fastest.

    Raises ValueError for a kind that no gateway knows, and for what is no number.
    """
    pk, kind, model, is_hard, value, used = row[3:]
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is no kind of limit")
    return LimitSetting(
        id=pk,
        kind=kind,
        value=_in_64_bits(value),
        model=model or None,
        is_hard=is_hard,
        used=None if used is None else _in_64_bits(used),
    )


def _in_64_bits(text: str) -> int:
    number = int(text)
    return number if 0 <= number <= MOST else max(0, min(number, MOST))
