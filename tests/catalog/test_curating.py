"""Operators edit the facts of models; imports leave their edits alone, and say where they differ."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse

from audit.models import AuditEntry
from catalog.actions import curate_model, decide_review, publish_models, settle_facts
from catalog.model_facts import FACTS, as_json
from catalog.models import CatalogModel, Review
from catalog.provenance import fact_rows
from core.errors import Conflict
from tests.catalog.price_maps import GOOD, run
from tests.factories import CatalogModelFactory

NAME = "gpt-4o"


def model(name=NAME):
    return CatalogModel.objects.get(name=name)


def row(fact, name=NAME):
    return next(one for one in fact_rows(model(name)) if one.name == fact)


def entries(verb="catalog_model.curated"):
    return list(AuditEntry.objects.across_tenants().filter(verb=verb).order_by("id"))


def curate(by, name=NAME, **values):
    return curate_model(model(name).pk, values=values, by=by)


@pytest.fixture
def imported(db):
    run({NAME: GOOD | {"max_input_tokens": 128000}})
    return model()


def test_every_fact_that_an_import_states_has_its_source_and_time(imported):
    stated = {one.name for one in fact_rows(imported) if one.source}
    # Cards state others; the price map does not.
    assert stated == {"title", "maker", "mode", "context_tokens", "max_output_tokens", "deprecation_date"}
    assert all(FACTS[name].is_imported for name in stated)
    assert (row("title").source, row("title").source_label) == ("litellm", "LiteLLM price map")
    assert row("title").at == datetime.fromisoformat(imported.provenance["title"]["at"])
    assert row("risk_tier").source == ""


def test_an_edit_is_the_operators_and_is_recorded_once(operator, imported):
    for _ in range(2):
        curate(operator, risk_tier="high", title="GPT-4o of the house", deprecation_date="2099-01-31")
    [entry] = entries()
    assert entry.actor == operator
    assert entry.changes == {
        "risk_tier": ["moderate", "high"],
        "title": ["GPT-4o", "GPT-4o of the house"],
        "deprecation_date": [None, "2099-01-31"],
    }
    assert model().deprecation_date == date(2099, 1, 31)
    assert (row("title").source, row("title").by) == ("operator", operator.pk)


def test_an_import_keeps_edits_and_changes_the_rest(operator, imported):
    curate(operator, title="Ours", context_tokens=1000, maker="")
    run({NAME: GOOD | {"max_input_tokens": 200000, "max_output_tokens": 9}})
    after = model()
    assert (after.title, after.context_tokens, after.maker, after.max_output_tokens) == ("Ours", 1000, "", 9)
    # The title that the import states is the one that the operator has seen.
    assert after.differing == ["context_tokens"]
    assert (row("context_tokens").stated, row("title").stated) == (200000, "GPT-4o")


def test_an_edit_that_nobody_recorded_is_kept_and_listed(imported):
    CatalogModel.objects.update(title="Changed by hand")
    run({NAME: GOOD | {"max_input_tokens": 5}})
    assert (model().title, model().differing, model().context_tokens) == ("Changed by hand", ["title"], 5)


def test_what_differs_is_taken_or_kept_until_the_import_says_something_new(operator, imported):
    curate(operator, context_tokens=1000, max_output_tokens=10)
    run({NAME: GOOD | {"max_input_tokens": 2000, "max_output_tokens": 20}})
    assert model().differing == ["context_tokens", "max_output_tokens"]
    settle_facts(imported.pk, take=["context_tokens"], keep=["max_output_tokens"], by=operator)
    assert (model().context_tokens, model().max_output_tokens, model().differing) == (2000, 10, [])
    [entry] = entries("catalog_model.settled")
    assert (entry.changes, entry.details) == (
        {"context_tokens": [1000, 2000]},
        {"kept": ["max_output_tokens"]},
    )
    # The same file again asks nothing; a new value does, and what was taken follows by itself.
    run({NAME: GOOD | {"max_input_tokens": 2000, "max_output_tokens": 20, "supports_vision": True}})
    assert model().differing == []
    run({NAME: GOOD | {"max_input_tokens": 3000, "max_output_tokens": 30}})
    assert (model().context_tokens, model().max_output_tokens, model().differing) == (
        3000,
        10,
        ["max_output_tokens"],
    )
    with pytest.raises(ValidationError):
        settle_facts(imported.pk, take=["title"], keep=[], by=operator)
    settle_facts(imported.pk, take=["max_output_tokens"], keep=[], by=operator)
    with pytest.raises(Conflict):
        settle_facts(imported.pk, take=[], keep=[], by=operator)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("title", ""),
        ("title", "two\nlines\0"),
        ("title", "x" * 161),
        ("description", "x" * 2001),
        ("mode", "Chat!"),
        ("mode", ""),
        ("context_tokens", 0),
        ("context_tokens", "many"),
        ("deprecation_date", "31.01.2099"),
        ("risk_tier", "none"),
        ("highest_data_class", None),
        ("lifecycle", "published"),
    ],
)
def test_wrong_values_are_refused_by_fact(operator, imported, fact, value):
    with pytest.raises(ValidationError) as refused:
        curate(operator, **{"maker": "Not saved", fact: value})
    assert set(refused.value.message_dict) == {fact}
    assert model().maker == "OpenAI"


def test_only_operators_edit(developer, security_reviewer, imported):
    for person in (developer, security_reviewer):
        with pytest.raises(PermissionDenied, match="edit models"):
            curate(person, title="Mine")


def test_an_edit_over_a_newer_one_says_what_changed(operator, imported):
    seen = {name: as_json(getattr(imported, name)) for name in FACTS}
    curate(operator, title="Newer")
    with pytest.raises(Conflict, match="Display name is now “Newer”") as refused:
        curate_model(imported.pk, values={"title": "Older"}, seen=seen, by=operator)
    assert refused.value.code == "edited_since"
    # Another fact is not in the way.
    curate_model(imported.pk, values={"description": "For letters."}, seen=seen, by=operator)
    assert (model().title, model().description) == ("Newer", "For letters.")


def test_a_dangerous_edit_names_whom_it_touches_first(operator, ask, priced_model):
    ask()
    with pytest.raises(Conflict, match="Open requests: 1") as refused:
        curate(operator, "glm-4.6", risk_tier="high")
    assert refused.value.code == "touches_tenants"
    assert model("glm-4.6").risk_tier == "moderate"
    # Lowering the tier takes nothing from anybody.
    curate(operator, "glm-4.6", risk_tier="low")
    curate_model(priced_model.pk, values={"risk_tier": "high"}, may_touch_tenants=True, by=operator)
    assert model("glm-4.6").risk_tier == "high"


def test_the_impact_names_tenants_with_grants(operator, ask, review_of, security_reviewer, priced_model):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="approve")
    with pytest.raises(
        Conflict, match=r"1 grant of 1 tenant, for 1 project, with 0 live keys\. Tenants: Lab\."
    ):
        curate(operator, "glm-4.6", highest_data_class="public")


def test_an_edit_between_request_and_decision_brings_the_new_track(
    operator, ask, review_of, security_reviewer, priced_model
):
    asked = ask()
    assert set(Review.objects.across_tenants().values_list("track", flat=True)) == {"security"}
    curate_model(priced_model.pk, values={"risk_tier": "high"}, may_touch_tenants=True, by=operator)
    with pytest.raises(Conflict) as refused:
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert refused.value.code == "facts_changed"
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    asked.refresh_from_db()
    (facts,) = asked.facts.values()
    assert (asked.state, facts["risk_tier"]) == ("pending", "high")
    assert set(Review.objects.across_tenants().values_list("track", flat=True)) == {"security", "compliance"}


def test_many_are_published_in_few_statements_with_an_entry_each(
    operator, developer, django_assert_max_num_queries
):
    drafts = [CatalogModelFactory(lifecycle="draft") for _ in range(30)]
    shown = CatalogModelFactory()
    with django_assert_max_num_queries(12):
        done = publish_models([one.pk for one in [*drafts, shown]], by=operator, despite="test")
    assert (len(done.names), list(done.refused)) == (30, [shown.name])
    assert {entry.subject_id for entry in entries("catalog_model.published")} == {
        str(one.pk) for one in drafts
    }
    assert {entry.actor for entry in entries("catalog_model.published")} == {operator}
    with pytest.raises(PermissionDenied):
        publish_models([shown.pk], by=developer)


# The page


def page(it):
    return reverse("admin:catalog_catalogmodel_curate", args=[it.pk])


def typed(value):
    """A value as a page has it."""
    return ", ".join(value) if isinstance(value, list) else "" if value is None else value


def filled(it, **changes):
    present = {name: as_json(getattr(it, name)) for name in FACTS}
    shown = {name: typed(value) for name, value in present.items()}
    return shown | {"seen": json.dumps(present)} | changes


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


def test_the_page_saves_only_what_changed(desk, imported):
    shown = desk.get(page(imported)).content.decode()
    assert "LiteLLM price map, " in shown
    answer = desk.post(page(imported), filled(imported, risk_tier="low"))
    assert answer.status_code == 302
    assert [entry.changes for entry in entries()] == [{"risk_tier": ["moderate", "low"]}]
    assert row("title").source == "litellm"


def test_the_page_shows_a_newer_edit_and_saves_over_it_only_knowingly(desk, operator, imported):
    old = filled(imported, title="Mine")
    curate(operator, title="Newer", maker="Someone")
    answer = desk.post(page(imported), old)
    assert answer.status_code == 409
    text = answer.content.decode()
    assert "Display name is now “Newer”" in text
    again = {name: answer.context["form"][name].value() for name in [*FACTS, "seen"]}
    assert (again["title"], again["maker"]) == ("Mine", "Someone")
    assert desk.post(page(imported), {name: typed(value) for name, value in again.items()}).status_code == 302
    assert (model().title, model().maker) == ("Mine", "Someone")


def test_the_page_asks_before_it_restricts_a_model_in_use(desk, ask, priced_model):
    ask()
    wanted = filled(priced_model, highest_data_class="public")
    answer = desk.post(page(priced_model), wanted)
    assert answer.status_code == 409
    assert 'name="may_touch_tenants"' in answer.content.decode()
    assert desk.post(page(priced_model), wanted | {"may_touch_tenants": "on"}).status_code == 302
    assert model("glm-4.6").highest_data_class == "public"


@pytest.mark.parametrize("seen", ["", "{", "[]", "1"])
def test_the_page_refuses_what_it_did_not_send(desk, imported, seen):
    answer = desk.post(page(imported), filled(imported, title="Mine", seen=seen))
    assert answer.status_code == 422
    assert model().title == "GPT-4o"


def test_the_pages_list_what_differs_and_settle_it(desk, operator, imported):
    curate(operator, context_tokens=1000)
    run({NAME: GOOD | {"max_input_tokens": 2000}, "other-1": GOOD})
    listed = desk.get("/admin/catalog/catalogmodel/", {"differs": "yes"}).content.decode()
    assert NAME in listed
    assert "other-1" not in listed
    assert (
        "The import says “2,000”"
        in desk.get(f"/admin/catalog/catalogmodel/{imported.pk}/change/").content.decode()
    )
    settle = reverse("admin:catalog_catalogmodel_settle", args=[imported.pk])
    assert "Take “2,000”" in desk.get(settle).content.decode()
    desk.post(settle, {"_form_submitted": "1", "fact_context_tokens": "take"})
    assert (model().context_tokens, model().differing) == (2000, [])


def test_secrets_do_not_enter_a_description(desk, imported):
    secret = "sk-ant-" + "a" * 40
    answer = desk.post(page(imported), filled(imported, description=f"Use {secret}"))
    assert answer.status_code == 422
    assert model().description == ""


# The API


@pytest.fixture
def api(client):
    """`api(person, "patch", body)` is what the API answers about the model."""

    def ask(person, method="get", body=None):
        client.force_login(person)
        sent = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        return getattr(client, method)(f"/api/v1/models/{NAME}/", **sent)

    return ask


def test_the_api_edits_with_what_was_read(api, operator, imported):
    before = api(operator).json()
    answer = api(
        operator,
        "patch",
        {"title": "Ours", "deprecation_date": "2099-01-31", "seen": {"title": before["title"]}},
    )
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["title"], answer.json()["deprecation_date"]) == ("Ours", "2099-01-31")
    said = next(one for one in answer.json()["sources"] if one["fact"] == "title")
    assert (said["source"], said["by"], said["stated"]) == ("operator", str(operator.pk), "GPT-4o")
    stale = api(operator, "patch", {"title": "Older", "seen": {"title": before["title"]}})
    assert (stale.status_code, stale.json()["code"]) == (409, "edited_since")


@pytest.mark.parametrize(
    "body",
    [
        {"lifecycle": "published"},
        {"risk_tier": "none"},
        {"context_tokens": True},
        {"seen": 3},
        {"title": None},
    ],
)
def test_the_api_refuses_what_is_no_fact(api, operator, imported, body):
    assert api(operator, "patch", body).status_code == 400
    assert entries() == []


def test_the_api_shows_drafts_and_who_edited_to_operators_alone(api, operator, developer, imported):
    assert api(developer).status_code == 404
    assert api(developer, "patch", {"title": "Mine"}).status_code == 404
    publish_models([imported.pk], by=operator, despite="test")
    shown = api(developer).json()
    assert set(shown["sources"][0]) == {"fact", "source", "at"}
    assert api(developer, "patch", {"title": "Mine"}).status_code == 403
    assert api(developer, "put", {"title": "Mine"}).status_code == 405


# Rows from before


def test_rows_from_before_get_their_sources():
    migration = importlib.import_module("catalog.migrations.0010_facts_have_sources")
    old = SimpleNamespace(
        title="Edited", maker="OpenAI", mode="chat", context_tokens=5, max_output_tokens=None,
        deprecation_date=date(2099, 1, 31), source="litellm", updated_at=datetime(2026, 11, 1, tzinfo=UTC),
        imported={"title": "GPT-4o", "deprecation_date": "2099-01-31", "lifecycle": "published"},
    )  # fmt: skip
    provenance, differing = migration._provenance(old)
    assert differing == ["title"]
    assert (provenance["title"]["source"], provenance["title"]["stated"]) == ("operator", "GPT-4o")
    assert provenance["deprecation_date"] == {
        "source": "litellm", "at": "2026-11-01T00:00:00+00:00", "stated": "2099-01-31",
    }  # fmt: skip
    assert provenance["context_tokens"]["stated"] == 5


# Facts that no import states


POLICY = {
    "prompts_go_to": "the provider, in the EU",
    "retention_days": 30,
    "trains_on_data": False,
    "licence": "Apache 2.0",
    "licence_url": "https://www.apache.org/licenses/LICENSE-2.0",
    "languages": ["en", "zh-Hans"],
    "family": "GPT",
    "modalities_in": ["text", "image"],
    "modalities_out": ["text"],
    "sla": "99.9 % a month",
    "owner": "Platform team",
    "tags": ["letters", "house"],
}


def test_the_page_of_a_tenant_shows_what_operators_entered_with_source_and_time(
    client, operator, developer, lab, imported
):
    follower = CatalogModelFactory(name="gpt-5", title="GPT-5")
    curate(operator, **POLICY, successor="gpt-5")
    publish_models([imported.pk], by=operator, despite="test")
    client.force_login(developer)
    text = client.get(f"/t/lab/models/{NAME}/?tab=policy").content.decode()
    for words in (
        "the provider, in the EU", "30 days", "Apache 2.0", 'href="https://www.apache.org/licenses/LICENSE-2.0"',
        "en, zh-Hans", "text, image", "99.9 % a month", "Platform team", "letters, house", "GPT-5",
    ):  # fmt: skip
        assert words in text, words
    assert "Where the facts come from" in text
    assert "LiteLLM price map" in text
    # Nobody is led to a model that tenants do not see.
    CatalogModel.objects.filter(pk=follower.pk).update(lifecycle="draft")
    assert "GPT-5" not in client.get(f"/t/lab/models/{NAME}/?tab=policy").content.decode()


def test_lists_and_answers_of_yes_or_no_are_read_from_pages_and_json(desk, api, operator, imported):
    sent = filled(imported, languages="en, zh-Hans，de", modalities_in="text、image", trains_on_data="False")
    assert desk.post(page(imported), sent | {"tags": ""}).status_code == 302
    assert model().languages == ["en", "zh-Hans", "de"]
    assert (model().modalities_in, model().trains_on_data) == (["text", "image"], False)
    [entry] = entries()
    assert set(entry.changes) == {"languages", "modalities_in", "trains_on_data"}
    answer = api(operator, "patch", {"languages": ["fr"], "trains_on_data": None, "retention_days": 0})
    assert answer.status_code == 200, answer.json()
    assert {name: answer.json()[name] for name in ("languages", "trains_on_data", "retention_days")} == {
        "languages": ["fr"],
        "trains_on_data": None,
        "retention_days": 0,
    }


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("licence_url", "javascript:alert(1)"),
        ("licence_url", "ftp://example.com/license"),
        ("languages", ["not a tag!"]),
        ("modalities_in", ["smell"]),
        ("tags", [f"tag-{number}" for number in range(21)]),
        ("tags", ["x" * 41]),
        ("retention_days", -1),
        ("trains_on_data", "maybe"),
        ("successor", "no-such-model"),
    ],
)
def test_wrong_new_facts_are_refused(operator, imported, fact, value):
    with pytest.raises(ValidationError) as refused:
        curate(operator, **{fact: value})
    assert set(refused.value.message_dict) == {fact}


def test_the_page_of_a_model_without_a_policy_says_so(client, developer, lab, priced_model):
    client.force_login(developer)
    assert "not recorded yet" in client.get("/t/lab/models/glm-4.6/?tab=policy").content.decode()
