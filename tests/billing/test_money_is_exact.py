from datetime import UTC, datetime, timedelta
from decimal import Decimal, Inexact, localcontext

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ingest import record_usage
from billing.prices import publish_prices
from billing.usage import LARGEST
from core.ids import uuid7
from tests.billing.conftest import NOON, PRICED_SINCE, one, rows
from tests.usage_records import TOKEN_KINDS

many = st.integers(0, 100_000) | st.integers(2**26 - 2, 2**26 + 2) | st.integers(0, LARGEST)
price = st.decimals(Decimal("0.0001"), Decimal(100), places=8) | st.decimals(
    Decimal(100), Decimal(100_000), places=8
)
calls = st.lists(
    st.fixed_dictionaries({kind: st.one_of(st.just(0), many) for kind in TOKEN_KINDS})
    | st.fixed_dictionaries({"status": st.sampled_from(["ok", "error"]), "input": many}),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prices=st.dictionaries(st.sampled_from([*TOKEN_KINDS, "request"]), price, min_size=1),
    batch=calls,
)
def test_amounts_equal_an_independent_oracle_to_the_last_digit(call, prices, batch):
    """Python's decimals with Inexact trapped say what each call costs; the ledger must say the same."""
    model = f"m-{uuid7()}"
    publish_prices(model, prices, valid_from=PRICED_SINCE, reason="Test", by=None)
    costs = {
        "cache_read": prices.get("input"),
        "cache_write": prices.get("input"),
        "reasoning": prices.get("output"),
    }
    costs = {kind: value for kind, value in costs.items() if value is not None} | prices
    expected = []
    with localcontext(prec=60, traps=[Inexact]):
        for used in batch:
            used = {kind: number for kind, number in used.items() if number and kind != "status"} | {
                "request": 0 if used.get("status") == "error" else 1
            }
            missing = [kind for kind in used if kind not in costs and kind != "request" and used[kind]]
            total = sum((used[kind] * costs.get(kind, Decimal(0)) for kind in used), Decimal(0)).scaleb(-6)
            expected.append(None if missing else total)
    record_usage("oracle", [call(**{"input": 0, "output": 0, "model": model} | used) for used in batch])

    where = "model_id = (SELECT id FROM billed_model WHERE name = %s)"
    recorded = [amount for (amount,) in rows(f"SELECT amount FROM usage_event WHERE {where}", model)]
    key = lambda amount: (amount is None, amount or 0)  # noqa: E731
    assert sorted(recorded, key=key) == sorted(expected, key=key)
    total = sum(amount for amount in expected if amount is not None)
    for table in ("rollup_hour", "rollup_day", "cost_detail"):
        assert (one(f"SELECT sum(amount) FROM {table} WHERE {where}", model) or 0) == total
    unpriced = expected.count(None)
    assert (one(f"SELECT sum(calls) FROM rollup_day WHERE is_unpriced AND {where}", model) or 0) == unpriced


def test_a_call_without_a_price_is_flagged_and_never_costs_zero(call, prices):
    record_usage("gateway", [call(model="stranger"), call(image=5), call()])
    assert one("SELECT count(*) FROM usage_event WHERE is_unpriced AND amount IS NULL") == 2
    aya = "model_id = (SELECT id FROM billed_model WHERE name = 'aya')"
    by_priced = rows(f"SELECT is_unpriced, calls, amount IS NULL FROM rollup_day WHERE {aya} ORDER BY 1")
    assert by_priced == [(False, 1, False), (True, 1, True)]


def test_another_currency_than_the_tenants_is_not_a_price(call, lab):
    publish_prices("aya", {"input": Decimal(1), "output": Decimal(2)}, valid_from=PRICED_SINCE, currency="EUR",
                   reason="Euro", by=None)  # fmt: skip
    record_usage("gateway", [call()])
    assert one("SELECT is_unpriced FROM usage_event") is True


def test_each_hour_has_its_own_price(call, prices):
    publish_prices("aya", {"input": Decimal(5)}, valid_from=NOON, reason="Dearer", by=None)
    record_usage("gateway", [call(output=0, occurred_at=NOON - timedelta(microseconds=1)), call(output=0)])
    assert rows("SELECT amount FROM usage_event ORDER BY occurred_at") == [
        (Decimal("0.0025"),),
        (Decimal("0.005"),),
    ]


@pytest.mark.parametrize(
    ("zone", "moment", "day", "period"),
    [
        ("UTC", datetime(2026, 9, 30, 23, 59, tzinfo=UTC), "2026-09-30", "2026-09-01"),
        ("Europe/Berlin", datetime(2026, 9, 30, 22, 0, tzinfo=UTC), "2026-10-01", "2026-10-01"),
        ("America/New_York", datetime(2026, 10, 1, 3, 59, tzinfo=UTC), "2026-09-30", "2026-09-01"),
        ("Asia/Kolkata", datetime(2026, 9, 30, 18, 29, tzinfo=UTC), "2026-09-30", "2026-09-01"),
        ("Asia/Kolkata", datetime(2026, 9, 30, 18, 30, tzinfo=UTC), "2026-10-01", "2026-10-01"),
        # 23-hour day.
        (
            "Europe/Berlin",
            datetime(2026, 3, 28, 23, 30, tzinfo=UTC),
            "2026-03-29",
            "2026-03-01",
        ),
        ("Europe/Berlin", datetime(2026, 3, 29, 22, 0, tzinfo=UTC), "2026-03-30", "2026-03-01"),
        ("Pacific/Kiritimati", datetime(2026, 10, 31, 10, 0, tzinfo=UTC), "2026-11-01", "2026-11-01"),
    ],
)
def test_days_and_months_begin_at_the_tenants_midnight(call, lab, prices, zone, moment, day, period):
    lab.timezone = zone
    lab.save()
    record_usage("gateway", [call(occurred_at=moment)])
    for table in ("usage_event", "rollup_hour", "rollup_day"):
        assert rows(f"SELECT day::text, period::text FROM {table}") == [(day, period)]


def test_rollups_are_the_sum_of_the_events(call, prices, lab):
    lab.timezone = "Asia/Kolkata"
    lab.save()
    record_usage("gateway", [
        call(model=("aya", "bree", "stranger")[n % 3], input=n, cache_read=n % 7, output=n * 3, reasoning=n % 5,
             status=("ok", "error", "cancelled")[n % 11 % 3], occurred_at=NOON + timedelta(minutes=11 * n))
        for n in range(500)
    ])  # fmt: skip
    sums = "sum(usage), sum(amount)"
    keys = "period, tenant_id, project_id, model_id, day, is_unpriced"
    events = rows(f"SELECT {keys}, {sums}, count(*) FROM usage_event GROUP BY {keys} ORDER BY {keys}")
    for table in ("rollup_hour", "rollup_day"):
        assert (
            rows(f"SELECT {keys}, {sums}, sum(calls) FROM {table} GROUP BY {keys} ORDER BY {keys}") == events
        )
