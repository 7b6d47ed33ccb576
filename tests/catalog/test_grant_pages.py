"""The pages and routes of grants as their readers meet them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils.timezone import now

from billing.ingest import record_usage
from catalog.actions import revoke_grant
from catalog.models import Grant
from core.ids import uuid7
from tenants.models import Membership
from tests.catalog.granted import approved
from tests.factories import ApiKeyFactory, CatalogModelFactory, member_of
from tests.usage_records import usage_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant(ask):
    (given,) = approved(ask(limits={"requests_per_minute": 3}))
    return given


@pytest.fixture
def page(client, developer):
    """Get a page of the lab as its developer."""
    client.force_login(developer)
    return lambda name, *args, **query: client.get(reverse(name, args=["lab", *args]), query)


def shown(response):
    return [row.model for row in response.context["grants"]]


def test_the_tabs_hold_what_they_say(page, grant, ask, developer, owner):
    other = CatalogModelFactory(name="bge-m3", title="BGE M3")
    (second,) = approved(ask(model=other.name))
    Grant.objects.across_tenants().filter(pk=second.pk).update(owner=owner)
    assert shown(page("grant-list")) == ["BGE M3", "GLM-4.6"]
    assert shown(page("grant-list", tab="mine")) == ["GLM-4.6"]
    assert shown(page("grant-list", q="bge")) == ["BGE M3"]
    assert shown(page("grant-list", q="lett")) == ["BGE M3", "GLM-4.6"]
    assert shown(page("grant-list", tab="soon")) == []
    Grant.objects.across_tenants().filter(pk=second.pk).update(valid_until=now() + timedelta(days=29))
    assert shown(page("grant-list", tab="soon")) == ["BGE M3"]
    revoke_grant(second.pk, by=owner, reason="Over.")
    assert shown(page("grant-list", tab="over")) == ["BGE M3"]
    Grant.objects.across_tenants().filter(pk=grant.pk).update(suspended_at=now())
    assert shown(page("grant-list", tab="suspended")) == ["GLM-4.6"]


def test_one_grant_shows_who_uses_it_and_what_it_cost(page, grant, lab, project, developer):
    key = ApiKeyFactory(
        tenant=lab, project=project, name="Batch", model_names=[grant.model.name], owner=developer
    )
    elsewhere = ApiKeyFactory(tenant=lab, project=project, name="Other", model_names=["bge-m3"])
    record_usage("test", [usage_record(uuid7(), key.pk, grant.model.name, now(), input=10**6)])
    response = page("grant-detail", grant.pk)
    names = [one.name for one in response.context["keys"]]
    assert "Batch" in names
    assert elsewhere.name not in names
    assert response.context["spend"].calls == 1
    assert [fact.value for fact in response.context["limits"]] == ["3"]
    assert response.context["timeline"][0]["text"] == "gave the project access"


def test_revoking_asks_for_a_reason_and_says_it_to_all(client, page, grant, developer, lab):
    url = reverse("grant-revoke", args=["lab", grant.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"reason": " "}).status_code == 400
    assert client.post(url, {"reason": "The pilot is over."}).status_code == 302
    client.force_login(member_of(lab, "viewer"))
    assert (
        "The pilot is over." in client.get(reverse("grant-detail", args=["lab", grant.pk])).content.decode()
    )
    assert client.get(url).status_code == 403
    client.force_login(developer)
    assert client.post(url, {"reason": "Again."}).status_code == 409


def test_a_colleague_takes_over_what_is_suspended(client, page, grant, lab, developer):
    Membership.objects.in_tenant(lab).filter(user=developer).update(role="viewer")
    Grant.objects.across_tenants().filter(pk=grant.pk).update(suspended_at=now())
    colleague = member_of(lab, "developer")
    client.force_login(colleague)
    assert client.get(reverse("grant-detail", args=["lab", grant.pk])).context["can_take_over"]
    assert client.post(reverse("grant-take-over", args=["lab", grant.pk])).status_code == 302
    grant.refresh_from_db()
    assert (grant.owner, grant.suspended_at) == (colleague, None)


def test_a_long_list_costs_as_many_queries_as_a_short_one(page, grant, ask, django_assert_max_num_queries):
    page("grant-list")
    for number in range(5):
        approved(ask(model=CatalogModelFactory(name=f"m-{number}").name))
    with django_assert_max_num_queries(20):
        assert len(shown(page("grant-list"))) == 6


def test_the_api_filters_by_owner_and_suspension(client, grant, developer, owner):
    client.force_login(developer)

    def found(**query):
        return [one["id"] for one in client.get("/api/v1/grants/", query).json()["results"]]

    assert found(owner=developer.email) == [str(grant.pk)]
    assert found(owner=owner.email) == []
    assert found(suspended="true") == []
    Grant.objects.across_tenants().filter(pk=grant.pk).update(suspended_at=now())
    assert found(suspended="true") == [str(grant.pk)]
    assert found(in_force="true") == []
