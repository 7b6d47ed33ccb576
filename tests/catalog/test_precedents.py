"""Beside a decision: how earlier requests for the model went, and what changed since its last approval."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from catalog.actions import decide_review
from catalog.actions.facts import facts_now
from catalog.models import CatalogModel
from catalog.precedents import precedents_of
from tests.factories import ProjectFactory, TenantFactory, member_of


def found(asked):
    return precedents_of(asked, facts_now(asked))


@pytest.fixture
def in_project(ask, lab):
    def ask_in(name, **given):
        return ask(project=ProjectFactory(tenant=lab, name=name), **given)

    return ask_in


def test_a_first_request_has_none(ask):
    first = found(ask())
    assert (first.rows, first.last_approval, first.changes) == ([], None, [])


def test_earlier_decisions_of_all_tenants_newest_first(in_project, ask, review_of, security_reviewer):
    other = TenantFactory(name="Harbour")
    far = ask(project=ProjectFactory(tenant=other, name="Ships"), by=member_of(other, "developer"))
    decide_review(review_of(far).pk, by=security_reviewer, verdict="reject", comment="Which ships?")
    near = in_project("Old")
    decide_review(review_of(near).pk, by=security_reviewer, verdict="approve")
    in_project("Waiting")
    rows = found(in_project("New")).rows
    assert [(one.tenant, one.project, str(one.badge.text), one.reason) for one in rows] == [
        ("Lab", "Old", "Approved", ""),
        ("Harbour", "Ships", "Rejected", "Which ships?"),
    ]


def test_what_changed_since_the_last_approval_of_the_tenant(
    client, in_project, review_of, security_reviewer, priced_model
):
    decide_review(review_of(in_project("Old")).pk, by=security_reviewer, verdict="approve")
    again = in_project("New")
    assert found(again).last_project == "Old"
    assert found(again).changes == []
    CatalogModel.objects.filter(pk=priced_model.pk).update(risk_tier="high")
    dearer = in_project("Dearer", expected_tokens_per_day=2_000_000)
    assert found(dearer).changes == [
        "The expected monthly cost was 30.00 USD and is now 60.00 USD.",
        "The model's risk tier was moderate and is now high.",
    ]
    client.force_login(security_reviewer)
    page = client.get(reverse("admin:catalog_review_change", args=[review_of(dearer).pk])).content.decode()
    assert "The expected monthly cost was 30.00 USD and is now 60.00 USD." in page
    assert "Last approved for this tenant" in page


def test_its_queries_do_not_grow(in_project, review_of, security_reviewer):
    asked = in_project("New")

    def queries():
        present = facts_now(asked)
        with CaptureQueriesContext(connection) as made:
            precedents_of(asked, present)
        return len(made)

    decide_review(review_of(in_project("one")).pk, by=security_reviewer, verdict="approve")
    few = queries()
    for number in range(6):
        decide_review(review_of(in_project(f"p{number}")).pk, by=security_reviewer, verdict="approve")
    assert queries() == few
    assert len(found(asked).rows) == 5
