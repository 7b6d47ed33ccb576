"""Up to four models side by side."""

from __future__ import annotations

import re
from decimal import Decimal
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from catalog.prices import publish_list_prices
from tests.factories import CatalogModelFactory, member_of


@pytest.fixture
def get(client, developer, lab):
    client.force_login(developer)

    def page(name, htmx=False, **query):
        headers = {"HX-Request": "true"} if htmx else {}
        return client.get(reverse(name, args=["lab"]), query, headers=headers)

    return page


@pytest.fixture
def models(db):
    """Two priced models, of which the second is cheaper, and one without a price."""
    same = {"mode": "chat", "maker": "Harbour", "regions": ["eu"]}
    CatalogModelFactory(
        name="dear", title="Dear", context_tokens=1_000_000, capabilities={"vision": True}, **same
    )
    CatalogModelFactory(name="cheap", title="Cheap", context_tokens=8_000, capabilities={}, **same)
    CatalogModelFactory(
        name="free", title="Free", context_tokens=None, capabilities={"vision": False}, **same
    )
    publish_list_prices(
        {
            "dear": {"input": Decimal(2), "cache_read": Decimal("0.2"), "output": Decimal(10)},
            "cheap": {"input": Decimal(1), "output": Decimal(4)},
        },
        reason="test",
    )


def table(response):
    """By row, what it says of each model; a star marks the best."""
    return {
        row.label: [cell.text + ("*" if cell.is_best else "") for cell in row.cells]
        for row in response.context["differing"]
    }


def test_costs_of_a_day_and_a_month_are_those_of_the_mix(get, models):
    # 0.75 × 2 + 0.25 × 10 = 4, and 0.75 + 1 = 1.75 per million.
    found = table(get("model-compare", model=["dear", "cheap", "free"], tokens="2000000"))
    assert found["Cost of a day"] == ["$8.00", "$3.50*", "Not priced"]
    assert found["Cost of 30 days"] == ["$240", "$105*", "Not priced"]
    assert found["Million tokens of your mix"] == ["$4.00", "$1.75*", "Not priced"]
    assert found["Context"] == ["1M*", "8K", "not stated"]
    assert found["Vision"] == ["yes", "not stated", "no"]
    # All of it input from a cache: the first has a price for that, the second takes that of input.
    found = table(
        get("model-compare", model=["dear", "cheap"], tokens="1,000,000", input="100", cached="100")
    )
    assert found["Cost of a day"] == ["$0.20*", "$1.00"]


def test_what_is_the_same_for_all_stands_apart(get, models):
    response = get("model-compare", model=["dear", "cheap"])
    same = {row.label: row.cells[0].text for row in response.context["same"]}
    assert (same["Made by"], same["Regions"], same["Kind"]) == ("Harbour", "eu", "Chat")
    assert not same.keys() & table(response).keys()
    assert "Same for all" in response.content.decode()
    # One model alone differs from none.
    alone = get("model-compare", model="dear")
    assert alone.context["same"] == []
    assert not any(cell.is_best for row in alone.context["differing"] for cell in row.cells)


def test_the_address_takes_four_models_and_says_which_are_none(get, models):
    CatalogModelFactory(name="hidden", lifecycle="draft")
    for name in ("fourth", "fifth"):
        CatalogModelFactory(name=name)
    response = get("model-compare", model=["dear", "cheap", "dear", "free", "fourth", "fifth"])
    assert [one.model.name for one in response.context["models"]] == ["dear", "cheap", "free", "fourth"]
    response = get("model-compare", model=["hidden", "dear", "nul\0"])
    assert response.context["unknown"] == ["hidden"]
    assert "Not in the catalog: hidden." in re.sub(r"\s+", " ", response.content.decode())
    assert "Nothing to compare" in get("model-compare").content.decode()
    for nonsense in ("many", "-1", "1e9", "9" * 30, "²"):
        assert get("model-compare", model="dear", tokens=nonsense).context["tokens"] == 1_000_000


def test_htmx_gets_the_tables_alone(get, models):
    part = get("model-compare", htmx=True, model=["dear", "cheap"]).content.decode()
    assert 'id="comparison"' in part
    assert "<html" not in part


def test_more_models_take_no_more_queries(get, models):
    get("model-compare", model=["dear", "cheap"])
    with CaptureQueriesContext(connection) as two:
        get("model-compare", model=["dear", "cheap"])
    CatalogModelFactory(name="fourth")
    with CaptureQueriesContext(connection) as four:
        get("model-compare", model=["dear", "cheap", "free", "fourth"])
    assert len(four) == len(two)


def test_models_chosen_in_the_list_stay_chosen_and_lead_to_the_comparison(get, models):
    for number in range(30):
        CatalogModelFactory(name=f"a-{number:02}")
    response = get("model-list", compare=["dear", "cheap", "hidden"], sort="name")
    assert [one["name"] for one in response.context["compared"]] == ["dear", "cheap"]
    # They are on the list's next page: its form names them.
    assert response.context["compared_elsewhere"] == ["dear", "cheap"]
    assert response.content.decode().count('type="hidden" name="compare"') == 2
    assert "compare=dear" in response.context["older_url"]
    link = parse_qs(response.context["compare_url"].lstrip("?"))
    assert link["model"] == ["dear", "cheap", "hidden"]
    last = get("model-list", compare=["dear"], sort="name", **{"q": "dear"})
    assert last.context["compared_elsewhere"] == []
    assert "checked" in last.content.decode().split('name="compare"')[1].split(">")[0]
    # Who removes one keeps the other.
    removed = parse_qs(response.context["compared"][0]["remove_url"].lstrip("?"))
    assert removed["compare"] == ["cheap", "hidden"]


def test_at_four_no_other_can_be_chosen_and_the_page_says_why(get):
    for number in range(6):
        CatalogModelFactory(name=f"model-{number}")
    response = get("model-list", compare=[f"model-{number}" for number in range(4)])
    words = response.content.decode()
    assert "Four at most" in words
    boxes = re.findall(r'<input[^>]*name="compare"[^>]*>', words)
    assert sum("disabled" in box for box in boxes) == 2
    assert sum("checked" in box for box in boxes) == 4


def test_a_stranger_finds_no_comparison(client, lab):
    client.force_login(member_of(lab, "viewer"))
    assert client.get(reverse("model-compare", args=["lab"])).status_code == 200
    assert client.get(reverse("model-compare", args=["elsewhere"])).status_code == 404
