"""Whose a key is, and whether it works: said on the page, in the API and in the admin; and claimed for a program."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tenants.actions import create_service_account, disable_service_account, set_project_role
from tenants.models import ApiKey, Membership
from tenants.suspension import suspend_access
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, member_of, staff


@pytest.fixture
def account(lab, owner):
    return create_service_account(lab, name="Nightly Report", role="developer", by=owner)


@pytest.fixture
def waiting(lab, project):
    return ApiKeyFactory.claimable(tenant=lab, project=project, name="letters")


@pytest.fixture
def claim_page(client, developer, waiting):
    client.force_login(developer)
    return reverse("key-claim", args=["lab", waiting.pk])


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user)


def offered(response):
    return [str(account) for account in response.context["form"].fields["owner"].queryset]


def test_a_key_is_claimed_for_a_service_account_on_its_page(client, claim_page, account, developer, waiting):
    assert "Nightly Report" in client.get(claim_page).content.decode()
    response = client.post(claim_page, {"owner": str(account.pk)})
    assert response.context["secret"] in response.content.decode()
    waiting.refresh_from_db()
    assert (waiting.owner, waiting.claimed_by) == (account, developer)
    assert "Nightly Report" in client.get(reverse("key-list", args=["lab"])).content.decode()


def test_without_a_choice_it_is_ones_own(client, claim_page, account, developer, waiting):
    client.post(claim_page, {"owner": ""})
    waiting.refresh_from_db()
    assert waiting.owner == developer


def test_where_there_is_no_service_account_nothing_is_asked(client, claim_page):
    assert "Belongs to" not in client.get(claim_page).content.decode()


def test_accounts_are_offered_whose_role_lets_them_hold_keys_of_the_project(
    client, claim_page, account, lab, owner, project
):
    other = ProjectFactory(tenant=lab)
    for name, role in (
        ("robot", "admin"),
        ("reader", "viewer"),
        ("widened", "viewer"),
        ("narrowed", "developer"),
    ):
        made = create_service_account(lab, name=name, role=role, by=owner)
        here = {"widened": "developer", "narrowed": "viewer"}.get(name)
        if here:
            set_project_role(project.pk, membership(made, lab).pk, here, by=owner)
    set_project_role(other.pk, membership(account, lab).pk, "viewer", by=owner)
    elsewhere = TenantFactory()
    create_service_account(elsewhere, name="foreign", role="developer", by=member_of(elsewhere, "owner"))
    assert offered(client.get(claim_page)) == ["Nightly Report", "robot", "widened"]


def test_a_disabled_account_gets_no_key_and_the_page_says_so(
    client, claim_page, account, lab, owner, waiting
):
    disable_service_account(membership(account, lab).pk, by=owner)
    response = client.post(claim_page, {"owner": str(account.pk)})
    assert response.status_code == 400
    assert "Choose an active service account" in response.content.decode()
    waiting.refresh_from_db()
    assert waiting.state == ApiKey.State.CLAIMABLE


def test_a_suspended_key_says_so_everywhere_with_the_reason(client, lab, project, developer, owner):
    key = ApiKeyFactory(tenant=lab, project=project, owner=developer, name="letters")
    suspend_access(developer, tenant=lab, reason="not in the group any more", by=None)
    client.force_login(owner)
    page = client.get(reverse("key-list", args=["lab"]))
    assert [row.badge.text for row in page.context["keys"]] == ["Suspended"]
    assert "not in the group any more" in page.content.decode()
    told = client.get(f"/api/v1/keys/{key.pk}/").json()
    assert (told["owner"], told["suspended_reason"]) == (developer.email, "not in the group any more")
    assert told["suspended_at"]
    client.force_login(staff("operator"))
    assert "Suspended" in client.get(reverse("admin:tenants_apikey_changelist")).content.decode()
    detail = client.get(reverse("admin:tenants_apikey_change", args=[key.pk])).content.decode()
    assert "not in the group any more" in detail
