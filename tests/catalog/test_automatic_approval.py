"""Rules can approve at once; the database evaluates them itself, whoever writes the evaluation."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings

from audit.models import AuditEntry
from catalog.actions import preview_access_request, rule_sets
from catalog.models import AccessRequest, CatalogModel, Grant, Rule, RuleEvaluation, RuleSet
from catalog.rule_table import Outcome
from catalog.rule_table import Rule as Row
from tenants.models import ApiKey, Limit
from tests.catalog.test_rules_of_any_kind import FACTS, rules
from tests.factories import staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def put():
    """Put these rules in force, and no others."""

    def put_in_force(*wanted):
        one, other = staff("operator"), staff("operator")
        draft = rule_sets.copy_rule_set(RuleSet.objects.get(state="in_force").pk, note="A try.", by=one)
        for rule in draft.rules.all():
            rule_sets.delete_rule(rule.pk, by=one)
        for rule in wanted:
            rule_sets.add_rule(draft.pk, wanted=rule, by=one)
        rule_sets.propose_rule_set(draft.pk, by=one)
        return rule_sets.put_rule_set_in_force(draft.pk, by=other)

    return put_in_force


SMALL = Row(Outcome.AUTOMATIC, cost_up_to=Decimal(50), data_classes=("public", "internal"))
HIGH = Row(Outcome.REVIEW, "security", risk_tiers=("high",))


def test_what_the_rules_approve_is_usable_at_once(ask, put, project, priced_model):
    put(HIGH, SMALL)
    preview = preview_access_request(project, priced_model, expected_tokens_per_day=10, data_class="internal")
    assert (preview.reviews, preview.problems) == ((), {})
    asked = ask(limits={"requests_per_minute": 3}, duration_days=30)
    grant = Grant.objects.in_tenant(asked.tenant).get(item__access_request=asked)
    grant.valid_until -= timedelta(hours=1)
    grant.save()
    assert (asked.state, (grant.valid_until - grant.valid_from).days) == ("approved", 29)
    assert ApiKey.objects.in_tenant(asked.tenant).get(pk=grant.item.key_id).state == "claimable"
    assert Limit.objects.in_tenant(asked.tenant).get(project=project).value == 3
    assert not asked.reviews.exists()
    said = asked.newest_evaluation
    assert (said.answer, said.result["automatic_by"]) == ("automatic", [2])
    entry = AuditEntry.objects.in_tenant(asked.tenant).get(verb="access_request.approved")
    assert entry.actor is None


@pytest.mark.parametrize("given", [{"data_class": "confidential"}, {"expected_tokens_per_day": 100_000_000}])
def test_what_no_rule_approves_gets_the_review_of_all_others(ask, put, given):
    put(HIGH, SMALL)
    asked = ask(**given)
    assert (asked.state, [one.track_id for one in asked.reviews.all()]) == ("pending", ["security"])


def test_a_rule_that_requires_a_review_comes_before_one_that_approves(ask, put, priced_model):
    put(SMALL, HIGH)
    CatalogModel.objects.filter(pk=priced_model.pk).update(risk_tier="high")
    assert ask().state == "pending"
    assert not Grant.objects.across_tenants().exists()


def forged(asked, **changes):
    """An evaluation of the request that says automatic, by a superuser's SQL."""
    said = asked.newest_evaluation
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO catalog_ruleevaluation "
            "(id, tenant_id, access_request_id, rule_version, occasion, inputs, answer, result, at) VALUES "
            "(gen_random_uuid(), %s, %s, %s, %s, %s, 'automatic', '{}', now())",
            [
                asked.tenant_id,
                asked.pk,
                changes.get("version", said.rule_set_id),
                changes.get("occasion", "raised"),
                json.dumps({item: one | changes.get("inputs", {}) for item, one in said.inputs.items()}),
            ],
        )


def approve_by_sql(asked):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_accessrequest SET state = 'approved', decided_at = now() WHERE id = %s",
            [asked.pk],
        )


ABOVE_TWO = {"limit_kind": "tokens_per_day", "limit_above": Decimal(2)}
# What is said of the request, and the one rule that holds it back.
LIES = {
    "nothing": ({}, HIGH),
    "a lower risk tier": ({"risk_tier": "low"}, HIGH),
    "no risk tier": ({"risk_tier": None}, HIGH),
    "a lower cost": (
        {"expected_monthly_cost": "1.00000000"},
        Row(Outcome.REVIEW, "cost", cost_above=Decimal(2)),
    ),
    "less time": ({"duration_days": 1}, Row(Outcome.DURATION, longest_days=300)),
    "a lower limit": ({"limits": {"tokens_per_day": "1"}}, Row(Outcome.REVIEW, "cost", **ABOVE_TWO)),
    "a region": ({"regions": ["eu"]}, Row(Outcome.REVIEW, "compliance", outside_regions=("eu",))),
    "another data class": (
        {"data_class": "public"},
        Row(Outcome.REVIEW, "compliance", data_classes=("internal",)),
    ),
    "a model in use": ({"is_new_to_project": False}, Row(Outcome.REVIEW, "security", usage="new")),
}


@pytest.mark.as_owner
@pytest.mark.parametrize("lie", LIES)
def test_nobody_forges_an_evaluation_that_approves(ask, put, priced_model, lie):
    said, rule = LIES[lie]
    CatalogModel.objects.filter(pk=priced_model.pk).update(risk_tier="high")
    asked = ask()
    put(Row(Outcome.AUTOMATIC), rule)
    # Whoever could delete the reviews would still find a rule that holds it back.
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE catalog_review DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM catalog_review")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    version = RuleSet.objects.get(state="in_force").version
    with pytest.raises(IntegrityError, match="do not approve"), transaction.atomic():
        forged(asked, version=version, inputs=said)


@pytest.mark.as_owner
def test_rules_of_before_approve_nothing(ask, put):
    put(HIGH, SMALL)
    asked = ask(data_class="confidential")
    with pytest.raises(IntegrityError, match="rules in force"), transaction.atomic():
        forged(asked, version="2026-11.1")


@pytest.mark.as_owner
def test_an_evaluation_on_another_occasion_approves_nothing(ask, put):
    put(HIGH, SMALL)
    asked = ask(data_class="confidential")
    forged(asked, occasion="decided")
    with pytest.raises(IntegrityError, match="approved when"), transaction.atomic():
        approve_by_sql(asked)


def test_an_evaluation_of_before_approves_nothing_later(ask, put, monkeypatch):
    put(HIGH, SMALL)
    asked = ask()
    other = AccessRequest.objects.across_tenants().get(pk=asked.pk)
    other.pk, other.state, other.decided_at = None, "pending", None
    other.save(force_insert=True)
    with pytest.raises(IntegrityError, match="approved when"), transaction.atomic():
        approve_by_sql(other)
    assert RuleEvaluation.objects.across_tenants().filter(access_request=other).count() == 0


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(rules(), FACTS)
def test_the_database_finds_the_rules_to_hold_that_python_does(rule, facts):
    row = Rule.from_rule(RuleSet(), 1, rule)
    values = {
        field.column: getattr(row, field.attname)
        for field in Rule._meta.concrete_fields
        if field.name not in ("id", "rule_set")
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT catalog_rule_holds(jsonb_populate_record(NULL::catalog_rule, %s), %s)",
            [json.dumps(values, default=str), json.dumps(facts.as_inputs())],
        )
        assert cursor.fetchone()[0] == rule.holds(facts)
