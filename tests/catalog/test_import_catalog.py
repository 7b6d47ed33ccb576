"""Importing the public price map."""

from __future__ import annotations

import codecs
import gzip
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from audit.models import AuditEntry
from billing.demo_rule import DEMO_MODELS
from billing.models import Price
from billing.prices import publish_prices
from catalog.actions import accept_entries, publish_models, start_import
from catalog.models import CatalogImport, CatalogModel, Offer
from catalog.price_map.reading import UnreadableFile
from catalog.price_map.vendor import VENDORED, read_text
from catalog.prices import list_prices
from core.text_files import text_of
from tests.catalog.price_maps import GOOD, run


def model(name):
    return CatalogModel.objects.get(name=name)


def test_offers_of_several_providers_and_regions_become_one_model(db):
    report = run(
        {
            "gpt-4o": GOOD,
            "azure/gpt-4o": GOOD | {"litellm_provider": "azure"},
            "azure/eu/gpt-4o": GOOD | {"litellm_provider": "azure", "input_cost_per_token": 2.75e-06},
            "openrouter/openai/gpt-4o": GOOD | {"litellm_provider": "openrouter"},
        }
    )
    assert (report.added, report.models_added) == (4, 1)
    gpt = model("gpt-4o")
    assert (gpt.title, gpt.maker, gpt.providers, gpt.regions) == (
        "GPT-4o",
        "OpenAI",
        ["azure", "openai", "openrouter"],
        ["eu"],
    )
    assert gpt.offers.get(is_primary=True).source_key == "gpt-4o"


@pytest.mark.parametrize(
    ("key", "provider", "place"),
    [
        ("azure/eu/gpt-4o-2024-08-06", "azure", ("azure", "eu", "gpt-4o-2024-08-06")),
        ("bedrock/us-east-1/anthropic.claude-v2:1", "bedrock", ("bedrock", "us-east-1", "claude-v2-1")),
        (
            "eu.anthropic.claude-3-5-sonnet-20240620-v1:0",
            "bedrock_converse",
            ("bedrock", "eu", "claude-3-5-sonnet-20240620"),
        ),
        ("openai.gpt-oss-120b-1:0", "bedrock_converse", ("bedrock", "", "gpt-oss-120b")),
        ("amazon.nova-micro-v1:0", "bedrock_converse", ("bedrock", "", "nova-micro-v1")),
        (
            "together_ai/meta-llama/Llama-3.3-70B-Instruct",
            "together_ai",
            ("together_ai", "", "llama-3.3-70b-instruct"),
        ),
        (
            "fireworks_ai/accounts/fireworks/models/llama-v3p3-70b-instruct",
            "fireworks_ai",
            ("fireworks_ai", "", "llama-3.3-70b-instruct"),
        ),
        ("vertex_ai/openai/gpt-oss-120b-maas", "vertex_ai-openai_models", ("vertex_ai", "", "gpt-oss-120b")),
        ("azure/high/1024-x-1536/gpt-image-1", "azure", ("azure", "", "gpt-image-1")),
        ("tavily/search", "tavily", ("tavily", "", "tavily-search")),
        ("vertex_ai/claude-3-5-haiku@20241022", "vertex_ai", ("vertex_ai", "", "claude-3-5-haiku-20241022")),
    ],
)
def test_a_key_says_provider_region_and_public_name(db, key, provider, place):
    run({key: GOOD | {"litellm_provider": provider}})
    offer = Offer.objects.select_related("model").get()
    assert (offer.provider, offer.region, offer.model.name) == place


def test_prices_are_exact_and_per_million(db):
    text = (
        '{"m-1": {"litellm_provider": "p", "mode": "chat", "input_cost_per_token": 3.7e-08,'
        ' "output_cost_per_token": 0.00000030000000000000004, "cache_read_input_token_cost": 1.23456789e-6}}'
    )
    run(text)
    assert Offer.objects.get().prices == {
        "input": "0.03700000",
        "output": "0.30000000",
        "cache_read": "1.23456789",
    }
    assert list_prices(["m-1"])["m-1"]["output"] == Decimal("0.30000000")


def test_a_missing_price_is_unpriced_and_not_free(db):
    report = run({"p/m-1": {"litellm_provider": "p", "mode": "chat"}})
    assert report.models_unpriced == 1
    assert Offer.objects.get().prices == {}
    assert list_prices(["m-1"]) == {}


def test_a_stated_zero_stays_zero_but_an_offer_of_only_zeros_sets_no_list_price(db):
    run(
        {
            "p/embed-1": GOOD | {"litellm_provider": "p", "mode": "embedding", "output_cost_per_token": 0.0},
            "sub/m-2": GOOD
            | {"litellm_provider": "sub", "input_cost_per_token": 0, "output_cost_per_token": 0},
        }
    )
    prices = list_prices(["embed-1", "m-2"])
    assert list(prices) == ["embed-1"]
    assert (prices["embed-1"]["input"], prices["embed-1"]["output"]) == (Decimal("2.5"), Decimal(0))
    assert Offer.objects.get(source_key="sub/m-2").prices == {"input": "0.00000000", "output": "0.00000000"}


def test_an_absent_flag_is_unknown_and_not_false(db):
    run({"m-1": GOOD | {"supports_vision": True, "supports_web_search": False, "supports_new_thing": True}})
    assert model("m-1").capabilities == {"vision": True, "web_search": False, "new_thing": True}


def test_importing_publishes_nothing_and_nobody_publishes_what_is_past_its_date(db):
    run(
        {
            "old-1": GOOD | {"deprecation_date": "2026-11-20"},
            "new-1": GOOD | {"deprecation_date": "2099-01-31"},
            "p/mixed-1": GOOD | {"litellm_provider": "p", "deprecation_date": "2025-01-01"},
            "q/mixed-1": GOOD | {"litellm_provider": "q"},
        }
    )
    assert set(CatalogModel.objects.values_list("lifecycle", flat=True)) == {"draft"}
    assert (model("new-1").deprecation_date, model("mixed-1").deprecation_date) == (date(2099, 1, 31), None)
    done = publish_models(CatalogModel.objects.values_list("pk", flat=True), by=None, despite="test")
    assert sorted(done.names) == ["mixed-1", "new-1"]
    assert list(done.refused) == ["old-1"]
    assert model("mixed-1").offers.get(is_primary=True).source_key == "q/mixed-1"
    assert set(CatalogModel.objects.published().values_list("name", flat=True)) == {"new-1", "mixed-1"}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"input_cost_per_token": "0.0025"}, 'has "0.0025" in input_cost_per_token, which is not a number'),
        ({"input_cost_per_token": True}, "which is not a number"),
        ({"output_cost_per_token": -1e-06}, "has a negative number in output_cost_per_token"),
        ({"input_cost_per_token": 0.0025}, "has an implausible price in input_cost_per_token"),
        ({"input_cost_per_token_batches": "free"}, "in input_cost_per_token_batches, which is not a number"),
        ({"max_input_tokens": "128k"}, 'has "128k" in max_input_tokens'),
        ({"max_input_tokens": 0.5}, "which is not a whole number of tokens"),
        ({"supports_vision": "yes"}, "in supports_vision, which is not true or false"),
        ({"deprecation_date": "31.01.2027"}, "in deprecation_date, which is not a date like"),
        ({"deprecation_date": "2027-02-30"}, "in deprecation_date, which is not a date like"),
        ({"litellm_provider": None}, "names no provider"),
        ({"mode": ["chat"]}, "has a mode that is not one lower-case word"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_reason_and_the_others_are_imported(db, wrong, reason):
    report = run({"bad-1": GOOD | wrong, "good-1": GOOD})
    assert list(report.refused) == ["bad-1"]
    assert reason in report.refused["bad-1"]
    assert list(CatalogModel.objects.values_list("name", flat=True)) == ["good-1"]


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('{"m-1": "gpt", "good-1": %s}', "m-1", "is not an object"),
        ('{"///": %s, "good-1": %s}', "///", "does not give a public model name"),
        ('{"m-1": %s, "m-1": %s, "good-1": %s}', "m-1", "is in the file more than once"),
        (
            '{"m-1": {"litellm_provider": "p", "input_cost_per_token": NaN}, "good-1": %s}',
            "m-1",
            "which is not a number",
        ),
        (
            '{"m-1": {"litellm_provider": "p", "input_cost_per_token": 1e-99999999}, "good-1": %s}',
            "m-1",
            "too large",
        ),
    ],
)
def test_an_entry_of_unknown_shape_is_refused(db, text, key, reason):
    report = run(text.replace("%s", json.dumps(GOOD)))
    assert reason in report.refused[key]
    assert CatalogModel.objects.filter(name="good-1").exists()


@pytest.mark.parametrize("text", ["", "not json", "[]", '"text"', "{}", "[" * 100_000])
def test_a_file_that_is_not_an_object_of_models_is_refused_whole(db, text):
    with pytest.raises(UnreadableFile):
        run(text)
    assert not CatalogModel.objects.exists()


def test_importing_again_changes_nothing(db):
    entries = {"gpt-4o": GOOD, "azure/gpt-4o": GOOD | {"litellm_provider": "azure"}, "sample_spec": {}}
    run(entries)
    before = list(CatalogModel.objects.values()), list(Offer.objects.order_by("pk").values())
    report = run(entries)
    assert (report.added, report.changed, report.unchanged, report.models_changed) == (0, 0, 2, 0)
    assert report.prices_published == 0
    assert report.ignored == 1
    assert (list(CatalogModel.objects.values()), list(Offer.objects.order_by("pk").values())) == before


def test_a_changed_price_is_reported_and_holds_from_the_next_hour_on(db):
    run({"gpt-4o": GOOD})
    report = run({"gpt-4o": GOOD | {"input_cost_per_token": 2e-06}})
    assert (report.added, report.changed, report.models_changed) == (0, 1, 0)
    assert list_prices(["gpt-4o"])["gpt-4o"]["input"] == Decimal("2.5")
    after = Price.objects.get(sku__model__name="gpt-4o", sku__kind="input", valid__upper_inf=True)
    assert after.per_million == Decimal(2)
    assert after.valid.lower > now()


def test_an_entry_that_says_everything_else_leaves_the_same_rows_as_one_that_is_new(db):
    other = {
        "litellm_provider": "mistral",
        "mode": "completion",
        "max_input_tokens": 32000,
        "max_output_tokens": 8000,
        "supports_vision": True,
        "supported_regions": ["eu-west-1"],
        "deprecation_date": "2099-01-31",
        "source": "https://example.com/prices",
        "input_cost_per_token": 1e-06,
    }
    run({"was": GOOD})
    CatalogModel.objects.filter(name="was").update(updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    run({"was": other, "new": other})
    own = {
        "id",
        "name",
        "title",
        "model_id",
        "source_key",
        "digest",
        "provenance",
        "search",
        "created_at",
        "updated_at",
        # Changed prices begin at the next hour.
        "list_input_price",
        "list_output_price",
    }
    for table in (CatalogModel, Offer):
        was, new = (
            {name: value for name, value in row.items() if name not in own}
            for row in table.objects.order_by("pk").values()
        )
        assert was == new
    assert model("was").updated_at > datetime(2026, 1, 1, tzinfo=UTC)
    assert model("was").provenance.keys() == model("new").provenance.keys()
    assert model("was").context_tokens == 32000


def test_a_price_that_a_person_published_is_kept(operator):
    run({"gpt-4o": GOOD})
    next_hour = now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    house = {"input": Decimal(3), "output": Decimal(12)}
    publish_prices("gpt-4o", house, valid_from=next_hour, reason="Our margin.", by=operator)
    run({"gpt-4o": GOOD | {"input_cost_per_token": 2e-06}})
    after = Price.objects.get(sku__model__name="gpt-4o", sku__kind="input", valid__upper_inf=True)
    assert after.per_million == Decimal(3)


def test_first_prices_can_hold_from_before_the_import_for_usage_of_the_past(db):
    since = datetime(2026, 8, 1, tzinfo=UTC)
    run({"gpt-4o": GOOD}, prices_from=since)
    assert Price.objects.get(sku__model__name="gpt-4o", sku__kind="input").valid.lower == since


def test_a_partial_file_takes_nothing_away(db):
    run({"gpt-4o": GOOD, "o3-mini": GOOD})
    report = run({"gpt-4o": GOOD})
    assert (report.absent, report.held) == (1, 0)
    assert model("o3-mini").offer_count == 1


def test_only_those_who_publish_models_import_and_the_audit_log_says_so(operator, developer):
    with pytest.raises(PermissionDenied, match="publish models"):
        run({"gpt-4o": GOOD}, by=developer)
    run({"gpt-4o": GOOD}, by=operator)
    line = AuditEntry.objects.across_tenants().get(verb="catalog.imported")
    assert (line.actor, line.details["added"]) == (operator, 1)


def test_the_command_reports_and_fails_in_words(db, tmp_path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"gpt-4o": GOOD, "bad-1": GOOD | {"mode": 3}}))
    out = StringIO()
    call_command("import_catalog", str(file), stdout=out, accept=True)
    assert "1 added, 0 changed, 0 unchanged, 1 refused" in out.getvalue()
    assert "refused: 'bad-1' has a mode" in out.getvalue()
    assert CatalogImport.objects.get().refused == {"bad-1": "has a mode that is not one lower-case word"}
    file.write_text("[1]")
    with pytest.raises(CommandError, match="nothing was changed"):
        call_command("import_catalog", str(file), stdout=out)
    with pytest.raises(CommandError, match="Cannot read"):
        call_command("import_catalog", str(tmp_path / "absent.json"), stdout=out)


def test_the_copy_that_comes_with_this_version_holds_the_demo_models_with_prices(db):
    imported = start_import(read_text(VENDORED), file_name=VENDORED.name, by=None)
    assert imported.counts["added"] > 4000
    assert len(imported.refused) < 10
    assert imported.counts["held"] < 400
    accept_entries(imported.pk, by=None, may_take_held=True)
    wanted = [*DEMO_MODELS, "bge-m3"]
    prices = list_prices(wanted)
    assert sorted(prices) == sorted(wanted)
    assert all(kinds["input"] > 0 for kinds in prices.values())
    publish_models(CatalogModel.objects.values_list("pk", flat=True), by=None, despite="test")
    assert CatalogModel.objects.published().filter(name__in=wanted).count() == len(wanted)


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_price_map_that_windows_tools_saved_is_read(db, tmp_path, encoding, packed):
    price_map = tmp_path / "prices.json"
    text = json.dumps({"gpt-4o": GOOD}, indent=1).replace("\n", "\r\n")
    price_map.write_bytes(packed(text.encode(encoding)))
    call_command("import_catalog", str(price_map), stdout=StringIO(), accept=True)
    assert model("gpt-4o").offers.count() == 1


@pytest.mark.parametrize("order", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_both_orders_of_utf_16_are_read(order):
    name = "utf-16-le" if order == codecs.BOM_UTF16_LE else "utf-16-be"
    assert text_of(order + "{}é".encode(name)) == "{}é"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"gpt-4o": {}}'.encode("utf-16-le"), "UTF-16 without a byte order mark. Save it as UTF-8"),
        ('{"gpt-4o": {}}'.encode("utf-16-be"), "UTF-16 without a byte order mark. Save it as UTF-8"),
        ('{"modèle": {}}'.encode("cp1252"), "not UTF-8 .byte 6 is invalid.. Save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"{", "not UTF-16-LE"),
        pytest.param(gzip.compress(b"{}" * 1000, mtime=0)[:-20], "cannot be unpacked", id="half a gzip"),
    ],
)
def test_another_encoding_is_refused_with_what_to_do(db, tmp_path, data, words):
    price_map = tmp_path / "prices.json"
    price_map.write_bytes(data)
    with pytest.raises(CommandError, match=f"nothing was changed. .*{words}"):
        call_command("import_catalog", str(price_map), stdout=StringIO())
