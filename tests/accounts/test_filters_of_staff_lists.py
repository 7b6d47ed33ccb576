"""Filters of the staff site say what is in force, in words; an address with a choice that there is not shows no rows.

Lists and filters come from the admin's registry. A new filter is tested by existing.
"""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from django.contrib import admin
from django.urls import reverse

from billing.known_kinds import words_of
from catalog.prices import publish_list_prices
from tests.factories import CatalogModelFactory, DeploymentFactory

pytestmark = pytest.mark.django_db
NONSENSE = "no-such-choice-1"


@pytest.fixture
def desk(client, superuser):
    client.force_login(superuser)
    return client


@pytest.fixture
def superuser(operator):
    operator.is_superuser = True
    operator.save()
    return operator


def filtered_lists():
    return sorted(
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model, one in admin.site._registry.items()
        if one.list_filter
    )


def parameters_of(answer):
    """The names that the filters of a list take from its address."""
    return [name for spec in answer.context["cl"].filter_specs for name in spec.expected_parameters()]


def summaries_of(page):
    """(words of the summary, or None without one) of each menu of a filter."""
    menus = re.findall(
        r'<details class="qm-pop">(.*?)</details>', page.partition("changelist-filter")[2], re.S
    )
    found = [re.search(r"<summary[^>]*>(.*?)</summary>", menu, re.S) for menu in menus]
    return [one and " ".join(re.sub(r"<[^>]*>", " ", one[1]).split()) for one in found]


@pytest.mark.parametrize("value", [NONSENSE, ""])
@pytest.mark.parametrize("url", filtered_lists())
def test_a_choice_that_there_is_not_is_said_and_shows_no_row(desk, url, value):
    DeploymentFactory(state="healthy")
    for name in parameters_of(desk.get(url)):
        if name.endswith("__isnull"):
            continue
        answer = desk.get(url, {name: value}, follow=True)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert None not in summaries_of(page), f"{url}?{name}= has a menu without a summary"
        if answer.redirect_chain:
            assert "is no filter of this list" in page
        elif name == "queue" and not value:
            # Without a queue it is one's own.
            assert answer.context["cl"].result_count == 0
        else:
            said = f"there is no choice “{NONSENSE}”" if value else "the address names no choice"
            is_free = answer.context["cl"].model._meta.model_name == "quarantinedevent" and name == "source"
            assert said in page or is_free, f"{url}?{name}={value}"
            assert answer.context["cl"].result_count == 0


def test_an_unknown_state_does_not_show_all_deployments(desk):
    DeploymentFactory(name="gpt-oss-eu", state="healthy")
    url = reverse("admin:deployments_deployment_changelist")
    assert "gpt-oss-eu" in desk.get(url, {"state": "healthy"}).content.decode()
    page = desk.get(url, {"state": NONSENSE}).content.decode()
    assert "gpt-oss-eu" not in page
    assert f"State: there is no choice “{NONSENSE}”" in page
    assert "State no such choice" in summaries_of(page)


def test_what_an_address_names_is_escaped_and_short(desk):
    url = reverse("admin:catalog_catalogmodel_changelist")
    page = desk.get(url, {"lifecycle__exact": "<script>" + "x" * 500}).content.decode()
    assert "&lt;script&gt;" in page
    assert "x" * 60 not in re.sub(r'(href|value|content)="[^"]*"', "", page)


def test_modes_and_kinds_are_offered_in_words(desk):
    model = CatalogModelFactory(name="m-1", mode="image_generation")
    CatalogModelFactory(name="m-2", mode="new_thing")
    url = reverse("admin:catalog_catalogmodel_changelist")
    page = desk.get(url, {"mode": "image_generation"}).content.decode()
    assert "Kind Image generation" in summaries_of(page)
    menu = page.partition("changelist-filter")[2]
    assert re.search(r">\s*New thing\s*</a>", menu)
    assert not re.search(r">\s*(image_generation|new_thing)\s*<", menu)
    chinese = desk.get(url, {"mode": "image_generation"}, headers={"Accept-Language": "zh-Hans"})
    assert not re.search(r">\s*(image_generation|Image generation)\s*<", chinese.content.decode())

    publish_list_prices({model.name: {"cache_read": Decimal(1), "input": Decimal(2)}}, reason="test")
    prices = (
        desk.get(reverse("admin:billing_price_changelist")).content.decode().partition("changelist-filter")[2]
    )
    assert re.search(rf">\s*{words_of('cache_read')}\s*</a>", prices)
    assert not re.search(r">\s*cache_read\s*<", prices)
