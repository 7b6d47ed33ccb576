"""Not there and not yours are one answer, made in one way.

A clock would be a poor witness. Instead: the same bytes, after the same questions to the database.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.isolation.sweep import ACCOUNT, API, HTMX, PORTAL, address, plainly, questions, row_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def seen_once(monkeypatch):
    """That a session is seen is written once a minute: not by one of two compared requests."""
    monkeypatch.setattr("accounts.sessions.SEEN_EVERY", timedelta(days=1))


def told(client, method, url, value, headers=None):
    body = {} if method in ("get", "delete") else {"data": "{}", "content_type": "application/json"}
    with questions() as asked:
        answer = getattr(client, method)(url, headers=headers, **body)
    return plainly(answer, value), asked


def assert_indistinguishable(client, routes_and_urls):
    compared = 0
    for route, seen, foreign, unseen, never in routes_and_urls:
        for method in route.methods:
            for headers in ({}, HTMX):
                theirs, asked = told(client, method, seen, foreign, headers)
                nobodys, asked_too = told(client, method, unseen, never, headers)
                assert theirs[0] in (404, 405), f"{method} {seen}"
                assert theirs == nobodys, f"{method} {seen}"
                assert asked == asked_too, f"{method} {seen}"
                compared += 1
    assert compared > 5


def detail_urls(routes, full_lab, never, **given):
    """Every route with a row of the lab in its address: that address, and one of a row that never was."""
    for route in routes:
        if row_of(route, full_lab):
            foreign = address(route, full_lab, **given)
            row = str(full_lab.row(route.model._meta.label_lower).pk)
            if row in foreign:
                yield route, foreign, row, foreign.replace(row, never), never


def test_a_foreign_row_looks_like_none_on_the_pages(client, full_lab, stranger):
    client.force_login(stranger)
    never = str(uuid4())
    assert_indistinguishable(client, detail_urls(PORTAL, full_lab, never, tenant="elsewhere"))
    assert_indistinguishable(client, detail_urls([*PORTAL, *ACCOUNT], full_lab, never))


def test_a_foreign_row_looks_like_none_in_the_api(client, full_lab, stranger):
    client.force_login(stranger)
    assert_indistinguishable(client, detail_urls(API, full_lab, str(uuid4())))


def test_a_foreign_tenant_looks_like_none(client, full_lab, stranger):
    client.force_login(stranger)
    routes = [route for route in PORTAL if "tenant" in route.parameters]
    assert_indistinguishable(
        client,
        (
            (route, address(route, full_lab), "lab", address(route, full_lab, tenant="nix"), "nix")
            for route in routes
        ),
    )
    lab, nix = "/api/v1/tenants/lab/", "/api/v1/tenants/nix/"
    assert told(client, "get", lab, "lab") == told(client, "get", nix, "nix")


def test_a_wrong_secret_looks_like_one_that_ended(client, full_lab, developer):
    """One refusal for tokens, whatever is the matter with them."""
    from datetime import timedelta

    from django.utils.timezone import now

    from core.secrets import new_secret
    from tenants.actions import issue_personal_access_token
    from tenants.models import PersonalAccessToken

    token, ended = issue_personal_access_token(developer, name="t", life=timedelta(days=1))
    PersonalAccessToken.objects.filter(pk=token.pk).update(revoked_at=now())

    def said(secret):
        return told(client, "get", "/api/v1/projects/", secret, {"Authorization": f"Bearer {secret}"})

    assert said(ended) == said(new_secret("qmp"))
