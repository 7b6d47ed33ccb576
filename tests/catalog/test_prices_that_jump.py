"""Prices that jump against the last known ones are named: in the report, in the audit log, and on the import's page."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils.timezone import now

from audit.models import AuditEntry
from catalog.models import CatalogImport
from tests.catalog.price_maps import GOOD, run

SLIPPED = {
    "litellm_provider": "watsonx",
    "mode": "chat",
    "input_cost_per_token": 2e-07,
    "output_cost_per_token": 2e-07,
}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        # A slip of the unit.
        ({}, {"input_cost_per_token": 2e-04}, "input 0.2 → 200 (×1000)"),
        ({"output_cost_per_token": 2e-04}, {}, "output 200 → 0.2 (÷1000)"),
        ({}, {"input_cost_per_token": 1e-06}, "input 0.2 → 1 (×5)"),
        ({}, {"input_cost_per_token": 0}, "input 0.2 → 0"),
        ({"output_cost_per_token": 0}, {}, "output 0 → 0.2"),
        ({}, {"output_cost_per_token": None}, "output 0.2, now without a price"),
        ({"output_cost_per_token": None}, {}, "output had no price, now 0.2"),
        ({}, {"cache_read_input_token_cost": 1e-08}, "cache_read had no price, now 0.01"),
    ],
)
def test_prices_that_jumped_against_the_last_known_ones_are_named(db, tmp_path, before, after, words):
    key = "watsonx/ibm/granite-3-8b-instruct"
    assert run({key: SLIPPED | before}).price_jumps == {}
    report = run({key: SLIPPED | after})
    assert report.price_jumps[key] == words
    imported = CatalogImport.objects.first()
    assert imported.price_jumps == report.price_jumps
    assert imported.counts["price_jumps"] == len(report.price_jumps)
    entry = AuditEntry.objects.across_tenants().filter(verb="catalog.imported").latest("pk")
    assert f"{key}: {words}" in entry.details["jumped"]
    # It is the last known one now.
    assert run({key: SLIPPED | after}).price_jumps == {}


def test_a_price_that_moves_as_prices_do_is_not_named(db):
    run({"granite": SLIPPED})
    assert run({"granite": SLIPPED | {"input_cost_per_token": 9e-07}}).price_jumps == {}
    assert run({"granite": SLIPPED | {"input_cost_per_token": 2e-07}}).price_jumps == {}


def test_a_list_price_that_jumps_because_another_offer_leads_is_named(db):
    run(
        {"azure/gpt-4o": GOOD | {"litellm_provider": "azure", "input_cost_per_token": 1e-04}},
        prices_from=now(),
    )
    report = run({"gpt-4o": GOOD})
    assert report.price_jumps == {"list price of gpt-4o": "input 100 → 2.5 (÷40)"}


def test_the_command_and_the_page_of_the_import_name_the_jumps(client, db, tmp_path, operator):
    price_map = tmp_path / "prices.json"
    for factor in (1, 1000):
        price_map.write_text(json.dumps({"granite": SLIPPED | {"input_cost_per_token": 2e-07 * factor}}))
        out = StringIO()
        call_command("import_catalog", str(price_map), stdout=out)
    assert "2 prices jumped" in out.getvalue()
    assert "jumped: 'granite': input 0.2 → 200 (×1000)" in out.getvalue()
    client.force_login(operator)
    imported = CatalogImport.objects.first()
    page = client.get(f"/admin/catalog/catalogimport/{imported.pk}/change/").content.decode()
    assert "×1000" in page or "\\u00d71000" in page
