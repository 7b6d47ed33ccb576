"""A model of a provider can be in a route: a target like a deployment, with an identity that lasts."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import AuditEntry
from catalog.models import CatalogModel
from core.errors import Conflict
from core.ids import uuid7
from deployments.models import RouteEntry, Target
from deployments.provider_actions import change_provider, delete_provider, disable_provider
from deployments.provider_credentials import clean_credential, row_of
from deployments.provider_lists import match_models_of, match_provider_model
from deployments.provider_routing import routable_models, route_provider_models
from deployments.providers.dialects import DIALECTS
from deployments.reach import audience_of
from deployments.routes import EntryPlan, change_route, make_routable, route_of
from gateway.compile import compile_snapshot
from gateway.contract import encode
from gateway.contract.sealing import unseal
from gateway.contract.versions import Downgrade, may_receive
from gateway.proxy.vault import NoCredential, Vault
from gateway.targets import credential_key
from tests.concurrency import queued_behind
from tests.factories import (
    CatalogModelFactory,
    DeploymentFactory,
    ModelVersionFactory,
    ProviderFactory,
    ProviderModelFactory,
    TenantFactory,
    routed,
)

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


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_routed_first", [True, False])
def test_whoever_routes_a_model_and_a_list_that_matches_it_anew_take_turns(listed, model, is_routed_first):
    """A target in the route of another model than its own keeps the configuration from every gateway."""
    route = route_of(model)
    CatalogModel.objects.filter(pk=model.pk).update(name="gpt-4o-old")
    CatalogModelFactory(name="gpt-4o")

    def routed_now():
        change_route(route.pk, [EntryPlan(listed.target.pk)], based_on=route.generation, by=None)

    def matched_now():
        with transaction.atomic():
            return match_models_of(listed.provider)

    if is_routed_first:
        assert queued_behind(matched_now, first=routed_now) == 0
    else:
        assert isinstance(queued_behind(routed_now, first=matched_now), ValidationError)
    for entry in RouteEntry.objects.with_sources():
        assert entry.target.model.pk == entry.route.model_id
    compile_snapshot()


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


def test_gateways_learn_how_to_call_a_provider(listed, operator, client):
    provider = listed.provider
    row_of(provider, clean_credential("stored", "sk-of-the-provider-1234", "")).save()
    route = put_in_route(listed, by=operator)
    snapshot = compile_snapshot()
    [config] = snapshot.routes
    [told] = config.targets
    assert (told.id, told.addresses, told.upstream_model) == (
        str(listed.target.pk),
        [provider.base_url.rstrip("/")],
        "gpt-4o",
    )
    assert (told.regions, told.highest_data_class) == (["eu-west-1"], provider.highest_data_class)
    assert told.provider.dialect == provider.dialect
    assert told.provider.quota is None, "nobody said what it allows us"
    [credential] = told.provider.credentials
    assert b"sk-of-the-provider" not in encode(snapshot)
    assert unseal(credential.value, credential_key(), told.id) == "sk-of-the-provider-1234"
    assert Downgrade(snapshot.routes).snapshot(snapshot).routes[0].backends == [], "version 1 cannot call it"
    again = compile_snapshot().routes[0].targets[0]
    assert again == told, "an unchanged route stays the same, sealed credentials too"
    change_provider(provider.pk, by=operator, tokens_per_minute=9000)
    said = compile_snapshot().routes[0].targets[0].provider.quota
    assert (said.id, said.requests_per_minute, said.tokens_per_minute) == (str(provider.pk), None, 9000)
    client.force_login(operator)
    page = client.get(reverse("admin:deployments_route_change", args=[route.pk])).content.decode()
    for words in ("gpt-4o · openai-eu", "eu-west-1"):
        assert words in page
    form = client.get(reverse("admin:deployments_route_change_targets", args=[route.pk])).content.decode()
    assert "gpt-4o · openai-eu" in form
    [row] = client.get("/api/v1/routes/").json()["results"]
    assert [(entry["kind"], entry["sharing"], entry["state"]) for entry in row["entries"]] == [
        ("provider_model", None, None)
    ]


@pytest.mark.parametrize("is_lost", [True, False])
def test_without_a_usable_credential_gateways_send_nothing(listed, settings, tmp_path, is_lost):
    """Rather than prompts without one, to a provider that refuses them."""
    put_in_route(listed)
    [target] = compile_snapshot().routes[0].targets
    assert target.provider.credentials == [], "this provider needs none"
    row = row_of(listed.provider, clean_credential("stored", "sk-of-the-provider-1234", ""))
    if is_lost:
        settings.SECRET_KEY = "another secret key of at least fifty characters, for this test alone"
    else:
        row.valid_until = row.valid_from
    row.save()
    [target] = compile_snapshot().routes[0].targets
    with pytest.raises(NoCredential, match="has ended"):
        Vault(tmp_path, None, {}).header(DIALECTS["openai"], target.id, target.provider.credentials)


def test_a_disabled_provider_gets_no_calls(listed, operator):
    put_in_route(listed, by=operator)
    disable_provider(listed.provider.pk, by=operator)
    assert compile_snapshot().routes[0].targets == []


@pytest.mark.parametrize(
    ("regions", "allowed", "is_served"),
    [
        (["eu-west-1"], [], True),
        (["eu-west-1"], ["eu"], True),
        (["eu-west-1", "us-east-1"], ["eu"], False),
        ([], ["eu"], False),
    ],
)
def test_pages_and_gateways_agree_for_whom_a_provider_serves(listed, operator, regions, allowed, is_served):
    type(listed.provider).objects.update(regions=regions)
    put_in_route(listed, by=operator)
    tenant = TenantFactory(regions=allowed)
    served = audience_of(Target.objects.with_source().get()).highest_for(tenant) is not None
    [told] = compile_snapshot().routes[0].targets
    assert (served, may_receive(told, allowed, "public")) == (is_served, is_served)


def test_the_number_of_queries_does_not_grow_with_providers(listed, operator):
    put_in_route(listed, by=operator)
    with CaptureQueriesContext(connection) as one:
        compile_snapshot()
    for number in range(3):
        model = CatalogModelFactory()
        row = ProviderModelFactory(provider=ProviderFactory(), name=f"m{number}", model=model)
        row_of(row.provider, clean_credential("stored", "sk-another-credential", "")).save()
        make_routable([row])
        put_in_route(row, by=operator)
    with CaptureQueriesContext(connection) as four:
        assert len(compile_snapshot().routes) == 4
    assert len(four) == len(one)


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


def names_of(offered):
    return [(one.row.name, one.others) for one in offered]


def several(provider, *names):
    rows = [
        ProviderModelFactory(provider=provider, name=name, model=CatalogModelFactory(name=name))
        for name in names
    ]
    make_routable(rows)
    return rows


def test_many_models_are_routed_at_once_and_those_that_are_stay_as_they_are(listed, operator, client):
    listed.provider.listed_at = listed.last_seen_at
    listed.provider.save()
    put_in_route(listed, by=operator)
    change_route(listed.model.route.pk, [EntryPlan(listed.target.pk, 7, 2)], based_on=1, by=operator)
    rows = several(listed.provider, "a", "b")
    ProviderModelFactory(provider=listed.provider, name="unmatched")
    ProviderModelFactory(provider=ProviderFactory(), name="elsewhere", model=CatalogModelFactory())
    routed(DeploymentFactory(version=ModelVersionFactory(model=rows[1].model)))
    assert names_of(routable_models(listed.provider)) == [("a", 0), ("b", 1)]
    client.force_login(operator)
    dialog = f"/admin/deployments/provider/{listed.provider.pk}/route-models/"
    text = client.get(dialog, headers={"HX-Request": "true"}).content.decode()
    assert "nothing serves it now" in text
    assert "beside 1 target, with weight 1" in text
    route_provider_models(listed.provider.pk, [row.pk for row in (*rows, listed)], by=operator)
    assert names_of(routable_models(listed.provider)) == []
    assert [route.entries.count() for route in (rows[0].model.route, rows[1].model.route)] == [1, 2]
    assert [(entry.weight, entry.priority) for entry in listed.model.route.entries.all()] == [(7, 2)]
    entries = AuditEntry.objects.across_tenants().filter(verb="route.changed", actor_label=operator.email)
    assert entries.count() == 4


@pytest.mark.parametrize("wrong", ["none", "foreign", "unmatched", "too many"])
def test_all_are_routed_or_none(listed, operator, wrong):
    [row] = several(listed.provider, "a")
    chosen = {
        "none": [],
        "foreign": [row.pk, several(ProviderFactory(), "b")[0].pk],
        "unmatched": [row.pk, ProviderModelFactory(provider=listed.provider, name="unmatched").pk],
        "too many": [uuid7() for _ in range(51)],
    }[wrong]
    with pytest.raises(ValidationError):
        route_provider_models(listed.provider.pk, chosen, by=operator)
    assert row.model.route.entries.count() == 0
