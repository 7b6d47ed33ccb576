"""What the rules said is stored each time they ran; nobody changes it, and it can be said again."""

from __future__ import annotations

import datetime as dt
import importlib
import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now

from catalog.actions import decide_review
from catalog.actions.evaluations import table_in_force
from catalog.asked_facts import evaluate_inputs
from catalog.models import CatalogModel, RuleEvaluation
from catalog.prices import publish_list_prices
from catalog.rule_table import same_answer
from core.errors import Conflict
from tests.factories import AccessRequestFactory

pytestmark = pytest.mark.django_db


def evaluations_of(asked):
    return list(asked.evaluations.order_by("at"))


def inputs_of(row):
    """What the rules considered of the only item."""
    (inputs,) = row.inputs.values()
    return inputs


def test_each_run_of_the_rules_is_a_row_with_what_it_was_about(ask, review_of, security_reviewer):
    asked = ask(limits={"requests_per_minute": 3}, duration_days=90)
    CatalogModel.objects.filter(pk=asked.items.get().model_id).update(
        risk_tier="high", regions=["eu-central-1"]
    )
    with pytest.raises(Conflict, match="risk tier"):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    rows = evaluations_of(asked)
    assert [row.occasion for row in rows] == ["raised", "facts_changed", "decided"]
    assert [inputs_of(row)["risk_tier"] for row in rows] == ["moderate", "high", "high"]
    assert [inputs_of(row)["regions"] for row in rows] == [[], ["eu-central-1"], ["eu-central-1"]]
    assert all(inputs_of(row)["limits"] == {"requests_per_minute": "3"} for row in rows)
    assert all(inputs_of(row)["duration_days"] == 90 for row in rows)
    assert [[one["track"] for one in row.result["reviews"]] for row in rows] == [
        ["security"],
        ["security", "compliance"],
        ["security", "compliance"],
    ]
    assert asked.newest_evaluation == rows[-1]


def test_stored_facts_give_the_stored_answer_again(ask, priced_model, review_of, security_reviewer):
    ask(data_class="confidential", expected_tokens_per_day=7, limits={"money_per_month": "0.10"})
    # 500 a month and an amount that no stored number has: what is stored decides.
    publish_list_prices({priced_model.name: {"input": Decimal("500.0000000001")}}, reason="test")
    for row in RuleEvaluation.objects.across_tenants():
        again = evaluate_inputs(table_in_force(), row.inputs)
        assert same_answer(row.result, row.answer, again)
        assert row.result == again.as_json()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE catalog_ruleevaluation SET answer = 'automatic'",
        "UPDATE catalog_ruleevaluation SET inputs = '{}'",
        "DELETE FROM catalog_ruleevaluation",
    ],
)
@pytest.mark.as_owner
def test_nobody_changes_what_the_rules_said(ask, statement):
    ask()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)


def test_an_evaluation_has_the_time_of_the_database(ask):
    asked = ask()
    said = asked.newest_evaluation
    later = RuleEvaluation.objects.create(
        tenant=asked.tenant,
        access_request=asked,
        rule_set_id=asked.rule_version,
        occasion="decided",
        inputs=said.inputs,
        answer="reviews",
        result=said.result,
        at=now() - dt.timedelta(days=400),
    )
    later.refresh_from_db()
    assert later.at > said.at


@pytest.mark.as_owner
def test_a_command_proves_stored_answers_or_names_those_that_differ(ask):
    said, wrong = StringIO(), StringIO()
    asked = ask()
    call_command("replay_rules", stdout=said)
    assert "Proved: 1 evaluations" in said.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE catalog_ruleevaluation DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE catalog_ruleevaluation e SET inputs = (SELECT jsonb_object_agg(item, facts || "
            '\'{"risk_tier": "high"}\') FROM jsonb_each(e.inputs) one (item, facts))'
        )
    with pytest.raises(CommandError, match="1 of 1"):
        call_command("replay_rules", days=1, stderr=wrong)
    assert str(asked.pk) in wrong.getvalue()


def test_a_request_without_any_evaluation_has_no_version_of_rules():
    assert AccessRequestFactory().rule_version == ""


@pytest.mark.as_owner
def test_migrate_carries_the_last_result_of_requests_of_an_earlier_release():
    migration = importlib.import_module("catalog.migrations.0009_rule_evaluations")
    asked = AccessRequestFactory()
    trace = [{"track": "cost", "reason": "Why."}, {"track": "security", "reason": "Worse.", "round": 2}]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE catalog_ruleevaluation DISABLE TRIGGER rule_evaluation_is_of_rules")
        cursor.execute("ALTER TABLE catalog_accessrequest ADD rule_version text, ADD rule_trace jsonb")
        cursor.execute(
            "UPDATE catalog_accessrequest SET rule_version = '2026-11.1', rule_trace = %s",
            [json.dumps(trace)],
        )
        cursor.execute(migration.LAST_RESULTS)
    [said] = evaluations_of(asked)
    assert (said.rule_set_id, said.occasion, said.answer) == ("2026-11.1", "carried", "reviews")
    assert said.inputs == asked.facts
    assert [(one["track"], one["reason"]) for one in said.result["reviews"]] == [
        ("cost", "Why."),
        ("security", "Worse."),
    ]
