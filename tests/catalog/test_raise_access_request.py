"""Asking for access to a model, and taking it back."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from audit.models import AuditEntry
from catalog.actions import decide_review, preview_access_request, withdraw_access_request
from catalog.models import AccessRequest, CatalogModel, Review
from catalog.rule_table import FIRST_TABLE
from core.errors import Conflict
from tenants.models import Project, Tenant
from tests.concurrency import at_the_same_time
from tests.factories import CatalogModelFactory, member_of


def test_asking_opens_the_reviews_that_the_rules_want(ask, developer):
    asked = ask(data_class="confidential", limits={"requests_per_minute": 3, "money_per_month": "250.50"})
    assert (asked.state, asked.requested_by, asked.tenant.slug) == ("pending", developer, "lab")
    assert asked.items.get().limits == {"requests_per_minute": "3", "money_per_month": "250.5"}
    reviews = Review.objects.in_tenant(asked.tenant).filter(access_request=asked)
    assert {review.track_id for review in reviews} == {"security", "compliance"}
    [said] = asked.evaluations.all()
    assert (said.occasion, said.answer, asked.rule_version) == ("raised", "reviews", FIRST_TABLE.version)
    assert {one["track"]: one["reason"] for one in said.result["reviews"]} == {
        review.track_id: review.reason for review in reviews
    }
    line = AuditEntry.objects.in_tenant(asked.tenant).get(verb="access_request.raised")
    assert (line.actor, line.details["model"]) == (developer, "glm-4.6")


def test_the_expected_cost_lies_between_all_input_and_all_output(ask):
    # 30 million a month at 0.60 to 2.20.
    asked = ask(expected_tokens_per_day=1_000_000)
    assert Decimal(18) < asked.expected_monthly_cost < Decimal(66)


def test_a_model_without_a_price_needs_a_cost_review(ask):
    CatalogModelFactory(name="unpriced-1")
    asked = ask(model="unpriced-1")
    assert asked.expected_monthly_cost is None
    assert Review.objects.in_tenant(asked.tenant).filter(access_request=asked, track="cost").exists()


@pytest.mark.parametrize("lifecycle", ["draft", "retired"])
def test_an_unpublished_model_cannot_be_asked_for(ask, lifecycle):
    CatalogModelFactory(name="hidden-1", lifecycle=lifecycle)
    with pytest.raises(ValidationError, match="no published model"):
        ask(model="hidden-1")
    with pytest.raises(ValidationError, match="no published model"):
        ask(model="no-such-model")


def test_a_model_past_its_end_date_cannot_be_asked_for(ask):
    CatalogModelFactory(name="over-1", lifecycle="deprecated", deprecation_date=date(2026, 1, 1))
    with pytest.raises(ValidationError, match="no published model"):
        ask(model="over-1")


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"data_class": "restricted"}, "data_class", "GLM-4.6 is allowed up to Confidential data"),
        ({"data_class": "top-secret"}, "data_class", "Choose one of"),
        ({"purpose": "  "}, "purpose", "Say in a sentence"),
        ({"expected_tokens_per_day": 0}, "expected_tokens_per_day", "at least 1"),
        ({"duration_days": 731}, "duration_days", "1 to 730"),
        ({"limits": {"requests_per_minute": "many"}}, "requests_per_minute", "above 0"),
        ({"limits": {"requests_per_minute": "1.5"}}, "requests_per_minute", "whole number"),
        ({"limits": {"money_per_month": "0"}}, "money_per_month", "above 0"),
        ({"limits": {"money_per_month": "NaN"}}, "money_per_month", "above 0"),
        ({"limits": {"wishes": 3}}, "limits", "not a kind of limit"),
    ],
)
def test_what_the_rules_forbid_is_refused_early_in_words(ask, given, field, words):
    with pytest.raises(ValidationError) as refused:
        ask(**given)
    assert words in refused.value.message_dict[field][0]
    assert not AccessRequest.objects.across_tenants().exists()


def test_data_above_the_tenants_class_is_refused(ask, lab, priced_model):
    CatalogModel.objects.filter(pk=priced_model.pk).update(highest_data_class="restricted")
    with pytest.raises(ValidationError, match="Lab is allowed up to Confidential data"):
        ask(data_class="restricted")


def test_a_model_outside_the_tenants_regions_is_refused(ask, lab):
    Tenant.objects.filter(pk=lab.pk).update(regions=["eu"])
    CatalogModelFactory(name="american-1", regions=["us-east-1"])
    CatalogModelFactory(name="european-1", regions=["eu-central-1"])
    with pytest.raises(ValidationError, match="in a region that Lab allows"):
        ask(model="american-1")
    assert ask(model="european-1").state == "pending"


def test_a_project_has_one_open_request_for_a_model(ask, project, owner):
    ask()
    with pytest.raises(Conflict, match="already has an open request"):
        ask(by=owner)


@pytest.mark.django_db(transaction=True)
def test_two_who_ask_at_once_make_one_request(ask, developer, owner):
    outcomes = at_the_same_time(lambda: ask(by=developer), lambda: ask(by=owner))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AccessRequest", "Conflict"]
    assert AccessRequest.objects.across_tenants().count() == 1


def test_a_suspended_tenant_asks_for_nothing(ask, lab):
    Tenant.objects.filter(pk=lab.pk).update(status="suspended")
    with pytest.raises(Conflict, match="Lab is suspended"):
        ask()


def test_who_may_not_ask_is_told_so_and_a_stranger_sees_no_project(ask, lab, stranger):
    with pytest.raises(PermissionDenied, match="ask for model access"):
        ask(by=member_of(lab, "viewer"))
    with pytest.raises(Project.DoesNotExist):
        ask(by=stranger)


def test_the_requester_withdraws_and_its_reviews_are_not_needed_any_more(ask, developer):
    asked = ask()
    withdraw_access_request(asked.pk, by=developer)
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
    assert list(asked.reviews.values_list("state", flat=True)) == ["cancelled"]
    with pytest.raises(Conflict, match="withdrawn"):
        withdraw_access_request(asked.pk, by=developer)
    assert ask().state == "pending"


def test_a_colleague_does_not_withdraw_what_somebody_else_asked_but_an_owner_does(ask, lab, owner, stranger):
    asked = ask()
    with pytest.raises(PermissionDenied, match="Someone else made this request"):
        withdraw_access_request(asked.pk, by=member_of(lab, "developer"))
    with pytest.raises(AccessRequest.DoesNotExist):
        withdraw_access_request(asked.pk, by=stranger)
    assert withdraw_access_request(asked.pk, by=owner).state == "withdrawn"


def test_a_preview_says_what_asking_would_mean_and_changes_nothing(project, priced_model):
    preview = preview_access_request(
        project, priced_model, expected_tokens_per_day=100_000_000, data_class="restricted"
    )
    assert [review.track for review in preview.reviews] == ["security", "compliance", "cost"]
    assert preview.estimate.low < preview.estimate.amount < preview.estimate.high
    assert "up to Confidential" in preview.problems["data_class"]
    assert not AccessRequest.objects.across_tenants().exists()


def test_a_project_that_has_used_the_model_needs_no_security_review_again(ask, review_of, security_reviewer):
    first = ask()
    decide_review(review_of(first).pk, by=security_reviewer, verdict="approve")
    again = ask(expected_tokens_per_day=100_000_000)
    assert list(again.reviews.values_list("track", flat=True)) == ["cost"]
