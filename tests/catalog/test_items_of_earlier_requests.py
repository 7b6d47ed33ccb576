"""The migration that gave requests items carries over what was requested, decided and granted before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils.timezone import now

from tests.databases import as_owner, execute, maintenance, renew_clone, run_name, use

BEFORE, AFTER = [("catalog", "0023_newest_evaluations")], [("catalog", "0024_request_items")]


@pytest.fixture
def earlier(django_db_setup, django_db_blocker):
    """A database with the rows that the migration finds."""
    name = f"{run_name()}_earlier"
    with django_db_blocker.unblock(), maintenance() as server:
        execute(server, "CREATE DATABASE {}", name)
        use(name)
        with as_owner():
            MigrationExecutor(connection).migrate(BEFORE)
            yield
        renew_clone()
        execute(server, "DROP DATABASE {} WITH (FORCE)", name)


def models_at(place):
    """The models as they were then: `models("catalog", "Grant")`, by a manager without a scope."""
    apps = MigrationExecutor(connection).loader.project_state(place).apps
    return lambda app, name: apps.get_model(app, name)._base_manager


def test_each_request_gets_one_item_with_its_decisions_its_grant_and_its_key(earlier):
    old = models_at(BEFORE)
    tenant = old("tenants", "Tenant").create(slug="lab", name="Lab", highest_data_class="confidential")
    project = old("tenants", "Project").create(tenant=tenant, slug="letters", name="Letters")
    model, other = (
        old("catalog", "CatalogModel").create(name=name, title=name, lifecycle="published")
        for name in ("glm", "gpt")
    )
    person = old("accounts", "User").create(email="a@example.com", name="A", password="")
    reviewer = old("accounts", "User").create(
        email="b@example.com", name="B", password="", is_superuser=True, is_staff=True
    )
    calendar = old("catalog", "WorkingCalendar").create(name="Always")
    old("catalog", "Track").create(code="security", name="Security", calendar=calendar)
    asked, waiting = (
        old("catalog", "AccessRequest").create(
            tenant=tenant,
            project=project,
            model=one,
            requested_by=person,
            purpose="Letters.",
            data_class="confidential",
            expected_tokens_per_day=7,
            limits={"requests_per_minute": "3"},
            expected_monthly_cost="1.5",
            facts={"risk_tier": "low"},
        )
        for one in (model, other)
    )
    with connection.cursor() as cursor:
        # No rules are in force yet: `migrate` writes the first ones at its end.
        cursor.execute("SET session_replication_role = replica")
        old("catalog", "RuleEvaluation").create(
            tenant=tenant,
            access_request=asked,
            rule_set_id="test",
            occasion="raised",
            inputs={"risk_tier": "low"},
            answer="reviews",
            result={},
        )
        cursor.execute("SET session_replication_role = origin")
    review = old("catalog", "Review").create(
        tenant=tenant, access_request=asked, track_id="security", reason="New.", due_at=now()
    )
    old("catalog", "ReviewDecision").create(
        tenant=tenant, review=review, reviewer=reviewer, verdict="approve", facts={"risk_tier": "low"}
    )
    for row in (review, asked):
        row.state, row.decided_at = "approved", now()
        row.save()
    key = old("tenants", "ApiKey").create(tenant=tenant, project=project, name="glm", model_names=["glm"])
    old("catalog", "Grant").create(
        tenant=tenant,
        project=project,
        model=model,
        access_request=asked,
        key=key,
        valid_until=now() + timedelta(days=9),
    )

    MigrationExecutor(connection).migrate(AFTER)
    new = models_at(AFTER)
    granted, open_item = (
        new("catalog", "RequestItem").get(access_request=one.pk) for one in (asked, waiting)
    )
    for item, its_model in ((granted, model), (open_item, other)):
        assert (item.tenant_id, item.project_id, item.model_id) == (tenant.pk, project.pk, its_model.pk)
        assert (item.data_class, item.expected_tokens_per_day, item.limits, item.expected_monthly_cost) == (
            "confidential", 7, {"requests_per_minute": "3"}, 1.5,
        )  # fmt: skip
    assert (granted.key_id, granted.is_open) == (key.pk, False)
    assert (open_item.key_id, open_item.is_open) == (None, True)
    grant = new("catalog", "Grant").get()
    assert (grant.item_id, grant.project_id, grant.model_id) == (granted.pk, project.pk, model.pk)
    facts = {str(granted.pk): {"risk_tier": "low"}}
    assert new("catalog", "AccessRequest").get(pk=asked.pk).facts == facts
    assert new("catalog", "ReviewDecision").get().facts == facts
    assert new("catalog", "RuleEvaluation").get().inputs == facts

    # The guards that looked away are back.
    for table in ("accessrequest", "requestitem", "ruleevaluation", "reviewdecision", "grant"):
        with pytest.raises(DatabaseError, match=r"refused|cannot|needs|append"):
            change(table)


def change(table):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE catalog_{table} SET tenant_id = gen_random_uuid()")
