"""Operators see what serves a model, see what a change would change and for whom, and change it as one whole."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils.timezone import now
from rest_framework.test import APIClient

from billing.ingest import record_usage
from billing.usage import UsageRecord
from core.ids import uuid7
from deployments import sharing
from deployments.models import RouteEntry
from deployments.route_form import MOST_OFFERED
from deployments.route_preview import preview_route
from deployments.routes import EntryPlan, plan_of, route_of
from gateway.actions import register_gateway
from gateway.models import Gateway
from tenants.revision import current_revision
from tests.factories import (
    CatalogModelFactory,
    ClusterFactory,
    DeploymentFactory,
    ModelVersionFactory,
    ProjectFactory,
    routed,
    staff,
)
from tests.gateway.granted import key_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def first():
    version = ModelVersionFactory(model=CatalogModelFactory(name="glm-4.6"))
    cluster = ClusterFactory(name="eu", region="eu-west-1")
    return routed(DeploymentFactory(name="first", version=version, cluster=cluster), "http://10.0.0.1/v1")


@pytest.fixture
def second(first):
    deployment = DeploymentFactory(
        name="second", version=first.version, cluster=ClusterFactory(name="us", region="us-east-1")
    )
    deployment.target.addresses.create(url="http://10.0.0.2/v1")
    return deployment


@pytest.fixture
def route(first):
    return route_of(first.version.model)


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


def form_page(route):
    return reverse("admin:deployments_route_change_targets", args=[route.pk])


def answers(route, **weights):
    """What the browser sends: weights by the name of the deployment."""
    by_name = {"first": "", "second": ""} | weights
    fields = {"generation": str(route.generation)}
    for entry in (deployment.target for deployment in everything(route)):
        fields[f"weight_{entry.pk}"] = by_name.get(entry.name, "")
        fields[f"priority_{entry.pk}"] = "0"
    return fields


def everything(route):
    return [deployment for version in route.model.versions.all() for deployment in version.deployments.all()]


def calls(key, number, days_ago=1):
    record_usage(
        "test",
        [
            UsageRecord(
                event_id=str(uuid7()),
                key_id=str(key.pk),
                model="glm-4.6",
                occurred_at=now() - timedelta(days=days_ago),
                usage={"input": 1},
            )
            for _ in range(number)
        ],
    )


def test_the_preview_says_what_changes_and_for_whom(first, second, route):
    project = ProjectFactory()
    key = key_for(project, route.model)
    calls(key, 3)
    calls(key, 2, days_ago=9)
    ProjectFactory()
    preview = preview_route(route, [EntryPlan(first.target.pk, 0), EntryPlan(second.target.pk, 4)])
    assert [(one.target.name, one.share_before, one.share_after) for one in preview.changes] == [
        ("first", 100, 0),
        ("second", 0, 100),
    ]
    assert [one.target.name for one in preview.losing] == ["first"]
    assert (preview.regions_gained, preview.regions_lost) == (["us-east-1"], ["eu-west-1"])
    [one] = preview.tenants
    assert (one.tenant, one.projects, one.keys, one.calls) == (project.tenant, 1, 1, 3)
    assert (one.is_served_before, one.is_served_after, preview.ends_service) == (True, True, False)
    assert plan_of(route) == [EntryPlan(first.target.pk, 1, 0)], "nothing is saved"


def test_the_preview_names_the_tenant_that_loses_the_model(first, second, route, operator):
    ours, theirs = ProjectFactory(), ProjectFactory()
    for project in (ours, theirs):
        key_for(project, route.model)
    sharing.dedicate(second.pk, ours.tenant, by=operator)
    preview = preview_route(route, [EntryPlan(second.target.pk)])
    assert {one.tenant: one.is_served_after for one in preview.tenants} == {
        ours.tenant: True,
        theirs.tenant: False,
    }


def test_the_preview_costs_the_same_for_many_tenants(first, route, django_assert_max_num_queries):
    for _ in range(20):
        key_for(ProjectFactory(), route.model)
    with django_assert_max_num_queries(10):
        assert preview_route(route, []).tenants_total == 20


def test_an_operator_previews_and_saves_on_the_page(first, second, route, desk):
    project = ProjectFactory()
    calls(key_for(project, route.model), 3)
    page = desk.get(form_page(route)).content.decode()
    for words in ("first", "second", "eu-west-1", "us-east-1", "Serves all tenants"):
        assert words in page
    assert 'name="save"' not in page, "nobody saves what they have not seen"
    wanted = answers(route, first="1", second="3")
    shown = desk.post(form_page(route), wanted | {"preview": "1"}).content.decode()
    for words in ("100% of order 0", "25% of order 0", "75% of order 0", "us-east-1", project.tenant.name):
        assert words in shown
    assert RouteEntry.objects.count() == 1
    saved = desk.post(form_page(route), wanted | {"save": "1"})
    assert saved.status_code == 302
    assert {(entry.target_id, entry.weight) for entry in plan_of(route)} == {
        (first.target.pk, 1),
        (second.target.pk, 3),
    }


def test_the_page_refuses_what_someone_else_changed_meanwhile(first, second, route, desk):
    wanted = answers(route, second="1")
    routed(second)
    answer = desk.post(form_page(route), wanted | {"save": "1"})
    assert answer.status_code == 409
    assert "Someone else changed this route first" in answer.content.decode()
    assert RouteEntry.objects.count() == 2


def test_the_page_asks_before_the_last_target_goes(first, route, desk):
    wanted = answers(route, first="0")
    assert (
        "Nothing shall serve this model any more"
        in desk.post(form_page(route), wanted | {"preview": "1"}).content.decode()
    )
    answer = desk.post(form_page(route), wanted | {"save": "1"})
    assert answer.status_code == 409
    assert "calls get 404" in answer.content.decode()
    assert desk.post(form_page(route), wanted | {"save": "1", "may_end_service": "on"}).status_code == 302
    assert plan_of(route) == [EntryPlan(first.target.pk, 0, 0)]


@pytest.mark.parametrize("weight", ["-1", "1001", "much"])
def test_the_page_names_a_number_that_cannot_be(first, route, desk, weight):
    answer = desk.post(form_page(route), answers(route, first=weight) | {"save": "1"})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()


def test_a_model_without_targets_says_what_to_do(desk):
    route = route_of(CatalogModelFactory(name="idle"))
    assert "Deploy a version of it" in desk.get(form_page(route)).content.decode()
    detail = desk.get(reverse("admin:deployments_route_change", args=[route.pk])).content.decode()
    assert "nothing serves this model yet" in detail


def test_many_targets_are_found_by_name_and_none_of_the_route_is_lost(first, route, desk):
    """However old it is: a form that does not show a target would take it out."""
    newer = [
        DeploymentFactory(name=f"engine-{number}", version=first.version)
        for number in range(MOST_OFFERED + 1)
    ]
    wanted, hidden = newer[0].target, newer[1].target
    page = desk.get(form_page(route)).content.decode()
    assert f"weight_{first.target.pk}" in page
    assert f"weight_{wanted.pk}" not in page
    typed = answers(route, first="7") | {"find": "engine-0", "search": "1"}
    found = desk.post(form_page(route), typed)
    assert found.status_code == 200
    assert f"weight_{wanted.pk}" in found.content.decode()
    assert f"weight_{hidden.pk}" not in found.content.decode()
    assert 'value="7"' in found.content.decode()
    saved = typed | {f"weight_{wanted.pk}": "3", "save": "1", "find": "engine-5"}
    del saved["search"]
    assert desk.post(form_page(route), saved).status_code == 302
    assert {(entry.target_id, entry.weight) for entry in plan_of(route)} == {
        (first.target.pk, 7),
        (wanted.pk, 3),
    }


def test_no_routes_yet_says_where_they_come_from(desk):
    text = desk.get(reverse("admin:deployments_route_changelist")).content.decode()
    assert "No routes yet" in text
    assert "Deploy a version of a model" in text


def test_the_page_of_a_deployment_says_that_it_gets_no_traffic(first, second, desk):
    def text(deployment):
        return desk.get(reverse("admin:deployments_deployment_change", args=[deployment.pk])).content.decode()

    assert "gets no traffic yet" in text(second)
    assert form_page(second.version.model.route) in text(second)
    assert "gets no traffic yet" not in text(first)


def test_the_page_says_how_many_gateways_follow(first, route, desk):
    detail = reverse("admin:deployments_route_change", args=[route.pk])
    assert "no gateway is alive" in desk.get(detail).content.decode()
    for name, behind in (("edge-1", 0), ("edge-2", 1)):
        gateway, _ = register_gateway(name, by=None)
        Gateway.objects.filter(pk=gateway.pk).update(
            acknowledged_revision=current_revision() - behind, last_seen_at=now()
        )
    assert "1 of 2 follow it" in desk.get(detail).content.decode()


def test_only_who_may_change_routes_sees_the_form(first, route, client):
    client.force_login(staff("security-reviewer"))
    assert client.get(form_page(route)).status_code in (403, 404)


def test_a_changed_variant_is_shown_before_and_after_it_is_saved(first, route, desk, operator):
    target = first.target.pk
    wanted = {
        "generation": route.generation,
        f"weight_{target}": 1,
        f"priority_{target}": 0,
        f"variant_{target}": "canary",
    }
    page = desk.post(form_page(route), wanted | {"preview": "1"}).content.decode()
    assert "100% of order 0 (weight 1) → 100% of order 0 (weight 1, variant canary)" in page
    api = APIClient()
    api.force_authenticate(operator)
    body = {"generation": route.generation, "entries": [{"target": str(target), "variant": "canary"}]}
    [change] = api.post(f"/api/v1/routes/{route.pk}/preview/", body, format="json").json()["changes"]
    assert (change["variant_before"], change["variant_after"]) == ("stable", "canary")
    assert desk.post(form_page(route), wanted | {"save": "1"}).status_code == 302
    page = desk.get(reverse("admin:deployments_route_change", args=[route.pk])).content.decode()
    assert "variant canary" in page


def test_the_api_lists_previews_and_changes(first, second, route, operator):
    api = APIClient()
    api.force_authenticate(operator)
    [row] = api.get("/api/v1/routes/").json()["results"]
    [entry] = row["entries"]
    assert (row["model"], row["generation"], row["gateways"]) == ("glm-4.6", 1, {"alive": 0, "following": 0})
    assert (entry["target"], entry["name"], entry["weight"], entry["priority"]) == (
        str(first.target.pk),
        "first",
        1,
        0,
    )
    assert (entry["regions"], entry["sharing"], entry["only_tenant"]) == (["eu-west-1"], "separated", None)
    path = f"/api/v1/routes/{row['id']}/"
    wanted = {"generation": 1, "entries": [{"target": str(second.target.pk), "weight": 2}]}
    preview = api.post(f"{path}preview/", wanted, format="json").json()
    assert (preview["regions_gained"], preview["regions_lost"]) == (["us-east-1"], ["eu-west-1"])
    assert RouteEntry.objects.get().target == first.target
    assert api.put(path, wanted, format="json").json()["generation"] == 2
    again = api.put(path, wanted, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "route_changed")
    empty = {"generation": 2, "entries": []}
    refused = api.put(path, empty, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "route_would_be_empty")
    assert api.put(path, empty | {"may_end_service": True}, format="json").status_code == 200
    assert api.put(path, {"generation": 3, "entries": [{"target": "x"}]}, format="json").status_code == 400
    assert api.get("/api/v1/routes/", {"model__name": "other"}).json()["results"] == []


@pytest.mark.parametrize("page", ["targets", "fallbacks", "degrading", "handling"])
@pytest.mark.parametrize("generation", [{}, {"generation": "x"}, {"generation": "-1"}])
def test_a_form_without_its_generation_says_what_to_do(route, desk, page, generation):
    path = f"/admin/deployments/route/{route.pk}/{page}/"
    for button in ("preview", "save"):
        answer = desk.post(path, generation | {button: "1"})
        text = answer.content.decode()
        assert answer.status_code == 422
        [alert] = re.findall(r'role="alert">(.*?)</div>', text, re.DOTALL)
        assert "which state of the route" in alert
        assert f'href="{path}"' in alert
    route.refresh_from_db()
    assert route.generation == 1


def test_the_list_costs_the_same_for_many_routes(operator, django_assert_max_num_queries):
    for _ in range(6):
        routed(DeploymentFactory(version=ModelVersionFactory(model=CatalogModelFactory())))
    api = APIClient()
    api.force_authenticate(operator)
    with django_assert_max_num_queries(8):
        assert len(api.get("/api/v1/routes/").json()["results"]) == 6
