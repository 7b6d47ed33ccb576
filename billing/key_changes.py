"""Keys whose cost of a day differs most from that of another day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection

from tenants.models import Tenant

# Of each day, an index finds the tenant's sums; no other days are read.
_STATEMENT: Final = """
SELECT key_id, now, before
  FROM (SELECT r.key_id, sum(r.amount) FILTER (WHERE r.day = %(now)s) AS now,
               sum(r.amount) FILTER (WHERE r.day = %(before)s) AS before
          FROM rollup_day r
         WHERE r.tenant_id = %(tenant)s AND r.day = ANY (%(days)s::date[])
         GROUP BY r.key_id) used
 WHERE coalesce(now, 0) <> coalesce(before, 0)
 ORDER BY abs(coalesce(now, 0) - coalesce(before, 0)) DESC, key_id
 LIMIT %(most)s
"""


@dataclass(frozen=True)
class KeyChange:
    """The cost of a key on two days."""

    key_id: UUID
    now: Decimal
    before: Decimal


def changed_keys(tenant: Tenant, now: date, before: date, *, most: int) -> list[KeyChange]:
    """The keys whose costs of two days differ most; unpriced calls count as 0.

    Args:
        tenant: whose keys.
        now: the later day, in the tenant's time zone.
        before: the earlier day.
        most: maximum number of keys.
    """
    parameters: dict[str, Any] = {
        "tenant": tenant.pk,
        "now": now,
        "before": before,
        "days": [now, before],
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, parameters)
        return [
            KeyChange(key_id, cost or Decimal(0), earlier or Decimal(0))
            for key_id, cost, earlier in cursor.fetchall()
        ]
