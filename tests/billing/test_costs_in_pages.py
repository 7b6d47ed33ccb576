"""`costs/` and `usage/` in pages: all rows once, and a total that is of all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from billing.ingest import record_usage
from billing.prices import publish_prices
from tests.factories import ApiKeyFactory
from tests.usage_records import usage_record

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = "tenant=lab&start=2026-10-01&end=2026-10-31"


@pytest.fixture
def used(lab, project):
    publish_prices(
        "chat", {"input": Decimal("2.5"), "output": Decimal("10")}, valid_from=BEGIN, reason="List", by=None
    )
    keys = [ApiKeyFactory(tenant=lab, project=project) for _ in range(4)]
    record_usage(
        "gateway",
        [
            usage_record(event_id=uuid4(), key_id=key.pk, model=model, occurred_at=BEGIN + timedelta(days=day, hours=2),
                        input=100 + day, output=7, is_exact=day % 3 != 1)
            for key in keys for day in range(5) for model in ("chat", "unknown")
        ],
    )  # fmt: skip
    return keys


@pytest.mark.parametrize("route", ["costs", "usage"])
@pytest.mark.parametrize(
    "group_by",
    [
        "day,model",
        "key,day,model",
        "model",
        "project,key",
        "month,key",
        "month,project,key",
        "month,model",
        "day,key",
        "day,key,model",
    ],
)
def test_pages_hold_every_row_once_and_each_the_total_of_all(client, finance, used, route, group_by):
    client.force_login(finance)
    whole = client.get(f"/api/v1/{route}/?{DAYS}&group_by={group_by}").json()
    assert whole["next"] is None
    address, rows = f"/api/v1/{route}/?{DAYS}&group_by={group_by}&page_size=3", []
    while address:
        answer = client.get(address).json()
        assert len(answer["rows"]) <= 3
        assert answer["total"] == whole["total"]
        rows += answer["rows"]
        address = answer["next"]
    assert rows == whole["rows"]
    assert sum(row["calls"] for row in rows) == whole["total"]["calls"] == 40


def test_a_cursor_of_another_question_leads_nowhere(client, finance, used):
    client.force_login(finance)
    first = client.get(f"/api/v1/costs/?{DAYS}&group_by=day,model&page_size=3").json()["next"]
    cursor = first.split("cursor=")[1].split("&")[0]
    assert client.get(f"/api/v1/costs/?{DAYS}&group_by=key&cursor={cursor}").status_code == 404
    assert client.get(f"/api/v1/costs/?{DAYS}&group_by=day,model&cursor=forged").status_code == 404
    assert client.get(f"/api/v1/costs/?{DAYS}&page_size=0").status_code == 400


def test_days_without_usage_have_an_empty_total(client, finance, lab):
    client.force_login(finance)
    answer = client.get(f"/api/v1/costs/?{DAYS}").json()
    assert (answer["rows"], answer["next"], answer["total"]["calls"]) == ([], None, 0)
