"""A model of a provider can be in a route: a target like a deployment, with an identity that lasts."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse

from core.errors import Conflict
from deployments.models import RouteEntry, Target
from deployments.provider_actions import delete_provider
from deployments.provider_lists import match_models_of, match_provider_model
from deployments.routes import EntryPlan, change_route, make_routable, route_of
from gateway.compile import compile_snapshot
from tests.factories import CatalogModelFactory, DeploymentFactory, ProviderFactory, ProviderModelFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return CatalogModelFactory(name="gpt-4o")


@pytest.fixture
def listed(model):
    row = ProviderModelFactory(
        provider=ProviderFactory(name="openai-eu", regions=["eu-west-1"]), name="gpt-4o", model=model
    )
    make_routable([row])
    return row


def put_in_route(listed, by=None):
    route = route_of(listed.model)
    return change_route(route.pk, [EntryPlan(listed.target.pk)], based_on=route.generation, by=by)


def test_matching_a_list_gives_each_model_a_target_and_a_route_without_traffic(model):
    row = ProviderModelFactory(name="gpt-4o")
    ProviderModelFactory(provider=row.provider, name="of-nobody")
    match_models_of(row.provider)
    match_models_of(row.provider)
    assert [target.provider_model for target in Target.objects.all()] == [row]
    assert route_of(model).entries.count() == 0


def test_a_target_is_exactly_one_thing(listed):
    for both in (
        {"deployment": DeploymentFactory(), "provider_model": ProviderModelFactory()},
        {"deployment": None, "provider_model": None},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Target.objects.create(**both)


def test_a_route_takes_the_models_of_providers_that_are_its_own(listed, operator):
    assert put_in_route(listed, by=operator).generation == 1
    other = route_of(CatalogModelFactory())
    with pytest.raises(ValidationError, match=r"gpt-4o · openai-eu serves gpt-4o, not"):
        change_route(other.pk, [EntryPlan(listed.target.pk)], based_on=0, by=operator)


def test_gateways_get_no_target_that_they_cannot_call(listed, operator, client):
    route = put_in_route(listed, by=operator)
    [config] = compile_snapshot().routes
    assert config.targets == []
    client.force_login(operator)
    page = client.get(reverse("admin:deployments_route_change", args=[route.pk])).content.decode()
    for words in ("gpt-4o · openai-eu", "eu-west-1", "Gateways cannot call providers yet"):
        assert words in page
    form = client.get(reverse("admin:deployments_route_change_targets", args=[route.pk])).content.decode()
    assert "gpt-4o · openai-eu" in form
    [row] = client.get("/api/v1/routes/").json()["results"]
    assert [(entry["kind"], entry["sharing"], entry["state"]) for entry in row["entries"]] == [
        ("provider_model", None, None)
    ]


def test_a_routed_model_stays_what_it_was_routed_as(listed, operator):
    put_in_route(listed, by=operator)
    other = CatalogModelFactory(name="another")
    with pytest.raises(Conflict, match="is in the route of"):
        match_provider_model(listed.pk, other, by=operator)
    type(listed).objects.update(name="another")
    match_models_of(listed.provider)
    listed.refresh_from_db()
    assert listed.model.name == "gpt-4o"


def test_a_provider_goes_only_when_nothing_routes_there(listed, operator):
    route = put_in_route(listed, by=operator)
    with pytest.raises(Conflict, match="Remove it from their routes first"):
        delete_provider(listed.provider.pk, by=operator)
    change_route(route.pk, [], based_on=1, may_end_service=True, by=operator)
    delete_provider(listed.provider.pk, by=operator)
    assert not Target.objects.exists()
    assert not RouteEntry.objects.exists()
