"""Months are the sums of their days, always: late, estimated, unpriced usage, folded or not, posted and closed."""

import random
from datetime import UTC, date, datetime

import pytest

from billing.costs import cost_rows
from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.models import BillingPeriod
from billing.month_sums import pieces_of
from billing.periods import close_period, post_cost_lines
from tests.billing.conftest import one, rows, while_recorded_and_folded

SUMS = "sum(usage) AS usage, sum(tokens) AS tokens, sum(calls) AS calls, sum(amount) AS amount"
MONTH = "date_trunc('month', day::timestamp)::date"
PLACE = "tenant_id, project_id, model_id, period, is_unpriced"
DIFFERENT = f"""
WITH days AS (SELECT {MONTH} AS month, {PLACE}, {SUMS} FROM {{days}} GROUP BY month, {PLACE}),
     months AS (SELECT month, {PLACE}, {SUMS} FROM {{months}} WHERE calls <> 0 GROUP BY month, {PLACE})
(TABLE days EXCEPT TABLE months) UNION ALL (TABLE months EXCEPT TABLE days)
"""
# Of a whole tenant, over its projects and models.
OF_TENANTS = DIFFERENT.replace(PLACE, "tenant_id, period, is_unpriced")
TENANT_VIEWS = {"days": "rollup_day", "months": "rollup_tenant_month"}
TENANT_FOLDED = {"days": "rollup_day_folded", "months": "rollup_tenant_month_folded"}
VIEWS = {"days": "rollup_day", "months": "rollup_month"}
FOLDED = {"days": "rollup_day_folded", "months": "rollup_month_folded"}


def different(places=VIEWS):
    return rows(DIFFERENT.format(**places))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_months_are_the_sums_of_their_days(lab, some, prices, seed):
    chance = random.Random(seed)
    sent = some(chance, 30)
    record_usage("gateway", sent)
    for _ in range(12):
        happens = chance.choice(["late", "again", "fold", "post", "close"])
        if happens == "late":
            sent += (new := some(chance, 15))
            record_usage("gateway", new)
        elif happens == "again":
            record_usage("gateway", sent[:20])
        elif happens == "fold":
            fold_rollups()
        elif happens == "post":
            post_cost_lines(lab)
        elif opened := BillingPeriod.objects.in_tenant(lab).filter(state="open").order_by("month").first():
            close_period(lab, opened.month, by=None)
        assert different() == rows(OF_TENANTS.format(**TENANT_VIEWS)) == []
        assert one("SELECT sum(calls) FROM rollup_month") == len(sent)
        assert one("SELECT sum(calls) FROM rollup_tenant_month") == len(sent)
    fold_rollups()
    assert different() == different(FOLDED) == rows(OF_TENANTS.format(**TENANT_FOLDED)) == []
    places = f"month, {PLACE}"
    assert one("SELECT count(*) FROM rollup_month_folded") == one(
        f"SELECT count(*) FROM (SELECT DISTINCT {places} FROM rollup_month) one"
    )


@pytest.mark.django_db(transaction=True)
def test_whoever_reads_meanwhile_sees_days_and_months_alike(some, prices):
    calls, seen = some(random.Random(7), 60), []
    while_recorded_and_folded(calls, read=lambda: seen.extend(different()))
    assert seen == []
    fold_rollups()
    assert different(FOLDED) == []
    assert one("SELECT sum(calls) FROM rollup_month_folded") == len(calls)


def test_days_that_somebody_repairs_move_their_months(some, prices):
    record_usage("gateway", some(random.Random(3), 40))
    fold_rollups()
    with_usage = "(SELECT min(day) FROM rollup_day_folded)"
    rows(
        "UPDATE rollup_day_folded SET usage = usage + 5e16, tokens = tokens + 5, calls = calls + 1 "
        f"WHERE day > {with_usage} RETURNING 1"
    )
    rows("UPDATE rollup_day_folded SET day = day + 20 RETURNING 1")
    assert different(FOLDED) == []
    rows(f"DELETE FROM rollup_day_folded WHERE day > {with_usage} RETURNING 1")
    assert one("SELECT sum(calls) FROM rollup_month_folded") == one(
        "SELECT sum(calls) FROM rollup_day_folded"
    )
    assert one("SELECT sum(amount) FROM rollup_month") == one("SELECT sum(amount) FROM rollup_day")


SPANS = [
    (date(2026, 7, 1), date(2026, 7, 31)),
    (date(2026, 6, 1), date(2026, 10, 31)),
    (date(2026, 6, 30), date(2026, 10, 2)),  # nearly whole months
    (date(2026, 7, 2), date(2026, 9, 29)),
    (date(2026, 7, 15), date(2026, 9, 15)),
    # A month without both its ends.
    (date(2026, 7, 3), date(2026, 7, 30)),
    (date(2026, 7, 10), date(2026, 7, 12)),
    (date(2025, 10, 5), date(2026, 10, 4)),
]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("is_folded", [True, False])
def test_any_days_by_months_cost_what_the_days_do(lab, keys, some, prices, span, is_folded):
    record_usage("gateway", some(random.Random(11), 90))
    if is_folded:
        fold_rollups()
    ids = {
        (): "true",
        ("month",): MONTH,
        ("model",): "(SELECT name FROM billed_model m WHERE m.id = model_id)",
        ("project",): "(SELECT slug FROM tenants_project p WHERE p.id = project_id)",
    }
    for project in (None, keys[0].project):
        for group_by, name in ids.items():
            where = "tenant_id = %s AND day BETWEEN %s AND %s AND project_id = coalesce(%s, project_id)"
            expected = rows(
                f"SELECT {name}, sum(amount), sum(calls), sum(calls) FILTER (WHERE is_unpriced), "
                "usage_count(sum(usage), 'input') "
                f"FROM rollup_day WHERE {where} GROUP BY 1 ORDER BY 1",
                lab.pk, *span, project and project.pk,
            )  # fmt: skip
            found = cost_rows(lab, *span, group_by, project=project)
            assert [
                (row[group_by[0]] if group_by else True, row["cost"], row["calls"], row["unpriced_calls"] or None,
                 row["quantities"].get("input", 0))
                for row in found
            ] == expected  # fmt: skip


def test_a_model_whose_priced_calls_are_outside_the_days_has_no_cost(lab, call, prices):
    """Its month has an amount and the days that are taken away have the same: that is no cost of 0."""
    record_usage("gateway", [call(occurred_at=datetime(2026, 7, 1, 12, tzinfo=UTC))])
    record_usage("gateway", [call(occurred_at=datetime(2026, 7, 9, tzinfo=UTC), model="unpriced")])
    fold_rollups()
    found = cost_rows(lab, date(2026, 7, 2), date(2026, 7, 31), ("model",))
    assert [(row["model"], row["cost"], row["calls"]) for row in found] == [("unpriced", None, 1)]
    assert cost_rows(lab, date(2026, 7, 2), date(2026, 7, 31), ())[0]["cost"] is None


def test_twelve_months_read_no_days(lab, some, prices, django_assert_num_queries):
    record_usage("gateway", some(random.Random(2), 20))
    for group_by in [(), ("month",), ("model",), ("project", "month", "model")]:
        with django_assert_num_queries(1) as asked:
            cost_rows(lab, date(2025, 11, 1), date(2026, 10, 31), group_by)
        assert "rollup_month" in asked.captured_queries[0]["sql"]
        assert "rollup_day" not in asked.captured_queries[0]["sql"]


def test_a_running_month_is_its_whole_month():
    november = date(2026, 11, 1)
    pieces = pieces_of(date(2025, 12, 1), date(2026, 11, 9), today=date(2026, 11, 9))
    assert (pieces.months[0], pieces.months[-1], len(pieces.months)) == (date(2025, 12, 1), november, 12)
    assert (pieces.added, pieces.removed) == ([], [(date(2026, 11, 10), date(2026, 11, 30))])


@pytest.mark.parametrize(
    "span", [(date.min, date(1, 1, 30)), (date(9999, 12, 2), date.max), (date.max, date.max)]
)
def test_the_first_and_the_last_days_there_are_can_be_asked_for(span):
    pieces = pieces_of(*span, today=date(2026, 11, 9))
    assert len(pieces.months) + len(pieces.added) == 1
