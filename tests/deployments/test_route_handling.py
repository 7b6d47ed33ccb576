"""Operators say how the calls of a route are handled, after seeing what changes for whom; gateways get it."""

from __future__ import annotations

import msgspec
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from rest_framework.test import APIClient

from audit.models import AuditEntry
from core.errors import Conflict
from deployments.models import Route
from deployments.route_handling import change_handling, preview_handling
from deployments.routes import change_route, plan_of, route_of
from gateway.compile import compile_snapshot
from gateway.contract import HandlingConfig, decode, encode
from tenants.revision import current_revision
from tests.factories import DeploymentFactory, ProjectFactory, routed
from tests.gateway.granted import key_for

pytestmark = pytest.mark.django_db
PAGE = {
    "generation": "1",
    "connect_timeout_seconds": "2",
    "first_byte_timeout_seconds": "",
    "idle_timeout_seconds": "",
    "call_timeout_seconds": "90",
    "most_connections": "",
    "most_attempts": "3",
    "retry_percent": "20",
    "retries_per_second": "10",
    "probes": "idle",
    "is_sticky": "True",
}


@pytest.fixture
def route():
    deployment = routed(DeploymentFactory(), "http://10.0.0.1/v1")
    return route_of(deployment.version.model)


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def api(operator):
    client = APIClient()
    client.force_authenticate(operator)
    return client


def page_of(route):
    return reverse("admin:deployments_route_change_handling", args=[route.pk])


def handling_sent():
    [route] = compile_snapshot().routes
    return decode(HandlingConfig, encode(route.handling))


def test_gateways_get_the_defaults_until_somebody_changes_them(route, operator):
    assert handling_sent() == HandlingConfig()
    before = current_revision()
    values = {
        "connect_timeout_seconds": 1,
        "first_byte_timeout_seconds": 2,
        "idle_timeout_seconds": 3,
        "call_timeout_seconds": 4,
        "most_connections": 5,
        "most_attempts": 6,
        "retry_percent": 7,
        "retries_per_second": 8,
        "probes": "ejected",
        "is_sticky": True,
    }
    assert values.keys() == set(Route.HANDLING)
    changed = change_handling(route.pk, values, based_on=route.generation, by=operator)
    assert handling_sent() == HandlingConfig(**values)
    assert (changed.generation, changed.revision) == (route.generation + 1, current_revision())
    assert current_revision() > before
    entry = AuditEntry.objects.across_tenants().filter(verb="route.handling_changed").latest("at")
    assert entry.changes["most_connections"] == ["default", "5"]
    assert entry.changes["is_sticky"] == ["False", "True"]
    # The entries stay as they are, and the same values change nothing.
    assert plan_of(changed) == plan_of(route)
    again = change_handling(route.pk, values, based_on=changed.generation, by=operator)
    assert again.generation == changed.generation


def test_whoever_saw_an_older_route_changes_neither_its_handling_nor_its_targets(route, operator):
    change_handling(route.pk, {"most_attempts": 1}, based_on=route.generation, by=operator)
    for change in (
        lambda: change_handling(route.pk, {"most_attempts": 2}, based_on=route.generation, by=operator),
        lambda: change_route(route.pk, plan_of(route), based_on=route.generation, by=operator),
    ):
        with pytest.raises(Conflict) as refused:
            change()
        assert refused.value.code == "route_changed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout_seconds", 0),
        ("connect_timeout_seconds", 61),
        ("call_timeout_seconds", 86_401),
        ("most_connections", 0),
        ("most_attempts", 0),
        ("retry_percent", 101),
        ("probes", "always"),
        ("generation", 7),
    ],
)
def test_impossible_settings_are_refused_by_name(route, operator, name, value):
    with pytest.raises(ValidationError) as refused:
        change_handling(route.pk, {name: value}, based_on=route.generation, by=operator)
    assert name in refused.value.message_dict
    with pytest.raises(ValidationError):
        preview_handling(route, {name: value})


def test_the_database_refuses_them_too(route):
    for values in ({"most_attempts": 0}, {"call_timeout_seconds": 0}, {"probes": "always"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Route.objects.filter(pk=route.pk).update(**values)


def test_the_preview_says_what_changes_and_for_whom(route):
    project = ProjectFactory()
    key_for(project, route.model)
    preview = preview_handling(route, {"retry_percent": 0, "most_attempts": 3, "probes": "off"})
    assert [(one.name, one.before, one.after) for one in preview.changes] == [
        ("retry_percent", 20, 0),
        ("probes", "", "off"),
    ]
    assert [one.tenant for one in preview.tenants] == [project.tenant]
    route.refresh_from_db()
    assert route.retry_percent == 20


def test_an_operator_previews_and_saves_on_the_page(desk, route):
    key_for(ProjectFactory(), route.model)
    route.generation = 1
    route.save()
    text = desk.post(page_of(route), PAGE | {"preview": "1"}).content.decode()
    assert "default → 90" in text
    assert "No → Yes" in text
    assert "providers never → Ejected and idle" in text
    assert Route.objects.get(pk=route.pk).call_timeout_seconds is None
    answer = desk.post(page_of(route), PAGE | {"save": "1"}, follow=True)
    assert "Gateways follow the new settings" in answer.content.decode()
    changed = Route.objects.get(pk=route.pk)
    assert (changed.call_timeout_seconds, changed.is_sticky, changed.generation) == (90, True, 2)
    late = desk.post(page_of(route), PAGE | {"save": "1"})
    assert late.status_code == 409
    assert "Someone else changed this route" in late.content.decode()
    wrong = desk.post(page_of(route), PAGE | {"generation": "2", "most_attempts": "0", "preview": "1"})
    assert wrong.status_code == 422


def test_the_api_previews_and_changes_only_what_is_sent(api, route):
    path = f"/api/v1/routes/{route.pk}/"
    body = {"generation": route.generation, "idle_timeout_seconds": 7}
    preview = api.post(f"{path}preview-handling/", body, format="json").json()
    assert preview["changes"] == [{"name": "idle_timeout_seconds", "before": None, "after": 7}]
    assert api.get(path).json()["handling"]["idle_timeout_seconds"] is None
    changed = api.patch(f"{path}handling/", body, format="json")
    assert changed.status_code == 200
    defaults = msgspec.structs.asdict(HandlingConfig()) | {"probes": ""}
    assert changed.json()["handling"] == {**defaults, "idle_timeout_seconds": 7}
    assert api.patch(f"{path}handling/", body, format="json").status_code == 409
    assert api.patch(f"{path}handling/", {"idle_timeout_seconds": 8}, format="json").status_code == 400
    wrong = {"generation": changed.json()["generation"], "most_attempts": 0}
    answer = api.patch(f"{path}handling/", wrong, format="json")
    assert (answer.status_code, "most_attempts" in answer.content.decode()) == (400, True)
