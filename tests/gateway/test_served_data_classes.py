"""A model is served to a grant only if a target may receive the grant's data: pages, API and gateways agree."""

from __future__ import annotations

from itertools import product

import pytest
from django.urls import reverse

from catalog.access import accesses
from catalog.actions import raise_access_request
from catalog.models import Grant
from catalog.serving import reach_of
from deployments.models import Provider
from deployments.provider_actions import disable_provider, enable_provider
from deployments.route_preview import preview_route
from deployments.routes import EntryPlan, change_route, make_routable, route_of
from gateway.actions import register_gateway
from gateway.compile import compile_snapshot
from gateway.proxy.index import Index
from tenants.models import ApiKey
from tests.factories import (
    CatalogModelFactory,
    ProjectFactory,
    ProviderFactory,
    ProviderModelFactory,
    TenantFactory,
    member_of,
    staff,
)
from tests.gateway.granted import grant, key_for
from tests.gateway.test_served_models import ack

pytestmark = pytest.mark.django_db
CLASSES = ["public", "internal", "confidential", "restricted"]
NOT_RESTRICTED = "Nothing serves this for restricted data yet"


@pytest.fixture
def gateway():
    return register_gateway("edge-1", by=None)[0]


def through_provider(model, data_class="internal", regions=()):
    """The model, routed through a provider that may receive data up to this class."""
    provider = ProviderFactory(highest_data_class=data_class, regions=list(regions))
    row = ProviderModelFactory(provider=provider, name=model.name, model=model)
    make_routable([row])
    route = route_of(model)
    change_route(route.pk, [EntryPlan(row.target.pk)], based_on=route.generation, by=None)
    return provider


@pytest.fixture
def model(gateway):
    found = CatalogModelFactory(name="glm-4.6", title="GLM-4.6")
    through_provider(found)
    ack(gateway)
    return found


def key_for_class(project, model, data_class):
    key = key_for(project)
    ApiKey.objects.across_tenants().filter(pk=key.pk).update(model_names=[model.name])
    grant(key, model, data_class=data_class)
    return key


def index_now():
    return Index(compile_snapshot())


def test_pages_preview_and_gateways_decide_alike_for_every_class_and_region(gateway, operator):
    """Every class of a provider, its regions, those of the tenant, and the class of the grant."""
    cases = list(product(CLASSES, [(), ("eu-west-1",), ("eu-west-1", "us-east-1")]))
    models = [CatalogModelFactory(name=f"m{number}") for number in range(len(cases))]
    for model, (data_class, regions) in zip(models, cases, strict=True):
        through_provider(model, data_class, regions)
    projects = [
        ProjectFactory(tenant=tenant)
        for tenant in (TenantFactory(regions=[]), TenantFactory(regions=["eu"]))
        for _each in CLASSES
    ]
    keys = [key_for(project) for project in projects]
    for key, data_class in zip(keys, CLASSES * 2, strict=True):
        ApiKey.objects.across_tenants().filter(pk=key.pk).update(model_names=[one.name for one in models])
        for model in models:
            grant(key, model, data_class=data_class)
    ack(gateway)
    index = index_now()
    configs = {config.key_id: config for config in index.snapshot.keys}
    by_gateway = {
        (project.pk, model.pk): index.route_of(model.name, configs[str(key.pk)]) is not None
        for project, key in zip(projects, keys, strict=True)
        for model in models
    }
    assert 0 < sum(by_gateway.values()) < len(by_gateway)
    by_pages = {
        (project.pk, model.pk): not access.notice
        for project in projects
        for person in [member_of(project.tenant, "owner")]
        for model in models
        for access in [accesses(person, project.tenant, [model], project=project)[model.pk]]
    }
    assert by_pages == by_gateway
    for model in models:
        plan = [EntryPlan(entry.target_id) for entry in route_of(model).entries.all()]
        for one in preview_route(route_of(model), plan).tenants:
            served = sum(
                by_gateway[project.pk, model.pk] for project in projects if project.tenant == one.tenant
            )
            assert (one.projects, one.projects_served_before, one.projects_served_after) == (
                4,
                served,
                served,
            )


def test_nobody_is_told_to_use_a_model_that_may_not_receive_their_data(model, project, client):
    developer = member_of(project.tenant, "developer")
    key_for_class(project, model, "restricted")
    access = accesses(developer, project.tenant, [model])[model.pk]
    assert (access.state, access.notice, access.url) == ("granted", NOT_RESTRICTED, "")
    client.force_login(developer)
    catalog = reverse("model-list", args=[project.tenant.slug])
    for page in (catalog, reverse("model-detail", args=[project.tenant.slug, model.name]) + "?tab=use"):
        assert NOT_RESTRICTED in client.get(page).content.decode(), page

    def found(query):
        return [card.model.name for card in client.get(catalog + query).context["page"]]

    assert (found("?served=yes"), found("?served=no")) == ([], ["glm-4.6"])
    [shown] = client.get("/api/v1/models/").json()["results"]
    assert (shown["is_served"], shown["served_up_to"]) == (True, "internal")
    assert [one["is_served"] for one in shown["my_access"]] == [False]
    Provider.objects.update(highest_data_class="restricted")
    assert accesses(developer, project.tenant, [model])[model.pk].action_label == "Use"
    assert (found("?served=yes"), found("?served=no")) == (["glm-4.6"], [])
    [shown] = client.get("/api/v1/models/").json()["results"]
    assert [one["is_served"] for one in shown["my_access"]] == [True]


def test_the_highest_class_of_a_projects_grants_counts(model, project):
    """As gateways take it: a project says once what it sends."""
    developer = member_of(project.tenant, "developer")
    key_for_class(project, model, "restricted")
    key_for_class(project, model, "internal")
    access = accesses(developer, project.tenant, [model])[model.pk]
    assert access.notice == "Nothing serves this for all data of the project yet"
    assert not access.url
    Grant.objects.across_tenants().filter(item__data_class="restricted").update(
        revoked_at="2026-01-01T00:00Z"
    )
    assert accesses(developer, project.tenant, [model])[model.pk].action_label == "Use"


def test_a_project_that_can_call_is_named_before_one_that_cannot(model, project):
    developer = member_of(project.tenant, "developer")
    key_for_class(project, model, "internal")
    newer = ProjectFactory(tenant=project.tenant, name="Newer")
    key_for_class(newer, model, "restricted")
    access = accesses(developer, project.tenant, [model])[model.pk]
    assert (access.label, access.notice) == (f"{project.name} has access", "")


def test_a_request_for_data_that_nothing_may_receive_says_so_on_every_page(model, project, client):
    type(project.tenant).objects.update(highest_data_class="restricted")
    type(model).objects.update(highest_data_class="restricted")
    developer = member_of(project.tenant, "developer")
    client.force_login(developer)
    preview = reverse("request-preview", args=[project.tenant.slug, model.name])
    wanted = {
        "project": project.slug,
        "purpose": "Letters.",
        "expected_tokens_per_day": 9,
        "duration_days": 9,
    }
    assert NOT_RESTRICTED in client.post(preview, wanted | {"data_class": "restricted"}).content.decode()
    assert "Nothing serves" not in client.post(preview, wanted | {"data_class": "internal"}).content.decode()
    asked = raise_access_request(
        project,
        model.name,
        by=developer,
        purpose="Letters.",
        expected_tokens_per_day=1000,
        data_class="restricted",
    )
    assert accesses(developer, project.tenant, [model])[model.pk].notice == NOT_RESTRICTED
    page = reverse("request-detail", args=[project.tenant.slug, asked.pk])
    assert NOT_RESTRICTED in client.get(page).content.decode()
    desk = type(client)()
    desk.force_login(staff("security-reviewer"))
    review = reverse("admin:catalog_review_change", args=[asked.reviews.get(track="security").pk])
    assert NOT_RESTRICTED in desk.get(review).content.decode()
    Provider.objects.update(highest_data_class="restricted")
    assert NOT_RESTRICTED not in client.get(page).content.decode()
    assert NOT_RESTRICTED not in desk.get(review).content.decode()


def test_the_preview_of_a_route_says_who_loses_it_for_their_data(gateway, model, project, operator, client):
    """A route whose new target may receive less."""
    for data_class in ("public", "confidential"):
        key_for_class(ProjectFactory(tenant=project.tenant), model, data_class)
    Provider.objects.update(highest_data_class="confidential")
    other = ProviderModelFactory(
        provider=ProviderFactory(highest_data_class="public"), name="glm", model=model
    )
    make_routable([other])
    [one] = preview_route(route_of(model), [EntryPlan(other.target.pk)]).tenants
    assert (one.projects, one.projects_served_before, one.projects_served_after) == (2, 2, 1)
    client.force_login(operator)
    form = reverse("admin:deployments_route_change_targets", args=[route_of(model).pk])
    other.target.refresh_from_db()
    numbers = {
        f"{name}_{target.pk}": value
        for target, weight in ((route_of(model).entries.get().target, "0"), (other.target, "1"))
        for name, value in (("weight", weight), ("priority", "0"))
    }
    page = client.post(form, numbers | {"generation": route_of(model).generation, "preview": "1"})
    assert "2 projects can call the model, afterwards 1" in page.content.decode()


def test_a_provider_that_is_enabled_again_serves_once_gateways_know(gateway, model, project, operator):
    key_for_class(project, model, "internal")
    provider = Provider.objects.get()
    disable_provider(provider.pk, by=operator)
    assert reach_of([project.tenant])[project.tenant.pk] == {}
    enable_provider(provider.pk, by=operator)
    assert reach_of([project.tenant])[project.tenant.pk] == {}
    ack(gateway)
    assert reach_of([project.tenant])[project.tenant.pk] == {model.pk: "internal"}
