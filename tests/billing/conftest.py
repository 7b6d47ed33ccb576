"""A project with a key, two priced models, and calls to record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from billing import key_months
from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.prices import publish_prices
from billing.usage import UsageRecord
from core.ids import uuid7
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory
from tests.usage_records import usage_record

PRICED_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SUMMER = datetime(2026, 6, 28, tzinfo=UTC)
LAST_HOUR = 24 * 98  # 4 October
NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)
PRICES = {"input": Decimal("2.5"), "cache_read": Decimal("0.25"), "output": Decimal("10.00000001")}


@pytest.fixture
def key(lab, project):
    return ApiKeyFactory(tenant=lab, project=project)


@pytest.fixture
def prices(db):
    """`aya` and `bree` cost money; every other model is unpriced."""
    for model in ("aya", "bree"):
        publish_prices(model, PRICES, valid_from=PRICED_SINCE, reason="List price", by=None)


@pytest.fixture
def call(key) -> Callable[..., UsageRecord]:
    """Make a well-formed call of the key; name what the test is about."""

    def make(**fields) -> UsageRecord:
        usual = {
            "event_id": uuid7(),
            "key_id": key.pk,
            "model": "aya",
            "occurred_at": NOON,
            "input": 1000,
            "output": 200,
        }
        return usage_record(**usual | fields)

    return make


def rows(sql: str, *parameters):
    """The answer of a query, as tuples."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def one(sql: str, *parameters):
    """The only value of a query."""
    return rows(sql, *parameters)[0][0]


def while_recorded_and_folded(calls, read):
    """Record `calls` in small batches, fold twice at once, and read 40 times, all at the same time."""

    def record():
        for start in range(0, len(calls), 6):
            record_usage("gateway", calls[start : start + 6])

    def fold():
        for _ in range(12):
            fold_rollups()

    def read_often():
        for _ in range(40):
            read()

    assert at_the_same_time(record, fold, fold, read_often) == [None] * 4


def sum_all():
    """Add all days that are over to the months by key, as the task does."""
    for tenant_id, _ in list(key_months.tenants_to_sum()):
        key_months.sum_key_months(tenant_id)


@pytest.fixture
def moment(monkeypatch):
    """Set what time it is for the task."""

    def be(*when):
        monkeypatch.setattr(key_months, "now", lambda: datetime(*when, tzinfo=UTC))

    be(2026, 9, 15, 13)
    return be


@pytest.fixture
def keys(lab, project):
    """Keys of two projects, and of a tenant where midnight is another moment."""
    far = TenantFactory(timezone="Pacific/Auckland")
    projects = [project, ProjectFactory(tenant=lab), ProjectFactory(tenant=far)]
    return [ApiKeyFactory(tenant=each.tenant, project=each) for each in projects for _ in range(3)]


@pytest.fixture
def some(call, keys):
    """Make so many calls, spread over five months, at their ends more often."""

    def make(chance, count):
        hours = [
            chance.choice([chance.randrange(LAST_HOUR), 24 * 3 + chance.randrange(-14, 14)])
            for _ in range(count)
        ]
        return [
            call(
                key_id=chance.choice(keys).pk,
                model=chance.choice(["aya", "bree", "unpriced"]),
                occurred_at=SUMMER + timedelta(hours=hour, minutes=chance.randrange(60)),
                input=chance.randrange(10_000),
                reasoning=chance.randrange(50),
                is_exact=chance.random() < 0.8,
                status=chance.choice(["ok", "ok", "error"]),
            )
            for hour in hours
        ]

    return make
