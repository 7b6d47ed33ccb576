"""What pages say of a model is what gateways do with calls to it: served, or nothing serves it yet."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from catalog.access import accesses
from catalog.actions import raise_access_request
from catalog.models import CatalogModel
from catalog.serving import reach_of, why_unserved
from core.regions import is_allowed
from deployments import sharing
from deployments.models import Deployment, RouteEntry
from deployments.routes import make_routable
from deployments.runtimes import program_digest
from gateway.actions import acknowledge, register_gateway
from gateway.compile import compile_snapshot
from gateway.contract import Ack
from gateway.models import Gateway
from tenants.revision import current_revision
from tests.factories import (
    CatalogModelFactory,
    DeploymentFactory,
    ModelVersionFactory,
    ProviderFactory,
    ProviderModelFactory,
    TenantFactory,
    member_of,
    routed,
    staff,
)
from tests.gateway.granted import key_for

pytestmark = pytest.mark.django_db
NOTHING = "Nothing serves this yet"
URL = "http://127.0.0.1:1/v1"
UNKNOWN = {"image": "somebody/engine:1", "command": ["serve"]}


@pytest.fixture
def gateway():
    return register_gateway("edge-1", by=None)[0]


@pytest.fixture
def model():
    return CatalogModelFactory(name="glm-4.6", title="GLM-4.6")


@pytest.fixture
def deployment(model):
    return DeploymentFactory(version=ModelVersionFactory(model=model))


def ack(gateway, revision=None):
    acknowledge(
        gateway,
        Ack(
            revision=current_revision() if revision is None else revision,
            started_at="2026-11-29T10:00:00Z",
            spool_pending=0,
            counters={},
            version="1",
        ),
    )


def is_served(model, tenant):
    return not why_unserved(model, tenant)


def test_a_model_is_served_once_a_gateway_has_acknowledged_its_route(gateway, model, deployment, lab):
    ack(gateway)
    assert not is_served(model, lab)
    deployment.target.addresses.create(url=URL)
    assert not is_served(model, lab), "a deployment without an entry"
    routed(deployment)
    assert not is_served(model, lab), "no gateway knows it yet"
    ack(gateway, current_revision() - 1)
    assert not is_served(model, lab), "the gateway knows an older revision"
    ack(gateway)
    assert is_served(model, lab)


def test_a_route_without_weight_or_address_serves_nothing(gateway, model, deployment, lab):
    routed(deployment, URL, weight=0)
    ack(gateway)
    assert not is_served(model, lab)
    routed(deployment, weight=1)
    ack(gateway)
    assert is_served(model, lab)
    deployment.target.addresses.all().delete()
    assert not is_served(model, lab)


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": now()},
        {"last_seen_at": now() - timedelta(minutes=6)},
        {"last_seen_at": None},
    ],
    ids=["revoked", "silent", "never seen"],
)
def test_only_a_living_gateway_counts(gateway, model, deployment, lab, change):
    routed(deployment, URL)
    ack(gateway)
    Gateway.objects.update(**change)
    assert not is_served(model, lab)


def test_an_engine_of_one_tenant_serves_nobody_else(gateway, model, deployment, lab, operator):
    routed(deployment, URL)
    sharing.dedicate(deployment.pk, lab, by=operator)
    ack(gateway)
    assert is_served(model, lab)
    assert not is_served(model, TenantFactory())


def test_pages_and_gateways_judge_every_engine_alike(gateway, lab):
    """The stored judgment that pages query, and the one by which configuration is compiled."""
    other = TenantFactory()
    programs = [{}, {"image": "x", "command": ["llama-server", "--no-cache-prompt"]}, UNKNOWN]
    for program, stated, is_lapsed, is_accepted, tenant in product(
        programs, ["", "tenant_tag"], [False, True], [False, True], [None, lab, other]
    ):
        deployment = routed(DeploymentFactory(version=ModelVersionFactory(**program)), URL)
        Deployment.objects.filter(pk=deployment.pk).update(
            cache_key_field=deployment.facts.cache_key_field,
            is_prefix_cache_off=deployment.facts.is_prefix_cache_off,
            stated_field=stated,
            stated_reason="Tried." if stated else "",
            stated_program=program_digest(deployment.version.image, deployment.version.command)
            if stated
            else "",
            stated_at=now() if stated else None,
            statement_lapsed_at=now() if stated and is_lapsed else None,
            sharing_accepted_at=now() if is_accepted else None,
            sharing_reason="One team." if is_accepted else "",
            only_tenant=tenant,
        )
    ack(gateway)
    reached = {
        route.model
        for route in compile_snapshot().routes
        if any(target.only_tenant in (None, str(lab.pk)) for target in route.targets)
    }
    models = CatalogModel.objects.all()
    served = reach_of([lab], models)[lab.pk]
    assert {model.name for model in models if model.pk in served} == reached
    assert 0 < len(reached) < len(models) == 72


@pytest.mark.parametrize(
    ("region", "allowed", "served"),
    [
        ("eu-west-1", [], True),
        ("eu-west-1", ["eu"], True),
        ("eu-west-1", ["us", "eu-west-1"], True),
        ("eu-west-1", ["us"], False),
        ("europe-west4", ["eu"], False),
        ("", ["eu"], False),
    ],
)
def test_a_tenant_is_served_in_its_own_regions_only(gateway, model, deployment, region, allowed, served):
    deployment.cluster.region = region
    deployment.cluster.save()
    routed(deployment, URL)
    ack(gateway)
    assert is_served(model, TenantFactory(regions=allowed)) == served
    assert is_allowed(region, allowed) == served, "as gateways decide"


def test_who_has_access_is_not_told_to_use_what_nothing_serves(gateway, model, deployment, project, client):
    developer = member_of(project.tenant, "developer")
    key_for(project, model)
    access = accesses(developer, project.tenant, [model])[model.pk]
    assert (access.state, access.notice, access.url) == ("granted", NOTHING, "")
    client.force_login(developer)
    pages = [
        reverse("model-list", args=[project.tenant.slug]),
        reverse("model-list", args=[project.tenant.slug]) + "?view=table",
        reverse("model-detail", args=[project.tenant.slug, model.name]),
        reverse("model-detail", args=[project.tenant.slug, model.name]) + "?tab=use",
        reverse("request-new", args=[project.tenant.slug, model.name]),
    ]
    for page in pages:
        assert NOTHING in client.get(page).content.decode(), page
    routed(deployment, URL)
    ack(gateway)
    for page in pages:
        assert NOTHING not in client.get(page).content.decode(), page
    assert accesses(developer, project.tenant, [model])[model.pk].action_label == "Use"


def test_request_and_review_say_that_nothing_serves_the_model(gateway, model, deployment, project, client):
    developer = member_of(project.tenant, "developer")
    asked = raise_access_request(
        project, model.name, by=developer, purpose="Letters.", expected_tokens_per_day=1000
    )
    client.force_login(developer)
    request_page = reverse("request-detail", args=[project.tenant.slug, asked.pk])
    assert NOTHING in client.get(request_page).content.decode()
    desk = type(client)()
    desk.force_login(staff("security-reviewer"))
    review_page = reverse("admin:catalog_review_change", args=[asked.reviews.get(track="security").pk])
    assert NOTHING in desk.get(review_page).content.decode()
    routed(deployment, URL)
    ack(gateway)
    assert NOTHING not in client.get(request_page).content.decode()
    assert NOTHING not in desk.get(review_page).content.decode()


def test_a_model_that_no_endpoint_serves_cannot_be_requested(project, client):
    picture = CatalogModelFactory(name="painter", title="Painter", mode="video_generation")
    developer = member_of(project.tenant, "developer")
    with pytest.raises(ValidationError, match="no endpoint for video generation models yet"):
        raise_access_request(
            project, picture.name, by=developer, purpose="Pictures.", expected_tokens_per_day=1000
        )
    client.force_login(developer)
    access = accesses(developer, project.tenant, [picture])[picture.pk]
    assert (access.state, access.may_ask_again) == ("unavailable", False)
    assert (
        "no endpoint for video generation"
        in client.get(reverse("model-list", args=[project.tenant.slug])).content.decode()
    )
    form = reverse("request-new", args=[project.tenant.slug, picture.name])
    assert client.get(form).status_code == 403
    wanted = {
        "project": project.slug,
        "model": picture.name,
        "purpose": "Pictures.",
        "expected_tokens_per_day": 9,
    }
    answer = client.post("/api/v1/access-requests/", wanted, content_type="application/json")
    assert answer.status_code == 400
    assert "no endpoint" in answer.content.decode()


def test_the_catalog_filters_by_what_answers_calls(gateway, model, deployment, project, client):
    CatalogModelFactory(name="idle", title="Idle One")
    CatalogModelFactory(name="painter", title="Painter", mode="video_generation")
    routed(deployment, URL)
    ack(gateway)
    client.force_login(member_of(project.tenant, "developer"))
    page = reverse("model-list", args=[project.tenant.slug])

    def names(query):
        return {card.model.name for card in client.get(page + query).context["page"]}

    assert names("?served=yes") == {"glm-4.6"}
    assert names("?served=no") == {"idle", "painter"}
    assert names("?access=requestable") == {"glm-4.6", "idle"}
    assert names("?access=unavailable") == {"painter"}
    api = client.get("/api/v1/models/").json()["results"]
    assert {row["name"] for row in api if row["is_served"]} == {"glm-4.6"}


def test_the_question_costs_one_query_for_all_models(gateway, project):
    for number in range(30):
        routed(DeploymentFactory(version=ModelVersionFactory(model=CatalogModelFactory())), f"{URL}/{number}")
    ack(gateway)
    models, tenants = list(CatalogModel.objects.all()), [project.tenant, TenantFactory()]
    with CaptureQueriesContext(connection) as queries:
        assert len(reach_of(tenants, models)[project.tenant.pk]) == 30
    assert len(queries) == 1


@pytest.mark.parametrize(("dialect", "is_there"), [("anthropic", False), ("openai", True)])
def test_a_provider_without_the_models_endpoint_serves_nobody(gateway, lab, dialect, is_there):
    vectors = CatalogModelFactory(mode="embedding")
    listed = ProviderModelFactory(provider=ProviderFactory(dialect=dialect), model=vectors)
    make_routable([listed])
    RouteEntry.objects.create(route=vectors.route, target=listed.target)
    ack(gateway)
    assert is_served(vectors, lab) is is_there
    assert (
        bool(next(one for one in compile_snapshot().routes if one.model == vectors.name).targets) is is_there
    )


@pytest.mark.parametrize(
    ("mode", "image", "stated", "is_there"),
    [
        ("audio_transcription", "vllm/vllm-openai:v0.11.0", [], True),
        ("rerank", "vllm/vllm-openai:v0.11.0", [], True),
        ("image_generation", "vllm/vllm-openai:v0.11.0", [], False),
        ("image_generation", "vllm/vllm-openai:v0.11.0", ["image_generation"], True),
        ("image_generation", "own/painter:1", [], True),
    ],
)
def test_an_engine_serves_only_models_of_the_modes_that_its_program_has(
    gateway, lab, mode, image, stated, is_there
):
    model = CatalogModelFactory(mode=mode)
    version = ModelVersionFactory(model=model, image=image, command=[], endpoints=stated)
    # Whether tenants may share it is another matter.
    accepted = {"sharing_accepted_at": now(), "sharing_reason": "Tested elsewhere."}
    routed(DeploymentFactory(version=version, **accepted), URL)
    ack(gateway)
    assert is_served(model, lab) is is_there
    routes = compile_snapshot().routes
    assert bool(next(one for one in routes if one.model == model.name).targets) is is_there
