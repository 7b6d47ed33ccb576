"""Filters of the catalog: their counts, an empty result, and prices of a mix of tokens."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from billing.ingest import record_usage
from catalog.mix import Mix, own_mix
from catalog.models import CatalogModel
from core.ids import uuid7
from tests.factories import ApiKeyFactory, CatalogModelFactory, ProjectFactory, member_of
from tests.usage_records import usage_record


@pytest.fixture
def page(client, developer, lab):
    client.force_login(developer)
    return lambda **query: client.get(reverse("model-list", args=["lab"]), query)


def names(response):
    return [card.model.name for card in response.context["page"]]


def counts(response):
    return {
        facet["key"]: {option["value"]: option["count"] for option in facet["options"]}
        for facet in response.context["facets"]
    }


@pytest.fixture
def models(db):
    """A cheap long one in Europe, a dear one there and in America, and a small unpriced one of no stated region."""
    facts = {"mode": "chat", "capabilities": {"vision": True, "reasoning": False}}
    CatalogModelFactory(
        name="cheap",
        context_tokens=200_000,
        regions=["eu-central-1"],
        list_input_price="0.5",
        list_output_price="1",
        providers=["a"],
        **facts,
    )
    CatalogModelFactory(
        name="dear",
        context_tokens=1_000_000,
        regions=["eu", "us-east-1"],
        list_input_price="3",
        list_cache_price="0.3",
        list_output_price="15",
        providers=["a", "b"],
        **facts,
    )
    CatalogModelFactory(
        name="small", context_tokens=8_000, lifecycle="preview", list_input_price=None, mode="chat",
        capabilities={}, regions=[], providers=["b"],
    )  # fmt: skip


def test_regions_context_price_and_lifecycle_narrow_and_their_counts_follow(page, models):
    assert names(page(region="eu", sort="name")) == ["cheap", "dear"]
    assert names(page(region="us")) == ["dear"]
    assert names(page(region="eu-central-1")) == ["cheap"]
    assert names(page(context="200000", sort="name")) == ["cheap", "dear"]
    assert names(page(context="200001")) == ["dear"]
    assert names(page(lifecycle="preview")) == ["small"]
    # 0.75 × 3 + 0.25 × 15 = 6, and 0.625.
    assert names(page(price="6", sort="name")) == ["cheap", "dear"]
    assert names(page(price="5.999")) == ["cheap"]
    found = counts(page(region="eu"))
    assert (found["region"]["eu"], found["region"]["us"], found["region"]["us-east-1"]) == (2, 1, 1)
    assert found["context"] == {"32000": 2, "100000": 2, "200000": 2, "1000000": 1}
    assert found["price"] == {"10": 2, "3": 1, "1": 1, "0.3": 0}
    assert found["lifecycle"] == {"published": 2} | {"preview": 0, "deprecated": 0}
    assert found["capability"]["vision"] == 2
    assert found["capability"]["reasoning"] == 0
    # Chosen steps beside the options are options, too.
    assert counts(page(context="500000"))["context"]["500000"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {}, {"region": "eu"}, {"region": ["eu", "us"], "provider": "b"}, {"context": "200000", "price": "6"},
        {"capability": ["vision", "reasoning"]}, {"mode": "chat", "lifecycle": "preview"}, {"q": "dear"},
        {"data_class": "confidential", "served": "no"}, {"access": "requestable", "hosting": "vendor"},
    ],
)  # fmt: skip
def test_every_count_is_that_of_the_list_it_leads_to(page, models, query):
    """The counts come from one query over all facets, the lists from a filter for each."""
    for facet in page(**query).context["facets"]:
        for option in facet["options"]:
            given = {**query, facet["key"]: option["value"]}
            if facet["key"] == "capability":
                given["capability"] = [*query.get("capability", []), option["value"]]
            assert len(names(page(**given))) == option["count"], (facet["key"], option["value"])


def test_nonsense_narrows_to_nothing_and_breaks_nothing(page, models):
    for query in (
        {"context": "many"}, {"context": "²"}, {"context": "9" * 40}, {"price": "NaN"}, {"price": "-1"},
        {"price": "1e400"},
        {"region": "atlantis"}, {"lifecycle": "draft"}, {"data_class": "7"}, {"access": "no"},
    ):  # fmt: skip
        response = page(**query)
        assert (response.status_code, names(response)) == (200, []), query
        assert response.context["total"] == 0


def test_an_empty_result_names_the_filters_without_which_there_are_models(page, models):
    response = page(region="us", context="1000000", price="1")
    relaxed = [(one.label, one.count, parse_qs(one.url.lstrip("?"))) for one in response.context["relaxed"]]
    assert relaxed == [("Price of your mix", 1, {"region": ["us"], "context": ["1000000"]})]
    assert "Without Price of your mix ($1.00 or less): 1 model" in " ".join(response.content.decode().split())
    response = page(q="dear", price="1")
    assert [(one.label, one.count) for one in response.context["relaxed"]] == [
        ("Price of your mix", 1),
        ("Words", 1),
    ]
    for one in response.context["relaxed"]:
        assert len(names(page(**parse_qs(one.url.lstrip("?"))))) == one.count
    assert page(lifecycle="preview", region="us", price="1").context["relaxed"] == []
    assert (
        "Even without any one of the filters"
        in page(lifecycle="preview", region="us", price="1").content.decode()
    )


def test_a_list_asks_the_same_number_of_questions_whatever_is_chosen(page, models):
    page()
    with CaptureQueriesContext(connection) as plain:
        page()
    chosen = {
        "region": "eu",
        "context": "100000",
        "price": "10",
        "mode": "chat",
        "provider": "a",
        "data_class": "internal",
    }
    with CaptureQueriesContext(connection) as narrowed:
        page(**chosen)
    assert len(narrowed) == len(plain)


def test_prices_are_sorted_by_the_mix_in_the_address(page, models):
    CatalogModelFactory(name="flat", list_input_price="2", list_output_price="2")
    assert names(page(sort="price", input="0")) == ["cheap", "flat", "dear", "small"]
    assert names(page(sort="price", input="100", cached="100"))[0] == "dear"
    response = page(sort="price", input="900", cached="x")
    assert (response.context["mix"], response.context["has_own_mix"]) == (Mix(75, 0), False)
    assert "Assumed, because there are no calls" in response.content.decode()


def test_the_mix_is_that_of_the_calls_of_tenant_or_project(client, page, lab, project, models):
    other = ProjectFactory(tenant=lab)
    key, others = (ApiKeyFactory(tenant=lab, project=one, model_names=["cheap"]) for one in (project, other))
    record_usage(
        "test", [usage_record(uuid7(), key.pk, "cheap", now(), input=100, cache_read=300, output=600)]
    )
    record_usage("test", [usage_record(uuid7(), others.pk, "cheap", now(), input=1000)])
    assert (own_mix(lab, project).input, own_mix(lab, project).cached) == (40, 75)
    assert (own_mix(lab).input, own_mix(lab).cached) == (70, 21)
    owner = member_of(lab, "owner")
    client.force_login(owner)
    assert page(project=project.slug).context["mix"].input == 40
    assert page(project=project.slug, cached="10").context["mix"].shares == (
        Decimal("0.36"), Decimal("0.04"), Decimal("0.6"),
    )  # fmt: skip


def test_who_may_not_see_costs_compares_by_the_usual_mix(client, lab, project, models):
    key = ApiKeyFactory(tenant=lab, project=project, model_names=["cheap"])
    record_usage("test", [usage_record(uuid7(), key.pk, "cheap", now(), output=600)])
    viewer = member_of(lab, "viewer")
    client.force_login(viewer)
    response = client.get(reverse("model-list", args=["lab"]))
    assert response.context["mix"].input == (0 if viewer.has_perm("tenants.view_cost", lab) else 75)


@pytest.mark.django_db
def test_regions_and_flags_of_a_model_follow_its_columns():
    model = CatalogModelFactory(
        regions=["eu-central-1", "global"], capabilities={"vision": True, "ocr": False}
    )
    model = CatalogModel.objects.get(pk=model.pk)
    assert (model.places, model.able) == (["eu", "eu-central", "eu-central-1", "global"], ["vision"])
    CatalogModel.objects.update(regions=[], capabilities={})
    model.refresh_from_db()
    assert (model.places, model.able) == ([], [])


def test_the_api_takes_the_same_filters_and_orders(client, developer, lab, models):
    client.force_login(developer)

    def found(**query):
        answer = client.get("/api/v1/models/", query)
        assert answer.status_code == 200, answer.content
        return [model["name"] for model in answer.json()["results"]]

    assert found(region="eu") == ["cheap", "dear"]
    assert found(context="300000") == ["dear"]
    assert found(price="1") == ["cheap"]
    assert found(price="1", input="100", cached="100") == ["cheap", "dear"]
    assert found(lifecycle="preview") == ["small"]
    assert found(sort="price", input="100", cached="100") == ["dear", "cheap", "small"]
    assert found(sort="context") == ["dear", "cheap", "small"]
    assert found(access="granted") == []
    assert len(found(served="no")) == 3
    # Pages of any order go on at the next model.
    answer, seen = client.get("/api/v1/models/", {"sort": "price", "page_size": 1}).json(), []
    while True:
        seen += [model["name"] for model in answer["results"]]
        if not answer["next"]:
            break
        answer = client.get(answer["next"]).json()
    assert seen == ["cheap", "dear", "small"]
    for wrong in (
        {"input": "101"},
        {"sort": "cost"},
        {"price": "-1"},
        {"access": "requestable"},
        {"context": "x"},
    ):
        assert client.get("/api/v1/models/", wrong).status_code == 400, wrong


def test_the_api_says_what_a_typo_meant_and_answers_what_was_asked(client, developer, models):
    client.force_login(developer)
    answer = client.get("/api/v1/models/", {"q": "chaep"}).json()
    assert (answer["results"], answer["did_you_mean"]) == ([], "cheap")
    assert client.get("/api/v1/models/", {"q": "cheap"}).json()["did_you_mean"] is None


@pytest.mark.parametrize("sort", ["price", "context"])
def test_pages_of_the_api_end_where_many_models_lack_the_value(client, developer, models, sort):
    client.force_login(developer)
    for number in range(12):
        CatalogModelFactory(name=f"bare-{number:02}", context_tokens=None)
    there = set(CatalogModel.objects.published().values_list("name", flat=True))
    address, seen = "/api/v1/models/" + f"?sort={sort}&page_size=5", []
    while address:
        answer = client.get(address).json()
        seen += [one["name"] for one in answer["results"]]
        assert len(seen) <= len(there)
        before, address = answer["previous"], answer["next"]
    assert set(seen) == there
    # The same rows on the way back.
    back = []
    while before:
        answer = client.get(before).json()
        back = [one["name"] for one in answer["results"]] + back
        before = answer["previous"]
    assert back == seen[: len(back)]
    assert len(back) >= len(seen) - 5


@pytest.mark.parametrize("cursor", ["after.x", "x", "after.", "before", "cD0wMWFi", "after.\0"])
def test_a_cursor_of_another_list_is_refused(client, developer, models, cursor):
    client.force_login(developer)
    assert client.get("/api/v1/models/", {"cursor": cursor, "sort": "price"}).status_code == 404


@pytest.mark.parametrize("percent", ["99.5", "101", "-1", "many", "1e1"])
def test_a_share_that_is_no_whole_percent_is_refused_by_name(client, developer, models, percent):
    client.force_login(developer)
    answer = client.get("/api/v1/models/", {"input": percent, "sort": "price"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["input"])


def test_a_value_given_often_counts_once_and_too_many_are_refused(client, developer, models):
    client.force_login(developer)
    often = client.get("/api/v1/models/", {"capability": ["vision"] * 500})
    assert often.status_code == 200
    many = client.get("/api/v1/models/", {"capability": [f"c{n}" for n in range(41)]})
    assert (many.status_code, list(many.json()["errors"])) == (400, ["capability"])
