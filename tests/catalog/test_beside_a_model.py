"""Beside a model, its page names the projects that use it, and a cheaper and a roomier model with the reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from catalog import beside
from catalog.actions import decide_review
from catalog.mix import Mix
from tests.factories import CatalogModelFactory, ProjectFactory, TenantFactory, member_of, staff

pytestmark = pytest.mark.django_db
MIX = Mix(input=50)


def make(name, price, **fields):
    usual = {"maker": "Zed", "mode": "chat", "context_tokens": 100_000, "capabilities": {"vision": True}}
    prices = {"list_input_price": Decimal(price), "list_output_price": Decimal(price)}
    return CatalogModelFactory(name=name, title=name, **usual | prices | fields)


@pytest.fixture
def here(lab):
    """What is beside a model on a page of the lab, seen by a viewer."""
    viewer = member_of(lab, "viewer")
    return lambda one, user=viewer: beside.beside_model(one, user, lab, MIX)


def reasons(shown):
    return {one.model.name: one.reason for one in shown.neighbors}


def test_a_cheaper_and_a_roomier_model_are_offered_with_the_reason(here):
    own = make("own", 10)
    make("cheap", 4)
    make("roomy", 15, context_tokens=400_000)
    assert reasons(here(own)) == {
        "cheap": "60% cheaper for your mix of tokens",
        "roomy": "Context of 400K tokens for 1.5 times the price",
    }


@pytest.mark.parametrize(
    "lacking",
    [
        {"price": "8.01"},
        {"mode": "embedding"},
        {"capabilities": {"vision": False, "reasoning": True}},
        {"context_tokens": 99_999},
        {"context_tokens": None},
        {"highest_data_class": "internal"},
        {"lifecycle": "draft"},
        {"list_input_price": None},
        {"regions": ["us-east-1"]},
    ],
    ids=str,
)
def test_a_model_that_does_less_is_not_offered_as_cheaper(here, lab, lacking):
    lab.regions = ["eu"]
    lab.save()
    own = make("own", 10, regions=["eu-west-1"])
    make("other", **{"price": 8, "regions": ["eu-west-1"]} | lacking)
    assert "other" not in reasons(here(own))
    make("fits", 8, regions=["eu-west-1"])
    assert "fits" in reasons(here(own))


def test_the_nearest_model_of_the_same_maker_is_offered(here):
    own = make("own", 10)
    for name, price, maker in (("far", 1, "Zed"), ("near", 7, "Zed"), ("foreign", "7.9", "Other")):
        make(name, price, maker=maker)
    for name, price, maker in (("dear", 90, "Zed"), ("fair", 30, "Zed"), ("others", 20, "Other")):
        make(name, price, maker=maker, context_tokens=200_000)
    assert list(reasons(here(own))) == ["near", "fair"]


def test_a_roomier_model_that_costs_less_says_by_how_much(here):
    own = make("own", 10)
    # Nearer to its price, so that the other is offered for its room alone.
    make("near", 8)
    make("roomy", "0.02", context_tokens=200_000)
    assert reasons(here(own))["roomy"] == "Context of 200K tokens, and 99% cheaper for your mix"


def test_a_model_that_lacks_least_comes_first_and_the_page_says_what_it_lacks(here):
    own = make(
        "own", 10, capabilities={"vision": True, "audio_input": True, "pdf_input": True, "web_search": False}
    )
    make("bare", 8)
    make("fuller", 5, capabilities={"vision": True, "pdf_input": True})
    (offered,) = here(own).neighbors
    assert (offered.model.name, offered.lacks) == ("fuller", "Without: Audio input")


def test_the_mix_decides_what_is_cheaper(lab):
    own = make("own", 10)
    # Cheap to read, dear to write.
    make("reader", 1, list_output_price=Decimal(100))
    viewer = member_of(lab, "viewer")
    assert list(reasons(beside.beside_model(own, viewer, lab, Mix(input=95)))) == ["reader"]
    assert reasons(beside.beside_model(own, viewer, lab, MIX)) == {}


@pytest.mark.parametrize("price", [None, 0])
def test_a_model_without_a_price_or_for_nothing_is_not_compared(here, price):
    own = make("own", 1, list_input_price=price, list_output_price=price)
    make("other", 0, context_tokens=900_000)
    assert here(own).neighbors == []


def test_the_number_of_queries_does_not_grow(here, django_assert_max_num_queries):
    own = make("own", 10)
    for number in range(30):
        make(f"m{number}", number + 1, context_tokens=300_000 + number)
    with django_assert_max_num_queries(9):
        assert len(here(own).neighbors) == 2


@pytest.fixture
def use(lab, developer, ask, review_of, security_reviewer, model):
    """Let a new project of the lab use `model`."""

    def let(name):
        project = ProjectFactory(tenant=lab, name=name)
        request = ask(project=project, by=developer)
        decide_review(review_of(request).pk, by=security_reviewer, verdict="approve")

    return let


def test_projects_that_use_it_are_named_to_those_who_see_their_grants(here, use, model, monkeypatch):
    monkeypatch.setattr(beside, "MOST_NAMED", 2)
    assert here(model).used_by == ""
    use("Beta")
    use("Alpha")
    assert here(model).used_by == "Alpha, Beta"
    use("Gamma")
    use("Delta")
    assert here(model).used_by == "Alpha, Beta and 2 more projects"
    assert here(model, staff("controller")).used_by == ""
    elsewhere = TenantFactory()
    assert beside.beside_model(model, member_of(elsewhere, "viewer"), elsewhere, MIX).used_by == ""
