"""Who must have a second factor: staff before any page, and whoever approves, if the installation says so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from accounts.models import SecondFactor
from catalog.actions import decide_review
from core.context import Origin, current_origin
from tenants.actions import issue_personal_access_token
from tests.accounts.authenticators import (
    CONFIRM,
    SET_UP,
    enrol,
    give_password,
    secret_on,
)
from tests.factories import AccessRequestFactory, ReviewFactory


@pytest.fixture
def required(settings):
    settings.STAFF_SECOND_FACTOR = "required"


def test_staff_who_must_have_one_do_not(operator, clock, required):
    enrol(operator, clock)
    browser, _ = give_password(operator)
    browser.post(CONFIRM, {"code": clock.code()})
    assert browser.post("/account/second-factor/off/").status_code == 403
    assert SecondFactor.objects.exists()


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/user/", "/t/lab/", "/"])
def test_staff_without_one_are_sent_to_set_it_up_before_any_page(client, lab, operator, required, path):
    client.force_login(operator)
    answer = client.get(path, follow=True)
    assert answer.redirect_chain[-1][0].startswith(SET_UP)
    assert "Staff of this installation must have one." in answer.content.decode()
    assert client.get(path, headers={"HX-Request": "true"})["HX-Redirect"].startswith(CONFIRM)
    assert client.post(path).status_code == 302


def test_staff_without_one_choose_the_language_in_which_they_set_it_up(client, operator, required):
    client.force_login(operator)
    answer = client.post("/language/", {"language": "zh-hans", "next": SET_UP})
    assert (answer.status_code, answer["Location"]) == (302, SET_UP)
    operator.refresh_from_db()
    assert operator.language == "zh-hans"


def test_after_setting_it_up_staff_go_on_to_where_they_wanted(client, operator, required, clock):
    client.force_login(operator)
    page = client.get("/admin/accounts/user/", follow=True)
    code = clock.code(secret=secret_on(page))
    done = client.post(SET_UP, {"code": code, "next": page.context["next"]})
    assert done.context["next"] == "/admin/accounts/user/"
    assert client.get("/admin/accounts/user/").status_code == 200


def test_a_session_of_staff_without_one_gets_nothing_from_the_api(client, operator, required):
    client.force_login(operator)
    for headers in ({}, {"Authorization": "Basic abc"}):
        answer = client.get("/api/v1/tenants/", headers=headers)
        assert answer.status_code == 403
        assert answer["Content-Type"] == "application/problem+json"
        assert "second factor" in answer.json()["detail"]
    _, token = issue_personal_access_token(operator, name="t", life=timedelta(days=1))
    bearer = {"Authorization": f"Bearer {token}"}
    assert Client().get("/api/v1/tenants/", headers=bearer).status_code == 200


def test_members_need_none(client, developer, required):
    client.force_login(developer)
    assert client.get("/t/lab/").status_code == 200


@pytest.fixture
def review(lab, project, developer):
    return ReviewFactory(
        tenant=lab, access_request=AccessRequestFactory(tenant=lab, project=project, requested_by=developer)
    )


def test_an_approval_can_be_made_to_need_one(client, review, security_reviewer, settings, clock):
    settings.APPROVALS_NEED_SECOND_FACTOR = True
    client.force_login(security_reviewer)
    url = f"/api/v1/access-requests/{review.access_request_id}/reviews/"
    body = {"track": "security", "verdict": "approve", "comment": ""}
    refused = client.post(url, body, content_type="application/json")
    assert refused.status_code == 403
    assert "second factor" in refused.json()["detail"]
    review.refresh_from_db()
    assert review.state == "pending"
    enrol(security_reviewer, clock)
    client.post(CONFIRM, {"code": clock.code()})
    assert client.post(url, body, content_type="application/json").status_code in (200, 201)


def test_a_token_does_not_count_even_beside_a_cookie_that_would(
    client, review, security_reviewer, settings, clock
):
    settings.APPROVALS_NEED_SECOND_FACTOR = True
    enrol(security_reviewer, clock)
    client.force_login(security_reviewer)
    client.post(CONFIRM, {"code": clock.code()})
    _, token = issue_personal_access_token(security_reviewer, name="t", life=timedelta(days=1))
    answer = client.post(
        f"/api/v1/access-requests/{review.access_request_id}/reviews/",
        {"track": "security", "verdict": "approve", "comment": ""},
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 403


def test_by_default_an_approval_needs_none(review, security_reviewer, settings):
    assert settings.APPROVALS_NEED_SECOND_FACTOR is False
    assert decide_review(review.pk, by=security_reviewer, verdict="approve").state == "approved"


def test_outside_a_request_there_is_no_second_factor(review, security_reviewer, settings):
    settings.APPROVALS_NEED_SECOND_FACTOR = True
    with pytest.raises(PermissionDenied, match="Access tokens cannot"):
        decide_review(review.pk, by=security_reviewer, verdict="approve")
    token = current_origin.set(Origin(has_second_factor=True))
    decide_review(review.pk, by=security_reviewer, verdict="approve")
    current_origin.reset(token)
