from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now

from audit.models import AuditEntry
from billing.ingest import record_usage
from billing.models import Price
from billing.prices import (
    current_prices,
    estimate_monthly_cost,
    hour_of,
    publish_price_book,
    publish_prices,
)
from gateway.prices import prices_of
from tests.billing.conftest import NOON, PRICED_SINCE, PRICES, one


def refused(sql, *parameters, match):
    with pytest.raises(DatabaseError, match=match), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def test_the_database_refuses_overlapping_prices(prices):
    refused(
        "INSERT INTO price (id, sku_id, valid, per_million, currency, reason, created_at) SELECT gen_random_uuid(), "
        "sku_id, '[2026-05-01 00:00+00,2026-06-01 00:00+00)', 1, 'USD', 'x', now() FROM price LIMIT 1",
        match="price_ranges_do_not_overlap",
    )


@pytest.mark.parametrize("change", ["per_million = 0", "currency = 'EUR'", "reason = 'y'",
                                    "valid = tstzrange('2026-01-01 05:00+00', NULL)",
                                    "valid = tstzrange('2025-01-01 00:00+00', '2026-06-01 00:00+00')"])  # fmt: skip
def test_a_price_is_never_edited(prices, change):
    refused(f"UPDATE price SET {change}", match="never edited")


def test_a_price_is_never_deleted(prices):
    refused("DELETE FROM price", match="never deleted")


def test_a_closed_range_cannot_be_moved(prices):
    publish_prices("aya", {"input": Decimal(9)}, valid_from=NOON, reason="Next", by=None)
    refused("UPDATE price SET valid = tstzrange(lower(valid), '2026-09-01 00:00+00') WHERE NOT upper_inf(valid)",
            match="never edited")  # fmt: skip


def test_prices_hold_for_whole_hours(prices):
    refused("UPDATE price SET valid = tstzrange(lower(valid), '2026-09-01 00:30+00')", match="whole_hours")
    with pytest.raises(ValidationError, match="whole hour"):
        publish_prices("aya", PRICES, valid_from=NOON + timedelta(minutes=1), reason="x", by=None)


def test_usage_that_is_priced_keeps_its_price(call, prices):
    record_usage("gateway", [call()])
    refused("UPDATE price SET valid = tstzrange(lower(valid), '2026-10-14 12:00+00')", match="priced already")
    with pytest.raises(ValidationError, match="2026-10-14 13:00 UTC"):
        publish_prices("aya", {"input": Decimal(9)}, valid_from=NOON, reason="Next", by=None)
    publish_prices("aya", {"input": Decimal(9)}, valid_from=NOON + timedelta(hours=1), reason="Next", by=None)


def test_a_kind_cannot_get_a_price_for_hours_that_are_billed(call, prices):
    """A request fee from last week on would change what those calls cost."""
    record_usage("gateway", [call()])
    with pytest.raises(ValidationError, match="13:00 UTC"):
        publish_prices("aya", PRICES | {"request": Decimal(5000)}, valid_from=NOON, reason="Fee", by=None)
    refused(
        "WITH fee AS (INSERT INTO sku (model_id, kind) SELECT id, 'request' FROM billed_model WHERE name = 'aya' "
        "RETURNING id) INSERT INTO price (id, sku_id, valid, per_million, currency, reason, created_at) "
        "SELECT gen_random_uuid(), id, '[2026-10-14 12:00+00,)', 1, 'USD', 'x', now() FROM fee",
        match="priced already",
    )


def test_unpriced_usage_does_not_stand_in_the_way(call):
    record_usage("gateway", [call()])
    publish_prices("aya", PRICES, valid_from=PRICED_SINCE, reason="At last", by=None)
    # What is recorded stays as it is.
    assert one("SELECT is_unpriced FROM usage_event") is True


def test_kinds_fall_back_in_writing(prices):
    written = {price.sku.kind: (price.per_million, price.same_as)
               for price in Price.objects.filter(sku__model__name="aya").select_related("sku")}  # fmt: skip
    assert written["cache_read"] == (Decimal("0.25"), None)
    assert written["cache_write"] == (Decimal("2.5"), "input")
    assert written["reasoning"] == (Decimal("10.00000001"), "output")
    assert set(written) == {"input", "cache_read", "cache_write", "output", "reasoning"}


def test_publishing_the_same_book_again_does_nothing(db):
    book = [(f"model-{n}", {"input": Decimal(n), "output": Decimal(2 * n)}) for n in range(1, 30)]
    first = publish_price_book(book, valid_from=PRICED_SINCE, reason="Book")
    assert (first.first, first.changed, first.unchanged) == (29 * 5, 0, 0)
    audited = AuditEntry.objects.across_tenants().count()
    second = publish_price_book(book, valid_from=PRICED_SINCE, reason="Book")
    assert (second.first, second.changed, second.withdrawn, second.unchanged) == (0, 0, 0, 29 * 5)
    assert AuditEntry.objects.across_tenants().count() == audited


def test_a_changed_book_closes_at_the_next_hour_and_goes_on(db):
    publish_price_book([("aya", PRICES)], valid_from=PRICED_SINCE, reason="Book")
    report = publish_price_book([("aya", PRICES | {"output": Decimal(11)})], reason="Book 2")
    # Output, and reasoning with it.
    assert (report.changed, report.unchanged) == (2, 3)
    next_hour = hour_of(now()) + timedelta(hours=1)
    ranges = [price.valid for price in Price.objects.filter(sku__kind="output").order_by("pk")]
    assert [(r.lower, r.upper) for r in ranges] == [(PRICED_SINCE, next_hour), (next_hour, None)]


@pytest.mark.parametrize("price", ["0.00000055", "550000", "-1", "NaN"])
def test_a_price_per_token_in_a_field_per_million_is_refused(db, price):
    with pytest.raises(ValidationError, match="price"):
        publish_prices("aya", {"input": Decimal(price)}, valid_from=PRICED_SINCE, reason="Typo", by=None)
    report = publish_price_book([("aya", {"input": Decimal(price)}), ("bree", PRICES)], reason="Typo")
    assert [name for name, _ in report.refused] == ["aya"]
    # Bree begins at the next hour.
    assert set(current_prices(["aya", "bree"])) == set()


def test_only_who_may_publishes_prices(db, developer, operator):
    with pytest.raises(PermissionDenied, match="publish prices"):
        publish_prices("aya", PRICES, valid_from=PRICED_SINCE, reason="Mine", by=developer)
    publish_prices("aya", PRICES, valid_from=PRICED_SINCE, reason="Ours", by=operator)
    entry = AuditEntry.objects.across_tenants().get(verb="prices.published")
    assert (entry.actor, entry.details["per_million"]["input"]) == (operator, "2.5")


def test_prices_are_asked_for_in_one_query(prices, django_assert_num_queries):
    with django_assert_num_queries(1):
        answer = current_prices(["aya", "bree", "stranger"])
    assert set(answer) == {"aya", "bree"}
    assert answer["aya"]["output"] == Decimal("10.00000001")


def test_an_estimate_has_a_range_and_an_unpriced_model_has_none(prices):
    estimate = estimate_monthly_cost("aya", 1_000_000)
    assert estimate.amount == 30 * (
        Decimal("0.75") * Decimal("2.5") + Decimal("0.25") * Decimal("10.00000001")
    )
    assert estimate.low < estimate.amount < estimate.high
    assert estimate_monthly_cost("stranger", 1_000_000) is None


def test_gateways_get_whole_numbers_rounded_up(prices):
    [aya] = prices_of(["aya"])
    assert aya.nano_per_unit["input"] == 2500
    assert aya.nano_per_unit["output"] == 10_001


def test_a_billed_tenant_keeps_its_currency(call, prices, lab):
    record_usage("gateway", [call()])
    refused("UPDATE tenants_tenant SET currency = 'EUR' WHERE id = %s", lab.pk, match="keeps its currency")
