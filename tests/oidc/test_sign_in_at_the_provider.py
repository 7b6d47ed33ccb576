"""Signing in at a real OpenID provider."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tenants.models import AuditEntry, FederatedIdentity, Session, User

pytestmark = pytest.mark.django_db


def test_a_person_signs_in_at_the_provider_and_has_an_account(client, provider, sign_in):
    provider.user("ana", groups=["writers"], name="Ana Adler", amr=["pwd", "otp"])
    before = client.session.session_key
    answer = sign_in("ana", next_url="/account/")
    assert (answer.status_code, answer["Location"]) == (302, "/account/")

    user = User.objects.get(email="ana@example.com")
    identity = FederatedIdentity.objects.get(user=user)
    assert (identity.issuer, identity.subject, identity.groups) == (provider.issuer, "ana", ["writers"])
    assert user.name == "Ana Adler"
    assert not user.has_usable_password()
    assert AuditEntry.objects.across_tenants().filter(verb="identity.created").count() == 1

    session = Session.objects.get(user=user)
    assert session.session_key != before
    assert (session.issuer, session.subject) == (provider.issuer, "ana")
    assert session.provider_session
    assert session.has_second_factor
    assert b"refresh" not in bytes(identity.refresh_token)


def test_the_browser_sets_out_with_state_nonce_and_pkce(client, provider):
    start = client.get("/oidc/sign-in/")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(start["Location"]).query).items()}
    assert start["Location"].startswith(f"{provider.issuer}/auth?")
    assert asked["code_challenge_method"] == "S256"
    assert {"state", "nonce", "code_challenge", "redirect_uri"} <= asked.keys()
    assert "no-store" in start["Cache-Control"]
