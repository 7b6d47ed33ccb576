"""A model is published once it has what a published model needs, or with a reason on record."""

from __future__ import annotations

import pytest
from django.urls import reverse

from audit.models import AuditEntry
from catalog.actions import curate_models, publish_model, publish_models
from catalog.models import CatalogModel
from catalog.publishing_checks import CHECKS, checked
from core.errors import Conflict
from tests.factories import CatalogModelFactory

pytestmark = pytest.mark.django_db
FACTS = {
    "licence": "Apache 2.0",
    "owner": "Platform team",
    "prompts_go_to": "Our data center",
    "retention_days": 0,
    "trains_on_data": False,
}


@pytest.fixture
def draft(priced_model):
    priced_model.lifecycle = "draft"
    priced_model.save()
    return priced_model


@pytest.fixture
def served(monkeypatch, draft):
    """What gateways say of the draft; tests/gateway has the real answer."""
    regions = {draft.pk: frozenset({"eu-central-1"})}
    monkeypatch.setattr("catalog.publishing_checks.regions_served", lambda pks: regions)
    return regions


def failing(model):
    return [one.name for one in checked(model) if not one.passes]


def lifecycle(model):
    return CatalogModel.objects.values_list("lifecycle", flat=True).get(pk=model.pk)


def published():
    return AuditEntry.objects.across_tenants().get(verb="catalog_model.published")


def test_each_check_says_what_is_missing_until_it_is_there(draft, served):
    assert failing(draft) == ["data_policy", "licence", "owner"]
    for name, value in FACTS.items():
        setattr(draft, name, value)
        assert ("data_policy" in failing(draft)) == (draft.trains_on_data is None)
    assert failing(draft) == []
    served.clear()
    assert failing(draft) == ["region", "served"]
    draft.regions = ["eu"]
    assert failing(draft) == ["served"]
    assert failing(CatalogModelFactory(**FACTS)) == ["price", "region", "served"]


def test_each_failed_check_links_to_a_page_that_operators_open(client, operator):
    client.force_login(operator)
    failed = checked(CatalogModelFactory(lifecycle="draft"))
    assert len(failed) == len(CHECKS)
    for one in failed:
        assert client.get(one.path).status_code == 200, one.name


def test_publishing_asks_again_and_names_what_is_missing(operator, draft, served):
    with pytest.raises(Conflict, match="Data policy, License, Responsible") as refused:
        publish_model(draft.pk, by=operator)
    assert (refused.value.code, lifecycle(draft)) == ("checks_fail", "draft")
    CatalogModel.objects.update(**FACTS)
    publish_model(draft.pk, by=operator)
    assert (lifecycle(draft), published().details) == ("published", {})


def test_a_reason_publishes_all_the_same_and_stays_on_record(operator, draft, served):
    publish_model(draft.pk, by=operator, despite="Pilot until March")
    assert published().details == {"missing": ["data_policy", "licence", "owner"]}
    assert published().reason == "Pilot until March"


def test_of_many_each_is_published_or_says_what_it_lacks(operator, draft, served):
    CatalogModel.objects.update(**FACTS)
    other = CatalogModelFactory(lifecycle="draft")
    done = publish_models([draft.pk, other.pk], by=operator)
    assert done.names == [draft.name]
    assert list(done.refused) == [other.name]
    assert "Price, Region, Data policy, License, Responsible, Served" in done.refused[other.name]


def test_an_edit_of_many_checks_the_facts_that_it_sets(operator, draft, served):
    done = curate_models([draft.pk], values=FACTS, publishes=True, by=operator)
    assert [one.unpublished for one in done.outcomes] == [""]
    assert lifecycle(draft) == "published"


def test_page_and_api_show_the_checks_and_refuse(client, operator, draft, served):
    client.force_login(operator)
    page = client.get(reverse("admin:catalog_catalogmodel_change", args=[draft.pk])).content.decode()
    assert "Nobody has stated its license." in page
    address = f"/api/v1/models/{draft.name}/"
    checks = client.get(address).json()["publishing_checks"]
    assert {one["name"] for one in checks if not one["passes"]} == {"data_policy", "licence", "owner"}
    refused = client.post(f"{address}publish/", {}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "checks_fail")
    dialog = reverse("admin:catalog_catalogmodel_publish", args=[draft.pk])
    assert "Nobody is responsible for it." in client.get(dialog).content.decode()
    assert client.post(dialog, {"_form_submitted": "1"}).status_code == 409
    answer = client.post(f"{address}publish/", {"despite": "Pilot"}, content_type="application/json")
    assert (answer.status_code, answer.json()["lifecycle"]) == (200, "published")
