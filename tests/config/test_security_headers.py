"""Every answer carries a strict content security policy, on the staff site, too."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client

from tenants.actions import issue_personal_access_token

pytestmark = pytest.mark.django_db


def policy(response):
    return dict(part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))


def test_the_portal_runs_no_inline_script_or_style(client):
    directives = policy(client.get("/login/"))
    assert directives["default-src"] == "'self'"
    assert "unsafe" not in directives["script-src"] + directives["style-src"]
    assert directives["frame-ancestors"] == "'none'"


def test_the_staff_site_evaluates_no_script_and_takes_no_inline_style(client, operator):
    client.force_login(operator)
    directives = policy(client.get("/admin/"))
    assert "unsafe" not in directives["script-src"] + directives["style-src"]


def test_a_form_without_its_token_is_refused():
    assert (
        Client(enforce_csrf_checks=True).post("/login/", {"username": "a", "password": "b"}).status_code
        == 403
    )


def test_an_answer_names_its_request(client):
    first, second = client.get("/login/"), client.get("/login/")
    assert first["X-Request-ID"]
    assert first["X-Request-ID"] != second["X-Request-ID"]


def test_the_checks_pass_here():
    call_command("check")


@pytest.mark.parametrize("path", ["/login/", "/healthz", "/no-such-page", "/api/v1/tenants/"])
def test_every_answer_limits_what_browsers_do_with_it(client, path):
    answer = client.get(path)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]
    assert "clipboard-write=(self)" in answer["Permissions-Policy"]
    assert "Strict-Transport-Security" not in answer  # loopback has no certificate


@pytest.mark.parametrize(
    "path", ["/t/lab/", "/t/lab/keys/", "/account/sessions/", "/api/v1/keys/", "/t/nowhere/"]
)
def test_no_cache_keeps_what_somebody_signed_in_sees(client, developer, path):
    client.force_login(developer)
    assert "no-store" in client.get(path)["Cache-Control"]


def test_nor_what_a_token_reads(client, developer):
    _, secret = issue_personal_access_token(developer, name="t", life=timedelta(days=1))
    answer = client.get("/api/v1/keys/", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


def test_scripts_cannot_read_the_cookies(client, developer):
    client.post("/login/", {"username": developer.email, "password": "correct horse battery staple"})
    for name in ("qm_session", "qm_csrf"):
        assert client.cookies[name]["httponly"]
        assert client.cookies[name]["samesite"] == "Lax"
