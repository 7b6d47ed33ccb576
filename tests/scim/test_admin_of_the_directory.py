"""Operators' pages: tokens shown once, people deactivated with open eyes."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from accounts.models import User
from audit.models import AuditEntry
from directory.models import ScimToken
from tenants.actions import add_member, create_service_account, issue_personal_access_token
from tenants.models import ApiKey
from tests.factories import ApiKeyFactory, ProjectFactory, staff
from tests.scim.conftest import Directory

SENT = {"_form_submitted": "1"}


@pytest.fixture
def at_work(client, operator):
    client.force_login(operator)
    return client


def test_an_operator_issues_a_token_that_is_shown_once_and_waits_for_a_second_person(at_work):
    asked = at_work.get("/admin/directory/scimtoken/issue/", headers={"HX-Request": "true"})
    assert "shown once, here" in asked.content.decode()
    shown = at_work.post(
        "/admin/directory/scimtoken/issue/", SENT | {"name": "Okta", "days": "90"}
    ).content.decode()
    secret = re.search(r"qms_[\w-]+", shown)[0]
    assert "/scim/v2<" in shown
    assert "It needs a second person" in shown
    token = ScimToken.objects.get()
    assert token.name == "Okta"
    address = f"/admin/directory/scimtoken/{token.pk}"
    for path in ("/admin/directory/scimtoken/", f"{address}/change/"):
        page = at_work.get(path).content.decode()
        assert "Waits for a second person" in page
        assert token.prefix in page
        assert secret not in page
        assert token.digest not in page
        assert f"{address}/confirm/" not in page, "not to who made it"
    assert "directory token needs" not in at_work.get("/admin/").content.decode()
    assert at_work.post(f"{address}/confirm/", SENT).status_code == 403

    at_work.force_login(staff("operator"))
    assert "1 directory token needs confirmation" in at_work.get("/admin/").content.decode()
    page = at_work.get(f"{address}/change/").content.decode()
    assert f"{address}/confirm/" in page
    assert f"{address}/renew/" not in page, "first it must work"
    assert Directory(secret).get("Users").status_code == 401
    at_work.post(f"{address}/confirm/", SENT)
    assert Directory(secret).get("Users").status_code == 200
    assert f"{address}/confirm/" not in at_work.get(f"{address}/change/").content.decode()


def test_an_operator_renews_and_revokes_a_token(at_work, token, directory):
    address = f"/admin/directory/scimtoken/{token.pk}"
    shown = at_work.post(f"{address}/renew/", SENT).content.decode()
    new = re.search(r"data-unsaved-secret>(qms_[\w-]+)", shown)[1]
    at_work.force_login(staff("operator"))
    at_work.post(f"/admin/directory/scimtoken/{ScimToken.objects.get(replaces=token).pk}/confirm/", SENT)
    assert directory.get("Users").status_code == Directory(new).get("Users").status_code == 200
    at_work.post(f"{address}/revoke/", SENT)
    assert directory.get("Users").status_code == 401
    assert Directory(new).get("Users").status_code == 200
    page = at_work.get(f"{address}/change/").content.decode()
    assert f"{address}/renew/" not in page, "nothing is left to do to a revoked token"


def test_deactivating_says_first_what_it_ends_and_whom_it_leaves_alone(at_work, directory, lab):
    ada = directory.person(displayName="Ada")
    add_member(lab, ada, "owner", by=None)
    key = ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab), owner=ada)
    issue_personal_access_token(ada, name="t", life=timedelta(days=9))
    create_service_account(lab, name="nightly", role="developer", by=ada)
    dialog = at_work.get(f"/admin/accounts/user/{ada.pk}/deactivate/", headers={"HX-Request": "true"})
    text = " ".join(re.sub(r"<[^>]+>", " ", dialog.content.decode()).split())
    assert "Sessions 0 Keys 1 Tokens 1" in text
    assert "Lab is left without an active owner." in text
    assert "nightly (Lab)" in text
    assert "comes from a directory" in text

    at_work.post(f"/admin/accounts/user/{ada.pk}/deactivate/", SENT | {"reason": "left us"})
    ada.refresh_from_db()
    assert not ada.is_active
    assert ApiKey.objects.across_tenants().get(pk=key.pk).suspended_reason == "left us"
    line = AuditEntry.objects.across_tenants().get(verb="person.deactivated")
    assert line.actor.email in line.actor_label
    assert line.reason == "left us"
    assert line.details["service_accounts"] == ["nightly"]

    page = at_work.get(f"/admin/accounts/user/{ada.pk}/change/").content.decode()
    assert f"/{ada.pk}/reactivate/" in page
    assert f"/{ada.pk}/deactivate/" not in page
    at_work.post(f"/admin/accounts/user/{ada.pk}/reactivate/", SENT | {"reason": "a mistake"})
    assert ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()


def test_nobody_is_offered_to_deactivate_themselves_or_a_superuser(at_work, operator):
    admin = User.objects.create_superuser("root@example.com", "correct horse battery staple")
    for person in (operator, admin):
        page = at_work.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()
        assert f"/{person.pk}/deactivate/" not in page
        at_work.post(f"/admin/accounts/user/{person.pk}/deactivate/", SENT | {"reason": "x"})
        person.refresh_from_db()
        assert person.is_active


def test_groups_of_the_directory_are_listed_with_their_size(at_work, directory):
    group = directory.group("Engineers", directory.person(displayName="Ada"))
    assert "Engineers" in at_work.get("/admin/directory/directorygroup/").content.decode()
    assert "Ada" in at_work.get(f"/admin/directory/directorygroup/{group}/change/").content.decode()
