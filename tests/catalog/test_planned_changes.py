"""What takes something away from tenants shows whom it touches, has a time, and can be undone until then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from accounts.models import OutboxMessage
from accounts.outbox.events import event_named
from audit.models import AuditEntry
from catalog import tasks
from catalog.actions import (
    curate_model,
    curate_models,
    decide_review,
    deprecate_model,
    planned_changes,
    retire_model,
    undo_change,
)
from catalog.actions.planned_changes import put_due_into_effect, tell_of_changes
from catalog.models import CatalogModel, Grant, PlannedChange
from core.errors import Conflict
from tests.factories import CatalogModelFactory

pytestmark = pytest.mark.django_db
SOON = timedelta(days=7)


@pytest.fixture
def granted(ask, review_of, security_reviewer, owner, priced_model):
    """The model, which the project of the lab may call."""
    asked = ask()
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    return fresh(priced_model)


def fresh(model):
    return CatalogModel.objects.get(pk=model.pk)


def told(event):
    return list(OutboxMessage.objects.filter(event=f"planned_change.{event}", channel="inbox"))


def entries(verb):
    return AuditEntry.objects.across_tenants().filter(verb=verb)


@pytest.fixture
def pass_the_time(monkeypatch):
    """Let the time of every plan come."""
    return lambda: monkeypatch.setattr("catalog.actions.planned_changes.now", lambda: now() + 2 * SOON)


def plan(model, operator, **more):
    wanted = {"takes_effect_at": now() + SOON, "may_touch_tenants": True, "by": operator}
    return retire_model(model.pk, **wanted | more)


def test_it_is_refused_once_with_whom_it_touches(operator, granted):
    with pytest.raises(Conflict, match="1 grant of 1 tenant, for 1 project") as refused:
        retire_model(granted.pk, by=operator)
    assert refused.value.code == "touches_tenants"
    assert "Owners who are told: 1" in refused.value.message
    assert not PlannedChange.objects.exists()


def test_models_are_locked_by_id_as_everywhere(operator, granted, pass_the_time):
    plan(granted, operator)
    pass_the_time()
    with CaptureQueriesContext(connection) as queries:
        assert put_due_into_effect() == 1
    locks = [one["sql"] for one in queries if "FOR UPDATE" in one["sql"] and '"risk_tier"' in one["sql"]]
    assert locks
    assert all('ORDER BY "catalog_catalogmodel"."id"' in lock for lock in locks)


def test_it_takes_effect_at_its_time_and_once(operator, granted, pass_the_time):
    follower = CatalogModelFactory(name="glm-5")
    change = plan(granted, operator, successor=follower.name)
    assert put_due_into_effect() == 0
    assert fresh(granted).lifecycle == "published"
    pass_the_time()
    assert [put_due_into_effect() for _ in range(2)] == [1, 0]
    assert (fresh(granted).lifecycle, fresh(granted).successor) == ("retired", "glm-5")
    [entry] = entries("catalog_model.retired")
    assert entry.changes == {"lifecycle": ["published", "retired"], "successor": ["", "glm-5"]}
    assert entry.details["planned_change"] == str(change.pk)
    assert [one.actor for one in entries("planned_change.took_effect")] == [None]
    # Grants stay.
    assert Grant.objects.across_tenants().in_force().filter(model=granted).exists()


def test_owners_are_told_once_of_each_step(operator, granted, owner, stranger):
    change = plan(granted, operator)
    for _ in range(2):
        tasks.tell_of_changes()
    assert [one.user for one in told("planned")] == [owner]
    undo_change(change.pk, by=operator)
    for _ in range(2):
        tasks.tell_of_changes()
    assert [one.user for one in told("undone")] == [owner]
    deprecate_model(granted.pk, by=operator, may_touch_tenants=True)
    tasks.tell_of_changes()
    assert [one.user for one in told("in_effect")] == [owner]
    assert len(told("planned")) == 1


def test_nobody_hears_of_a_plan_that_was_undone_before_they_were_told(operator, granted):
    undo_change(plan(granted, operator).pk, by=operator)
    tell_of_changes()
    assert (told("planned"), told("undone")) == ([], [])


def test_the_inbox_says_what_changes_and_leads_to_the_model(client, operator, granted, owner):
    plan(granted, operator, reason="Its maker ends it")
    tell_of_changes()
    client.force_login(owner)
    page = client.get("/account/inbox/").content.decode()
    assert "GLM-4.6: retired from" in page
    shown = client.get(f"/t/lab/models/{granted.name}/").content.decode()
    assert "Will be retired on" in shown
    assert "Its maker ends it" in shown


def test_it_is_undone_until_it_takes_effect(operator, developer, granted, pass_the_time):
    change = plan(granted, operator)
    with pytest.raises(PermissionDenied):
        undo_change(change.pk, by=developer)
    undo_change(change.pk, by=operator)
    with pytest.raises(Conflict) as late:
        undo_change(change.pk, by=operator)
    assert late.value.code == "change_ended"
    pass_the_time()
    assert put_due_into_effect() == 0
    assert fresh(granted).lifecycle == "published"
    at_once = retire_model(granted.pk, by=operator, may_touch_tenants=True)
    with pytest.raises(Conflict):
        undo_change(at_once.pk, by=operator)


def test_a_dangerous_edit_goes_the_same_way(operator, granted, pass_the_time):
    wanted = {"values": {"risk_tier": "high"}, "may_touch_tenants": True, "by": operator}
    curate_model(granted.pk, takes_effect_at=now() + SOON, **wanted)
    change = PlannedChange.objects.get()
    assert (fresh(granted).risk_tier, change.impact["grants"]) == ("moderate", 1)
    pass_the_time()
    put_due_into_effect()
    assert fresh(granted).provenance["risk_tier"]["by"] == str(operator.pk)
    assert fresh(granted).risk_tier == "high"
    curate_model(granted.pk, values={"highest_data_class": "public"}, may_touch_tenants=True, by=operator)
    newest = PlannedChange.objects.order_by("planned_at").last()
    assert (newest.state, fresh(granted).highest_data_class) == ("in_effect", "public")


def test_an_edit_of_many_is_one_change_for_those_that_change(
    operator, granted, django_assert_max_num_queries, pass_the_time
):
    others = [CatalogModelFactory() for _ in range(30)]
    CatalogModelFactory(risk_tier="high")
    pks = list(CatalogModel.objects.values_list("pk", flat=True))
    with django_assert_max_num_queries(40):
        curate_models(
            pks,
            values={"risk_tier": "high"},
            by=operator,
            may_touch_tenants=True,
            takes_effect_at=now() + SOON,
        )
    change = PlannedChange.objects.get()
    assert change.of_models.count() == len(others) + 1
    pass_the_time()
    with django_assert_max_num_queries(30):
        put_due_into_effect()
    assert set(CatalogModel.objects.values_list("risk_tier", flat=True)) == {"high"}
    assert entries("catalog_model.curated").count() == len(others) + 1


def test_one_that_fails_holds_no_other_up(operator, granted, monkeypatch, pass_the_time):
    first = plan(granted, operator)
    plan(CatalogModelFactory(), operator)
    pass_the_time()
    honest = planned_changes._apply

    def broken(change, actor):
        if change.pk == first.pk:
            raise RuntimeError("a fault of ours")
        honest(change, actor)

    monkeypatch.setattr(planned_changes, "_apply", broken)
    assert put_due_into_effect() == 1
    first.refresh_from_db()
    assert first.state == "planned"
    monkeypatch.setattr(planned_changes, "_apply", honest)
    assert put_due_into_effect() == 1


def test_what_can_no_longer_be_done_says_why(operator, granted, monkeypatch, pass_the_time):
    change = plan(granted, operator)
    pass_the_time()
    problem = ValidationError({"successor": ["There is no such model."]})
    monkeypatch.setattr("catalog.actions.planned_changes._apply", lambda *a: (_ for _ in ()).throw(problem))
    put_due_into_effect()
    change.refresh_from_db()
    assert (change.state, change.problem) == ("failed", "There is no such model.")
    assert fresh(granted).lifecycle == "published"


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "planned", "ended_at": None, "undone_by": None},
        {"values": {"risk_tier": "low"}},
        {"takes_effect_at": now() + 2 * SOON},
    ],
)
def test_the_database_keeps_what_was_planned_and_how_it_ended(operator, granted, changes):
    change = plan(granted, operator)
    undo_change(change.pk, by=operator)
    with pytest.raises(IntegrityError), transaction.atomic():
        PlannedChange.objects.filter(pk=change.pk).update(**changes)
    with pytest.raises(IntegrityError), transaction.atomic():
        PlannedChange.objects.filter(pk=change.pk).delete()


def test_a_time_that_has_passed_is_refused(operator, granted):
    for moment in (now() - timedelta(minutes=1), now() + timedelta(days=3000)):
        with pytest.raises(ValidationError):
            plan(granted, operator, takes_effect_at=moment)


# Pages and API


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


def dialog(model, name):
    return f"/admin/catalog/catalogmodel/{model.pk}/{name}/"


def test_the_dialog_shows_whom_it_touches_and_asks_again_if_that_changes(desk, granted, ask):
    page = desk.get(dialog(granted, "retire"))
    assert "1 grant of 1 tenant" in page.content.decode()
    seen = page.context["form"]["seen"].value()
    sent = {"_form_submitted": "1", "seen": seen, "takes_effect_at": "2027-02-01T10:00", "reason": "It ends"}
    Grant.objects.across_tenants().filter(model=granted).update(revoked_at=now())
    again = desk.post(dialog(granted, "retire"), sent)
    assert again.status_code == 422
    assert "has changed. Look at it again" in again.content.decode()
    assert not PlannedChange.objects.exists()
    sent["seen"] = again.context["form"]["seen"].value()
    assert desk.post(dialog(granted, "retire"), sent).status_code == 302
    change = PlannedChange.objects.get()
    assert (change.takes_effect_at.isoformat(), change.reason) == ("2027-02-01T10:00:00+00:00", "It ends")


def test_operators_list_changes_read_one_and_undo_it(desk, operator, granted):
    change = plan(granted, operator, successor=CatalogModelFactory(name="glm-5").name)
    assert "Retire" in desk.get("/admin/catalog/plannedchange/").content.decode()
    address = f"/admin/catalog/plannedchange/{change.pk}/"
    page = desk.get(f"{address}change/").content.decode()
    assert "1 grant of 1 tenant" in page
    assert "glm-5" in page
    assert f"{address}change/" in desk.get(dialog(granted, "change")).content.decode()
    assert desk.post(f"{address}undo/", {"_form_submitted": "1"}).status_code == 302
    change.refresh_from_db()
    assert change.state == "undone"


def test_the_edit_page_plans_for_later(desk, granted):
    page = desk.get(dialog(granted, "curate"))
    data = {name: "" if (value := field.value()) is None else value for name, field in _fields(page)}
    sent = data | {"risk_tier": "high", "takes_effect_at": "2027-02-01T10:00", "may_touch_tenants": "on"}
    assert desk.post(dialog(granted, "curate"), sent).status_code == 302
    assert PlannedChange.objects.get().values == {"risk_tier": "high"}
    assert fresh(granted).risk_tier == "moderate"


def _fields(page):
    form = page.context["form"]
    return [(name, form[name]) for name in form.fields]


def test_the_api_plans_lists_and_undoes(desk, granted, owner, client):
    address = f"/api/v1/models/{granted.name}/"
    touched = desk.get(f"{address}impact/").json()
    assert (touched["grants"], touched["owners"], touched["names"]) == (1, 1, ["Lab"])
    body = {"takes_effect_at": "2027-02-01T10:00:00Z", "reason": "It ends"}
    refused = desk.post(f"{address}retire/", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "touches_tenants")
    body["may_touch_tenants"] = True
    planned = desk.post(f"{address}retire/", body, content_type="application/json").json()
    assert (planned["state"], planned["models"], planned["impact"]["grants"]) == (
        "planned",
        [granted.name],
        1,
    )
    body = {"risk_tier": "high", "takes_effect_at": "2027-03-01T10:00:00Z", "may_touch_tenants": True}
    assert desk.patch(address, body, content_type="application/json").json()["risk_tier"] == "moderate"
    assert desk.get("/api/v1/planned-changes/", {"model": granted.name}).json()["results"][0]["kind"]
    undone = desk.post(f"/api/v1/planned-changes/{planned['id']}/undo/", {}, content_type="application/json")
    assert undone.json()["state"] == "undone"
    client.force_login(owner)
    [coming] = client.get(address).json()["planned_changes"]
    assert coming["kind"] == "edit"
    assert client.get("/api/v1/planned-changes/").json()["results"] == []
    assert client.get(f"/api/v1/planned-changes/{planned['id']}/").status_code == 404


def test_nobody_learns_by_a_plan_of_a_successor_that_others_alone_may_find(client, operator, granted, owner):
    secret = CatalogModelFactory(name="glm-5-secret", visibility="hidden")
    plan(granted, operator, successor=secret.name)
    tasks.tell_of_changes()
    client.force_login(owner)
    for address in (f"/t/lab/models/{granted.name}/", f"/api/v1/models/{granted.name}/"):
        text = client.get(address).content.decode()
        assert "2026" in text or "2027" in text
        assert secret.name not in text, address
    [message] = told("planned")
    event = event_named(message.event)
    [subject] = event.find([message]).values()
    assert not [line for line in event.lines(message, subject) if secret.name in line]
    deprecate_model(granted.pk, by=operator, successor=secret.name, may_touch_tenants=True)
    assert client.get(f"/api/v1/models/{granted.name}/").json()["successor"] == ""


def test_a_deprecated_model_says_so_and_offers_its_successor(client, operator, granted, owner):
    follower = CatalogModelFactory(name="glm-5", title="GLM-5")
    deprecate_model(granted.pk, by=operator, successor=follower.name, may_touch_tenants=True)
    client.force_login(owner)
    page = client.get(f"/t/lab/models/{granted.name}/").content.decode()
    assert "This model is deprecated" in page
    assert "/t/lab/models/glm-5/" in page
