"""Signing in at a real OpenID provider."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from django.test import Client

from accounts.models import Session, User
from audit.models import AuditEntry
from directory.models import FederatedIdentity

pytestmark = pytest.mark.django_db


def is_signed_in(client):
    return "_auth_user_id" in client.session


def test_a_person_signs_in_at_the_provider_and_has_an_account(client, provider, sign_in):
    provider.user("ana", groups=["writers"], name="Ana Adler", amr=["pwd", "otp"])
    answer = sign_in("ana", next_url="/t/lab/")
    assert (answer.status_code, answer["Location"]) == (302, "/t/lab/")

    user = User.objects.get(email="ana@example.com")
    identity = FederatedIdentity.objects.get(user=user)
    assert (identity.issuer, identity.subject, identity.groups) == (provider.issuer, "ana", ["writers"])
    assert user.name == "Ana Adler"
    assert not user.has_usable_password()
    assert AuditEntry.objects.across_tenants().filter(verb="identity.created").count() == 1

    session = Session.objects.get(user=user)
    assert (session.issuer, session.subject) == (provider.issuer, "ana")
    assert session.provider_session
    assert session.has_second_factor


def test_a_password_alone_is_no_second_factor(client, provider, sign_in, settings):
    provider.user("ana", amr=["pwd"], acr="urn:example:strong")
    sign_in("ana")
    assert client.session["qm_has_second_factor"] is False
    settings.OIDC_SECOND_FACTOR_ACR = ["urn:example:strong"]
    sign_in("ana")
    assert client.session["qm_has_second_factor"] is True


def test_the_session_changes_its_key_when_somebody_signs_in(client, provider, sign_in):
    provider.user("ana")
    client.get("/oidc/sign-in/")
    before = client.session.session_key
    sign_in("ana")
    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()


def test_the_browser_sets_out_with_state_nonce_and_pkce(client, provider):
    start = client.get("/oidc/sign-in/")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(start["Location"]).query).items()}
    assert start["Location"].startswith(f"{provider.issuer}/auth?")
    assert asked["code_challenge_method"] == "S256"
    assert {"state", "nonce", "code_challenge", "redirect_uri"} <= asked.keys()
    assert "no-store" in start["Cache-Control"]


def test_nobody_is_sent_to_a_foreign_page_afterwards(client, provider, sign_in):
    provider.user("ana")
    assert sign_in("ana", next_url="https://evil.example/")["Location"] == "/"


def test_the_sign_in_page_offers_the_provider_where_there_is_one(client, settings):
    assert "/oidc/sign-in/" not in client.get("/login/").content.decode()
    assert client.get("/oidc/sign-in/").status_code == 404
    settings.OIDC_ISSUER, settings.OIDC_PROVIDER_NAME = "https://id.example", "Harbour"
    page = client.get("/login/?next=/t/lab/%3Fa=b").content.decode()
    assert "Sign in with Harbour" in page
    assert 'href="/oidc/sign-in/?next=%2Ft%2Flab%2F%3Fa%3Db"' in page


def test_an_answer_counts_once(client, provider, sign_in):
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    assert client.get(address).status_code == 302
    client.post("/logout/")
    again = client.get(address)
    assert again.status_code == 400
    assert "Start again" in again.content.decode()
    assert not is_signed_in(client)


def test_an_answer_replayed_to_somebody_signed_in_changes_nothing(client, provider):
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    client.get(address)
    assert client.get(address).status_code == 400
    assert is_signed_in(client)


def test_an_answer_counts_only_in_the_browser_that_asked(client, provider):
    """Else somebody could sign another's browser in to their own account (login CSRF)."""
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    other = Client()
    assert other.get(address).status_code == 400
    assert not is_signed_in(other)


def changed(address, **changes):
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query)) | changes
    return urlunsplit(parts._replace(query=urlencode({n: v for n, v in query.items() if v is not None})))


@pytest.mark.parametrize(
    "changes",
    [{"state": "made up"}, {"state": None}, {"iss": "https://elsewhere.example"}, {"iss": None}],
    ids=["wrong state", "no state", "another issuer", "no issuer although the provider names itself"],
)
def test_an_answer_that_does_not_fit_is_refused(client, provider, changes):
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    assert client.get(changed(address, **changes)).status_code == 400
    assert not is_signed_in(client)


def test_an_answer_that_took_too_long_is_refused(client, provider):
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    session = client.session
    for begun in session["oidc_states"].values():
        begun["added_on"] -= 901
    session.save()
    assert client.get(address).status_code == 400


def test_a_link_with_an_error_signs_nobody_out(client, provider, sign_in):
    provider.user("ana")
    sign_in("ana")
    assert client.get("/oidc/callback/?error=access_denied").status_code == 400
    assert client.get("/oidc/callback/?error=access_denied&state=made-up").status_code == 400
    assert is_signed_in(client)


def test_a_wrong_code_is_refused(client, provider):
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    assert client.get(changed(address, code="made up")).status_code == 403
    assert not is_signed_in(client)


def test_whom_the_provider_does_not_let_in_is_told(client, provider, sign_in):
    provider.user("ana", disabled=True)
    answer = sign_in("ana")
    assert answer.status_code == 403
    assert "rejected the sign-in" in answer.content.decode()
    assert not is_signed_in(client)


def test_whose_account_here_is_disabled_is_told(client, provider, sign_in):
    provider.user("ana")
    sign_in("ana")
    User.objects.update(is_active=False)
    # The open session is over at once.
    assert client.get("/").headers["Location"].startswith("/login/")
    answer = sign_in("ana")
    assert answer.status_code == 403
    assert "disabled" in answer.content.decode()
    assert client.get("/").headers["Location"].startswith("/login/")


@pytest.mark.parametrize("keep", [True, False], ids=["the old key still published", "the old key gone"])
def test_new_keys_of_the_provider_are_fetched_when_they_turn_up(client, provider, sign_in, keep):
    provider.user("ana")
    sign_in("ana")
    sign_in("ana")
    assert provider.heard().count("GET /jwks") == 1
    provider.tell("rotate", {"keep": keep})
    assert sign_in("ana").status_code == 302
    assert provider.heard().count("GET /jwks") == 1


@pytest.mark.parametrize("mode", ["away", "broken"])
def test_while_the_provider_is_down_a_page_says_so(client, provider, sign_in, mode):
    provider.user("ana")
    provider.tell("mode", mode)
    answer = client.get("/oidc/sign-in/")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "60"
    assert answer["X-Request-ID"] in answer.content.decode()
    provider.tell("mode", "up")
    assert sign_in("ana").status_code == 302


@pytest.mark.parametrize("mode", ["away", "broken"])
def test_a_provider_that_goes_down_on_the_way_is_a_page_too(client, provider, mode):
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    provider.tell("mode", mode)
    answer = client.get(address)
    assert answer.status_code == 503
    assert not is_signed_in(client)


def test_neither_code_nor_tokens_are_logged(client, provider, caplog):
    caplog.set_level("DEBUG")
    provider.user("ana")
    address = provider.visit(client.get("/oidc/sign-in/")["Location"], "ana")
    client.get(address)
    code = parse_qs(urlsplit(address).query)["code"][0]
    ours = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")
    )
    assert code not in ours
    assert client.session["oidc_id_token"] not in ours
