"""A project's limits: the page and the API on which owners and admins set them, and everybody reads them."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils.timezone import now
from drf_spectacular.generators import SchemaGenerator

from audit.models import AuditEntry
from billing.ingest import record_usage
from catalog.request_forms import AccessRequestForm
from core.ids import uuid7
from gateway.compile import compile_snapshot
from tenants.actions import set_limits
from tenants.models import Limit, Tenant
from tenants.revision import current_revision
from tests.concurrency import queued_at
from tests.factories import ApiKeyFactory, CatalogModelFactory, ProjectFactory, member_of, staff
from tests.gateway.granted import key_for
from tests.usage_records import usage_record

MODEL = "llama-4"


@pytest.fixture
def key(project):
    return key_for(project, CatalogModelFactory(name=MODEL))


@pytest.fixture
def page(project):
    return f"/t/lab/projects/{project.pk}/limits/"


@pytest.fixture
def api(project):
    return f"/api/v1/projects/{project.pk}/limits/"


def patch(client, api, **body):
    return client.patch(api, json.dumps(body), "application/json")


def limits_of(tenant):
    return {
        (limit.kind, limit.project and limit.project.slug, limit.key_id, limit.model): limit.value
        for limit in Limit.objects.in_tenant(tenant)
    }


def lines(tenant):
    return [
        entry.changes
        for entry in AuditEntry.objects.in_tenant(tenant).filter(verb="limits.set").order_by("pk")
    ]


def use(key, tokens):
    call = usage_record(event_id=uuid7(), key_id=key.pk, model=MODEL, occurred_at=now(), input=tokens)
    record_usage("test", [call])


def test_an_owner_sets_changes_and_takes_away(client, lab, owner, project, page):
    client.force_login(owner)
    before = current_revision()
    answer = client.post(page, {"requests_per_minute": "60", "money_per_month": "12.50"})
    assert (answer.status_code, answer["Location"]) == (302, page)
    assert limits_of(lab) == {
        ("requests_per_minute", "letters", None, ""): 60,
        ("money_per_month", "letters", None, ""): Decimal("12.5"),
    }
    assert current_revision() == before + 1
    client.post(page, {"requests_per_minute": "30", "initial-requests_per_minute": "60"})
    client.post(page, {"money_per_month": "", "initial-money_per_month": "12.5"})
    assert limits_of(lab) == {("requests_per_minute", "letters", None, ""): 30}
    assert lines(lab) == [
        {"money_per_month": [None, "12.5"], "requests_per_minute": [None, "60"]},
        {"requests_per_minute": ["60", "30"]},
        {"money_per_month": ["12.5", None]},
    ]


def test_saving_what_is_there_already_writes_nothing(client, lab, owner, page):
    client.force_login(owner)
    client.post(page, {"requests_per_minute": "60"})
    before = current_revision()
    client.post(page, {"requests_per_minute": "60", "initial-requests_per_minute": "60"})
    client.post(page, {"requests_per_minute": "60"})
    assert current_revision() == before
    assert len(lines(lab)) == 1


def test_two_who_change_different_numbers_do_not_undo_each_other(client, lab, owner, page):
    """The second one's page still showed what the first has changed meanwhile."""
    client.force_login(owner)
    client.post(page, {"requests_per_minute": "60", "tokens_per_minute": "900"})
    client.post(page, {"requests_per_minute": "10", "initial-requests_per_minute": "60",
                       "tokens_per_minute": "900", "initial-tokens_per_minute": "900"})  # fmt: skip
    client.post(page, {"requests_per_minute": "60", "initial-requests_per_minute": "60",
                       "tokens_per_minute": "500", "initial-tokens_per_minute": "900"})  # fmt: skip
    assert {kind: value for (kind, *_), value in limits_of(lab).items()} == {
        "requests_per_minute": 10,
        "tokens_per_minute": 500,
    }


def test_a_limit_of_one_key_and_model_reaches_the_gateways(client, lab, owner, project, key, page):
    client.force_login(owner)
    client.post(f"{page}?key={key.pk}&model={MODEL}", {"tokens_per_minute": "900"})
    assert limits_of(lab) == {("tokens_per_minute", None, key.pk, MODEL): 900}
    [told] = [config for config in compile_snapshot().keys if config.key_id == str(key.pk)]
    assert [(limit.scope, limit.kind, limit.value, limit.model) for limit in told.limits] == [
        ("key", "tokens_per_minute", 900, MODEL)
    ]


def test_each_number_stands_beside_what_else_is_checked_and_what_is_used(
    client, lab, owner, project, key, page
):
    set_limits(lab, {"tokens_per_month": Decimal(5_000_000)}, by=None)
    set_limits(lab, {"tokens_per_month": Decimal(1_000_000)}, by=None, project=project)
    set_limits(lab, {"tokens_per_month": Decimal(777)}, by=None, project=project, model="another")
    use(key, 1234)
    client.force_login(owner)
    said = client.get(f"{page}?key={key.pk}&model={MODEL}").content.decode()
    hint = re.search(r'id="id_tokens_per_month_helptext">([^<]*)<', said)[1]
    assert hint == "Also checked: 5,000,000 (Lab), 1,000,000 (Letters). Used this month: 1,234."


@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_the_page_says_what_limits_on_tokens_do_not_bind(client, lab, page, role):
    client.force_login(member_of(lab, role))
    said = client.get(page).content.decode()
    assert "bind only calls that are counted in tokens" in said
    assert "limit their requests or money" in said


def test_the_document_of_the_api_says_it_too():
    schema = SchemaGenerator().get_schema(request=None, public=True)
    numbers = schema["components"]["schemas"]["Numbers"]["properties"]
    for kind in ("tokens_per_minute", "tokens_per_day", "tokens_per_month"):
        assert "counted in tokens" in numbers[kind]["description"]
    assert "description" not in numbers["requests_per_minute"]


@pytest.mark.parametrize(
    ("mode", "is_said"),
    [("image_generation", True), ("audio_speech", True), ("rerank", True), ("chat", False)],
)
def test_the_form_of_a_request_says_it_for_models_that_are_counted_otherwise(lab, owner, mode, is_said):
    form = AccessRequestForm(user=owner, tenant=lab, model=CatalogModelFactory(mode=mode))
    assert ("limit requests or money" in str(form.fields["tokens_per_minute"].help_text)) == is_said


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("requests_per_minute", "0", "above 0"),
        ("requests_per_minute", "-3", "above 0"),
        ("tokens_per_day", "1.5", "Enter a number"),
        ("tokens_per_day", "many", "Enter a number"),
        ("tokens_per_day", "1000000000000", "below 1,000,000,000,000"),
        ("money_per_month", "0.000000001", "8 decimals"),
    ],
)
def test_what_no_limit_can_be_is_said_beside_its_field(client, lab, owner, page, field, value, words):
    client.force_login(owner)
    answer = client.post(page, {field: value, "concurrent_calls": "4"})
    assert answer.status_code == 400
    error = re.search(rf'id="id_{field}_error">.*?<span>(.*?)</span>', answer.content.decode(), re.S)[1]
    assert words in error
    assert 'name="concurrent_calls" value="4"' in answer.content.decode()
    assert limits_of(lab) == {}


def test_a_number_below_what_is_used_is_set_after_a_second_look(client, lab, owner, key, page):
    use(key, 5000)
    client.force_login(owner)
    body = {"tokens_per_month": "4000", "tokens_per_day": "9000"}
    answer = client.post(page, body)
    assert answer.status_code == 200
    assert "5,000 used" in answer.content.decode()
    assert limits_of(lab) == {}, "nothing is set before"
    form = answer.content.decode().partition("<main")[2]
    sent = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    assert sent | {"csrfmiddlewaretoken": ""} == body | {"confirmed": "on", "csrfmiddlewaretoken": ""}
    assert client.post(page, sent).status_code == 302
    assert len(limits_of(lab)) == 2


def test_others_read_and_do_not_set(client, lab, project, page, api):
    set_limits(lab, {"tokens_per_month": Decimal(1_000_000)}, by=None, project=project)
    for role in ("developer", "finance", "viewer"):
        client.force_login(member_of(lab, role))
        said = client.get(page).content.decode()
        assert "1,000,000" in said
        assert 'name="tokens_per_month"' not in said
        assert client.post(page, {"tokens_per_month": "x"}).status_code == 403
        assert patch(client, api, limits="x").status_code == 403
        assert [one["value"] for one in client.get(api).json()] == ["1000000.00000000"]


def test_answers_come_in_the_usual_order(client, lab, owner, stranger, page, api, project):
    client.force_login(stranger)
    assert [client.get(page).status_code, client.post(page, {}).status_code] == [404, 404]
    assert [client.get(api).status_code, patch(client, api).status_code] == [404, 404]
    client.force_login(staff("security-reviewer"))
    assert client.get(page).status_code == 404, "whoever sees no limits is not told that there are none"
    client.force_login(owner)
    assert patch(client, api).status_code == 400
    assert client.get(f"{page}?model=unknown").status_code == 404
    elsewhere = ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab))
    assert client.get(f"{page}?key={elsewhere.pk}").status_code == 404
    Tenant.objects.filter(pk=lab.pk).update(status="suspended", suspended_at=now(), suspended_reason="Unpaid")
    assert client.post(page, {"tokens_per_day": "x"}).status_code == 409
    assert patch(client, api).status_code == 409
    assert client.get(page).status_code == 200


def test_the_api_sets_and_takes_away_and_says_how_it_is_now(client, lab, owner, key, api):
    client.force_login(owner)
    answer = patch(client, api, limits={"requests_per_minute": 60, "money_per_month": "12.50"})
    assert {one["kind"]: one["value"] for one in answer.json()} == {
        "requests_per_minute": "60.00000000",
        "money_per_month": "12.50000000",
    }
    again = patch(client, api, limits={"requests_per_minute": 60})
    assert again.json() == answer.json()
    assert len(lines(lab)) == 1
    patch(client, api, limits={"requests_per_minute": None})
    patch(client, api, key=str(key.pk), model=MODEL, limits={"tokens_per_day": "5"})
    assert limits_of(lab) == {
        ("money_per_month", "letters", None, ""): Decimal("12.5"),
        ("tokens_per_day", None, key.pk, MODEL): 5,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "limits"),
        ({"limits": {"tokens_per_year": 1}}, "limits"),
        ({"limits": {"tokens_per_day": 0}}, "tokens_per_day"),
        ({"limits": {"tokens_per_day": "1.5"}}, "limits"),
        ({"limits": {}, "model": "unknown"}, "model"),
        ({"limits": {}, "key": "00000000-0000-7000-8000-000000000000"}, "key"),
    ],
)
def test_the_api_names_what_is_wrong(client, lab, owner, api, body, field):
    client.force_login(owner)
    answer = patch(client, api, **body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"]
    assert limits_of(lab) == {}


def test_a_key_of_another_project_is_none_of_this_one(client, lab, owner, api):
    elsewhere = ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab))
    client.force_login(owner)
    assert patch(client, api, key=str(elsewhere.pk), limits={"tokens_per_day": 1}).status_code == 400


def test_an_unknown_kind_is_refused_by_the_action_itself(lab):
    with pytest.raises(ValidationError, match="not a kind of limit"):
        set_limits(lab, {"tokens_per_year": Decimal(1)}, by=None)


@pytest.mark.django_db(transaction=True)
def test_two_who_each_take_away_what_the_other_sets_take_turns(lab, project):
    """One takes A away and sets B, the other the reverse: each would wait for the row that the other one holds."""
    daily, monthly = "tokens_per_day", "tokens_per_month"
    set_limits(lab, {daily: Decimal(9), monthly: Decimal(99)}, by=None, project=project)
    outcomes = queued_at(
        Limit.objects.in_tenant(lab).filter(kind=daily),
        lambda: set_limits(lab, {daily: None, monthly: Decimal(50)}, by=None, project=project),
        lambda: set_limits(lab, {daily: Decimal(5), monthly: None}, by=None, project=project),
    )
    assert [type(outcome) for outcome in outcomes] == [list, list]
