"""A reviewer clears a queue: its parts, the next review after a decision, and several decided at once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now
from guardian.shortcuts import assign_perm

from catalog.actions import decide_review
from catalog.actions.many_reviews import decide_reviews
from catalog.models import CatalogModel, Grant, Review, ReviewDecision, ReviewScope
from catalog.review_scopes import DECIDE
from tests.factories import CatalogModelFactory, staff

LIST = "admin:catalog_review_changelist"
MANY = "admin:catalog_review_decide_many"


@pytest.fixture
def asked(ask):
    """Four requests, the first due first."""
    found = [ask(model=CatalogModelFactory(name=f"model-{number}").name) for number in range(4)]
    for number, access_request in enumerate(found):
        reviews = Review.objects.across_tenants().filter(access_request=access_request)
        reviews.update(due_at=now() + timedelta(hours=number + 1))
    return found


@pytest.fixture
def desk(client, security_reviewer):
    client.force_login(security_reviewer)
    return client


def review(access_request):
    return Review.objects.across_tenants().get(access_request=access_request, track="security")


def sent(chosen, verdict="approve", comment="Fits.", **changed):
    facts = {f"seen-{review(one).pk}": json.dumps(one.facts) for one in chosen}
    return (
        {"review": [str(review(one).pk) for one in chosen], "verdict": verdict, "comment": comment}
        | facts
        | changed
    )


def page_of(one):
    return reverse("admin:catalog_review_change", args=[review(one).pk])


def test_several_are_decided_each_by_itself(desk, asked):
    CatalogModel.objects.filter(name="model-1").update(risk_tier="high")
    answer = desk.post(reverse(MANY), sent(asked[:3]))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "2 of 3 reviews are decided" in page
    assert "risk tier was moderate and is now high" in page
    assert [review(one).state for one in asked] == ["approved", "pending", "approved", "pending"]
    assert Grant.objects.across_tenants().count() == 0, "cost is not decided: these models have no price"
    assert set(ReviewDecision.objects.across_tenants().values_list("comment", flat=True)) == {"Fits."}


def test_what_others_decided_meanwhile_is_reported(desk, asked, security_reviewer):
    other = staff("security-reviewer")
    body = sent(asked[:2])
    decide_review(review(asked[0]).pk, by=other, verdict="approve")
    page = desk.post(reverse(MANY), body).content.decode()
    assert "already decided" in page
    assert "1 of 2 reviews are decided" in page


def test_facts_that_the_page_did_not_show_are_not_decided_on(desk, asked):
    body = sent(asked[:1])
    body[f"seen-{review(asked[0]).pk}"] = "{}"
    page = desk.post(reverse(MANY), body).content.decode()
    assert "0 of 1 review is decided" in page
    assert review(asked[0]).state == "pending"


@pytest.mark.parametrize("verdict", ["reject", "return"])
def test_rejections_need_a_reason_before_any_is_decided(desk, asked, verdict):
    assert desk.post(reverse(MANY), sent(asked, verdict, "")).status_code == 400
    assert not ReviewDecision.objects.across_tenants().exists()
    with pytest.raises(ValidationError):
        decide_reviews([], reviewer=staff("security-reviewer"), verdict=verdict)
    desk.post(reverse(MANY), sent(asked, verdict, "Not this year."))
    assert ReviewDecision.objects.across_tenants().filter(comment="Not this year.").count() == 4


@pytest.mark.parametrize("chosen", [[], ["nonsense"], ["0" * 32]])
def test_nothing_chosen_is_said(desk, asked, chosen):
    body = sent([]) | {"review": chosen}
    assert desk.post(reverse(MANY), body).status_code == 400


def test_only_reviewers_open_it_and_only_their_reviews_are_there(
    client, desk, asked, cost_reviewer, operator
):
    found = [line.review.pk for line in desk.get(reverse(MANY)).context["lines"]]
    assert found == [review(one).pk for one in asked]
    client.force_login(operator)
    assert client.get(reverse(MANY)).status_code == 403
    client.force_login(cost_reviewer)
    assert not {line.review.pk for line in client.get(reverse(MANY)).context["lines"]} & set(found)
    page = client.post(reverse(MANY), sent(asked[:1])).content.decode()
    assert "Other people decide these reviews" in page
    assert review(asked[0]).state == "pending"


def test_it_has_the_filters_of_the_list(desk, asked):
    listed = desk.get(reverse(LIST), {"queue": "overdue"})
    assert "decide-many/?queue=overdue" in listed.content.decode()
    Review.objects.across_tenants().filter(pk=review(asked[3]).pk).update(due_at=now() - timedelta(hours=1))
    late = desk.get(reverse(MANY), {"queue": "overdue"}).context["lines"]
    assert [line.review for line in late] == [review(asked[3])]


def test_its_queries_do_not_grow_with_the_reviews(desk, ask, asked):
    def queries():
        with CaptureQueriesContext(connection) as found:
            assert desk.get(reverse(MANY)).status_code == 200
        return len(found)

    queries()
    few = queries()
    for number in range(6):
        ask(model=CatalogModelFactory(name=f"more-{number}").name)
    assert queries() == few


def test_a_decision_leads_to_the_next_review(desk, asked):
    response = desk.post(page_of(asked[1]), {"verdict": "approve", "comment": ""})
    assert response["Location"] == page_of(asked[0])
    page = desk.get(page_of(asked[2])).context
    assert (page["previous_url"], page["next_url"]) == (page_of(asked[0]), page_of(asked[3]))
    for one in (asked[0], asked[2]):
        desk.post(page_of(one), {"verdict": "approve"})
    assert desk.post(page_of(asked[3]), {"verdict": "approve"})["Location"] == reverse(LIST)


def test_reviews_of_my_groups_and_those_given_to_me(desk, asked, security_reviewer):
    scope = ReviewScope.objects.get(track_id="security")
    assert list(desk.get(reverse(LIST), {"queue": "groups"}).context["cl"].result_list) == [
        review(one) for one in asked
    ]
    mine = ReviewScope.objects.create(track_id="security", model=asked[0].items.get().model)
    assign_perm(DECIDE, security_reviewer, mine)
    for group in Group.objects.all():
        group.groupobjectpermission_set.filter(object_pk=str(scope.pk)).delete()
    assert not desk.get(reverse(LIST), {"queue": "groups"}).context["cl"].result_list
    assert list(desk.get(reverse(LIST)).context["cl"].result_list) == [review(asked[0])]
