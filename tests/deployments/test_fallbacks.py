"""Operators name models that answer when no target of a route's own model does."""

import pytest
from django.core.exceptions import ValidationError

from audit.models import AuditEntry
from core.errors import Conflict
from deployments.fallbacks import change_fallbacks, names_of, preview_fallbacks
from deployments.routes import route_of
from gateway.compile import compile_snapshot
from tenants.revision import current_revision
from tests.factories import CatalogModelFactory, ProjectFactory, staff
from tests.gateway.granted import RouteEntryFactory, grant, key_for


@pytest.fixture
def models(db):
    return {name: CatalogModelFactory(name=name) for name in ("large", "middle", "small")}


@pytest.fixture
def route(models):
    for model in models.values():
        route_of(model)
    return models["large"].route


def change(route, *names, **fields):
    route.refresh_from_db()
    return change_fallbacks(route.pk, names, **({"based_on": route.generation, "by": None} | fields))


def test_fallbacks_reach_gateways_in_order(route):
    before = current_revision()
    changed = change(route, "small", "middle", by=staff("operator"))
    assert changed.revision == current_revision() > before
    [config] = [one for one in compile_snapshot().routes if one.model == "large"]
    assert config.fallbacks == ["small", "middle"]
    entry = AuditEntry.objects.across_tenants().get(verb="route.fallbacks_changed")
    assert entry.changes == {"fallbacks": ["", "small, middle"]}
    change(route, "middle", "small")
    assert names_of(route) == ["middle", "small"]


def test_the_same_again_changes_nothing(route):
    change(route, "small")
    before = current_revision()
    change(route, " small ")
    assert current_revision() == before
    assert AuditEntry.objects.across_tenants().filter(verb="route.fallbacks_changed").count() == 1


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["nobody"], "no model nobody"),
        (["large"], "its own fallback"),
        (["small", "small"], "once"),
        (["vectors"], "a model for embedding"),
        ([f"m{n}" for n in range(6)], "At most 5"),
    ],
)
def test_what_cannot_be_a_fallback_is_refused_by_name(route, names, words):
    CatalogModelFactory(name="vectors", mode="embedding")
    with pytest.raises(ValidationError, match=words):
        change(route, *names)
    assert names_of(route) == []


def test_fallbacks_never_form_a_circle(route, models):
    change(route, "middle")
    change(models["middle"].route, "small")
    for names in (["large"], ["middle"]):
        with pytest.raises(ValidationError, match="circle"):
            change(models["small"].route, *names)


def test_a_change_says_what_it_was_based_on(route):
    change(route, "small")
    with pytest.raises(Conflict, match="Someone else"):
        change(route, "middle", based_on=0)


def test_the_preview_counts_projects_whose_calls_may_go_there(route, models):
    RouteEntryFactory(deployment__version__model=models["small"])
    both, lower, only = (ProjectFactory(slug=slug) for slug in ("both", "lower", "only"))
    key_for(both, models["large"], models["small"])
    key_for(lower, models["small"])
    grant(key_for(lower), models["large"], data_class="restricted")
    grant(key_for(only), models["large"], data_class="restricted")
    [one] = preview_fallbacks(route, ["small"])
    assert (one.is_routed, one.projects, one.granted, one.usable) == (True, 3, 2, 1)
    [one] = preview_fallbacks(route, ["middle"])
    assert (one.is_routed, one.granted, one.usable) == (False, 0, 0)
    assert names_of(route) == []


def test_the_api_shows_previews_and_replaces(route, client):
    client.force_login(staff("operator"))
    path = f"/api/v1/routes/{route.pk}/"
    body = {"generation": 0, "models": ["small", "middle"]}
    preview = client.post(f"{path}preview-fallbacks/", body, content_type="application/json")
    assert [(one["model"], one["is_routed"]) for one in preview.json()] == [
        ("small", False),
        ("middle", False),
    ]
    assert client.get(path).json()["fallbacks"] == []
    answer = client.put(f"{path}fallbacks/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["fallbacks"]) == (200, ["small", "middle"])
    again = client.put(f"{path}fallbacks/", body | {"models": []}, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "route_changed")
    wrong = client.put(
        f"{path}fallbacks/", {"generation": 1, "models": ["large"]}, content_type="application/json"
    )
    assert (wrong.status_code, "its own fallback" in wrong.content.decode()) == (400, True)


def test_the_page_previews_saves_and_explains(route, client):
    client.force_login(staff("operator"))
    page = f"/admin/deployments/route/{route.pk}/fallbacks/"
    answers = {"generation": "0", "models": "small\r\nmiddle"}
    shown = client.post(page, answers | {"preview": "1"})
    assert shown.status_code == 200
    assert "no target of it gets calls" in shown.content.decode()
    assert names_of(route) == []
    assert client.post(page, answers | {"save": "1"}).status_code == 302
    assert names_of(route) == ["small", "middle"]
    assert "small, middle" in client.get(f"/admin/deployments/route/{route.pk}/change/").content.decode()
    assert client.post(page, answers | {"save": "1"}).status_code == 409
    wrong = client.post(page, {"generation": "1", "models": "large", "save": "1"})
    assert (wrong.status_code, "its own fallback" in wrong.content.decode()) == (422, True)
