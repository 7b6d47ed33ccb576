"""One's account and errors have a head too: the way to one's tenants, and which of them are suspended."""

from __future__ import annotations

import re

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils.timezone import now

from tenants.actions import add_member
from tenants.models import Tenant
from tests.factories import TenantFactory

ACCOUNT = ["/account/sessions/", "/account/tokens/", "/account/second-factor/", "/account/password/"]


def offered(answer):
    """(address, whether it is the current one) of each tenant in the switcher."""
    menu = answer.content.decode().split('class="qm-menu l"')[1].split("</details>")[0]
    return [(path, bool(here)) for path, here in re.findall(r'<a href="(/t/[^"]+)"(\s+aria-current)?', menu)]


def suspend(tenant, reason="Unpaid invoices"):
    Tenant.objects.filter(pk=tenant.pk).update(
        status="suspended", suspended_at=now(), suspended_reason=reason
    )


@pytest.fixture
def aurora(developer):
    tenant = TenantFactory(slug="aurora", name="Aurora")
    add_member(tenant, developer, "viewer", by=None)
    return tenant


@pytest.mark.parametrize("path", ACCOUNT)
def test_ones_account_leads_to_ones_tenants_and_says_which_are_suspended(
    client, lab, aurora, developer, path
):
    client.force_login(developer)
    assert offered(client.get(path)) == [("/t/aurora/", False), ("/t/lab/", False)]
    suspend(lab)
    page = client.get(path).content.decode()
    assert "Lab is suspended." in page
    assert "Unpaid invoices" in page
    assert "Aurora is suspended." not in page


@pytest.mark.parametrize(("path", "status"), [("/t/lab/settings/", 403), ("/t/lab/nothing/", 404)])
def test_an_error_below_a_tenant_is_of_that_tenant(client, lab, aurora, developer, path, status):
    suspend(lab)
    suspend(aurora)
    client.force_login(developer)
    answer = client.get(path)
    assert answer.status_code == status
    assert ("/t/lab/", True) in offered(answer)
    assert "Lab is suspended." in answer.content.decode()
    assert "Aurora is suspended." not in answer.content.decode()


def test_a_conflict_says_that_its_tenant_is_suspended(client, lab, owner):
    suspend(lab)
    client.force_login(owner)
    answer = client.post("/t/lab/projects/new/", {"name": "Fresh", "slug": "fresh"})
    assert answer.status_code == 409
    assert 'id="tenant-status"' in answer.content.decode()
    assert ("/t/lab/", True) in offered(answer)


def test_a_broken_page_has_its_head_and_needs_no_database_for_it(client, lab, developer, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr("tenants.views.settings.ProjectList.get_context_data", broken)
    client = Client(raise_request_exception=False)
    client.force_login(developer)
    answer = client.get("/t/lab/projects/")
    assert answer.status_code == 500
    assert offered(answer) == [("/t/lab/", True)]

    def away(*args, **kwargs):
        raise DatabaseError("away")

    monkeypatch.setattr("tenants.views.header._header", away)
    monkeypatch.setattr("tenants.views.errors.tenant_of", away)
    answer = client.get("/t/lab/projects/")
    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.content.decode()


def test_a_foreign_tenant_is_not_named(client, lab, stranger):
    suspend(lab)
    client.force_login(stranger)
    answer = client.get("/t/lab/keys/")
    assert answer.status_code == 404
    assert offered(answer) == [("/t/elsewhere/", False)]
    assert "Lab" not in answer.content.decode()


def test_somebody_signed_out_sees_no_tenant(client, lab):
    suspend(lab)
    for path in ("/login/", "/nowhere/"):
        assert "qm-pop" not in client.get(path).content.decode()


def test_beyond_twenty_it_leads_to_a_search(client, lab, developer):
    for number in range(20):
        add_member(TenantFactory(slug=f"t-{number:02}"), developer, "viewer", by=None)
    client.force_login(developer)
    answer = client.get("/account/sessions/")
    assert len(offered(answer)) == 20
    assert "All tenants" in answer.content.decode()


def test_staff_find_tenants_by_searching(client, lab, operator):
    client.force_login(operator)
    assert "Lab" not in client.get("/account/sessions/").content.decode()


def test_what_is_refused_before_anybody_is_known_has_its_page_too(db, client, settings):
    settings.ALLOWED_HOSTS = ["console.example"]
    answer = client.get("/tenants/", headers={"Host": "elsewhere.example"})
    assert answer.status_code == 400
    assert "could not read this request" in answer.content.decode()
