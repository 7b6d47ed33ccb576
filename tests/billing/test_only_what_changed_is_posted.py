"""The hourly posting looks at days whose usage changed, and misses none, whoever records meanwhile."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.utils.timezone import now

from billing.ingest import record_usage
from billing.models import BillingPeriod, UnpostedDay
from billing.periods import POST, close_period, post_cost_lines, tenants_to_post
from billing.tasks import post_all_cost_lines
from tests.billing.conftest import NOON, one, rows
from tests.concurrency import queued_behind
from tests.factories import ApiKeyFactory, TenantFactory

OCTOBER = date(2026, 10, 1)


def changed_days():
    return [day for (day,) in rows("SELECT day FROM unposted_day ORDER BY day")]


def test_recording_marks_the_day_and_posting_clears_it(call, prices, lab):
    record_usage("gateway", [call(), call(occurred_at=NOON + timedelta(days=1))])
    assert changed_days() == [date(2026, 10, 14), date(2026, 10, 15)]
    assert post_cost_lines(lab, before=date(2026, 10, 15)) == 2
    assert changed_days() == [date(2026, 10, 15)]
    assert post_cost_lines(lab, before=date.max) == 2
    assert changed_days() == []


def test_a_repetition_changes_nothing_and_marks_nothing(call, prices, lab):
    again = call()
    record_usage("gateway", [again])
    post_cost_lines(lab, before=date.max)
    record_usage("gateway", [again])
    assert changed_days() == []


def test_old_open_months_cost_nothing(call, prices, lab, django_assert_max_num_queries):
    record_usage("gateway", [call(occurred_at=NOON - timedelta(days=30 * back)) for back in range(8)])
    post_all_cost_lines()
    record_usage("gateway", [call(occurred_at=NOON)])
    with django_assert_max_num_queries(12) as asked:
        assert post_cost_lines(lab) == 2
    read = [query["sql"] for query in asked.captured_queries if "rollup_hour" in query["sql"]]
    assert len(read) == 1, "one day of one month is read"
    assert "2026-10-14" in read[0]


def test_the_task_leaves_tenants_alone_that_have_nothing_to_post(call, prices, lab, monkeypatch):
    moment = now()
    monkeypatch.setattr("billing.costs.now", lambda: moment)
    TenantFactory()
    record_usage("gateway", [call()])
    assert tenants_to_post() == [lab]
    post_all_cost_lines()
    assert tenants_to_post() == []
    assert BillingPeriod.objects.in_tenant(lab).get().posted_up_to == min(
        moment.date() - timedelta(days=1), date(2026, 10, 31)
    )


def test_no_line_is_compared_with_each_of_the_others(call, prices, lab):
    """A tenant with a thousand projects has 90,000 lines in a month: the planner, which expects one, may join none."""
    record_usage("gateway", [call()])
    post_cost_lines(lab, before=date.max)
    days = {"period": OCTOBER, "first_day": OCTOBER, "last_day": date(2026, 10, 31)}
    with connection.cursor() as cursor:
        parameters = {"tenant": lab.pk, "project": None, **days}
        cursor.execute("EXPLAIN (FORMAT JSON) " + POST, parameters)
        [[[plan]]] = cursor.fetchall()

    def reads(node):
        return node.get("Relation Name") == "cost_line" and node["Node Type"] != "ModifyTable"

    def walk(node):
        yield node
        for child in node.get("Plans", ()):
            yield from walk(child)

    joins = [
        node
        for node in walk(plan["Plan"])
        if "Join" in node["Node Type"] or node["Node Type"] == "Nested Loop"
    ]
    assert any(reads(node) for node in walk(plan["Plan"]))
    assert not [join for join in joins if any(reads(node) for node in walk(join))]


def test_today_waits_until_it_is_over(call, prices, lab, monkeypatch):
    moment = now()
    monkeypatch.setattr("billing.costs.now", lambda: moment)
    record_usage("gateway", [call(occurred_at=moment)])
    post_all_cost_lines()
    assert rows("SELECT count(*) FROM cost_line") == [(0,)]
    assert len(changed_days()) == 1


def test_closing_posts_what_is_left_and_clears_it(call, prices, lab):
    record_usage("gateway", [call()])
    close_period(lab, OCTOBER, by=None)
    assert changed_days() == []
    # Late: it goes to the next open month, and is to be posted there.
    record_usage("gateway", [call()])
    assert rows("SELECT period, day FROM unposted_day") == [(date(2026, 11, 1), date(2026, 10, 14))]


@pytest.mark.django_db(transaction=True)
def test_usage_that_is_recorded_while_its_day_is_posted_is_posted_too(call, prices, lab):
    """The second call's transaction is open while the poster comes: the poster waits for it, and posts both."""
    record_usage("gateway", [call(output=0)])
    posted = queued_behind(
        lambda: post_cost_lines(lab, before=date.max), first=lambda: record_usage("gateway", [call(output=0)])
    )
    assert posted == 1
    assert one("SELECT sum(quantity) FROM cost_line") == 2000
    assert not UnpostedDay.objects.across_tenants().exists()


def test_one_tenants_usage_marks_no_other(call, prices, lab):
    other = ApiKeyFactory(tenant=TenantFactory())
    record_usage("gateway", [call(), call(key_id=other.pk)])
    post_cost_lines(lab, before=date.max)
    assert [row.tenant_id for row in UnpostedDay.objects.across_tenants().all()] == [other.tenant_id]
