"""Tokens and answers that are not what they should be open nothing, and never break the page."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest

from directory.models import FederatedIdentity

pytestmark = pytest.mark.django_db
HOUR = 3600


def assert_not_signed_in(client, answer, status):
    assert answer.status_code == status, answer.content.decode()
    assert "_auth_user_id" not in client.session
    assert answer["X-Request-ID"] in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert not FederatedIdentity.objects.exists()


def test_a_good_token_signs_in(client, liar, come_back):
    assert come_back()["Location"] == "/"
    assert client.session["qm_subject"] == "eve"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": "another-client"}, id="wrong audience"),
        pytest.param({"aud": ["quartermaster", "another-client"]}, id="several audiences, no azp"),
        pytest.param({"aud": ["quartermaster", "x"], "azp": "x"}, id="another authorized party"),
        pytest.param({"azp": "x"}, id="another authorized party alone"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"iss": "https://elsewhere.example"}, id="wrong issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"exp": int(time.time()) - HOUR}, id="expired"),
        pytest.param({"exp": None}, id="never expires"),
        pytest.param({"iat": int(time.time()) + HOUR}, id="made in the future"),
        pytest.param({"iat": None}, id="made at no time"),
        pytest.param({"nbf": int(time.time()) + HOUR}, id="not valid yet"),
        pytest.param({"nonce": "of another sign-in"}, id="wrong nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"sub": None}, id="nobody"),
        pytest.param({"sub": ""}, id="an empty subject"),
        pytest.param({"sub": "e\0ve"}, id="a subject no database stores"),
        pytest.param({"sub": "e" * 256}, id="a subject too long"),
        pytest.param({"sub": "e\ud800"}, id="half a character for a subject"),
        pytest.param({"sub": 5}, id="a number for a subject"),
        pytest.param({"sub": "e\u202eve"}, id="a subject that reads as another"),
        pytest.param({"iss": ["x"]}, id="issuers"),
        pytest.param({"aud": [["quartermaster"]]}, id="a list of lists for an audience"),
        pytest.param({"azp": ["quartermaster"]}, id="a list for an authorized party"),
        pytest.param({"exp": float("inf")}, id="ends at infinity"),
        pytest.param({"exp": "9999999999"}, id="ends in words"),
        pytest.param({"iat": True}, id="made at true"),
        pytest.param({"nbf": "0"}, id="valid since words"),
        pytest.param({"nonce": ["n"]}, id="a list for a nonce"),
        pytest.param({"nonce": "\ud800"}, id="half a character for a nonce"),
        pytest.param({"sid": ["s"]}, id="a list for a session"),
        pytest.param({"at_hash": "bm90IHRoaXMgb25l"}, id="another access token's hash"),
        pytest.param({"at_hash": 5}, id="a number for a hash"),
    ],
)
def test_a_token_with_wrong_claims_is_refused(client, liar, come_back, changes):
    assert_not_signed_in(client, come_back(**changes), 502)


def test_clocks_may_differ_by_a_little(client, liar, come_back):
    assert come_back(iat=int(time.time()) + 20, exp=int(time.time()) - 20).status_code == 302


def test_the_hash_of_the_access_token_is_compared_where_there_is_one(client, liar, come_back):
    half = hashlib.sha256(b"opaque").digest()[:16]
    assert come_back(at_hash=base64.urlsafe_b64encode(half).rstrip(b"=").decode()).status_code == 302


def forgeries(liar):
    return {
        "unsigned": lambda claims: liar.sign_by_hand(claims, alg="none"),
        "unsigned in capitals": lambda claims: liar.sign_by_hand(claims, alg="NoNe"),
        "public key as a shared secret": lambda claims: liar.sign_by_hand(
            claims, alg="HS256", signature=lambda text: hmac.digest(liar.public_pem(), text, "sha256")
        ),
        "client secret as a shared secret": lambda claims: liar.sign_by_hand(
            claims, alg="HS256", signature=lambda text: hmac.digest(b"a secret & more of it", text, "sha256")
        ),
        "another key under the same name": lambda claims: liar.sign(claims, key=liar.other_key),
        "an unknown key": lambda claims: liar.sign(claims, key=liar.other_key, kid="two"),
        "a logout token": lambda claims: liar.sign(claims, typ="logout+jwt"),
        "an access token": lambda claims: liar.sign(claims, typ="at+jwt"),
        "no token": lambda claims: "not a token",
        "numbers for a token": lambda claims: 17,
    }


@pytest.mark.parametrize("kind", forgeries(None))
def test_a_forged_token_is_refused(client, liar, come_back, kind):
    assert_not_signed_in(client, come_back(forgeries(liar)[kind]), 502)


def test_a_key_meant_for_encryption_verifies_nothing(client, liar, come_back):
    liar.answers["/keys"]["keys"][0]["use"] = "enc"
    assert_not_signed_in(client, come_back(), 502)


def test_unknown_keys_make_the_provider_be_asked_a_few_times_only(client, liar, come_back):
    for _ in range(9):
        come_back(lambda claims: liar.sign(claims, key=liar.other_key, kid="made up"))
    assert [path for path, _ in liar.heard].count("/keys") == 1 + 6


@pytest.mark.parametrize(
    ("path", "answer", "status"),
    [
        ("/me", {"sub": "somebody-else", "email": "eve@example.com", "email_verified": True}, 502),
        ("/me", {"email": "eve@example.com", "email_verified": True}, 502),
        ("/me", (401, "application/json", {"error": "invalid_token"}), 502),
        ("/me", (200, "text/html", b"<h1>Welcome</h1>"), 502),
        ("/me", (200, "application/jwt", b"not.a.token"), 502),
        ("/me", (200, "application/json", b"[" * 100_000), 502),
        ("/me", (200, "application/json", b'{"a": "' + b"a" * 1_100_000 + b'"}'), 502),
        ("/me", (302, "text/html", b""), 502),
        ("/me", (500, "text/html", b"oops"), 503),
        ("/keys", (500, "text/html", b"oops"), 503),
        ("/keys", (200, "application/json", {"keys": "none"}), 502),
        ("/keys", (200, "application/json", {"keys": [None, {"kty": "RSA", "kid": "one"}]}), 502),
        ("/keys", (404, "text/html", b""), 502),
    ],
)  # fmt: skip
def test_a_provider_that_breaks_the_protocol_is_a_page_and_no_500(
    client, liar, come_back, path, answer, status
):
    liar.answers[path] = answer
    assert_not_signed_in(client, come_back(), status)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((400, "application/json", {"error": "invalid_grant"}), 403),
        ((401, "application/json", {"error": "invalid_client"}), 502),
        ((400, "text/html", b"<h1>no</h1>"), 502),
        ((200, "application/json", {"access_token": "a"}), 502),
        ((200, "application/json", {"id_token": "a.b.c"}), 502),
        ((200, "application/json", b"\xff\xfe"), 502),
        ((503, "text/html", b"later"), 503),
        ((429, "text/html", b"later"), 503),
    ],
)
def test_a_token_endpoint_that_refuses_is_a_page_and_no_500(client, liar, answer, status):
    state = client.get("/oidc/sign-in/")["Location"].split("state=")[1].split("&")[0]
    liar.answers["/token"] = answer
    assert_not_signed_in(client, client.get("/oidc/callback/", {"code": "c", "state": state}), status)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://elsewhere.example"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://elsewhere.example/auth"},
    ],
)
def test_a_description_that_does_not_fit_is_refused(client, liar, change):
    liar.answers["/.well-known/openid-configuration"] |= change
    assert_not_signed_in(client, client.get("/oidc/sign-in/"), 502)


def test_signed_userinfo_is_verified(client, liar, come_back):
    person = {"sub": "eve", "email": "eve@example.com", "email_verified": True}
    signed = liar.sign(liar.claims(**person))
    liar.answers["/me"] = (200, "application/jwt", signed.encode())
    assert come_back().status_code == 302


def test_a_provider_that_takes_the_secret_in_the_form_gets_it_there(client, liar, come_back):
    liar.answers["/.well-known/openid-configuration"]["token_endpoint_auth_methods_supported"] = [
        "client_secret_post"
    ]
    assert come_back().status_code == 302
    sent = next(form for path, form in liar.heard if path == "/token")
    assert sent["client_secret"] == ["a secret & more of it"]
    assert len(sent["code_verifier"][0]) >= 43


def test_too_many_groups_to_list_change_nothing(client, liar, come_back):
    liar.answers["/me"]["groups"] = ["writers"]
    come_back()
    del liar.answers["/me"]["groups"]
    liar.answers["/me"]["_claim_names"] = {"groups": "src1"}
    come_back()
    assert FederatedIdentity.objects.get().groups == ["writers"]
    del liar.answers["/me"]["_claim_names"]
    come_back()
    assert FederatedIdentity.objects.get().groups == []
