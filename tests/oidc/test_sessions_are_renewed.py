"""A session of the provider is renewed there when it is due; until then it does nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from accounts.actions import make_staff
from accounts.models import Session, User
from directory.models import FederatedIdentity
from tenants.actions import add_member, issue_personal_access_token
from tests.factories import TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/account/x?tab=1"}


@pytest.fixture
def browser():
    """What the browser remembers of the provider."""
    return requests.Session()


@pytest.fixture
def due(client, provider, sign_in, browser):
    """Ana's session, signed in long ago."""
    provider.user("ana")
    sign_in("ana", browser=browser)
    make_due(client)
    return client


def make_due(client):
    session = client.session
    session["oidc_id_token_expiration"] = 0
    session.save()


def test_a_page_goes_to_the_provider_and_back_unseen(due, provider, browser):
    key = due.session.session_key
    answer = due.get("/?a=b")
    assert answer["Location"].startswith(f"{provider.issuer}/auth?")
    assert "prompt=none" in answer["Location"]
    assert "code_challenge_method=S256" in answer["Location"]
    back = due.get(provider.visit(answer["Location"], "ana", browser))
    assert back["Location"] == "/?a=b"
    assert due.session.session_key == key
    assert due.session["oidc_id_token_expiration"] > 0
    assert due.get("/?a=b").headers.get("Location", "") != answer["Location"]


def test_renewal_keeps_the_refresh_token_that_there_is(due, provider, browser):
    before = FederatedIdentity.objects.get().refresh_token
    assert before is not None
    due.get(provider.visit(due.get("/")["Location"], "ana", browser))
    assert FederatedIdentity.objects.get().refresh_token == before


def test_a_second_factor_that_was_shown_here_outlives_renewal(due, provider, browser):
    session = due.session
    session["qm_has_second_factor"] = True
    session.save()
    due.get(provider.visit(due.get("/")["Location"], "ana", browser))
    assert due.session["qm_has_second_factor"] is True


def test_staff_who_still_owe_their_second_factor_are_renewed_and_not_sent_in_circles(
    due, provider, browser, settings
):
    settings.STAFF_SECOND_FACTOR = "required"
    make_staff(User.objects.get(email="ana@example.com"), "operator", by=None)
    back = due.get(provider.visit(due.get("/account/second-factor/")["Location"], "ana", browser))
    assert back["Location"] == "/account/second-factor/"
    assert due.get("/account/second-factor/").status_code == 200


def test_an_expired_session_posts_nothing(due):
    answer = due.post("/logout-everywhere/")
    assert answer.status_code == 401
    assert "Nothing was changed" in answer.content.decode()


def test_the_api_answers_401_as_a_problem(due):
    for method in ("get", "post"):
        answer = getattr(due, method)("/api/v1/tenants/")
        assert answer.status_code == 401
        assert answer.json()["code"] == "session_expired"


def test_a_token_speaks_for_itself_beside_an_expired_session(due):
    ana = User.objects.get(email="ana@example.com")
    add_member(TenantFactory(), ana, "viewer", by=None)
    _token, secret = issue_personal_access_token(ana, name="t", life=timedelta(days=1))
    for ours, status in ((secret, 200), ("qmp_nonsense", 401)):
        answer = due.get("/api/v1/models/", headers={"Authorization": f"Bearer {ours}"})
        assert answer.status_code == status
    assert answer.json()["code"] != "session_expired"
    page = due.get("/", headers={"Authorization": f"Bearer {secret}"})
    assert "prompt=none" in page["Location"], "pages know no tokens"


@pytest.mark.parametrize("method", ["get", "post"])
def test_htmx_goes_there_as_a_whole_page_and_comes_back_to_it(due, provider, browser, method):
    answer = getattr(due, method)("/account/x/part/", headers=HTMX)
    assert answer.status_code == 204
    assert answer["HX-Redirect"].startswith(f"{provider.issuer}/auth?")
    back = due.get(provider.visit(answer["HX-Redirect"], "ana", browser))
    assert back["Location"] == "/account/x?tab=1"


def test_who_is_signed_out_at_the_provider_is_signed_out_here(due, provider):
    answer = due.get(provider.visit(due.get("/")["Location"], "ana", requests.Session()))
    assert answer.status_code == 403
    assert "Sign in again" in answer.content.decode()
    assert "_auth_user_id" not in due.session


def test_who_is_disabled_at_the_provider_is_signed_out_here(due, provider, browser):
    provider.user("ana", disabled=True)
    answer = due.get(provider.visit(due.get("/")["Location"], "ana", browser))
    assert answer.status_code == 403
    assert "_auth_user_id" not in due.session


def test_somebody_else_at_the_same_browser_gets_their_own_session(due, provider):
    provider.user("ben")
    ana = due.session["_auth_user_id"]
    other = requests.Session()
    start = due.get("/oidc/sign-in/?next=/t/anas-own/")
    answer = due.get(provider.visit(start["Location"], "ben", other))
    assert answer["Location"] == "/"
    assert due.session["_auth_user_id"] != ana
    assert due.session["qm_subject"] == "ben"
    assert not Session.objects.filter(subject="ana").exists()


def test_signing_out_needs_no_renewal(due):
    assert due.post("/logout/").status_code in (200, 302)
    assert "_auth_user_id" not in due.session


def test_sessions_of_a_provider_that_is_no_longer_configured_are_over(due, settings):
    settings.OIDC_ISSUER = ""
    assert due.get("/")["Location"].startswith("/login/")
    assert "_auth_user_id" not in due.session


def test_a_local_session_is_left_alone(client, provider):
    user = UserFactory()
    client.post("/login/", {"username": user.email, "password": "correct horse battery staple"})
    make_due(client)
    assert "auth?" not in client.get("/").headers.get("Location", "")
