"""What jumps against what we know is held back: listed first with the old value, and accepted only knowingly."""

from __future__ import annotations

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from audit.models import AuditEntry
from catalog.actions import accept_entries
from catalog.models import CatalogImport, Offer
from catalog.prices import list_prices
from core.errors import Conflict
from tests.catalog.price_maps import GOOD, compared, run

SLIPPED = {
    "litellm_provider": "watsonx",
    "mode": "chat",
    "input_cost_per_token": 2e-07,
    "output_cost_per_token": 2e-07,
}
KEY = "watsonx/ibm/granite-3-8b-instruct"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        # A slip of the unit.
        ({}, {"input_cost_per_token": 2e-04}, "Input: 0.2 → 200 (×1000)"),
        ({"output_cost_per_token": 2e-04}, {}, "Output: 200 → 0.2 (÷1000)"),
        ({}, {"input_cost_per_token": 1e-06}, "Input: 0.2 → 1 (×5)"),
        ({}, {"input_cost_per_token": 0}, "Input: 0.2 → 0"),
        ({"output_cost_per_token": 0}, {}, "Output: 0 → 0.2"),
        ({}, {"output_cost_per_token": None}, "Output: was 0.2, now without a price"),
        ({"output_cost_per_token": None}, {}, "Output: had no price, now 0.2"),
        ({"max_input_tokens": 8000}, {"max_input_tokens": 4000}, "Context: was 8,000 tokens, now 4,000"),
    ],
)
def test_what_jumped_is_held_back_and_changes_nothing_until_somebody_takes_it_knowingly(
    db, before, after, words
):
    assert run({KEY: SLIPPED | before}).held == 0
    old = Offer.objects.values_list("prices", "facts").get()
    imported = compared({KEY: SLIPPED | after})
    entry = imported.entries.get()
    assert (entry.state, imported.counts["held"]) == ("held", 1)
    audited = AuditEntry.objects.across_tenants().filter(verb="catalog.imported").latest("pk")
    assert f"{KEY}: {words}" in audited.details["held_back"]
    assert accept_entries(imported.pk, by=None).entries == 0
    with pytest.raises(Conflict, match="held back"):
        accept_entries(imported.pk, by=None, entries=[entry.pk])
    assert Offer.objects.values_list("prices", "facts").get() == old
    accept_entries(imported.pk, by=None, entries=[entry.pk], may_take_held=True)
    assert Offer.objects.values_list("prices", "facts").get() != old
    # It is the last known one now.
    assert compared({KEY: SLIPPED | after}).state == "done"


def test_a_price_that_moves_as_prices_do_is_not_held_back(db):
    run({"granite": SLIPPED})
    assert run({"granite": SLIPPED | {"input_cost_per_token": 9e-07}}).held == 0
    assert run({"granite": SLIPPED | {"input_cost_per_token": 2e-07}}).held == 0


def test_a_new_offer_whose_price_no_other_offer_of_the_model_is_near_is_held_back(db):
    run({"gpt-4o": GOOD, "o3": GOOD})
    entries = compared(
        {
            "gpt-4o": GOOD,
            "azure/gpt-4o": GOOD | {"litellm_provider": "azure"},
            "openrouter/openai/gpt-4o": GOOD
            | {"litellm_provider": "openrouter", "input_cost_per_token": 2.5e-03 / 5},
        }
    ).entries.order_by("place")
    assert [(entry.key, entry.state) for entry in entries] == [
        ("openrouter/openai/gpt-4o", "held"),
        ("azure/gpt-4o", "waiting"),
        ("o3", "held"),
    ]
    assert entries[0].held_for == [{"code": "price_alone", "kind": "input", "now": "500", "nearest": "2.5"}]


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_slip_of_the_unit_that_others_have_met_reaches_no_price(db, order):
    """A price map that states dollars per thousand in place of dollars per million, and the way back."""
    first, second = ({KEY: SLIPPED}, {KEY: {**SLIPPED, **dict.fromkeys(PRICES, 2e-04)}})
    if order == "ba":
        first, second = second, first
    run(first)
    known = list_prices(["granite-3-8b-instruct"])
    imported = compared(second)
    accept_entries(imported.pk, by=None)
    assert imported.entries.get().state == "held"
    assert list_prices(["granite-3-8b-instruct"]) == known
    assert known["granite-3-8b-instruct"]["input"] in (Decimal("0.2"), Decimal(200))


PRICES = ("input_cost_per_token", "output_cost_per_token")


def test_the_command_names_what_is_held_back_and_leaves_it(db, tmp_path: Path):
    price_map = tmp_path / "prices.json"
    for factor in (1, 1000):
        price_map.write_text(json.dumps({"granite": SLIPPED | {"input_cost_per_token": 2e-07 * factor}}))
        out = StringIO()
        call_command("import_catalog", str(price_map), stdout=out, accept=True)
    assert "held back: 'granite': Input: 0.2 → 200 (×1000)" in out.getvalue()
    assert "accepted: 0" in out.getvalue()
    assert CatalogImport.objects.first().state == "open"
    call_command("import_catalog", str(price_map), stdout=out, accept_held=True)
    assert Offer.objects.get().prices["input"] == "200.00000000"
