"""Models that are no chats have prices of their own units, imported exactly and shown as people quote them."""

from decimal import Decimal

import pytest
from django.urls import reverse

from billing.kinds import DECLARED
from catalog.models import CatalogModel, Offer
from catalog.price_map.entries import PICTURES
from catalog.price_rows import price_rows
from catalog.prices import list_prices
from gateway.prices import prices_of
from tests.catalog.price_maps import run
from tests.factories import ProjectFactory, member_of


def imported(**entry):
    entries = {"p/unit-1": {"litellm_provider": "p", **entry}}
    run(entries)
    return Offer.objects.get().prices


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "stated", "prices"),
    [
        ("rerank", {"input_cost_per_query": 0.002}, {"search": "2000.00000000"}),
        ("chat", {"input_cost_per_request": 0.002}, {"request": "2000.00000000"}),
        ("audio_transcription", {"input_cost_per_second": 0.0001}, {"audio_input_seconds": "0.10000000"}),
        ("chat", {"input_cost_per_second": 0.0001}, {}),
        ("audio_speech", {"input_cost_per_character": 1.5e-05}, {"character": "15.00000000"}),
        ("chat", {"input_cost_per_character": 1.5e-05}, {}),
        ("image_generation", {"output_cost_per_image": 0.04}, dict.fromkeys(PICTURES, "40000.00000000")),
        (
            "image_generation",
            {"input_cost_per_image_token": 1e-05, "output_cost_per_image_token": 4e-05},
            {"image": "40.00000000"},
        ),
    ],
)
def test_a_price_of_a_unit_is_read_for_the_modes_that_count_it(mode, stated, prices):
    assert imported(mode=mode, **stated) == prices


@pytest.mark.django_db
def test_an_implausible_price_of_a_unit_is_rejected():
    entries = {"p/unit-1": {"litellm_provider": "p", "mode": "audio_speech", "input_cost_per_character": 15}}
    run(entries)
    assert not Offer.objects.exists()


@pytest.mark.django_db
def test_a_price_of_a_second_reaches_the_ledger_and_gateways_as_one_of_a_millisecond():
    imported(mode="audio_transcription", input_cost_per_second=0.0001)
    # 0.0001 dollars a second are 100 nano-dollars a millisecond, and 0.1 dollars for a million of these.
    assert list_prices(["unit-1"]) == {"unit-1": {"audio_input_seconds": Decimal("0.1")}}
    [price] = prices_of(["unit-1"])
    assert price.nano_per_unit == {"audio_input_seconds": 100}


@pytest.mark.django_db
def test_the_page_shows_prices_as_people_quote_them(client):
    imported(mode="audio_transcription", input_cost_per_second=0.0001)
    CatalogModel.objects.update(lifecycle="published")
    project = ProjectFactory()
    client.force_login(member_of(project.tenant, "developer"))
    page = client.get(
        reverse("model-detail", args=[project.tenant.slug, "unit-1"]) + "?tab=prices"
    ).content.decode()
    assert "Seconds of audio input, per 60" in page
    assert "$0.006" in page


@pytest.mark.django_db
def test_one_price_for_pictures_of_every_size_is_one_row():
    rows = price_rows(dict.fromkeys(PICTURES, Decimal(40_000)))
    assert [(row.label, row.price) for row in rows] == [("Images, per 1,000", Decimal(40))]
    rows = price_rows({"image_output": Decimal(1), "image_output_256x256": Decimal(2)})
    assert [row.label for row in rows] == ["Images, other sizes, per 1,000", "Images 256×256, per 1,000"]
    assert {row.label for row in price_rows({"input": Decimal(1), "search": Decimal(2000)})} == {
        "Input",
        "Searches, per 1,000",
    }
    assert len(PICTURES) == sum("image_output" in one.kind for one in DECLARED)
