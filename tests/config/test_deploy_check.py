"""What an installation's settings must be before others may reach it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from config.env import env_choice

ROOT = Path(__file__).parent.parent.parent
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.base",
    "CONSOLE_URL": "https://console.example.com",
    "GATEWAY_URL": "https://llm.example.com/v1",
    "BEHIND_TLS_PROXY": "on",
    "SECRET_KEY": "Wq7vT2mZ-hs0Jd9_uRkE4bYxLcN8pAfG1oViMtQ5eUwSyHzDnB3KrXjPaC6lFgOI",
    "DATABASE_URL": "postgresql://qm:pw@db.example.com:5432/qm?sslmode=verify-full",
    "CELERY_BROKER_URL": "rediss://:pw@queue.example.com:6379/0",
    "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
}
CHECK = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]


def run(arguments, **settings):
    """A process with these settings and nothing else of ours in its environment."""
    machine = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=machine | PRODUCTION | settings,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_production_like_installation_has_nothing_to_complain_of(tmp_path):
    check = run(CHECK, LOCAL_DIR=str(tmp_path))
    assert check.returncode == 0, check.stderr
    assert "no issues" in check.stdout


@pytest.fixture
def production(settings):
    """The settings of a sound installation off loopback, as far as our checks look at them."""
    sound = {
        "IS_LOOPBACK": False, "SECRET_KEY": PRODUCTION["SECRET_KEY"], "CONSOLE_URL": PRODUCTION["CONSOLE_URL"],
        "ALLOWED_HOSTS": ["console.example.com"], "STAFF_SECOND_FACTOR": "required", "LOCAL_ACCOUNTS": True,
        "OIDC_ISSUER": "", "IS_DEMO": False, "IS_BEHIND_TLS_PROXY": True, "TRUSTED_PROXIES": 1,
    }  # fmt: skip
    for name, value in sound.items():
        setattr(settings, name, value)
    return settings


def complaints():
    found = run_checks(tags=["security"], include_deployment_checks=True)
    return {message.id for message in found if message.id.startswith("qm.")}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("qm.E001", {"SECRET_KEY": "short"}),
        ("qm.E001", {"SECRET_KEY": "ab" * 40}),
        ("qm.E002", {"LOCAL_ACCOUNTS": False}),
        ("qm.E003", {"CONSOLE_URL": "http://console.example.com"}),
        ("qm.E004", {"OIDC_ISSUER": "http://id.example.com"}),
        ("qm.E005", {"ALLOWED_HOSTS": ["*"]}),
        ("qm.W001", {"IS_DEMO": True}),
        ("qm.W002", {"STAFF_SECOND_FACTOR": "optional"}),
        ("qm.W003", {"TRUSTED_PROXIES": 0}),
        ("qm.W004", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
    ],
)
def test_each_mistake_is_named(production, code, changes):
    assert complaints() == set()
    for name, value in changes.items():
        setattr(production, name, value)
    assert complaints() == {code}


def test_with_a_provider_local_accounts_may_be_off(production):
    production.LOCAL_ACCOUNTS, production.OIDC_ISSUER = False, "https://id.example.com"
    assert complaints() == set()


def test_a_console_with_an_open_door_does_not_start(tmp_path):
    started = run(["-c", "import config.wsgi"], LOCAL_DIR=str(tmp_path), SECRET_KEY="short")
    assert started.returncode != 0
    assert "qm.E001" in started.stderr


def test_cookies_off_loopback_belong_to_one_host_and_go_by_https_alone(tmp_path):
    read = (
        "import django; django.setup(); from django.conf import settings as s; "
        "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, "
        "s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS, s.SECURE_HSTS_PRELOAD)"
    )
    said = run(["-c", read], LOCAL_DIR=str(tmp_path)).stdout.strip().splitlines()[-1]
    assert said == "__Host-qm_session __Host-qm_csrf True True True 31536000 False"


def test_a_word_that_is_no_choice_stops_the_process(monkeypatch):
    monkeypatch.setenv("FACTOR", "sometimes")
    with pytest.raises(ImproperlyConfigured, match="FACTOR must be required or optional"):
        env_choice("FACTOR", "required", ("required", "optional"))
    monkeypatch.setenv("FACTOR", "Optional")
    assert env_choice("FACTOR", "required", ("required", "optional")) == "optional"
