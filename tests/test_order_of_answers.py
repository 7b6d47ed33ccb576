"""Not visible 404, not permitted 403, wrong state 409, wrong data 400: who may not, learns nothing of the form."""

from __future__ import annotations

import pytest
from django.utils.timezone import now

from catalog.actions import raise_access_request, withdraw_access_request
from gateway.actions import register_gateway
from tenants.actions import revoke_api_key
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, CatalogModelFactory, member_of
from tests.gateway.granted import key_for

TOO_LONG = {"reason": "x" * 501}


@pytest.fixture
def asked(project, developer):
    return raise_access_request(
        project, CatalogModelFactory().name, by=developer, purpose="Letters.", expected_tokens_per_day=9
    )


def post(client, path, body):
    return client.post(f"/api/v1/{path}", body, "application/json").status_code


def test_revoking_a_key_for_too_long_a_reason(client, lab, project, developer, stranger):
    key = ApiKeyFactory(tenant=lab, project=project)
    path = f"keys/{key.pk}/revoke/"
    client.force_login(stranger)
    assert post(client, path, TOO_LONG) == 404
    client.force_login(member_of(lab, "viewer"))
    assert post(client, path, TOO_LONG) == 403
    client.force_login(developer)
    assert post(client, path, TOO_LONG) == 400
    revoke_api_key(key.pk, by=developer)
    assert post(client, path, TOO_LONG) == 409


def test_revoking_a_grant_for_too_long_a_reason(client, lab, project, developer, stranger):
    grant = key_for(project, CatalogModelFactory()).grants.get()
    path = f"grants/{grant.pk}/revoke/"
    client.force_login(stranger)
    assert post(client, path, TOO_LONG) == 404
    client.force_login(member_of(lab, "viewer"))
    assert post(client, path, TOO_LONG) == 403
    client.force_login(developer)
    assert post(client, path, TOO_LONG) == 400
    grant.revoked_at = now()
    grant.save()
    assert post(client, path, TOO_LONG) == 409


@pytest.mark.parametrize(
    "body", [{}, {"track": "security"}, {"track": "nonsense"}, [], {"track": ["security"]}]
)
def test_a_review_that_cannot_be_read(
    client, asked, developer, stranger, security_reviewer, cost_reviewer, body
):
    path = f"access-requests/{asked.pk}/reviews/"
    client.force_login(stranger)
    assert post(client, path, body) == 404
    client.force_login(developer)
    assert post(client, path, body) == 403
    client.force_login(security_reviewer)
    assert post(client, path, body) == 400
    withdraw_access_request(asked.pk, by=developer)
    assert post(client, path, body) == 409


def test_a_track_that_is_somebody_elses(client, asked, cost_reviewer):
    client.force_login(cost_reviewer)
    assert post(client, f"access-requests/{asked.pk}/reviews/", {"track": "security"}) == 403


def test_the_page_that_asks_whether_to_withdraw_is_for_who_may(client, asked, lab, developer, owner):
    page = f"/t/lab/requests/{asked.pk}/withdraw/"
    for role in ("developer", "viewer"):
        client.force_login(member_of(lab, role))
        assert client.get(page).status_code == 403
    for person in (developer, owner):
        client.force_login(person)
        assert client.get(page).status_code == 200
    withdraw_access_request(asked.pk, by=developer)
    assert client.get(page).status_code == 409


@pytest.mark.django_db(transaction=True)
def test_two_gateways_of_one_name_at_once_are_a_conflict_not_an_error():
    outcomes = at_the_same_time(*[lambda: register_gateway("gw", by=None)] * 2)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "tuple"]


def test_a_question_to_the_trail_that_cannot_be_read(client, lab, owner):
    page = "/api/v1/audit/?page_size=x"
    client.force_login(member_of(lab, "viewer"))
    assert client.get(page).status_code == 403
    client.force_login(owner)
    assert client.get(page).status_code == 400
