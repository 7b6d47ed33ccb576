"""The HTTP API opens to access tokens that the provider made for it, and to no other token."""

from __future__ import annotations

import base64
import hashlib
import time
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from accounts.models import User
from directory.models import FederatedIdentity
from tests.factories import member_of
from tests.oidc.running_provider import AUDIENCE, CLIENT

pytestmark = pytest.mark.django_db
TENANTS = "/api/v1/tenants/"


@pytest.fixture
def eve(lab, liar):
    user = member_of(lab, "viewer")
    FederatedIdentity.objects.create(user=user, issuer=liar.issuer, subject="eve")
    return user


def call(client, token):
    return client.get(TENANTS, headers={"Authorization": f"Bearer {token}"})


def access_claims(liar, **changes):
    return liar.claims(**{"aud": AUDIENCE, "client_id": "program"} | changes)


def test_a_good_token_speaks_for_its_person_in_their_tenants(client, liar, eve, stranger):
    answer = call(client, liar.sign(access_claims(liar), typ="at+jwt"))
    assert [tenant["slug"] for tenant in answer.json()["results"]] == ["lab"]


def test_a_token_of_the_real_provider_opens_the_api(client, provider, sign_in, lab):
    provider.user("ana")
    sign_in("ana")
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": "program", "response_type": "code", "redirect_uri": "http://127.0.0.1:9/done",
        "scope": "openid", "resource": AUDIENCE, "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    back = provider.visit(f"{provider.issuer}/auth?{urlencode(asked)}", "ana")
    tokens = requests.post(
        f"{provider.issuer}/token",
        data={
            "grant_type": "authorization_code", "code": parse_qs(urlsplit(back).query)["code"][0],
            "redirect_uri": asked["redirect_uri"], "client_id": "program", "code_verifier": verifier,
        },
        timeout=60,
    ).json()  # fmt: skip
    client.logout()
    assert call(client, tokens["access_token"]).status_code == 200
    assert call(client, tokens["id_token"]).status_code == 401
    User.objects.update(is_active=False)
    assert call(client, tokens["access_token"]).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": CLIENT}, id="made for the console's pages"),
        pytest.param({"aud": "https://elsewhere.example"}, id="made for another API"),
        pytest.param({"iss": "https://elsewhere.example"}, id="of another issuer"),
        pytest.param({"exp": int(time.time()) - 3600}, id="expired"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"sub": "ada"}, id="of somebody unknown"),
        pytest.param({"sub": None}, id="of nobody"),
        pytest.param({"exp": "9999999999"}, id="an end in words"),
        pytest.param({"exp": True}, id="an end that is true"),
        pytest.param({"exp": 10**30}, id="an end that no calendar has"),
        pytest.param({"exp": float("inf")}, id="an end at infinity"),
        pytest.param({"iat": "0"}, id="made in words"),
        pytest.param({"nbf": [0]}, id="valid since a list"),
        pytest.param({"nbf": None, "iat": float("nan")}, id="made at no number"),
        pytest.param({"iss": ["x"]}, id="of issuers"),
        pytest.param({"sub": ["eve"]}, id="of subjects"),
        pytest.param({"sub": "eve\ud800"}, id="of half a character"),
        pytest.param({"aud": {"x": AUDIENCE}}, id="for an object"),
        pytest.param({"aud": [[AUDIENCE]]}, id="for a list in a list"),
        pytest.param({"aud": AUDIENCE + "/v2"}, id="for a part of us"),
        pytest.param({"azp": ["program"]}, id="of several parties"),
    ],
)
def test_every_other_token_gets_the_same_401(client, liar, eve, changes):
    answer = call(client, liar.sign(access_claims(liar, **changes), typ="at+jwt"))
    assert_refused_like_any(client, answer)


def assert_refused_like_any(client, answer):
    unknown = client.get(TENANTS, headers={"Authorization": "Bearer qmp_unknown"})
    assert answer.status_code == unknown.status_code == 401
    ours, theirs = answer.json(), unknown.json()
    ours.pop("request_id"), theirs.pop("request_id")
    assert ours == theirs
    assert answer["WWW-Authenticate"] == unknown["WWW-Authenticate"]


def test_forged_tokens_get_it_too(client, liar, eve):
    claims = access_claims(liar)
    for token in (
        liar.sign(claims),  # typ JWT
        liar.sign(claims, typ="logout+jwt"),
        liar.sign(claims, typ="at+jwt", key=liar.other_key),
        liar.sign_by_hand(claims, alg="none"),
        "a.b.c",
        "..",
    ):
        assert_refused_like_any(client, call(client, token))


def test_an_installation_may_accept_other_types(client, liar, eve, settings):
    settings.OIDC_API_TOKEN_TYPES = ["at+jwt", "JWT"]
    assert call(client, liar.sign(access_claims(liar))).status_code == 200


@pytest.mark.parametrize(("scope", "status"), [("openid", 403), ("openid keys", 404), ("openid read", 403)])
def test_a_token_may_do_only_what_its_scopes_name(client, liar, eve, scope, status):
    token = liar.sign(access_claims(liar, scope=scope), typ="at+jwt")
    answer = client.post(
        "/api/v1/keys/01900000-0000-7000-8000-000000000000/revoke/",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == status


def test_an_id_token_never_opens_the_api_however_it_is_configured(client, liar, eve, settings):
    settings.OIDC_API_TOKEN_TYPES, settings.OIDC_API_AUDIENCE = ["JWT"], CLIENT
    assert_refused_like_any(client, call(client, liar.sign(liar.claims())))


@pytest.mark.parametrize("issuer_too", [True, False])
def test_no_token_opens_anything_where_that_is_not_configured(client, liar, eve, settings, issuer_too):
    settings.OIDC_API_AUDIENCE = ""
    if issuer_too:
        settings.OIDC_ISSUER = ""
    assert_refused_like_any(client, call(client, liar.sign(access_claims(liar), typ="at+jwt")))


@pytest.mark.parametrize("field", ["is_active", "service_of", "erased_at", "refused_at"])
def test_whoever_may_not_sign_in_has_no_api_either(client, liar, eve, lab, field):
    from django.utils.timezone import now

    if field == "refused_at":
        FederatedIdentity.objects.update(refused_at=now())
    elif field == "service_of":
        program = User.objects.create_user("nightly@lab.service.invalid", service_of=lab)
        FederatedIdentity.objects.update(user=program)
    else:
        value = {"is_active": False, "erased_at": now()}[field]
        User.objects.filter(pk=eve.pk).update(**{field: value})
    assert_refused_like_any(client, call(client, liar.sign(access_claims(liar), typ="at+jwt")))


def test_while_the_keys_cannot_be_had_the_answer_is_to_try_again(client, liar, eve):
    liar.answers["/keys"] = (500, "text/html", b"oops")
    answer = call(client, liar.sign(access_claims(liar), typ="at+jwt"))
    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"


def test_personal_tokens_do_not_ask_the_provider(client, liar, lab):
    from datetime import timedelta

    from tenants.actions.tokens import issue_personal_access_token

    _, secret = issue_personal_access_token(member_of(lab, "viewer"), name="t", life=timedelta(days=1))
    assert call(client, secret).status_code == 200
    assert liar.heard == []
