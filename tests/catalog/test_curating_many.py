"""Operators edit and publish all models that their list finds, after a preview of what becomes of each."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from catalog.actions import curate_model, curate_models
from catalog.actions.curating import plan_edit
from catalog.models import CatalogModel
from core.errors import Conflict
from tests.factories import CatalogModelFactory

pytestmark = pytest.mark.django_db
PAGE = "/admin/catalog/catalogmodel/edit-many/"


def entries(verb="catalog_model.curated"):
    return list(AuditEntry.objects.across_tenants().filter(verb=verb))


@pytest.fixture
def mistrals():
    return [CatalogModelFactory(maker="Mistral AI", name=f"mistral-{number}") for number in range(3)]


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


def pks():
    return list(CatalogModel.objects.values_list("pk", flat=True))


def test_many_models_get_the_same_facts_with_an_entry_each(operator, mistrals):
    done = curate_models(pks(), values={"risk_tier": "low", "maker": "Mistral AI"}, by=operator)
    assert [one.changes for one in done.outcomes] == [{"risk_tier": ("moderate", "low")}] * 3
    assert {entry.subject_id for entry in entries()} == {str(one.pk) for one in mistrals}
    assert {one.provenance["risk_tier"]["source"] for one in CatalogModel.objects.all()} == {"operator"}
    assert not any("maker" in one.provenance for one in CatalogModel.objects.all())
    # Again changes nothing and writes nothing.
    curate_models(pks(), values={"risk_tier": "low"}, by=operator)
    assert len(entries()) == 3


def test_models_are_locked_by_id_as_everywhere(operator, mistrals):
    with CaptureQueriesContext(connection) as queries:
        done = curate_models(pks(), values={"risk_tier": "low"}, by=operator)
    assert [one.model.name for one in done.outcomes] == ["mistral-0", "mistral-1", "mistral-2"]
    locks = [
        one["sql"] for one in queries if "FOR UPDATE" in one["sql"] and "catalog_catalogmodel" in one["sql"]
    ]
    assert locks
    assert all('ORDER BY "catalog_catalogmodel"."id"' in lock for lock in locks)


def test_its_statements_do_not_grow_with_the_models(operator, django_assert_max_num_queries):
    for _ in range(40):
        CatalogModelFactory(lifecycle="draft")
    with django_assert_max_num_queries(25):
        done = curate_models(pks(), values={"risk_tier": "low"}, publishes=True, despite="test", by=operator)
    assert (len(done.changed), len(done.published)) == (40, 40)
    assert set(CatalogModel.objects.values_list("lifecycle", "risk_tier")) == {("published", "low")}


def test_what_an_operator_entered_stays_unless_it_is_to_be_replaced(operator, mistrals):
    curate_model(mistrals[0].pk, values={"risk_tier": "low"}, by=operator)
    wanted = {"values": {"risk_tier": "high"}, "by": operator}
    done = curate_models(pks(), **wanted)
    assert [one.kept for one in done.outcomes] == [("risk_tier",), (), ()]
    assert (done.counts[0].changed, done.counts[0].same, done.counts[0].kept) == (2, 0, 1)
    assert list(CatalogModel.objects.order_by("name").values_list("risk_tier", flat=True)) == [
        "low",
        "high",
        "high",
    ]
    curate_models(pks(), may_replace=True, **wanted)
    assert set(CatalogModel.objects.values_list("risk_tier", flat=True)) == {"high"}


def test_nothing_is_saved_if_it_would_do_something_else_than_was_seen(operator, mistrals):
    seen = plan_edit(mistrals, {"risk_tier": "low"}, may_replace=False, publishes=False)
    curate_model(mistrals[1].pk, values={"risk_tier": "high"}, by=operator)
    with pytest.raises(Conflict, match="since the preview"):
        curate_models(pks(), values={"risk_tier": "low"}, expected=seen.digest, by=operator)
    assert CatalogModel.objects.filter(risk_tier="low").count() == 0


def test_a_restriction_names_the_tenants_of_all_models_first(operator, ask, priced_model):
    ask()
    with pytest.raises(Conflict, match="Open requests: 1"):
        curate_models(pks(), values={"risk_tier": "high"}, by=operator)
    curate_models(pks(), values={"risk_tier": "high"}, may_touch_tenants=True, by=operator)
    assert set(CatalogModel.objects.values_list("risk_tier", flat=True)) == {"high"}


def test_only_operators_edit_many_and_too_many_are_refused(developer, operator, mistrals, monkeypatch):
    with pytest.raises(PermissionDenied):
        curate_models(pks(), values={"risk_tier": "low"}, by=developer)
    monkeypatch.setattr("catalog.actions.curating.MOST", 2)
    with pytest.raises(ValidationError, match="too many"):
        curate_models(pks(), values={"risk_tier": "low"}, by=operator)


def test_the_page_previews_and_saves_all_that_the_list_finds(desk, operator, mistrals):
    other = CatalogModelFactory(maker="OpenAI", name="other-1")
    curate_model(mistrals[0].pk, values={"risk_tier": "high"}, by=operator)
    listed = desk.get("/admin/catalog/catalogmodel/?q=Mistral").content.decode()
    assert f'href="{PAGE}?q=Mistral"' in listed
    wanted = {"risk_tier": "low", "highest_data_class": ""}
    seen = desk.post(f"{PAGE}?q=Mistral", wanted | {"preview": "1"})
    text = re.sub(r"\s+", " ", seen.content.decode())
    assert "3 models are selected" in text
    assert "changes: 2, already so: 0, kept because an operator entered it: 1" in text
    assert "Risk tier stays High: an operator entered it" in text
    assert CatalogModel.objects.filter(risk_tier="low").count() == 0
    digest = seen.context["form"]["expected"].value()
    done = desk.post(f"{PAGE}?q=Mistral", wanted | {"save": "1", "expected": digest})
    assert done.status_code == 200
    assert "Done" in done.content.decode()
    assert set(CatalogModel.objects.filter(risk_tier="low").values_list("name", flat=True)) == {
        "mistral-1",
        "mistral-2",
    }
    other.refresh_from_db()
    assert other.risk_tier == "moderate"


@pytest.mark.parametrize("expected", ["", "none", "0" * 64])
def test_the_page_saves_nothing_that_it_has_not_shown(desk, mistrals, expected):
    answer = desk.post(PAGE, {"risk_tier": "low", "save": "1", "expected": expected})
    assert answer.status_code == 409
    assert entries() == []
    # What it shows now can be saved.
    digest = answer.context["form"]["expected"].value()
    assert desk.post(PAGE, {"risk_tier": "low", "save": "1", "expected": digest}).status_code == 200
    assert len(entries()) == 3


@pytest.mark.parametrize(("day", "is_published"), [("2020-01-01", False), ("2099-01-01", True)])
def test_whether_a_model_can_be_published_depends_on_its_new_facts(operator, day, is_published):
    other_day = "2099-01-01" if day == "2020-01-01" else "2020-01-01"
    model = CatalogModelFactory(lifecycle="draft", deprecation_date=other_day)
    done = curate_models(
        [model.pk], values={"deprecation_date": day}, publishes=True, despite="test", by=operator
    )
    model.refresh_from_db()
    assert [one.is_published for one in done.outcomes] == [is_published]
    assert (model.lifecycle == "published") is is_published


def test_the_page_publishes_drafts_and_says_what_cannot_be_published(desk):
    draft, shown = CatalogModelFactory(lifecycle="draft", name="m-1"), CatalogModelFactory(name="m-2")
    lacking = desk.post(PAGE, {"publishes": "yes", "preview": "1"}).content.decode()
    assert f"{draft.title} lacks what a published model needs" in lacking
    wanted = {"publishes": "yes", "despite": "A pilot"}
    seen = desk.post(PAGE, wanted | {"preview": "1"})
    assert f"{shown.title} is already published" in seen.content.decode()
    digest = seen.context["form"]["expected"].value()
    desk.post(PAGE, wanted | {"save": "1", "expected": digest})
    draft.refresh_from_db()
    assert draft.lifecycle == "published"


def test_the_page_asks_before_it_restricts_models_in_use(desk, ask, priced_model):
    ask()
    wanted = {"risk_tier": "high"}
    seen = desk.post(PAGE, wanted | {"preview": "1"})
    assert 'name="may_touch_tenants"' in seen.content.decode()
    wanted |= {"save": "1", "expected": seen.context["form"]["expected"].value()}
    assert desk.post(PAGE, wanted).status_code == 409
    assert desk.post(PAGE, wanted | {"may_touch_tenants": "on"}).status_code == 200
    assert CatalogModel.objects.get().risk_tier == "high"


def test_wrong_values_and_addresses_are_refused(desk, client, developer, mistrals):
    assert desk.post(PAGE, {"risk_tier": "none", "preview": "1"}).status_code == 422
    assert desk.get(f"{PAGE}?no_such_filter=1").status_code == 302
    client.force_login(developer)
    assert client.get(PAGE).status_code in (302, 403)
