"""Whom a provider serves, and with which data: operators alone widen it, after they have seen whom that hits."""

from __future__ import annotations

from itertools import product

import pytest
from django.core.exceptions import PermissionDenied
from rest_framework.test import APIClient

from audit.models import AuditEntry
from core.errors import Conflict
from deployments.models import Provider
from deployments.provider_actions import change_provider
from deployments.provider_credentials import clean_credential
from deployments.provider_impact import MOST_TENANTS, in_words, whom_it_hits
from deployments.provider_managers import set_provider_manager
from deployments.reach import Audience, lets_others_in
from deployments.routes import change_route, make_routable, plan_with, route_of
from tenants.models import DataClass, Tenant
from tests.deployments.provider_stub import Authority
from tests.factories import (
    CatalogModelFactory,
    ProjectFactory,
    ProviderFactory,
    ProviderModelFactory,
    TenantFactory,
    allow_loopback,
    staff,
)
from tests.gateway.granted import grant, key_for

pytestmark = pytest.mark.django_db
REGIONS = [(), ("eu",), ("eu-west-1",), ("eu-west-1", "us-east-1"), ("us-east-1",), ("eu", "us")]


@pytest.fixture
def provider():
    return ProviderFactory(name="openai-eu", regions=["eu-west-1"], highest_data_class="internal")


@pytest.fixture
def manager(provider, operator):
    person = staff("auditor")
    set_provider_manager(provider.pk, person.email, True, by=operator)
    return type(person).objects.get(pk=person.pk)


def as_user(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def routed_at(provider, name="gpt-4o"):
    model = CatalogModelFactory(name=name)
    row = ProviderModelFactory(provider=provider, name=name, model=model)
    make_routable([row])
    route = route_of(model)
    change_route(route.pk, plan_with(route, row.target), based_on=route.generation, by=None)
    return model


def used_by(model, data_class="internal", **tenant):
    project = ProjectFactory(tenant=TenantFactory(**tenant))
    grant(key_for(project), model, data_class=data_class)
    return project.tenant


@pytest.mark.parametrize(
    "values",
    [
        {"highest_data_class": "confidential"},
        {"highest_data_class": "restricted"},
        {"regions": ["us-east-1"]},
        {"regions": ["eu-west-1-a"]},
    ],
)
def test_whoever_manages_one_provider_lets_nobody_else_in(provider, manager, operator, values):
    with pytest.raises(PermissionDenied, match="manage all providers"):
        change_provider(provider.pk, by=manager, **values)
    path = f"/api/v1/providers/{provider.pk}/"
    assert as_user(manager).patch(path, values, format="json").status_code == 403
    provider.refresh_from_db()
    assert (provider.regions, provider.highest_data_class) == (["eu-west-1"], "internal")
    assert as_user(operator).patch(path, values, format="json").status_code == 200


@pytest.mark.parametrize(
    "values",
    [
        {"highest_data_class": "public"},
        {"regions": []},
        {"regions": ["eu"]},
        {"regions": ["eu-west-1", "us-east-1"]},
        {"title": "Another"},
    ],
)
def test_but_may_narrow_it(provider, manager, values):
    assert change_provider(provider.pk, by=manager, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "https://attacker.example.com/v1"},
        {"base_url": "https://api.example.com/of-another-customer/v1"},
        {"proxy_url": "http://127.0.0.1:3128"},
        {"private_ca": Authority().pem},
    ],
    ids=["server", "path", "proxy", "CA"],
)
def test_whoever_manages_one_provider_does_not_move_it(provider, manager, operator, values):
    """Not even with its credential entered again: the prompts of all calls would go there."""
    allow_loopback()
    provider.base_url = "https://api.example.com/v1"
    provider.save()
    before = Provider.objects.values().get(pk=provider.pk)
    credential = clean_credential("stored", "sk-entered-again-0123", "")
    with pytest.raises(PermissionDenied):
        change_provider(provider.pk, by=manager, is_tested=False, credential=credential, **values)
    path = f"/api/v1/providers/{provider.pk}/"
    sent = {**values, "is_tested": False, "credential": {"kind": "stored", "secret": "sk-entered-again-0123"}}
    assert as_user(manager).patch(path, sent, format="json").status_code == 403
    assert Provider.objects.values().get(pk=provider.pk) == before
    assert not provider.credentials.exists()
    assert as_user(operator).patch(path, sent, format="json").status_code == 200


def test_but_keeps_rotation_time_outs_headers_and_quota(provider, manager):
    path = f"/api/v1/providers/{provider.pk}/"
    kept = {
        # Unchanged, as a client sends it that writes back what it has read.
        "base_url": provider.base_url,
        "first_byte_timeout_seconds": 30,
        "extra_headers": {"openai-organization": "org-1"},
        "requests_per_minute": 100,
        "is_tested": False,
    }
    assert as_user(manager).patch(path, kept, format="json").status_code == 200
    fresh = {"credential": {"kind": "stored", "secret": "sk-rotated-0123456"}, "overlap_hours": 1}
    answer = as_user(manager).post(f"{path}credentials/", fresh | {"is_tested": False}, format="json")
    assert answer.status_code // 100 == 2, answer.content


def test_wider_means_that_some_call_is_let_in_that_was_not():
    """Compared with every tenant policy over the same names."""
    policies = [Tenant(regions=list(regions)) for regions in REGIONS]
    for before, after in product(REGIONS, REGIONS):
        one, other = Audience(regions=before), Audience(regions=after)
        is_wider = any(
            other.highest_for(tenant) is not None and one.highest_for(tenant) is None for tenant in policies
        )
        assert lets_others_in(one, other) == is_wider, (before, after)
    for before, after in product(DataClass, DataClass):
        wider = lets_others_in(Audience(["eu"], before), Audience(["eu"], after))
        assert wider == (after.rank > before.rank)


def test_a_change_says_first_whom_it_hits(provider, operator):
    model = routed_at(provider)
    bound = used_by(model, name="Bound to Europe", regions=["eu"])
    careful = used_by(model, "restricted", name="Careful")
    used_by(model, name="Everywhere")
    path = f"/api/v1/providers/{provider.pk}/"
    client = as_user(operator)
    refused = client.patch(
        path, {"regions": ["us-east-1"], "highest_data_class": "restricted"}, format="json"
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "audience_would_change")
    words = refused.json()["detail"]
    assert "Bound to Europe: gpt-4o: no longer served" in words
    assert "Careful: gpt-4o: served from now on" in words
    assert "Everywhere" not in words
    provider.refresh_from_db()
    assert provider.regions == ["eu-west-1"]
    hits = whom_it_hits(provider, Audience(["us-east-1"], DataClass.RESTRICTED))
    assert {hit.tenant: (hit.losing, hit.gaining) for hit in hits} == {
        bound: ({"gpt-4o": 1}, {}),
        careful: ({}, {"gpt-4o": 1}),
    }
    confirmed = {"regions": ["us-east-1"], "highest_data_class": "restricted", "may_change_audience": True}
    assert client.patch(path, confirmed, format="json").status_code == 200
    entry = AuditEntry.objects.across_tenants().filter(verb="provider.changed").latest("pk")
    assert entry.changes["highest_data_class"] == ["internal", "restricted"]
    assert provider.models.get().target.revision > 0, "served once gateways know it"


def test_what_another_target_serves_is_not_lost(provider, operator):
    model = routed_at(provider)
    other = ProviderModelFactory(
        provider=ProviderFactory(regions=["eu-west-1"], highest_data_class="internal"),
        name="again",
        model=model,
    )
    make_routable([other])
    route = route_of(model)
    change_route(route.pk, plan_with(route, other.target), based_on=route.generation, by=None)
    used_by(model)
    assert whom_it_hits(provider, None) == []
    Provider.objects.filter(pk=other.provider.pk).update(is_enabled=False)
    assert len(whom_it_hits(provider, None)) == 1


def test_the_page_asks_before_it_changes_for_whom(provider, operator, client):
    used_by(routed_at(provider), name="Harbour")
    client.force_login(operator)
    page = f"/admin/deployments/provider/{provider.pk}/settings/"
    fields = {
        "title": "OpenAI", "dialect": provider.dialect, "base_url": provider.base_url, "regions": "eu-west-1",
        "highest_data_class": "public", "connect_timeout_seconds": "5", "first_byte_timeout_seconds": "60",
        "idle_timeout_seconds": "60", "test": "no", "credential_kind": "",
    }  # fmt: skip
    answer = client.post(page, fields)
    assert answer.status_code == 409
    assert "Harbour: gpt-4o: no longer served" in answer.content.decode()
    assert "may_change_audience" in answer.content.decode()
    assert client.post(page, fields | {"may_change_audience": "on"}).status_code == 302
    provider.refresh_from_db()
    assert provider.highest_data_class == "public"


def test_the_dialog_that_disables_names_the_first_tenants(provider, operator, client):
    model = routed_at(provider)
    for number in range(MOST_TENANTS + 1):
        used_by(model, name=f"Tenant {number:02}")
    client.force_login(operator)
    dialog = f"/admin/deployments/provider/{provider.pk}/disable/"
    text = client.get(dialog, headers={"HX-Request": "true"}).content.decode()
    assert "Tenant 00" in text
    assert "and one more tenant" in text
    assert f"Tenant {MOST_TENANTS:02}" not in text
    assert "and 1 more tenant" in in_words(whom_it_hits(provider, None))


def test_the_question_costs_the_same_for_many_models_and_tenants(provider, django_assert_max_num_queries):
    for number in range(4):
        model = routed_at(provider, f"m{number}")
        for _tenant in range(3):
            used_by(model)
    with django_assert_max_num_queries(5):
        assert len(whom_it_hits(provider, None)) == 12


def test_a_confirmation_is_asked_of_what_is_there_now(provider, operator):
    used_by(routed_at(provider))
    with pytest.raises(Conflict, match="Confirm"):
        change_provider(provider.pk, by=operator, highest_data_class="public")
    assert change_provider(provider.pk, by=operator, highest_data_class="public", may_change_audience=True)
