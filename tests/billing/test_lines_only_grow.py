from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.models import BillingPeriod, CostLine
from billing.periods import close_period, post_cost_lines
from billing.prices import publish_prices
from billing.tasks import post_all_cost_lines
from core.errors import Conflict
from tests.billing.conftest import NOON, one, rows
from tests.factories import ApiKeyFactory

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


def refused(sql, *parameters, match):
    with pytest.raises(DatabaseError, match=match), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


COLUMN = {"usage_event": "latency_ms", "event_key": "source", "cost_line": "quantity"}
WRITTEN_ONCE = pytest.mark.parametrize("table", ["usage_event", "event_key", "cost_line"])
CHANGES = pytest.mark.parametrize("verb", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])


@WRITTEN_ONCE
@CHANGES
def test_the_console_has_no_right_to_change_what_is_written(call, prices, lab, table, verb):
    record_usage("gateway", [call()])
    refused(verb.format(table, COLUMN[table], COLUMN[table]), match="permission denied")


@WRITTEN_ONCE
@CHANGES
@pytest.mark.as_owner
def test_what_is_written_stays_whoever_asks(call, prices, lab, table, verb):
    record_usage("gateway", [call()])
    post_cost_lines(lab, before=date.max)
    refused(verb.format(table, COLUMN[table], COLUMN[table]), match="append-only")


def test_lines_say_what_the_rollups_say(call, prices, lab):
    record_usage("gateway", [call(occurred_at=NOON + timedelta(hours=n), cache_read=n, model=("aya", "bree")[n % 2])
                             for n in range(48)])  # fmt: skip
    assert post_cost_lines(lab, before=date.max) > 0
    by_day = "day, sum(amount)"
    assert rows(f"SELECT {by_day} FROM cost_line GROUP BY day ORDER BY day") == rows(
        f"SELECT {by_day} FROM rollup_day GROUP BY day ORDER BY day"
    )


def test_posting_twice_posts_nothing(call, prices, lab):
    record_usage("gateway", [call(), call(model="bree")])
    assert post_cost_lines(lab, before=date.max) == 4
    assert post_cost_lines(lab, before=date.max) == 0


def test_late_usage_adds_a_line_beside_the_first(call, prices, lab):
    record_usage("gateway", [call(output=0)])
    post_cost_lines(lab, before=date.max)
    record_usage("gateway", [call(output=0, input=7)])
    assert post_cost_lines(lab, before=date.max) == 1
    assert rows("SELECT quantity FROM cost_line ORDER BY quantity") == [(7,), (1000,)]


def test_only_finished_days_are_posted(call, prices, lab):
    record_usage("gateway", [call(), call(occurred_at=NOON + timedelta(days=1))])
    post_cost_lines(lab, before=date(2026, 10, 15))
    assert rows("SELECT DISTINCT day FROM cost_line") == [(date(2026, 10, 14),)]
    assert BillingPeriod.objects.in_tenant(lab).get(month=OCTOBER).posted_up_to == date(2026, 10, 14)


def test_a_line_is_quantity_times_price(call, prices, lab):
    record_usage("gateway", [call()])
    post_cost_lines(lab, before=date.max)
    line = CostLine.objects.in_tenant(lab).first()
    with pytest.raises(DatabaseError, match="quantity_times_price"), transaction.atomic():
        CostLine.objects.create(tenant=lab, project=line.project, sku=line.sku, price=line.price, day=line.day,
                                period=line.period, quantity=10, per_million=Decimal(1), amount=Decimal("0.00002"),
                                source_ref="wrong")  # fmt: skip


def test_late_usage_of_a_closed_month_goes_to_the_next_open_one_at_its_own_price(call, prices, lab):
    september = NOON - timedelta(days=30)
    record_usage("gateway", [call(occurred_at=september)])
    close_period(lab, date(2026, 9, 1), by=None)
    publish_prices("aya", {"input": Decimal(99)}, valid_from=NOON, reason="Dearer", by=None)
    record_usage("gateway", [call(occurred_at=september, output=0)])
    assert rows("SELECT period, day, amount FROM usage_event ORDER BY amount LIMIT 1") == [
        (OCTOBER, september.date(), Decimal("0.0025"))
    ]
    post_cost_lines(lab, before=date.max)
    assert rows("SELECT period, sum(amount) FROM cost_line GROUP BY 1 ORDER BY 1") == [
        (date(2026, 9, 1), Decimal("0.0025") + Decimal("0.002000000002")),
        (OCTOBER, Decimal("0.0025")),
    ]


def test_when_every_later_month_is_closed_a_new_one_is_opened(call, prices, lab):
    for month in (date(2026, 8, 1), date(2026, 9, 1)):
        record_usage("gateway", [call(occurred_at=NOON.replace(month=month.month))])
        close_period(lab, month, by=None)
    record_usage("gateway", [call(occurred_at=NOON.replace(month=8))])
    assert one("SELECT count(*) FROM usage_event WHERE period = %s", OCTOBER) == 1


def test_a_closed_month_is_frozen(call, prices, lab):
    record_usage("gateway", [call(occurred_at=NOON.replace(month=9))])
    closed = close_period(lab, date(2026, 9, 1), by=None)
    assert (closed.total, closed.lines, len(closed.sha256)) == (Decimal("0.004500000002"), 2, 64)
    with pytest.raises(Conflict, match="already closed"):
        close_period(lab, date(2026, 9, 1), by=None)
    refused("UPDATE billing_period SET state = 'open', closed_at = NULL", match="append-only")
    refused("DELETE FROM billing_period", match="append-only")
    refused(
        "INSERT INTO cost_line (id, period, tenant_id, project_id, sku_id, price_id, day, quantity, per_million, "
        "amount, source_ref, posted_at) SELECT gen_random_uuid(), period, tenant_id, project_id, sku_id, price_id, "
        "day, quantity, per_million, amount, 'smuggled', now() FROM cost_line LIMIT 1",
        match="open period",
    )


def test_a_running_month_cannot_be_closed(call, prices, lab):
    BillingPeriod.objects.create(tenant=lab, month=date(2199, 1, 1))
    with pytest.raises(Conflict, match="not over"):
        close_period(lab, date(2199, 1, 1), by=None)


def test_one_tenant_whose_lines_cannot_be_posted_keeps_no_other_from_theirs(call, prices, lab):
    others = [ApiKeyFactory() for _ in range(3)]
    record_usage("gateway", [call(), call(occurred_at=NOON - timedelta(hours=1))])
    record_usage("gateway", [call(key_id=other.pk) for other in others])
    fold_rollups()
    # What must not be there, and is no number.
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rollup_hour_folded SET usage = 'NaN' WHERE tenant_id = %s", [lab.pk])
    post_all_cost_lines()
    assert {tenant for (tenant,) in rows("SELECT tenant_id FROM cost_line")} == {
        other.tenant_id for other in others
    }
