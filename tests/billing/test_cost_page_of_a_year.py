"""The last twelve months on the cost page: the same sums as the ledger, from the months alone."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from billing.costs import today_of
from billing.ingest import record_usage
from billing.prices import publish_prices
from billing.year import months_of_year, year_report
from tests.billing.conftest import one
from tests.factories import ApiKeyFactory, ProjectFactory
from tests.usage_records import usage_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def used(lab, project, monkeypatch):
    """Two projects over sixteen months, up to this moment; a price that changes, and a model without one."""
    lab.timezone = "Asia/Kolkata"
    lab.save()
    # No month begins while a test looks.
    moment = now()
    monkeypatch.setattr("billing.costs.now", lambda: moment)
    begin = moment.replace(minute=0, second=0, microsecond=0) - timedelta(days=500)
    prices = {"input": Decimal("2.5"), "output": Decimal("10")}
    publish_prices("chat", prices, valid_from=begin, reason="List", by=None)
    publish_prices(
        "chat", {"input": Decimal("3.3"), "output": Decimal(9)},
        valid_from=begin + timedelta(days=333, hours=7), reason="Next", by=None,
    )  # fmt: skip
    keys = [
        ApiKeyFactory(tenant=lab, project=each)
        for each in (project, ProjectFactory(tenant=lab, slug="other"))
    ]
    calls = [
        usage_record(
            event_id=uuid4(), key_id=keys[n % 3 % 2].pk, model=("chat", "chat", "stranger")[n % 5 % 3],
            occurred_at=moment - timedelta(hours=19 * n), input=100 + n, output=n % 9, is_exact=n % 4 > 0,
        )
        for n in range(630)
    ]  # fmt: skip
    record_usage("gateway", calls)
    return lab


def spent(lab, project=None):
    start = months_of_year(today_of(lab))[0]
    where = "tenant_id = %s AND day >= %s AND project_id = coalesce(%s, project_id)"
    return one(f"SELECT sum(amount) FROM usage_event WHERE {where}", lab.pk, start, project and project.pk)


def test_every_part_of_it_adds_up(used, project):
    for chosen in (None, project):
        report = year_report(used, project=chosen)
        parts = (report.now.by_day, report.now.by_model, report.now.by_day_and_model, report.now.by_project)
        for part in parts:
            assert sum(figures.cost or 0 for figures in part.values()) == spent(used, chosen)
        assert sum(kind.cost or 0 for kind in report.by_kind) == report.now.total.cost == spent(used, chosen)
        assert sorted(report.now.by_day) == months_of_year(today_of(used))
    assert report.now.by_model["stranger"].cost is None


def test_the_page_shows_it(used, finance, client, project):
    client.force_login(finance)
    page = client.get("/t/lab/cost/?month=last-12").content.decode()
    assert Decimal(re.search(r'id="spend" value="([^"]+)"', page)[1]) == spent(used)
    assert "Cost by month" in page
    assert '<option value="last-12" selected>Last 12 months</option>' in page
    assert "not priced" in page.lower()
    assert f"?month=last-12&amp;project={project.slug}" in page
    assert "estimated" in page
    figure = json.loads(
        re.search(r'<script id="cost-figure" type="application/json">(.*?)</script>', page)[1]
    )
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert all(len(trace["x"]) == 12 for trace in bars)
    assert sum(sum(trace["y"]) for trace in bars) == pytest.approx(float(spent(used)), abs=0.001)

    page = client.get(f"/t/lab/cost/?month=last-12&project={project.slug}").content.decode()
    assert Decimal(re.search(r'id="spend" value="([^"]+)"', page)[1]) == spent(used, project)
    assert 'href="/t/lab/cost/?month=last-12"' in page


def test_a_year_without_usage_says_so(lab, finance, client):
    client.force_login(finance)
    page = client.get("/t/lab/cost/?month=last-12").content.decode()
    assert "No spend in this period" in page
    assert client.get("/t/lab/cost/?month=last-13").status_code == 400


def test_who_sees_no_costs_sees_none_of_a_year(used, stranger, client):
    client.force_login(stranger)
    assert client.get("/t/lab/cost/?month=last-12").status_code == 404


def test_it_needs_as_many_queries_as_a_month(used, finance, client, django_assert_max_num_queries):
    client.force_login(finance)
    with django_assert_max_num_queries(17):
        client.get("/t/lab/cost/?month=last-12")


@pytest.mark.parametrize("is_narrowed", [False, True])
def test_a_year_of_whole_months_is_read_from_months_alone(used, project, monkeypatch, is_narrowed):
    """On the last day of a month no day is left over that a month's sums would not hold."""
    last_day = now().replace(day=1, hour=12) - timedelta(days=1)
    monkeypatch.setattr("billing.costs.now", lambda: last_day)
    with CaptureQueriesContext(connection) as asked:
        report = year_report(used, project=project if is_narrowed else None)
    assert report.now.total.calls
    assert report.end_day == last_day.date()
    statements = [query["sql"] for query in asked.captured_queries]
    assert sum("FROM rollup_month r" in sql for sql in statements) >= 2  # by model, by project
    assert [sql for sql in statements if re.search(r"\brollup_day\b", sql)] == []


def test_on_other_days_a_year_reads_only_days_to_come_beside_its_months(used, monkeypatch):
    """They hold nothing yet: the running month is read as a whole."""
    middle = now().replace(day=10, hour=12)
    monkeypatch.setattr("billing.costs.now", lambda: middle)
    with CaptureQueriesContext(connection) as asked:
        report = year_report(used)
    assert report.end_day == middle.date()
    days = re.findall(
        r"FROM rollup_day r WHERE .*? BETWEEN '([0-9-]+)'::date", " ".join(q["sql"] for q in asked)
    )
    assert set(days) == {str(middle.date() + timedelta(days=1))}
