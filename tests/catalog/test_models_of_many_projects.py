"""The API's models name a few of one's projects each, however many there are, and say where all are listed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from catalog.models import AccessRequest, Grant, RequestItem
from catalog.serializers import MOST_ACCESS
from tenants.models import Project
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ProjectFactory,
    TenantFactory,
)
from tests.gateway.granted import grant

pytestmark = pytest.mark.django_db


def requests_of(tenant, model, person, count, begins):
    projects = Project.objects.across_tenants().bulk_create(
        Project(tenant=tenant, slug=f"{begins}-{n:03}", name=f"{begins} {n:03}") for n in range(count)
    )
    asked = AccessRequest.objects.across_tenants().bulk_create(
        AccessRequest(tenant=tenant, requested_by=person) for project in projects
    )
    RequestItem.objects.across_tenants().bulk_create(
        RequestItem(
            tenant=tenant,
            access_request=one,
            project=project,
            model=model,
            data_class="internal",
            expected_tokens_per_day=1,
        )
        for one, project in zip(asked, projects, strict=True)
    )
    return asked


@pytest.fixture
def models():
    return [CatalogModelFactory(name=f"model-{letter}") for letter in "abc"]


def listed(client, **asked):
    return {one["name"]: one for one in client.get("/api/v1/models/", asked).json()["results"]}


def test_a_model_names_the_first_projects_and_says_that_there_are_more(client, developer, lab, models):
    many, few, none = models
    requests_of(lab, many, developer, MOST_ACCESS + 30, "asked")
    requests_of(lab, few, developer, MOST_ACCESS, "waits")
    client.force_login(developer)
    found = listed(client)
    assert [one["project"] for one in found[many.name]["my_access"]] == [
        f"asked-{n:03}" for n in range(MOST_ACCESS)
    ]
    assert [len(found[model.name]["my_access"]) for model in (few, none)] == [MOST_ACCESS, 0]
    assert [found[model.name]["has_more_access"] for model in models] == [True, False, False]
    detail = client.get(f"/api/v1/models/{many.name}/").json()
    assert (len(detail["my_access"]), detail["has_more_access"]) == (MOST_ACCESS, True)
    whole = client.get(
        "/api/v1/access-requests/", {"model": many.name, "state": "pending", "page_size": 100}
    ).json()
    assert len(whole["results"]) == MOST_ACCESS + 30


def test_what_one_may_use_comes_before_what_one_has_asked_for(client, developer, lab, models):
    requests_of(lab, models[0], developer, MOST_ACCESS + 5, "asked")
    granted(lab, models[0], "used")
    client.force_login(developer)
    first, *others = listed(client)[models[0].name]["my_access"]
    assert (first["project"], first["state"]) == ("used", "granted")
    assert {one["state"] for one in others} == {"in_review"}


def granted(tenant, model, slug):
    """A project that may use the model."""
    return grant(ApiKeyFactory(tenant=tenant, project=ProjectFactory(tenant=tenant, slug=slug)), model)


def test_grants_are_narrowed_to_a_model(client, developer, lab, models):
    granted(lab, models[0], "first")
    granted(lab, models[1], "second")
    client.force_login(developer)
    for model, slug in ((models[0], "first"), (models[1], "second")):
        [found] = client.get("/api/v1/grants/", {"model": model.name}).json()["results"]
        assert found["project"] == slug
    assert client.get("/api/v1/grants/", {"model": "model-c"}).json()["results"] == []


def test_what_a_model_names_is_what_the_grants_in_force_name(client, developer, lab, models):
    running = granted(lab, models[0], "running")
    project = running.project
    moment, day = now(), timedelta(days=1)
    others = [
        grant(ApiKeyFactory(tenant=lab, project=project), models[0], **fields)
        for fields in (
            {"valid_from": moment - 9 * day, "valid_until": moment - day},
            {"valid_from": moment + day, "valid_until": moment + 9 * day},
        )
    ]
    revoked = granted(lab, models[0], "revoked")
    Grant.objects.in_tenant(lab).filter(pk=revoked.pk).update(revoked_at=moment)
    client.force_login(developer)

    def ids(**asked):
        answer = client.get("/api/v1/grants/", {"model": models[0].name} | asked)
        return {one["id"] for one in answer.json()["results"]}

    ended = {str(one.pk) for one in (*others, revoked)}
    named = {one["grant"] for one in listed(client)[models[0].name]["my_access"]}
    assert named == ids(in_force="true") == {str(running.pk)}
    assert ids(in_force="false") == ended
    assert ids() == ended | named


def test_projects_of_others_are_never_named(client, developer, stranger, lab, models):
    requests_of(TenantFactory(slug="third"), models[0], stranger, 30, "foreign")
    client.force_login(developer)
    found = listed(client)[models[0].name]
    assert (found["my_access"], found["has_more_access"]) == ([], False)


def test_many_projects_cost_no_question_more(client, developer, lab, models):
    client.force_login(developer)

    def asked():
        with CaptureQueriesContext(connection) as queries:
            listed(client)
        return len(queries)

    asked()
    requests_of(lab, models[0], developer, 2, "early")
    few = asked()
    for model in models:
        requests_of(lab, model, developer, 60, f"late-{model.name}")
    assert asked() == few
