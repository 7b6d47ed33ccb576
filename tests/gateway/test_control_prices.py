"""What gateways know of money: prices in whole nano-units, and how much of a limit is used already."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils.timezone import now

from billing.ingest import record_usage
from billing.models import BilledModel, Price, Sku
from core.ids import uuid7
from gateway import actions
from gateway.compile import compile_snapshot
from gateway.contract import PriceConfig, encode
from gateway.contract.versions import Downgrade, read_snapshot
from gateway.models import ConfigClock
from gateway.prices import nano_per_unit
from tenants.actions import set_limits
from tests.factories import CatalogModelFactory, ProjectFactory
from tests.gateway.granted import key_for
from tests.usage_records import usage_record

THIS_HOUR = now().replace(minute=0, second=0, microsecond=0)


def price(model, kind, per_million, begin=THIS_HOUR - timedelta(days=40), end=None):
    billed, _ = BilledModel.objects.get_or_create(name=model.name)
    sku, _ = Sku.objects.get_or_create(model=billed, kind=kind)
    return Price.objects.create(
        sku=sku, valid=(begin, end), per_million=Decimal(per_million), currency="USD", reason="test"
    )


@pytest.fixture
def model(db):
    return CatalogModelFactory(name="llama-4")


def test_prices_are_whole_nano_units_rounded_up():
    assert nano_per_unit(Decimal("2.50000000")) == 2500
    assert nano_per_unit(Decimal("0.00000001")) == 1
    assert nano_per_unit(Decimal("0.07500001")) == 76
    assert nano_per_unit(Decimal(0)) == 0


def test_only_models_that_are_granted_or_routed_have_prices_and_unpriced_kinds_are_absent(project, model):
    key_for(project, model)
    price(model, "input", "2.5")
    price(model, "output", "10", begin=THIS_HOUR - timedelta(days=40), end=THIS_HOUR - timedelta(hours=1))
    price(CatalogModelFactory(), "input", "1")
    assert compile_snapshot().prices == [PriceConfig(model="llama-4", nano_per_unit={"input": 2500})]


def test_every_kind_that_has_a_price_reaches_gateways(project, model):
    """Also those that are no tokens: an image, a millisecond of sound, a search; none of them vanishes by rounding."""
    key_for(project, model)
    price(model, "image_output_1024x1024", "40000")
    price(model, "audio_input_seconds", "0.00000001")
    price(model, "search", "2000")
    [told] = compile_snapshot().prices
    assert told.nano_per_unit == {
        "image_output_1024x1024": 40_000_000,
        "audio_input_seconds": 1,
        "search": 2_000_000,
    }


def test_a_gateway_of_version_1_gets_the_prices_of_its_eight_kinds(project, model):
    key_for(project, model)
    price(model, "input", "2.5")
    price(model, "search", "2000")
    only_new = CatalogModelFactory(name="searcher")
    key_for(project, only_new)
    price(only_new, "search", "2000")
    snapshot = compile_snapshot()
    assert {one.model for one in snapshot.prices} == {"llama-4", "searcher"}
    old = Downgrade(snapshot.routes).snapshot(snapshot)
    assert [(one.model, one.nano_per_token) for one in old.prices] == [("llama-4", {"input": 2500})]
    again = read_snapshot(encode(old))
    assert again.prices == [PriceConfig(model="llama-4", nano_per_unit={"input": 2500})]


def test_a_price_that_begins_by_itself_is_announced(model):
    ConfigClock.objects.create(announced_until=THIS_HOUR - timedelta(minutes=1))
    price(model, "input", "2.5", begin=THIS_HOUR)
    assert actions.announce_what_the_clock_changed() is not None


def call(key, model, at, tokens):
    return usage_record(
        event_id=uuid7(), key_id=key.pk, model=model.name, occurred_at=at, input=tokens, output=tokens
    )


def test_a_starting_gateway_is_told_what_the_ledger_has_seen_of_each_limit(project, model):
    price(model, "input", "1")
    price(model, "output", "3")
    other_project = ProjectFactory(tenant=project.tenant)
    key, second, third = key_for(project, model), key_for(project, model), key_for(other_project, model)
    moment = now()
    record_usage("test", [call(key, model, moment, 100), call(second, model, moment, 20)])
    record_usage("test", [call(third, model, moment, 3), call(key, CatalogModelFactory(), moment, 1000)])
    long_ago = moment - timedelta(days=33)
    record_usage("test", [call(key, model, long_ago, 50_000)])

    tenant = project.tenant
    set_limits(tenant, {"tokens_per_month": Decimal(9), "concurrent_calls": Decimal(2)}, by=None)
    set_limits(tenant, {"tokens_per_day": Decimal(9)}, by=None, model=model.name)
    set_limits(tenant, {"money_per_month": Decimal(9)}, by=None, project=project)
    set_limits(tenant, {"tokens_per_day": Decimal(9)}, by=None, key=second)
    told = {
        (limit.scope, limit.kind, limit.model): limit
        for key_config in compile_snapshot().keys
        for limit in key_config.limits
    }
    assert told["tenant", "tokens_per_month", None].used == 2 * (100 + 20 + 3 + 1000)
    assert told["tenant", "tokens_per_day", "llama-4"].used == 2 * (100 + 20 + 3)
    # 1 and 3 per million, in nano.
    assert told["project", "money_per_month", None].used == 120 * (1000 + 3000)
    assert told["key", "tokens_per_day", None].used == 2 * 20
    assert told["tenant", "concurrent_calls", None].used is None
    assert told["key", "tokens_per_day", None].used_as_of >= int(moment.timestamp())


def test_a_day_begins_where_the_tenant_is(project, model, monkeypatch):
    """At 01:00 in Auckland a call of 23:00 was yesterday, though in UTC both are the same day."""
    project.tenant.timezone = "Pacific/Auckland"
    project.tenant.save()
    key = key_for(project, model)
    set_limits(project.tenant, {"tokens_per_day": Decimal(9), "tokens_per_month": Decimal(9)}, by=None)
    midnight = datetime(2026, 7, 15, tzinfo=ZoneInfo("Pacific/Auckland")).astimezone(UTC)
    assert midnight.date() == date(2026, 7, 14)
    record_usage("test", [call(key, model, midnight - timedelta(hours=1), 100)])
    record_usage("test", [call(key, model, midnight + timedelta(minutes=30), 7)])
    monkeypatch.setattr("gateway.used.now", lambda: midnight + timedelta(hours=1))
    [told] = compile_snapshot().keys
    assert {limit.kind: limit.used for limit in told.limits} == {
        "tokens_per_day": 14,
        "tokens_per_month": 214,
    }


def test_one_tenants_unknown_time_zone_does_not_keep_the_configuration_from_all(project, model):
    project.tenant.timezone = "Mars/Olympus"
    project.tenant.save()
    key = key_for(project, model)
    set_limits(project.tenant, {"tokens_per_day": Decimal(9)}, by=None)
    record_usage("test", [call(key, model, now(), 100)])
    [told] = compile_snapshot().keys
    # By days of UTC, as the ledger and the gateway count.
    assert [limit.used for limit in told.limits] == [200]
