"""Trying too often: what is limited, what people read, and what happens while the counters are away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from accounts.actions import create_administrator
from config.env import env_rates
from config.settings import base
from core import rate_limits
from core.errors import TooManyRequests
from core.ids import uuid7
from core.rate_limits import limit_rate
from core.secrets import PERSONAL_TOKEN, new_secret
from launcher.ports import free_port
from tenants.actions import issue_personal_access_token
from tenants.models import PersonalAccessToken
from tests.factories import ApiKeyFactory

PASSWORD = "correct horse battery staple"


@pytest.fixture
def rates(settings):
    """Set single limits; the others stay off."""

    def limited(**rates):
        settings.RATE_LIMITS = settings.RATE_LIMITS | rates

    return limited


@pytest.fixture
def place():
    """An address that no other test comes from."""
    return f"2001:db8:{uuid7().hex[-4:]}:{uuid7().hex[-4:]}::7"


@pytest.fixture
def somebody():
    """A key that no other test counts under."""
    return uuid7().hex


def tries(name, key, times):
    """How many of `times` tries were let through."""
    passed = 0
    for _ in range(times):
        try:
            limit_rate(name, key)
        except TooManyRequests:
            continue
        passed += 1
    return passed


def test_every_limit_has_a_default():
    assert {name for name, rate in base.RATE_LIMITS.items() if rate} == {
        "sign_in", "provider_sign_in", "invitation_send", "invitation_open", "key_claim", "token_failed", "token_use",
        "scim", "back_channel_logout",
    }  # fmt: skip


def test_a_limit_lets_through_what_it_says_and_counts_everybody_apart(rates, somebody):
    rates(sign_in="3/hour")
    assert tries("sign_in", somebody, 5) == 3
    assert tries("sign_in", f"{somebody} else", 5) == 3


def test_a_refused_try_says_when_to_come_back(rates, somebody):
    rates(sign_in="1/minute")
    limit_rate("sign_in", somebody)
    with pytest.raises(TooManyRequests) as refused:
        limit_rate("sign_in", somebody)
    assert 0 < refused.value.retry_after_seconds <= 60


def test_processes_share_the_count(rates, somebody, settings):
    """Another process is another limiter on the same server."""
    rates(sign_in="3/hour")
    assert settings.RATE_LIMIT_URL.startswith(("redis", "valkey"))
    tries("sign_in", somebody, 2)
    rate_limits._limiter.cache_clear()
    assert tries("sign_in", somebody, 2) == 1


def test_without_the_server_each_process_counts_by_itself_and_says_so(rates, somebody, settings, caplog):
    rates(sign_in="2/hour")
    settings.RATE_LIMIT_URL = f"redis://127.0.0.1:{free_port()}/0"
    try:
        assert tries("sign_in", somebody, 4) == 2
        assert sum("rate_limit_server_away" in record.getMessage() for record in caplog.records) == 1
    finally:
        rate_limits._server_away_until = 0.0


def test_a_limit_that_is_off_stops_nobody(somebody):
    assert tries("sign_in", somebody, 100) == 100


def test_an_unknown_limit_is_a_mistake_of_ours(somebody):
    with pytest.raises(KeyError):
        limit_rate("no_such_limit", somebody)


def test_signing_in_too_often_is_a_429_page(rates, place, developer):
    rates(sign_in="3/minute")
    browser = Client(REMOTE_ADDR=place)
    answers = [
        browser.post("/login/", {"username": f"person-{n}@example.com", "password": "wrong"})
        for n in range(4)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1]["Retry-After"]) > 0
    assert "Too many requests" in answers[-1].content.decode()
    assert browser.post("/login/", {"username": developer.email, "password": PASSWORD}).status_code == 429
    assert browser.get("/login/").status_code == 200


def test_codes_and_links_count_as_signing_in(rates, place, db):
    rates(sign_in="1/hour")
    browser = Client(REMOTE_ADDR=place)
    browser.post("/login/", {"username": "a@example.com", "password": "wrong"})
    _, token = create_administrator("chief@example.com", reason="test")
    assert browser.post(f"/login/once/{token}/").status_code == 429


def test_guessing_the_password_of_a_session_that_was_left_open_is_a_429(rates, client, developer):
    rates(sign_in="2/hour")
    client.force_login(developer)
    guess = {"old_password": "wrong", "new_password1": PASSWORD, "new_password2": PASSWORD}
    places = [f"2001:db8::{uuid7().hex[-4:]}:{n}" for n in range(3)]
    answers = [client.post("/account/password/", guess, REMOTE_ADDR=place) for place in places]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_claiming_too_often_is_refused_on_page_and_api_together(rates, client, lab, project, developer):
    rates(key_claim="1/hour")
    client.force_login(developer)
    keys = [ApiKeyFactory.claimable(tenant=lab, project=project, created_for=developer) for _ in range(3)]
    assert client.post(f"/t/lab/keys/{keys[0].pk}/claim/").status_code == 200
    assert client.post(f"/t/lab/keys/{keys[1].pk}/claim/").status_code == 429
    refused = client.post(f"/api/v1/keys/{keys[2].pk}/claim/")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused["Content-Type"] == "application/problem+json"
    keys[2].refresh_from_db()
    assert keys[2].state == "claimable"


def test_a_token_has_its_rate(rates, developer):
    rates(token_use="2/hour")
    bearer = {}
    for name in ("one", "two"):
        _, secret = issue_personal_access_token(developer, name=name, life=timedelta(days=1))
        bearer[name] = {"Authorization": f"Bearer {secret}"}
    codes = [Client().get("/api/v1/tenants/", headers=bearer["one"]).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert Client().get("/api/v1/tenants/", headers=bearer["two"]).status_code == 200


def test_guessing_tokens_is_refused_and_holds_up_no_valid_one(rates, place, developer):
    rates(token_failed="2/hour")
    guess = {"Authorization": f"Bearer {new_secret(PERSONAL_TOKEN)}"}
    answers = [Client(REMOTE_ADDR=place).get("/api/v1/tenants/", headers=guess) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[-1]["Retry-After"]
    _, secret = issue_personal_access_token(developer, name="t", life=timedelta(days=1))
    good = Client(REMOTE_ADDR=place).get("/api/v1/tenants/", headers={"Authorization": f"Bearer {secret}"})
    assert good.status_code == 200
    assert PersonalAccessToken.objects.get().last_used_at is not None


def test_rates_are_set_by_name(monkeypatch):
    defaults = {"sign_in": "30/minute", "key_claim": "30/minute", "scim": "5/second"}
    monkeypatch.setenv("RATES", "sign_in=10/hour, key_claim=off")
    assert env_rates("RATES", defaults) == {"sign_in": "10/hour", "key_claim": None, "scim": "5/second"}


@pytest.mark.parametrize(
    "text", ["nonsense=1/minute", "sign_in=many", "sign_in", "sign_in=0/minute", "sign_in=1/eon"]
)
def test_a_malformed_rate_stops_the_process_by_name(monkeypatch, text):
    monkeypatch.setenv("RATES", text)
    with pytest.raises(ImproperlyConfigured, match="RATES"):
        env_rates("RATES", {"sign_in": "30/minute"})
