"""Kinds of usage are rows that stay, and usage of all kinds is one number that adds up kind by kind."""

from datetime import date
from decimal import Decimal

import pytest
import structlog
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing import known_kinds
from billing.costs import cost_report, cost_rows
from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.kinds import DECLARED
from billing.known_kinds import all_kinds, kinds_named, make_declared_kinds, quantities_of, unknown_kinds
from billing.models import UsageEvent, UsageKind
from billing.packed_usage import PLACES, pack, unpack
from billing.periods import post_cost_lines
from billing.prices import publish_prices
from billing.tasks import post_all_cost_lines
from tests.billing.conftest import NOON, PRICED_SINCE, one, rows

counts = st.dictionaries(st.integers(1, 40), st.integers(1, 2**40), max_size=8)


@given(counts, counts)
def test_packed_usage_adds_up_and_subtracts_kind_by_kind(some, others):
    both = {kind: some.get(kind, 0) + others.get(kind, 0) for kind in some | others}
    assert unpack(str(pack(some) + pack(others))) == both
    assert unpack(str(pack(both) - pack(others))) == some
    assert unpack(f"{Decimal(pack(some)):f}") == some


def test_a_difference_that_takes_more_than_there_was_is_an_error():
    with pytest.raises(ValueError, match="negative"):
        unpack(str(pack({2: 5}) - pack({2: 6})))


@pytest.mark.django_db
def test_postgresql_packs_and_unpacks_as_python_does():
    for kind in all_kinds():
        assert one("SELECT place FROM usage_kind WHERE id = %s", kind.id) == pack({kind.id: 1})
    packed = pack({kind.id: 10**PLACES - kind.id for kind in all_kinds()})
    for kind in all_kinds():
        assert one("SELECT usage_count(%s, %s)", packed, kind.name) == 10**PLACES - kind.id


@pytest.mark.django_db
def test_migrate_makes_the_kinds_of_the_code_once():
    assert [kind.name for kind in all_kinds()] == [one.kind for one in DECLARED]
    before = list(UsageKind.objects.order_by("pk").values())
    make_declared_kinds()
    assert list(UsageKind.objects.order_by("pk").values()) == before


@pytest.mark.django_db
def test_a_gateways_kind_that_the_code_learns_later_is_described(monkeypatch):
    kinds_named(["hologram"])
    later = DECLARED[1]._replace(kind="hologram")
    monkeypatch.setattr(known_kinds, "DECLARED", (*DECLARED, later))
    assert unknown_kinds() == ["hologram"]
    make_declared_kinds()
    assert unknown_kinds() == []
    assert UsageKind.objects.get(name="hologram").unit == "token"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE usage_kind SET name = 'inputs' WHERE name = 'input'",
        "UPDATE usage_kind SET scale = 1000 WHERE name = 'input'",
        "UPDATE usage_kind SET id = 99 WHERE name = 'hologram'",
        "UPDATE usage_kind SET name = 'holograms' WHERE name = 'hologram'",
        "DELETE FROM usage_kind WHERE name = 'hologram'",
    ],
)
def test_a_kind_stays_as_it_is(statement):
    kinds_named(["hologram"])
    with pytest.raises(DatabaseError, match="stays as it is"), transaction.atomic():
        rows(f"{statement} RETURNING 1")


@pytest.mark.django_db
def test_calls_of_every_kind_are_priced_posted_and_shown(lab, call):
    kinds = [str(one.kind) for one in DECLARED if one.kind != "request"]
    prices = {kind: Decimal(number) for number, kind in enumerate(kinds, start=1)}
    publish_prices("aya", prices, valid_from=PRICED_SINCE, reason="All", by=None)
    used = {kind: 10**number for number, kind in enumerate(kinds[:9])} | dict.fromkeys(kinds[9:], 7)
    record_usage("gateway", [call(usage=used, input=0, output=0), call(usage=used, input=0, output=0)])
    cost = sum(2 * count * prices[kind] for kind, count in used.items()) / 1_000_000
    assert one("SELECT sum(amount) FROM rollup_day") == cost
    fold_rollups()
    for table in ("rollup_hour", "rollup_day", "rollup_month", "rollup_tenant_day", "rollup_tenant_month"):
        assert quantities_of(str(one(f"SELECT sum(usage) FROM {table}"))) == {"request": 2} | {
            kind: 2 * count for kind, count in used.items()
        }
    tokens = sum(used[one.kind] for one in DECLARED if one.unit == "token")
    assert one("SELECT sum(tokens) FROM rollup_day") == 2 * tokens
    (row,) = cost_rows(lab, date(2026, 10, 1), date(2026, 10, 31), ())
    assert (row["cost"], row["tokens"], row["quantities"]["search"]) == (cost, 2 * tokens, 14)
    report = cost_report(lab, date(2026, 10, 1), date(2026, 10, 31))
    assert {kind.kind: (kind.quantity, kind.cost) for kind in report.by_kind} == {
        kind: (2 * count, 2 * count * prices[kind] / 1_000_000) for kind, count in used.items()
    }
    post_cost_lines(lab, before=date.max)
    assert one("SELECT sum(amount) FROM cost_line") == cost
    assert one("SELECT count(*) FROM cost_line") == len(used)


@pytest.mark.django_db
def test_a_call_that_used_one_kind_without_a_price_is_not_priced_at_all(call, prices):
    record_usage("gateway", [call(usage={"search": 1}), call()])
    assert rows("SELECT is_unpriced, amount IS NULL FROM usage_event ORDER BY 1") == [
        (False, False),
        (True, True),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "usage",
    [{"request": 2}, {"input": True + 0.5}, {"input": 2**31}, {"Input": 1}, {"": 1}, {"x" * 41: 1}, {7: 1}],
    ids=str,
)
def test_usage_that_makes_no_sense_is_quarantined(call, usage):
    receipt = record_usage("gateway", [call()._replace(usage=usage), call()])
    assert (receipt.recorded, receipt.quarantined) == (1, 1)


@pytest.mark.django_db
def test_the_same_call_beside_calls_of_other_kinds_is_the_same_call(call):
    first = call(reasoning=3)
    record_usage("gateway", [first])
    again = first._replace(usage=dict(reversed(first.usage.items())) | {"audio": 0})
    receipt = record_usage("gateway", [again, call(usage={"page": 3, "search": 1})])
    assert (receipt.recorded, receipt.repeated) == (1, 1)


@pytest.mark.django_db
def test_a_source_may_say_that_a_call_is_no_request(call):
    record_usage("gateway", [call(usage={"request": 0}), call(status="error"), call()])
    said = [event.quantities.get("request", 0) for event in UsageEvent.objects.across_tenants()]
    assert sorted(said) == [0, 0, 1]


@pytest.mark.django_db
def test_no_sum_runs_into_the_next_kind(call, prices):
    record_usage("gateway", [call()])
    fold_rollups()
    with pytest.raises(DatabaseError, match="usage_fits"), transaction.atomic():
        rows("UPDATE rollup_day_folded SET tokens = 10000000000000000 RETURNING 1")


@pytest.mark.django_db
def test_kinds_that_nobody_described_raise_the_alarm_every_hour():
    kinds_named(["hologram"])
    with structlog.testing.capture_logs() as logs:
        post_all_cost_lines()
    alarms = [line for line in logs if line["event"] == "usage_kinds_not_described"]
    assert [(line["log_level"], line["kinds"]) for line in alarms] == [("error", ["hologram"])]


@pytest.mark.django_db(transaction=True)
def test_a_kind_of_a_transaction_that_was_undone_is_not_remembered(key, call):
    with transaction.atomic():
        record_usage("gateway", [call(usage={"hologram": 1})])
        transaction.set_rollback(True)
    assert unknown_kinds() == []
    record_usage("gateway", [call(occurred_at=NOON, usage={"page": 1, "hologram": 2})])
    assert UsageEvent.objects.across_tenants().get().quantities["hologram"] == 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_kind WHERE name = 'hologram'")
        assert cursor.fetchone() == (1,)
