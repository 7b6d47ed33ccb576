"""A model's page shows at once who would get the data, where, and at what price."""

from __future__ import annotations

import re

import pytest

from catalog.model_offers import offer_rows, primary_fact
from catalog.models import Offer

pytestmark = pytest.mark.django_db


@pytest.fixture
def offers(priced_model):
    made = [
        ("bedrock", "us", "1.10", False),
        ("azure", "eu", "0.90", False),
        ("zai", "", "0.60", True),
    ]
    return [
        Offer.objects.create(
            model=priced_model,
            source="litellm",
            source_key=f"{provider}/glm-4.6",
            provider=provider,
            region=region,
            prices={"input": price},
            is_primary=is_primary,
            digest="0" * 64,
        )
        for provider, region, price, is_primary in made
    ]


def test_price_region_and_provider_are_of_one_offer(lab, offers):
    lab.regions = ["eu"]
    rows = offer_rows(offers, lab)
    assert [(row.provider, row.region, str(row.input), row.is_outside) for row in rows] == [
        ("zai", "", "0.60", True),
        ("azure", "eu", "0.90", False),
        ("bedrock", "us", "1.10", True),
    ]
    [fact] = primary_fact(offers)
    assert fact.value == "zai"
    assert primary_fact([]) == []


def test_the_overview_shows_the_offers_and_says_nothing_that_fits_every_model(client, lab, offers, developer):
    client.force_login(developer)
    page = re.sub(r"\s+", " ", client.get("/t/lab/models/glm-4.6/").content.decode())
    for words in ("azure/glm-4.6", "bedrock/glm-4.6", "Its prices are the list prices"):
        assert page.count(words) == 1
    for address in ("/t/lab/models/glm-4.6/", "/t/lab/models/"):
        assert not re.search(r"Chat model( by|\.)", client.get(address).content.decode().split("<main")[1])
