"""Signing in, and where one lands."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.factories import TenantFactory, member_of, staff

PASSWORD = "correct horse battery staple"


def test_a_person_signs_in_with_address_and_password_and_lands_in_their_only_tenant(client, developer):
    response = client.get("/", follow=True)
    assert response.redirect_chain[-1][0] == "/login/?next=/"
    response = client.post("/login/", {"username": developer.email, "password": PASSWORD}, follow=True)
    assert response.redirect_chain[-1][0] == reverse("tenant-home", args=["lab"])


def test_an_address_is_known_however_it_is_written(client, developer):
    response = client.post("/login/", {"username": developer.email.upper(), "password": PASSWORD})
    assert response.status_code == 302
    assert response.wsgi_request.user == developer


def test_a_wrong_password_is_told_without_saying_what_was_wrong(client, developer):
    known = client.post("/login/", {"username": developer.email, "password": "wrong"})
    unknown = client.post("/login/", {"username": "nobody@example.com", "password": "wrong"})
    assert known.context["form"].non_field_errors() == unknown.context["form"].non_field_errors()
    assert not known.wsgi_request.user.is_authenticated


def test_somebody_with_two_tenants_chooses(client, lab):
    person = member_of(lab, "developer")
    other = TenantFactory(name="Other house")
    from tenants.actions import add_member

    add_member(other, person, "finance", by=None)
    client.force_login(person)
    words = client.get("/").content.decode()
    assert "Other house" in words
    assert "Finance" in words


@pytest.mark.parametrize("role", ["operator", "security-reviewer", "controller"])
def test_staff_without_a_tenant_go_to_the_administration(client, db, role):
    client.force_login(staff(role))
    assert client.get("/")["Location"] == reverse("admin:index")


def test_signing_out_ends_the_session_and_wants_a_post(client, developer):
    client.force_login(developer)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get(reverse("tenant-home", args=["lab"])).status_code == 302


def test_a_foreign_address_is_not_followed_after_signing_in(client, developer):
    response = client.post(
        "/login/", {"username": developer.email, "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert response["Location"] == "/"


def test_htmx_is_sent_to_sign_in_as_a_whole_page(client, lab):
    url = reverse("request-list", args=["lab"])
    response = client.get(url, headers={"HX-Request": "true", "HX-Current-URL": "/t/lab/requests/?tab=open"})
    assert response.status_code == 204
    assert response["HX-Redirect"] == "/login/?next=/t/lab/requests/%3Ftab%3Dopen"
    assert client.get(url)["Location"] == f"/login/?next={url}"
