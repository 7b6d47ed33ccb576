"""Costs by key are those of a key's days, whole and in pages, however much of them is summed by month."""

import random
from datetime import UTC, date, datetime

import pytest

from billing.costs import cost_rows
from billing.folding import fold_rollups
from billing.ingest import record_usage
from tests.billing.conftest import one, rows, sum_all
from tests.factories import ApiKeyFactory, ProjectFactory

MONTH = "date_trunc('month', day::timestamp)::date"
SPANS = [
    (date(2026, 7, 1), date(2026, 7, 31)),
    (date(2026, 6, 1), date(2026, 10, 31)),
    (date(2026, 6, 30), date(2026, 10, 2)),  # nearly whole months
    (date(2026, 7, 15), date(2026, 9, 15)),
    # A month without both its ends.
    (date(2026, 7, 3), date(2026, 7, 30)),
    (date(2026, 7, 10), date(2026, 7, 12)),
    (date(2025, 10, 5), date(2026, 10, 4)),
]
IDS = {
    "day": "day",
    "key": "key_id",
    "month": MONTH,
    "model": "(SELECT name FROM billed_model m WHERE m.id = model_id)",
    "project": "(SELECT slug FROM tenants_project p WHERE p.id = project_id)",
}
GROUPINGS = [
    ("key",),
    ("key", "month"),
    ("month", "key"),
    ("key", "model"),
    ("project", "key"),
    ("project", "model", "key"),
    ("model", "key"),
    ("model", "project", "key"),
    ("model", "key", "month"),
    ("month", "model", "key"),
    ("month", "project", "key"),
    ("month", "project", "model", "key"),
    ("month", "key", "project"),
    ("month", "model", "key", "project"),
    ("key", "day"),
    ("key", "day", "model"),
    ("key", "month", "day"),
    ("day", "key"),
]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("summed_at", [None, datetime(2026, 9, 15, 13), datetime(2026, 11, 2)])
def test_any_days_by_key_cost_what_the_days_do(lab, keys, some, prices, moment, span, summed_at):
    calls = some(random.Random(11), 120)
    record_usage("gateway", calls[:90])
    fold_rollups()
    if summed_at:
        moment(*summed_at.timetuple()[:4])
        sum_all()
        assert one("SELECT sum(calls) FROM rollup_key_month") > 50
    record_usage("gateway", calls[90:105])  # late
    fold_rollups()
    record_usage("gateway", calls[105:])  # and not folded yet
    for project in (None, keys[0].project):
        for group_by in GROUPINGS:
            chosen = ", ".join(IDS[name] for name in group_by)
            places = ", ".join(str(number) for number in range(1, len(group_by) + 1))
            expected = rows(
                f"SELECT {chosen}, sum(amount), sum(calls), sum(calls) FILTER (WHERE is_unpriced), "
                "usage_count(sum(usage), 'input') "
                "FROM rollup_day WHERE tenant_id = %s AND day BETWEEN %s AND %s "
                f"AND project_id = coalesce(%s, project_id) GROUP BY {places} ORDER BY {places}",
                lab.pk, *span, project and project.pk,
            )  # fmt: skip
            assert figures(cost_rows(lab, *span, group_by, project=project), group_by) == expected
            assert figures(paged(lab, span, group_by, project), group_by) == expected


@pytest.mark.parametrize(
    "group_by",
    [
        ("key",),
        ("month", "key"),
        ("month", "project", "key"),
        ("month", "model", "key"),
        ("key", "model"),
        ("project", "key"),
        ("model", "key"),
        ("key", "day"),
    ],
)
@pytest.mark.parametrize(
    ("unused_on", "span"),
    [
        (date(2026, 7, 1), (date(2026, 7, 2), date(2026, 7, 31))),
        (date(2026, 7, 31), (date(2026, 7, 1), date(2026, 7, 30))),
        (date(2026, 7, 31), (date(2026, 5, 1), date(2026, 7, 30))),
        (date(2026, 7, 1), (date(2026, 7, 2), date(2026, 7, 30))),
    ],
)
@pytest.mark.parametrize("summed_on", [(2026, 7, 31, 13), (2026, 9, 15, 13)])
def test_keys_used_only_on_days_that_are_taken_away_fill_no_page(
    lab, project, call, prices, moment, group_by, unused_on, span, summed_on
):
    """They have sums in the month, and none in the days asked for: counted, they would end the pages too early."""
    keys = sorted(ApiKeyFactory(tenant=lab, project=project).pk for _ in range(8))
    days = [unused_on] * 4 + [date(2026, 7, 10)] * 4
    record_usage(
        "gateway",
        [
            call(key_id=key, occurred_at=datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
            for key, day in zip(keys, days, strict=True)
        ],
    )
    fold_rollups()
    moment(*summed_on)
    sum_all()
    found = paged(lab, span, group_by, None, size=2)
    assert [row["key"] for row in found] == keys[4:]


def figures(found, group_by):
    return [
        (*(row[name] for name in group_by), row["cost"], row["calls"], row["unpriced_calls"] or None,
         row["quantities"].get("input", 0))
        for row in found
    ]  # fmt: skip


def paged(tenant, span, group_by, project, size=3):
    """The same rows in pages, as the API asks for them; no page may be shorter than what is left."""
    found, after = [], None
    while True:
        page = cost_rows(tenant, *span, group_by, project=project, after=after, most=size + 1)
        found += page[:size]
        if len(page) <= size:
            return found
        after = [str(page[size - 1][name]) for name in group_by]


def test_twelve_months_by_key_read_no_summed_day(lab, keys, some, prices, moment, django_assert_num_queries):
    moment(2026, 11, 1)
    record_usage("gateway", some(random.Random(2), 40))
    fold_rollups()
    sum_all()
    lab_keys = {key.pk for key in keys if key.tenant_id == lab.pk}
    with django_assert_num_queries(1) as asked:
        found = cost_rows(lab, date(2025, 11, 1), date(2026, 10, 31), ("key",), most=1001)
    assert {row["key"] for row in found} == lab_keys
    sql = asked.captured_queries[0]["sql"]
    assert "rollup_key_month" in sql
    # Neither all of the days, nor the view of them.
    assert "FROM rollup_day r" not in sql


def test_keys_that_were_never_used_before_are_on_a_page_by_day(lab, project, call, prices, moment):
    """One has usage that is summed, one that is folded, one that is neither; each of a project that no other has."""
    projects = [ProjectFactory(tenant=lab) for _ in range(3)]
    keys = [ApiKeyFactory(tenant=lab, project=each).pk for each in projects]
    days = [
        datetime(2026, 7, 10, tzinfo=UTC),
        datetime(2026, 9, 20, tzinfo=UTC),
        datetime(2026, 9, 20, tzinfo=UTC),
    ]
    for key, day in zip(keys[:2], days, strict=False):
        record_usage("gateway", [call(key_id=key, occurred_at=day)])
    fold_rollups()
    sum_all()
    record_usage("gateway", [call(key_id=keys[2], occurred_at=days[2])])
    span = (date(2026, 7, 1), date(2026, 9, 30))
    assert [row["key"] for row in paged(lab, span, ("key", "day"), None, size=2)] == sorted(keys)
