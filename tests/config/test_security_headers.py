"""Every answer carries a strict content security policy; only the admin's is relaxed."""

import pytest
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.django_db


def policy(response):
    return dict(part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))


def test_the_portal_runs_no_inline_script_or_style(client):
    directives = policy(client.get("/login/"))
    assert directives["default-src"] == "'self'"
    assert "unsafe" not in directives["script-src"] + directives["style-src"]
    assert directives["frame-ancestors"] == "'none'"


def test_only_the_admin_may_evaluate_scripts(client):
    assert "'unsafe-eval'" in policy(client.get("/admin/login/"))["script-src"]


def test_a_form_without_its_token_is_refused():
    assert (
        Client(enforce_csrf_checks=True).post("/login/", {"username": "a", "password": "b"}).status_code
        == 403
    )


def test_an_answer_names_its_request(client):
    first, second = client.get("/login/"), client.get("/login/")
    assert first["X-Request-ID"]
    assert first["X-Request-ID"] != second["X-Request-ID"]


def test_an_installation_off_loopback_passes_djangos_deployment_check():
    """Run in a process of its own, because settings are read once."""
    import os
    import subprocess
    import sys

    environment = os.environ | {
        "CONSOLE_URL": "https://console.example",
        "SECRET_KEY": "k" * 20 + "0123456789abcdefghijklmnopqrstuvwxyz!?",
        "DJANGO_SETTINGS_MODULE": "config.settings.base",
    }
    check = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING", "--tag", "security"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stderr


def test_the_checks_pass_here():
    call_command("check")
