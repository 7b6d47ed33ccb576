"""How well a model answers: latency, time to the first token, tokens per second and failures of the last days.

A task counts the calls of a day by buckets of growing width, so pages read seven rows and never a call. The bucket of a
value is the power of GROWTH at or above it, and stands for the middle of its width, which is at most 5 % from every
value in it. Buckets of several days add up (Masson, Rim and Lee, "DDSketch", PVLDB 12, 2019).
"""
# ruff: noqa: S608

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from django.db import connection, transaction
from django.utils.timezone import now

from billing.kinds import Kind
from billing.known_kinds import kinds_named
from billing.models import ModelQuality, TenantQuality
from billing.models.quality import QualityOfDay
from billing.packed_usage import count_of
from core.local_days import ONE_DAY
from tenants.models import Tenant

GROWTH: Final = 1.1
# Pages look back so many days, today included.
DAYS: Final = 7
# Rows are kept so long.
KEPT: Final = timedelta(days=90)
# Fewer calls say nothing.
FEWEST_CALLS: Final = 20
# The calls of all tenants show nothing of a single one: only days count on which at least so many called.
FEWEST_TENANTS: Final = 3
# A stream of fewer tokens after the first has no speed worth counting.
FEWEST_TOKENS: Final = 16

_MEASURES: Final = ("answered_in", "first_token_in", "tokens_per_second")


def _bucket(value: str) -> str:
    """SQL for the bucket of a number; one below 1 counts as 1. Null for null."""
    return f"ceil(ln(CASE WHEN {value} < 1 THEN 1 ELSE {value} END::float8) / ln({GROWTH}::float8))::int"


def _sums(columns: str, calls: str, counted: str) -> str:
    """A query with one row by `columns`: all of `calls`, and the buckets of `counted` by measure."""
    collected = ", ".join(
        f"jsonb_object_agg(bucket, n) FILTER (WHERE measure = '{name}') AS {name}" for name in _MEASURES
    )
    return f"""
    SELECT calls.*, %(day)s::date AS day, {", ".join(f"coalesce({name}, '{{}}') AS {name}" for name in _MEASURES)}
      FROM ({calls}) calls
      LEFT JOIN (SELECT {columns}, {collected} FROM ({counted}) one GROUP BY {columns}) buckets USING ({columns})
     ORDER BY {columns}"""


def _measure(output: str) -> str:
    """The statement that counts one day. `output`: SQL for the tokens of a call's answer."""
    measures = ", ".join(_MEASURES)
    of_model = "SELECT model_id, sum(calls) AS calls, sum(failed) AS failed, count(*) AS tenants FROM calls GROUP BY 1"
    buckets_of_model = "SELECT model_id, measure, bucket, sum(n) AS n FROM counted GROUP BY 1, 2, 3"
    return f"""
WITH called AS MATERIALIZED (
    SELECT tenant_id, model_id, status, {_bucket("latency_ms")} AS answered_in,
           CASE WHEN is_stream THEN {_bucket("first_token_ms")} END AS first_token_in,
           CASE WHEN is_stream AND latency_ms > first_token_ms AND {output} > {FEWEST_TOKENS}
                THEN {_bucket(f"({output} - 1) * 1000.0 / (latency_ms - first_token_ms)")} END AS tokens_per_second
      FROM usage_event
     WHERE occurred_at >= %(start)s AND occurred_at < %(end)s AND target_id IS NOT NULL
), counted AS MATERIALIZED (
    SELECT tenant_id, model_id, measure, bucket, count(*) AS n
      FROM called
     CROSS JOIN LATERAL (VALUES {", ".join(f"('{name}', {name})" for name in _MEASURES)}) m (measure, bucket)
     WHERE status = 'ok' AND bucket IS NOT NULL
     GROUP BY 1, 2, 3, 4
), calls AS MATERIALIZED (
    SELECT tenant_id, model_id, count(*) AS calls, count(*) FILTER (WHERE status = 'error') AS failed
      FROM called GROUP BY 1, 2
), of_tenants AS (
    INSERT INTO quality_of_tenant (tenant_id, model_id, calls, failed, day, {measures})
    {_sums("tenant_id, model_id", "TABLE calls", "TABLE counted")}
)
INSERT INTO quality_of_model (model_id, calls, failed, tenants, day, {measures})
{_sums("model_id", of_model, buckets_of_model)}"""


def measure_day(day: date) -> None:
    """Count the calls of a day (UTC) anew. Safe to repeat. Concurrent calls wait."""
    tokens = kinds_named([Kind.OUTPUT, Kind.REASONING]).values()
    output = "(" + " + ".join(count_of("usage", f"{one.place}") for one in tokens) + ")"
    start = datetime.combine(day, time.min, UTC)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing.quality'))")
        cursor.execute("SET LOCAL jit = off")
        for table in ("quality_of_tenant", "quality_of_model"):
            cursor.execute(f"DELETE FROM {table} WHERE day = %s OR day < %s", [day, day - KEPT])
        cursor.execute(_measure(output), {"day": day, "start": start, "end": start + ONE_DAY})


@dataclass(frozen=True)
class Spread:
    """The middle and the slow end of a measure; for a speed the slow end is the lower one."""

    middle: float
    slow: float


@dataclass(frozen=True)
class Quality:
    """How a model answered in the last days. A measure is None if too few calls have it."""

    calls: int
    failed: int
    # Whether only the tenant's own calls were counted.
    is_own: bool
    # In seconds.
    answered_in: Spread | None
    first_token_in: Spread | None
    tokens_per_second: Spread | None

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.calls


def quality_of(model: str, tenant: Tenant | None) -> Quality | None:
    """How a model answered in the last DAYS days, as a member of `tenant` may know it; None: too few calls.

    The calls of all tenants count on days with at least FEWEST_TENANTS of them; if those are too few, the tenant's own.
    At most two queries.

    Args:
        model: public name.
        tenant: None: nobody's own calls count.
    """
    first = now().astimezone(UTC).date() - (DAYS - 1) * ONE_DAY
    of_all = ModelQuality.objects.filter(model__name=model, day__gte=first, tenants__gte=FEWEST_TENANTS)
    if quality := _summed(of_all, is_own=False):
        return quality
    if tenant is None:
        return None
    own = TenantQuality.objects.in_tenant(tenant).filter(model__name=model, day__gte=first)
    return _summed(own, is_own=True)


def _summed(days: Iterable[QualityOfDay], *, is_own: bool) -> Quality | None:
    days = list(days)
    calls = sum(day.calls for day in days)
    if calls < FEWEST_CALLS:
        return None
    merged: dict[str, Counter[int]] = {name: Counter() for name in _MEASURES}
    for day in days:
        for name, counts in merged.items():
            counts.update({int(bucket): count for bucket, count in getattr(day, name).items()})
    return Quality(
        calls=calls,
        failed=sum(day.failed for day in days),
        is_own=is_own,
        answered_in=_spread(merged["answered_in"], slow=0.95, unit=1000),
        first_token_in=_spread(merged["first_token_in"], slow=0.95, unit=1000),
        tokens_per_second=_spread(merged["tokens_per_second"], slow=0.05, unit=1),
    )


def _spread(counts: Mapping[int, int], *, slow: float, unit: int) -> Spread | None:
    if sum(counts.values()) < FEWEST_CALLS:
        return None
    return Spread(percentile(counts, 0.5) / unit, percentile(counts, slow) / unit)


def percentile(counts: Mapping[int, int], share: float) -> float:
    """The value below or at which `share` of the counted values lie, within 5 %. Raises ValueError if there are none.

    Args:
        counts: how many values lie in each bucket.
        share: between 0 and 1; the nearest rank above counts.
    """
    rank = max(1, math.ceil(share * sum(counts.values())))
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            return 2 * GROWTH**bucket / (GROWTH + 1)
    raise ValueError("Nothing was counted.")
