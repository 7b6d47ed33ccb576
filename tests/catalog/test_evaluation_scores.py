"""Operators enter scores of models with their source; readers see them on the model's page and side by side."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from audit.models import AuditEntry
from catalog.actions import curate_model
from catalog.actions.scores import MOST_SCORES, set_score
from catalog.models import EvaluationScore
from tests.factories import CatalogModelFactory

SOURCE = "https://z.ai/blog/glm-4.6"
API = "/api/v1/models/glm-4.6/scores/"


@pytest.fixture
def score(model, operator):
    """Set a score of the model."""

    def put(value="93.9", of=model, **given):
        wanted = {"benchmark": "AIME 25", "metric": "pass@1", "source_url": SOURCE, "by": operator} | given
        return set_score(of.pk, value=None if value is None else Decimal(value), **wanted)

    return put


def test_a_score_is_shown_with_its_source(client, model, score, developer, operator):
    client.force_login(developer)
    page = "/t/lab/models/glm-4.6/"
    assert "AIME 25" not in client.get(page).content.decode()
    score(stated_on=date(2026, 9, 30))
    shown = client.get(page).content.decode()
    assert "AIME 25 (pass@1)" in shown
    assert ">93.9<" in shown
    assert f'href="{SOURCE}"' in shown
    assert client.get(API).json()[0]["source_url"] == SOURCE
    assert client.put(API, {"benchmark": "x", "value": "1"}, "application/json").status_code == 403
    curate_model(model.pk, values={"visibility": "hidden"}, may_touch_tenants=True, by=operator)
    assert client.get(API).status_code == 404


def test_a_newer_score_replaces_one_and_none_removes_it(score):
    score()
    score("94.25")
    assert [row.shown for row in EvaluationScore.objects.all()] == ["94.25"]
    assert score(None) is None
    assert not EvaluationScore.objects.exists()
    verbs = AuditEntry.objects.across_tenants().filter(verb__startswith="catalog_model.scor")
    assert sorted(verbs.values_list("verb", flat=True)) == [
        "catalog_model.score_removed",
        "catalog_model.scored",
        "catalog_model.scored",
    ]
    with pytest.raises(ValidationError, match="no such score"):
        score(None)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("source_url", {"source_url": ""}),
        ("source_url", {"source_url": "javascript:alert(1)"}),
        ("source_url", {"source_url": "ftp://e.example/x"}),
        ("benchmark", {"benchmark": " "}),
        ("benchmark", {"benchmark": "x" * 81}),
        ("value", {"value": "123456789.5"}),
    ],
)
def test_what_is_wrong_is_named_by_field(score, field, wrong):
    with pytest.raises(ValidationError) as caught:
        score(**wrong)
    assert set(caught.value.message_dict) == {field}


def test_a_model_has_at_most_a_hundred(model, score):
    rows = [
        EvaluationScore(
            model=model, benchmark=f"b{n}", value=1, source_url=SOURCE, stated_on=date(2026, 1, 1)
        )
        for n in range(MOST_SCORES)
    ]
    EvaluationScore.objects.bulk_create(rows)
    with pytest.raises(ValidationError, match="at most"):
        score()
    score(benchmark="b1", metric="")


def test_scores_stand_side_by_side(client, score, developer):
    score(of=CatalogModelFactory(name="other-1", title="Other"), value="80")
    score()
    client.force_login(developer)
    page = client.get("/t/lab/compare/?model=glm-4.6&model=other-1").content.decode()
    assert "AIME 25 (pass@1)" in page
    assert "93.9" in page


def test_operators_enter_scores_by_page_and_api(client, model, operator):
    client.force_login(operator)
    form = {
        "_form_submitted": "1",
        "benchmark": "MMLU",
        "metric": "",
        "value": "88.5",
        "source_url": SOURCE,
        "stated_on": "2026-11-01",
    }
    address = reverse("admin:catalog_catalogmodel_score", args=[model.pk])
    assert client.post(address, form).status_code == 302
    assert client.post(address, form | {"source_url": ""}).status_code == 422
    assert EvaluationScore.objects.get().by == operator
    assert (
        "MMLU" in client.get(reverse("admin:catalog_catalogmodel_change", args=[model.pk])).content.decode()
    )
    answer = client.put(API, {"benchmark": "MMLU", "value": None}, "application/json")
    assert answer.json() == []
