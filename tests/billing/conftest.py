"""A project with a key, two priced models, and calls to record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection

from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.prices import publish_prices
from billing.usage import UsageRecord
from core.ids import uuid7
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory

PRICED_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
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
        return UsageRecord(**usual | fields)

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
