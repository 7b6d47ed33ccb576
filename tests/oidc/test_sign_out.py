"""Signing out here signs out at the provider too, where it offers that."""

from __future__ import annotations

import html
import re

import pytest
import requests

from accounts.models import Session
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def way_on(answer):
    return html.unescape(
        re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)"', answer.content.decode())[1]
    )


def test_signing_out_goes_on_to_the_provider_and_back(client, provider, sign_in):
    provider.user("ana")
    browser = requests.Session()
    sign_in("ana", browser=browser)
    answer = client.post("/logout/")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert not Session.objects.filter(subject="ana").exists()
    assert "_auth_user_id" not in client.session
    page = browser.get(way_on(answer), timeout=60)
    secret = re.search(r'name="xsrf" value="([^"]+)"', page.text)[1]
    action = re.search(r'action="([^"]+)"', page.text)[1]
    done = browser.post(action, data={"xsrf": secret, "logout": "yes"}, allow_redirects=False, timeout=60)
    assert done.headers["Location"] == "http://testserver/login/"
    again = client.get("/oidc/sign-in/")["Location"]
    assert "interaction" in browser.get(again, timeout=60).url, "the provider asks who it is"


def test_a_provider_that_offers_nothing_is_not_told(client, liar, come_back):
    come_back()
    del liar.answers["/.well-known/openid-configuration"]["end_session_endpoint"]
    from directory.oidc import provider

    provider._providers.clear()
    assert client.post("/logout/")["Location"] == "/login/"


def test_a_provider_that_is_away_keeps_nobody_signed_in(client, provider, sign_in):
    provider.user("ana")
    sign_in("ana")
    provider.tell("mode", "away")
    from directory.oidc import provider as known

    known._providers.clear()
    assert client.post("/logout/")["Location"] == "/login/"
    assert not Session.objects.filter(subject="ana").exists()


def test_who_signed_in_with_a_password_is_not_sent_there(client, provider):
    user = UserFactory()
    client.post("/login/", {"username": user.email, "password": "correct horse battery staple"})
    assert client.post("/logout/")["Location"] == "/login/"
