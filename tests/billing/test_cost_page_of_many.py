"""The cost page of a tenant with many projects and models: the dearest, the others together, and it still adds up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from billing.costs import cost_report, cost_rows
from billing.ingest import record_usage
from billing.kind_costs import costs_by_kind
from billing.prices import publish_prices
from tests.factories import ApiKeyFactory, ProjectFactory
from tests.usage_records import usage_record

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
PRICES = {"input": Decimal("2.5"), "output": Decimal("10")}


def call(key, number, *, model="chat", day=1):
    return usage_record(
        event_id=uuid4(), key_id=key.pk, model=model, occurred_at=BEGIN + timedelta(days=day, hours=3),
        input=1000 + number, output=10 + number,
    )  # fmt: skip


@pytest.fixture
def many_projects(lab):
    publish_prices("chat", PRICES, valid_from=BEGIN - timedelta(days=90), reason="List", by=None)
    keys = [
        ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab, name=f"Project {n:02}"))
        for n in range(40)
    ]
    record_usage("gateway", [call(key, n * 100) for n, key in enumerate(keys)])
    record_usage("gateway", [call(key, n * 7, day=-27) for n, key in enumerate(keys)])
    return keys


def project_costs(page):
    table = page[page.index('id="cost-by-project"') :]
    return [
        Decimal(value) for value in re.findall(r'<data value="([^"]+)"', table[: table.index("</table>")])
    ]


def test_the_dearest_projects_are_named_and_the_others_are_one_row(client, finance, lab, many_projects):
    client.force_login(finance)
    page = client.get("/t/lab/cost/?month=2026-10").content.decode()
    costs = project_costs(page)
    total = cost_rows(lab, BEGIN.date(), datetime(2026, 10, 31).date(), ())[0]["cost"]
    assert len(costs) == 26
    assert sum(costs) == total
    assert "Other, 15 projects" in page
    assert "Project 39" in page
    assert "Project 05" not in page
    assert "All 40 projects" in page


def test_a_project_that_the_page_does_not_name_is_reached_by_its_address(client, finance, lab, many_projects):
    client.force_login(finance)
    slug = many_projects[5].project.slug
    page = client.get(f"/t/lab/cost/?month=2026-10&project={slug}").content.decode()
    assert "Project 05" in page
    assert len(project_costs(page)) == 1
    assert client.get("/t/lab/cost/?project=nowhere").status_code == 404
    assert client.get("/t/lab/cost/?project=%00").status_code in (200, 404)


def test_days_that_are_compared_with_themselves_count_on_both_sides(lab, many_projects):
    """A month is longer than four weeks: its first days are in both spans."""
    record_usage("gateway", [call(many_projects[0], 0, day=28)])
    report = cost_report(lab, BEGIN.date(), datetime(2026, 10, 31).date())
    day = (BEGIN + timedelta(days=1)).date()
    assert day in report.now.by_day
    assert day in report.before.by_day
    assert report.before.total.calls == 80
    assert sum(figures.calls for figures in report.before.by_project.values()) == 80
    assert report.now.total.calls == sum(figures.calls for figures in report.now.by_project.values()) == 41


@pytest.mark.parametrize("hours", [0, 3, 4, 24])
def test_kinds_cost_what_their_hours_did_when_a_price_changes_within_the_days(lab, project, hours):
    key = ApiKeyFactory(tenant=lab, project=project)
    publish_prices("chat", PRICES, valid_from=BEGIN - timedelta(days=90), reason="List", by=None)
    publish_prices(
        "chat", {"input": Decimal("3"), "output": Decimal("11")},
        valid_from=BEGIN + timedelta(days=1, hours=hours), reason="Dearer", by=None,
    )  # fmt: skip
    publish_prices("still", PRICES, valid_from=BEGIN - timedelta(days=90), reason="List", by=None)
    record_usage(
        "gateway",
        [call(key, 1), call(key, 2, day=2), call(key, 3, model="still"), call(key, 4, model="none")],
    )
    report = cost_report(lab, BEGIN.date(), (BEGIN + timedelta(days=5)).date())
    assert sum(kind.cost for kind in report.by_kind) == report.now.total.cost
    assert {kind.kind: kind.quantity for kind in report.by_kind} == {"input": 4010, "output": 50}


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata"])
def test_kinds_add_up_in_every_zone_whenever_a_price_changes(lab, project, zone):
    """A day of the tenant begins up to half a day before or after that of UTC, by which prices change."""
    lab.timezone = zone
    lab.save()
    key = ApiKeyFactory(tenant=lab, project=project)
    for model, changes in (("chat", [0, 19, 40, 56, 91]), ("late", [0, 130])):
        for n, hours in enumerate(changes):
            publish_prices(
                model, {"input": Decimal("2.5") + n, "output": Decimal(10) - n},
                valid_from=BEGIN + timedelta(hours=hours), reason="Next", by=None,
            )  # fmt: skip
    record_usage(
        "gateway",
        [
            usage_record(event_id=uuid4(), key_id=key.pk, model=model, occurred_at=BEGIN + timedelta(hours=hour),
                        input=1000 + hour, output=hour % 13)
            for hour in range(0, 200) for model in ("chat", "late", "none")[: 2 + hour % 2]
        ],
    )  # fmt: skip
    spans = [(day, day + width) for day in range(1, 9) for width in (0, 1, 4) if day + width < 12]
    for first, last in [*spans, (1, 31)]:
        days = (BEGIN.date().replace(day=first), BEGIN.date().replace(day=last))
        total = cost_rows(lab, *days, ())
        for chosen in (None, project):
            kinds = costs_by_kind(lab, *days, chosen, today=days[1])
            assert sum(kind.cost or 0 for kind in kinds) == (total[0]["cost"] if total else 0)
            assert {kind.kind: kind.quantity for kind in kinds if kind.quantity} == {
                kind: quantity for kind, quantity in (total[0]["quantities"] if total else {}).items()
                if quantity and kind != "request"
            }  # fmt: skip
