"""Operators say to which smaller model a route degrades, and when."""

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction

from audit.models import AuditEntry
from core.errors import Conflict
from deployments.degrading import Degrading, change_degrading, degrading_of, preview_degrading
from deployments.models import Route
from deployments.routes import route_of
from gateway.compile import compile_snapshot
from gateway.contract import DegradingConfig
from tenants.models import Tenant
from tenants.revision import current_revision
from tests.concurrency import at_the_same_time
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


def change(route, *wanted, **fields):
    route.refresh_from_db()
    given = {"based_on": route.generation, "by": None} | fields
    return change_degrading(route.pk, Degrading(*wanted), **given)


def test_it_reaches_gateways_and_the_audit_log(route):
    before = current_revision()
    changed = change(route, "small", 80, 1500, by=staff("operator"))
    assert changed.revision == current_revision() > before
    assert changed.generation == 1
    configs = {one.model: one.degrading for one in compile_snapshot().routes}
    wanted = DegradingConfig(model="small", money_percent=80, first_token_ms=1500)
    assert configs == {"large": wanted, "middle": None, "small": None}
    entry = AuditEntry.objects.across_tenants().get(verb="route.degrading_changed")
    words = "small at 80% of a money limit or above 1500 ms to the first token"
    assert entry.changes == {"degrading": ["never", words]}
    change(route)
    assert {one.degrading for one in compile_snapshot().routes} == {None}


def test_the_same_again_changes_nothing(route):
    change(route, "small", 80)
    before = current_revision()
    change(route, " small ", 80)
    assert current_revision() == before
    assert AuditEntry.objects.across_tenants().filter(verb="route.degrading_changed").count() == 1


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (("nobody", 80), "no model nobody"),
        (("large", 80), "degrade to itself"),
        (("vectors", 80), "a model for embedding"),
        (("small",), "at which share"),
        (("small", 0), "from 1 to 100"),
        (("small", 101), "from 1 to 100"),
        (("small", None, 0), "milliseconds from 1"),
        (("small", None, 600_001), "to 600,000"),
        (("", 80), "Name the model"),
        ((" ", None, 900), "Name the model"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(route, wanted, words):
    CatalogModelFactory(name="vectors", mode="embedding")
    with pytest.raises(ValidationError, match=words):
        change(route, *wanted)
    route.refresh_from_db()
    assert degrading_of(route) == Degrading()


def test_models_never_degrade_in_a_circle(route, models):
    change(route, "middle", 80)
    change(models["middle"].route, "small", 80)
    with pytest.raises(ValidationError, match="circle"):
        change(models["small"].route, "large", 80)
    change(route)
    assert change(models["small"].route, "large", 80).degrades_to == models["large"]


def test_a_change_says_what_it_was_based_on(route):
    change(route, "small", 80)
    with pytest.raises(Conflict, match="Someone else"):
        change(route, "middle", 80, based_on=0)


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_once_do_not_close_a_circle(route, models):
    there, back = models["large"].route.pk, models["small"].route.pk
    outcomes = at_the_same_time(
        lambda: change_degrading(there, Degrading("small", 80), based_on=0, by=None),
        lambda: change_degrading(back, Degrading("large", 80), based_on=0, by=None),
    )
    assert sorted(type(one).__name__ for one in outcomes) == ["Route", "ValidationError"]


@pytest.mark.as_owner
def test_only_those_who_may_change_routes_may_set_it(route):
    with pytest.raises(Route.DoesNotExist):
        change(route, "small", 80, by=staff("auditor"))
    reader = staff("auditor")
    reader.user_permissions.add(Permission.objects.get(codename="view_route"))
    with pytest.raises(PermissionDenied):
        change(route, "small", 80, by=reader)


@pytest.mark.parametrize(
    "fields",
    [
        {"degrades_at_money_percent": 80},
        {"degrades_above_first_token_ms": 5},
        {"degrades_to": "small"},
        {"degrades_to": "small", "degrades_at_money_percent": 101},
        {"degrades_to": "small", "degrades_above_first_token_ms": 0},
    ],
)
def test_the_database_keeps_model_and_goals_together(route, models, fields):
    values = {name: models.get(value, value) for name, value in fields.items()}
    with pytest.raises(IntegrityError, match="route_degrades_by_a_goal"), transaction.atomic():
        Route.objects.filter(pk=route.pk).update(**values)


def test_the_preview_counts_projects_of_tenants_that_allow_it(route, models):
    RouteEntryFactory(deployment__version__model=models["small"])
    on = {"tenant__degrading": Tenant.Degrading.ON}
    allowing, lower = ProjectFactory(slug="allowing", **on), ProjectFactory(slug="lower", **on)
    other, only = ProjectFactory(slug="other"), ProjectFactory(slug="only", **on)
    for project in (allowing, other):
        key_for(project, models["large"], models["small"])
    key_for(lower, models["small"])
    grant(key_for(lower), models["large"], data_class="restricted")
    key_for(only, models["large"])
    one = preview_degrading(route, Degrading("small", 80))
    assert (one.is_routed, one.projects, one.usable, one.allowed) == (True, 4, 2, 1)
    assert preview_degrading(route, Degrading("middle", 80)).is_routed is False
    assert preview_degrading(route, Degrading()) is None
    route.refresh_from_db()
    assert route.degrades_to is None


def test_the_api_shows_previews_and_replaces(route, client):
    client.force_login(staff("operator"))
    path = f"/api/v1/routes/{route.pk}/"
    body = {"generation": 0, "model": "small", "money_percent": 80}
    preview = client.post(f"{path}preview-degrading/", body, content_type="application/json")
    assert preview.json() == {"model": "small", "is_routed": False, "projects": 0, "usable": 0, "allowed": 0}
    never = {"model": "", "money_percent": None, "first_token_ms": None}
    assert client.get(path).json()["degrading"] == never
    none = client.post(
        f"{path}preview-degrading/", {"generation": 0, "model": ""}, content_type="application/json"
    )
    assert (none.status_code, none.json()["model"]) == (200, "")
    answer = client.put(f"{path}degrading/", body, content_type="application/json")
    assert answer.status_code == 200
    assert answer.json()["degrading"] == {"model": "small", "money_percent": 80, "first_token_ms": None}
    again = client.put(f"{path}degrading/", body, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "route_changed")
    nobody = client.put(
        f"{path}degrading/", body | {"generation": 1, "model": ""}, content_type="application/json"
    )
    assert (nobody.status_code, list(nobody.json()["errors"])) == (400, ["model"])
    wrong = client.put(
        f"{path}degrading/", body | {"generation": 1, "model": "large"}, content_type="application/json"
    )
    assert (wrong.status_code, "degrade to itself" in wrong.content.decode()) == (400, True)


def test_the_page_previews_saves_and_explains(route, client):
    client.force_login(staff("operator"))
    page = f"/admin/deployments/route/{route.pk}/degrading/"
    answers = {"generation": "0", "model": "small", "money_percent": "80", "first_token_ms": "1500"}
    shown = client.post(page, answers | {"preview": "1"})
    assert shown.status_code == 200
    assert "no target of it gets calls" in shown.content.decode()
    assert (
        "No smaller model answers" in client.post(page, {"generation": "0", "preview": "1"}).content.decode()
    )
    route.refresh_from_db()
    assert route.degrades_to is None
    assert client.post(page, answers | {"save": "1"}).status_code == 302
    route.refresh_from_db()
    assert degrading_of(route) == Degrading("small", 80, 1500)
    assert 'value="small"' in client.get(page).content.decode()
    seen = client.get(f"/admin/deployments/route/{route.pk}/change/").content.decode()
    assert "small, at 80% of a money limit, above 1,500 ms to the first token" in seen
    assert client.post(page, answers | {"save": "1"}).status_code == 409
    wrong = client.post(page, answers | {"generation": "1", "model": "large", "save": "1"})
    assert (wrong.status_code, "degrade to itself" in wrong.content.decode()) == (422, True)
    for button in ("preview", "save"):
        nobody = client.post(page, answers | {"generation": "1", "model": "", button: "1"})
        text = nobody.content.decode()
        assert nobody.status_code == 422
        # What was typed stays, with the error at the field of the model.
        assert (
            text.index('name="model"') < text.rindex("Name the model that answers") < text.index('value="80"')
        )
    route.refresh_from_db()
    assert degrading_of(route) == Degrading("small", 80, 1500)
