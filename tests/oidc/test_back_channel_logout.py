"""The provider ends a session, or all of a person, and the console's are over at once."""

from __future__ import annotations

import time

import pytest
from django.utils.timezone import now

from accounts.models import Session
from audit.models import AuditEntry
from directory.models import FederatedIdentity, SpentLogoutToken
from directory.oidc.tokens import LOGOUT_EVENT
from tests.oidc.running_provider import CALLBACK, CLIENT, clients

pytestmark = pytest.mark.django_db
ADDRESS = "/oidc/backchannel-logout/"


@pytest.fixture
def eve(client, liar, come_back):
    """Eve's session, which the provider knows as "s1"."""
    come_back(sid="s1")
    return client


def logout_claims(liar, **changes):
    event = {LOGOUT_EVENT: {}}
    return liar.claims(**{"sub": None, "sid": "s1", "jti": f"j{time.time_ns()}", "events": event} | changes)


def post(client, token):
    answer = client.post(ADDRESS, {"logout_token": token})
    assert answer["Cache-Control"] == "no-store"
    return answer


def is_signed_in():
    return Session.objects.filter(subject="eve").exists()


@pytest.mark.parametrize(
    "names", [{}, {"sub": "eve"}, {"sub": "eve", "sid": None}], ids=["session", "both", "subject"]
)
def test_a_logout_token_ends_what_it_names_at_once(eve, liar, client, names):
    token = liar.sign(logout_claims(liar, **names), typ="logout+jwt")
    assert post(client, token).status_code == 200
    assert not is_signed_in()
    assert eve.get("/")["Location"].startswith("/login/")
    line = AuditEntry.objects.across_tenants().get(verb="identity.signed_out_by_provider")
    assert line.details["sessions"] == 1


def test_it_ends_no_other_session(eve, liar, client):
    assert post(client, liar.sign(logout_claims(liar, sid="s2"))).status_code == 200
    assert post(client, liar.sign(logout_claims(liar, sid=None, sub="ada"))).status_code == 200
    assert post(client, liar.sign(logout_claims(liar, sub="ada"))).status_code == 200
    assert is_signed_in()


def test_nobody_needs_a_cookie_or_a_csrf_token(eve, liar):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    assert post(strict, liar.sign(logout_claims(liar))).status_code == 200
    assert not is_signed_in()


def test_many_may_be_signed_out_at_once_but_not_refused(eve, liar, client, settings):
    """A provider that ends everybody's sessions is one address, and does not try again."""
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"back_channel_logout": "2/minute"}
    for n in range(5):
        assert post(client, liar.sign(logout_claims(liar, sid=f"other-{n}"))).status_code == 200
    address = f"2001:db8:{time.time_ns() % 65536:x}:9::1"
    refused = [client.post(ADDRESS, {"logout_token": "x"}, REMOTE_ADDR=address).status_code for _ in range(3)]
    assert refused == [400, 400, 429]


def test_the_same_token_is_obeyed_once(eve, liar, client, come_back):
    token = liar.sign(logout_claims(liar))
    assert post(client, token).status_code == 200
    come_back(sid="s1")
    assert post(client, token).status_code == 400
    assert is_signed_in()


def test_spent_tokens_are_forgotten_once_they_have_expired(eve, liar, client):
    post(client, liar.sign(logout_claims(liar)))
    SpentLogoutToken.objects.update(expires_at=now())
    post(client, liar.sign(logout_claims(liar)))
    assert SpentLogoutToken.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": "another-client"}, id="wrong audience"),
        pytest.param({"iss": "https://elsewhere.example"}, id="wrong issuer"),
        pytest.param({"exp": int(time.time()) - 3600}, id="expired"),
        pytest.param({"iat": int(time.time()) - 3600}, id="made long ago"),
        pytest.param({"iat": None}, id="made at no time"),
        pytest.param({"jti": None}, id="without a name"),
        pytest.param({"jti": 7}, id="with a number for a name"),
        pytest.param({"events": None}, id="without events"),
        pytest.param({"events": {"http://elsewhere.example/event": {}}}, id="another event"),
        pytest.param({"events": {LOGOUT_EVENT: "yes"}}, id="an event that is no object"),
        pytest.param({"nonce": "n"}, id="an ID token"),
        pytest.param({"sid": None}, id="naming nobody"),
        pytest.param({"sid": ["s1"]}, id="a list for a session"),
        pytest.param({"sid": ""}, id="an empty session"),
    ],
)
def test_a_token_that_is_none_changes_nothing(eve, liar, client, changes):
    answer = post(client, liar.sign(logout_claims(liar, **changes)))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert is_signed_in()


def test_forged_tokens_change_nothing(eve, liar, client):
    claims = logout_claims(liar)
    for token in (
        liar.sign(claims, key=liar.other_key),
        liar.sign(claims, typ="at+jwt"),
        liar.sign_by_hand(claims, alg="none"),
        "",
        "a.b.c",
        eve.session["oidc_id_token"],
    ):
        assert post(client, token).status_code == 400
    assert client.post(ADDRESS).status_code == 400
    assert client.get(ADDRESS).status_code == 405
    assert is_signed_in()


def test_without_a_provider_nothing_is_obeyed(eve, liar, client, settings):
    token = liar.sign(logout_claims(liar))
    settings.OIDC_ISSUER = ""
    assert post(client, token).status_code == 400


@pytest.mark.parametrize(("scopes", "kept"), [("openid offline_access", True), ("openid", False)])
def test_a_refresh_token_that_ends_with_the_session_is_forgotten(eve, liar, client, settings, scopes, kept):
    """Else the next check would take signing out for being disabled, and suspend the person's keys."""
    FederatedIdentity.objects.update(refresh_token=b"ciphertext")
    settings.OIDC_RP_SCOPES = scopes
    post(client, liar.sign(logout_claims(liar)))
    assert (FederatedIdentity.objects.get().refresh_token is not None) is kept


@pytest.mark.django_db(transaction=True)
def test_the_provider_itself_ends_a_session(client, provider, sign_in, live_server):
    provider.tell("clients", clients([CALLBACK], logout=f"{live_server.url}{ADDRESS}"))
    provider.user("ana")
    provider.user("ben")
    sign_in("ben")
    client.cookies.clear()
    sign_in("ana")
    session = Session.objects.get(subject="ana")
    what = {"client": CLIENT, "sub": "ana", "sid": session.provider_session}
    provider.tell("logout", what)
    assert not Session.objects.filter(subject="ana").exists()
    assert Session.objects.filter(subject="ben").exists()
    assert client.get("/")["Location"].startswith("/login/")
