"""Operators' pages of providers, their models and routes lead to each other, and say in words what a row holds."""

import pytest
from django.urls import reverse

from deployments.models import Provider
from deployments.provider_routing import route_provider_models
from deployments.routes import EntryPlan, change_route
from tests.deployments.provider_stub import GOOD_KEY, serving
from tests.factories import CatalogModelFactory, ProviderFactory, ProviderModelFactory, allow_loopback

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def listed():
    """A model of a provider, matched with the catalog and in no route."""
    provider = ProviderFactory(extra_headers={"openai-organization": "org-1"}, requests_per_minute=1_200)
    return ProviderModelFactory(
        provider=provider, name="gpt-4o-eu", model=CatalogModelFactory(name="gpt-4o"), is_named_by_hand=True
    )


def page(desk, name, *args):
    return desk.get(reverse(f"admin:deployments_{name}", args=args)).content.decode()


def test_each_page_leads_to_the_next(desk, listed, operator):
    provider = listed.provider
    assert "None: it gets no calls." in page(desk, "provider_change", provider.pk)
    route_provider_models(provider.pk, [listed.pk], by=operator)
    route = listed.model.route
    to_route = reverse("admin:deployments_route_change", args=[route.pk])
    to_row = reverse("admin:deployments_providermodel_change", args=[listed.pk])
    to_model = reverse("admin:catalog_catalogmodel_change", args=[listed.model_id])

    text = page(desk, "provider_change", provider.pk)
    assert to_route in text
    assert "weight 1" in text
    for text in (page(desk, "providermodel_change", listed.pk), page(desk, "providermodel_changelist")):
        assert to_route in text
        assert to_model in text
    assert to_row in page(desk, "route_change", route.pk)

    change_route(route.pk, [EntryPlan(listed.target.pk, 0)], based_on=1, may_end_service=True, by=operator)
    assert "weight 0, no calls" in page(desk, "providermodel_change", listed.pk)


def test_a_provider_is_described_in_words_and_not_as_a_form(desk, listed):
    text = page(desk, "provider_change", listed.provider_id)
    for words in (
        "1 listed, 1 of them in the catalog", "openai-organization: org-1", "1,200 requests",
        "5 seconds to connect", "not known, so resident tenants cannot use it", "the public ones", "never tested",
    ):  # fmt: skip
        assert words in text
    assert "It cannot be changed." not in text
    assert "Up to and including the version" not in text


def test_settings_lead_back_and_say_that_the_credential_stays(desk, listed):
    text = desk.get(f"/admin/deployments/provider/{listed.provider_id}/settings/").content.decode()
    assert f'href="{reverse("admin:deployments_provider_change", args=[listed.provider_id])}"' in text
    assert "The one in force stays" in text
    assert "Receives traces" in text


def test_a_dialog_with_nothing_to_route_says_what_to_do(desk, listed, operator):
    path = f"/admin/deployments/provider/{listed.provider_id}/route-models/"
    assert "There is none to choose." not in desk.get(path).content.decode()
    route_provider_models(listed.provider_id, [listed.pk], by=operator)
    assert "There is none to choose." in desk.get(path).content.decode()


def test_the_button_of_a_dangerous_dialog_is_red(desk, listed):
    own = f"/admin/deployments/provider/{listed.provider_id}"
    assert "data-dangerous" in desk.get(f"{own}/disable/").content.decode()
    assert "data-dangerous" not in desk.get(f"{own}/refresh/").content.decode()


def test_a_new_provider_leads_to_its_page(desk):
    allow_loopback()
    with serving() as stub:
        answer = desk.post(
            "/admin/deployments/provider/add/",
            {
                "name": "openai-eu", "title": "OpenAI EU", "dialect": "openai", "base_url": stub.url,
                "highest_data_class": "internal", "trains_on_data": "unknown", "connect_timeout_seconds": "5",
                "first_byte_timeout_seconds": "60", "idle_timeout_seconds": "60", "credential_kind": "stored",
                "credential": GOOD_KEY, "test": "yes",
            },
            follow=True,
        )  # fmt: skip
    assert answer.redirect_chain[-1][0] == reverse(
        "admin:deployments_provider_change", args=[Provider.objects.get().pk]
    )
    assert "OpenAI EU is added." in answer.content.decode()
    assert "successfully" not in answer.content.decode()


def test_a_preview_without_a_change_says_so(desk, listed, operator):
    route_provider_models(listed.provider_id, [listed.pk], by=operator)
    route = listed.model.route
    path = f"/admin/deployments/route/{route.pk}/targets/"
    sent = {"generation": route.generation, f"weight_{listed.target.pk}": 1, "preview": "1"}
    assert "Nothing." in desk.post(path, sent).content.decode()
    assert "Nothing." not in desk.post(path, sent | {f"weight_{listed.target.pk}": 2}).content.decode()
