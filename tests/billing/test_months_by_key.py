"""Months by key are the sums of a key's days, always: summed by the task or not yet, late, closed, erased."""

import random
import re
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from billing.costs import cost_rows
from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.key_months import ADD, UNSUMMED, sum_key_months, tenants_to_sum
from billing.models import BillingPeriod, KeyMonthsSummed
from billing.periods import close_period, post_cost_lines
from billing.sum_checks import wrong_sums
from billing.tasks import SCHEDULE
from billing.tasks import sum_key_months as task
from core.scope import tenant_scope
from privacy.personal_data import erase_person
from tenants.models import Tenant
from tests.billing.conftest import one, rows, sum_all
from tests.concurrency import at_the_same_time, queued_behind
from tests.factories import member_of

SUMS = "sum(usage) AS usage, sum(tokens) AS tokens, sum(calls) AS calls, sum(amount) AS amount"
MONTH = "date_trunc('month', day::timestamp)::date"
PLACE = "tenant_id, project_id, key_id, model_id, period, is_unpriced"
DIFFERENT = f"""
WITH days AS (SELECT {MONTH} AS month, {PLACE}, {SUMS} FROM rollup_day GROUP BY month, {PLACE}),
     months AS (
        SELECT month, {PLACE}, {SUMS} FROM (
            SELECT month, {PLACE}, usage, tokens, calls, amount FROM rollup_key_month
            UNION ALL
            SELECT {MONTH}, {PLACE}, usage, tokens, calls, amount FROM rollup_day_folded d
             WHERE day > coalesce((SELECT through FROM key_months_summed s WHERE s.tenant_id = d.tenant_id),
                                  '-infinity')
            UNION ALL
            SELECT {MONTH}, {PLACE}, usage, tokens, calls, amount FROM rollup_delta
        ) read WHERE calls <> 0 GROUP BY month, {PLACE})
(TABLE days EXCEPT TABLE months) UNION ALL (TABLE months EXCEPT TABLE days)
"""


def different():
    return rows(DIFFERENT)


def wrong():
    return [str(each) for tenant in Tenant.objects.all() for each in wrong_sums(tenant)]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_months_by_key_are_the_sums_of_their_days(lab, some, prices, moment, seed):
    chance = random.Random(seed)
    sent = some(chance, 30)
    record_usage("gateway", sent)
    day = date(2026, 6, 30)
    for _ in range(16):
        happens = chance.choice(["late", "again", "fold", "post", "close", "sum", "sum"])
        if happens == "late":
            sent += (new := some(chance, 15))
            record_usage("gateway", new)
        elif happens == "again":
            record_usage("gateway", sent[:20])
        elif happens == "fold":
            fold_rollups()
        elif happens == "post":
            post_cost_lines(lab)
        elif happens == "sum":
            day += timedelta(days=chance.randrange(25))
            moment(day.year, day.month, day.day, 12)
            sum_all()
        elif opened := BillingPeriod.objects.in_tenant(lab).filter(state="open").order_by("month").first():
            close_period(lab, opened.month, by=None)
        assert different() == wrong() == []
    fold_rollups()
    moment(2026, 12, 1)
    sum_all()
    assert different() == wrong() == []
    assert one("SELECT sum(calls) FROM rollup_key_month") == len(sent)
    assert one("SELECT count(*) FROM rollup_key_month") == one(
        f"SELECT count(*) FROM (SELECT DISTINCT {MONTH}, {PLACE} FROM rollup_day) one"
    )


def test_only_days_that_are_over_for_the_tenant_are_summed(lab, call, keys, prices, moment):
    """At 13:00 UTC it is the 16th in Auckland: its 15th is over, and the lab's is not."""
    here, there = keys[0], keys[-1]
    # The 14th here; 23:00 of the 14th there.
    at = datetime(2026, 9, 14, 11, tzinfo=UTC)
    record_usage(
        "gateway",
        [
            call(key_id=key.pk, occurred_at=at + timedelta(days=days))
            for key in (here, there)
            for days in (0, 1, 2)
        ],
    )
    fold_rollups()
    sum_all()
    summed = dict(rows("SELECT tenant_id, through FROM key_months_summed"))
    assert summed == {lab.pk: date(2026, 9, 14), there.tenant_id: date(2026, 9, 15)}
    counted = dict(rows("SELECT key_id, sum(calls) FROM rollup_key_month GROUP BY key_id"))
    assert counted == {here.pk: 1, there.pk: 2}
    assert list(tenants_to_sum()) == []


@pytest.mark.django_db(transaction=True)
def test_late_usage_that_is_folded_while_days_are_summed_counts_once(lab, key, call, prices, moment):
    """The fold has changed the day and is not committed: summing waits for it, and sees it."""
    at = datetime(2026, 9, 14, 12, tzinfo=UTC)
    record_usage("gateway", [call(occurred_at=at)])
    fold_rollups()
    record_usage("gateway", [call(occurred_at=at, input=7)])
    assert queued_behind(lambda: sum_key_months(lab.pk), fold_rollups) is None
    assert one("SELECT sum(calls) FROM rollup_key_month") == 2
    assert different() == wrong() == []


@pytest.mark.django_db(transaction=True)
def test_a_fold_waits_for_days_that_are_being_summed_and_is_added_then(lab, key, call, prices, moment):
    at = datetime(2026, 9, 14, 12, tzinfo=UTC)
    record_usage("gateway", [call(occurred_at=at)])
    fold_rollups()
    record_usage("gateway", [call(occurred_at=at, input=7)])
    assert queued_behind(fold_rollups, lambda: sum_key_months(lab.pk)) == 1
    assert one("SELECT sum(calls) FROM rollup_key_month") == 2
    assert different() == wrong() == []


@pytest.mark.django_db(transaction=True)
def test_whoever_reads_meanwhile_sees_days_and_months_alike(lab, some, prices, moment):
    calls, seen = some(random.Random(7), 90), []
    span = (date(2026, 6, 1), date(2026, 10, 31))

    def record():
        for start in range(0, len(calls), 6):
            record_usage("gateway", calls[start : start + 6])

    def fold():
        for _ in range(12):
            fold_rollups()

    def add():
        for days in range(1, 100, 6):
            monday = datetime(2026, 6, 29) + timedelta(days=days)
            moment(monday.year, monday.month, monday.day)
            sum_all()

    def read():
        for _ in range(30):
            seen.extend(different())
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                whole = cost_rows(lab, *span, ())
                by_key = cost_rows(lab, *span, ("key",))
            seen.extend(
                [by_key]
                if sum(row["calls"] for row in by_key) != (whole or [{"calls": 0}])[0]["calls"]
                else []
            )

    assert at_the_same_time(record, fold, fold, add, add, read) == [None] * 6
    assert seen == []
    fold_rollups()
    moment(2026, 12, 1)
    sum_all()
    assert different() == wrong() == []
    assert one("SELECT sum(calls) FROM rollup_key_month") == len(calls)


def test_days_that_somebody_repairs_move_their_months(some, prices, moment):
    record_usage("gateway", some(random.Random(3), 40))
    fold_rollups()
    sum_all()
    first = "(SELECT min(day) FROM rollup_day_folded)"
    rows(
        "UPDATE rollup_day_folded SET usage = usage + 5e16, tokens = tokens + 5, calls = calls + 1 "
        f"WHERE day > {first} RETURNING 1"
    )
    assert different() == wrong() == []
    # Some across the last day that is summed.
    rows("UPDATE rollup_day_folded SET day = day + 20 RETURNING 1")
    assert different() == wrong() == []
    rows(f"DELETE FROM rollup_day_folded WHERE day > {first} RETURNING 1")
    assert different() == wrong() == []


def test_erasing_who_owned_the_keys_changes_no_sum(lab, keys, some, prices, moment, developer):
    new_owner = member_of(lab, "owner")
    record_usage("gateway", some(random.Random(5), 30))
    fold_rollups()
    sum_all()
    span = (lab, date(2026, 6, 1), date(2026, 10, 31), ("key", "month"))
    before = cost_rows(*span)
    erase_person(developer.pk, by=None, reason="They asked for it.", keys_to=new_owner)
    assert cost_rows(*span) == before
    assert different() == wrong() == []


def test_a_wrong_sum_is_found_and_named(lab, keys, call, prices, moment):
    key = keys[0]
    record_usage("gateway", [call(key_id=key.pk, occurred_at=datetime(2026, 7, 3, 12, tzinfo=UTC))])
    fold_rollups()
    sum_all()
    said = StringIO()
    call_command("verify_rollups", stdout=said)
    assert "Proved" in said.getvalue()

    rows("UPDATE rollup_key_month SET usage = usage + 1e32 RETURNING 1")
    assert [line.split(":")[0] for line in wrong()] == [
        f"rollup_key_month, tenant {lab.slug}, 2026-07, project {key.project.slug}, key {key.prefix}, aya"
    ]
    said = StringIO()
    with pytest.raises(CommandError, match="not those of their days: 1"):
        call_command("verify_rollups", tenant=lab.slug, stderr=said)
    assert f"key {key.prefix}" in said.getvalue()

    rows("DELETE FROM rollup_key_month RETURNING 1")
    assert "0 calls for 0, its days have 1 for" in wrong()[0]
    rows("UPDATE rollup_month_folded SET calls = calls + 2 RETURNING 1")
    rows("UPDATE rollup_tenant_day_folded SET amount = amount * 2 RETURNING 1")
    rows("UPDATE rollup_tenant_month_folded SET calls = calls + 1 RETURNING 1")
    assert [line.split(",")[0] for line in wrong()] == [
        "rollup_month_folded", "rollup_tenant_day_folded", "rollup_tenant_month_folded", "rollup_key_month",
    ]  # fmt: skip
    with pytest.raises(CommandError, match="no tenant nobody"):
        call_command("verify_rollups", tenant="nobody")


def test_another_tenants_months_by_key_are_out_of_reach(lab, keys, some, prices, moment):
    record_usage("gateway", some(random.Random(3), 60))
    fold_rollups()
    sum_all()
    far = keys[-1].tenant
    with tenant_scope(lab.pk):
        for table in ("rollup_key_month", "key_months_summed"):
            assert {tenant for (tenant,) in rows(f"SELECT tenant_id FROM {table}")} == {lab.pk}
            assert rows(f"DELETE FROM {table} WHERE tenant_id = %s RETURNING 1", far.pk) == []
        assert list(tenants_to_sum(far.pk)) == []


@pytest.mark.parametrize("statement", [UNSUMMED, ADD], ids=["unsummed", "add"])
def test_an_index_skips_the_days_summed_before_as_the_console_asks_it(lab, some, prices, moment, statement):
    """As a mere filter, the bound reads all days the tenant ever had, every hour, while folding waits."""
    record_usage("gateway", some(random.Random(3), 60))
    fold_rollups()
    sum_all()
    seen = {"before": date(2026, 11, 1), "through": date(2026, 10, 31), "tenant": lab.pk}
    with tenant_scope(lab.pk), connection.cursor() as cursor:
        # Else few rows are read whole whatever there is.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}", seen)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert re.search(r"Index Cond: .*\bday > ", plan), plan


def test_the_clock_sums(lab, call, prices, moment):
    record_usage("gateway", [call(occurred_at=datetime(2026, 7, 3, tzinfo=UTC))])
    fold_rollups()
    task()
    assert KeyMonthsSummed.objects.in_tenant(lab).get().through == date(2026, 7, 31)
    assert one("SELECT sum(calls) FROM rollup_key_month") == 1
    assert SCHEDULE["billing-sum-key-months"]["task"] == "billing.tasks.sum_key_months"
    task()
    assert one("SELECT sum(calls) FROM rollup_key_month") == 1
