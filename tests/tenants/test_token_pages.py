"""The pages on which people make, see and revoke tokens: their own, and those that lead into their tenant."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.secrets import digest
from tenants.actions import add_member, issue_personal_access_token
from tenants.models import PersonalAccessToken
from tests.factories import TenantFactory, UserFactory, member_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def token_of(user, **fields):
    return issue_personal_access_token(user, name="t", life=DAY, **fields)


@pytest.fixture
def elsewhere(developer):
    """A second tenant of the developer's."""
    tenant = TenantFactory(slug="second", name="Second")
    add_member(tenant, developer, "owner", by=None)
    return tenant


@pytest.fixture
def robot(lab):
    """A service account of the lab."""
    user = UserFactory(name="Nightly", service_of=lab)
    add_member(lab, user, "developer", by=None)
    return user


def test_a_token_is_made_on_a_page_and_shown_once(client, lab, developer):
    client.force_login(developer)
    said = {"name": "report", "scopes": ["read", "costs"], "tenant": str(lab.pk), "life_days": "30"}
    page = client.post("/account/tokens/new/", said)
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    secret = re.search(r"qmp_[\w-]{49}", page.content.decode())[0]
    token = PersonalAccessToken.objects.get(digest=digest(secret))
    assert (token.tenant, token.scopes) == (lab, ["read", "costs"])
    listed = client.get("/account/tokens/").content.decode()
    assert "report" in listed
    assert token.prefix in listed
    assert secret not in listed


@pytest.mark.parametrize(
    "said", [{"name": ""}, {"scopes": []}, {"scopes": ["platform"]}, {"life_days": "999"}]
)
def test_the_page_says_what_is_wrong_with_it(client, developer, said):
    client.force_login(developer)
    right = {"name": "report", "scopes": ["read"], "tenant": "", "life_days": "30"}
    assert client.post("/account/tokens/new/", right | said).status_code == 422
    assert not PersonalAccessToken.objects.exists()


def test_a_foreign_tenant_is_no_choice_of_the_page(client, developer, stranger):
    client.force_login(developer)
    foreign = stranger.memberships.get().tenant
    assert foreign.name not in client.get("/account/tokens/new/").content.decode()
    said = {"name": "report", "scopes": ["read"], "tenant": str(foreign.pk), "life_days": "30"}
    page = client.post("/account/tokens/new/", said)
    assert page.status_code == 422
    assert foreign.name not in page.content.decode()


def test_one_revokes_ones_own_token_on_a_page_that_asks_first(client, developer, owner):
    token, _ = token_of(developer)
    theirs, _ = token_of(owner)
    client.force_login(developer)
    path = f"/account/tokens/{token.pk}/revoke/"
    assert "Revoke t?" in client.get(path).content.decode()
    assert client.post(path).status_code == 302
    token.refresh_from_db()
    assert token.state == "revoked"
    assert client.post(path).status_code == 409
    assert client.post(f"/account/tokens/{theirs.pk}/revoke/").status_code == 404


def test_the_tenants_page_lists_what_leads_there(client, lab, owner, developer, robot, elsewhere):
    for fields in ({"tenant": lab}, {}, {"tenant": elsewhere}):
        name = f"of-{fields['tenant'].slug if fields else 'all'}"
        issue_personal_access_token(developer, name=name, life=DAY, **fields)
    issue_personal_access_token(robot, name="of-robot", life=DAY)
    client.force_login(owner)
    page = client.get("/t/lab/tokens/").content.decode()
    assert [name for name in ("of-lab", "of-robot", "of-all", "of-second") if name in page] == [
        "of-lab",
        "of-robot",
    ]
    client.force_login(developer)
    assert client.get("/t/lab/tokens/").status_code == 403
    assert client.get("/t/lab/tokens/new/").status_code == 403


def test_the_tenants_page_costs_the_same_for_one_token_and_for_many(
    client, lab, owner, django_assert_max_num_queries
):
    client.force_login(owner)
    token_of(member_of(lab, "developer"), tenant=lab)
    client.get("/t/lab/tokens/")
    with CaptureQueriesContext(connection) as few:
        client.get("/t/lab/tokens/")
    for _ in range(5):
        token_of(member_of(lab, "developer"), tenant=lab)
    with django_assert_max_num_queries(len(few)):
        client.get("/t/lab/tokens/")


def test_an_admin_makes_and_revokes_a_service_accounts_token_on_the_tenants_pages(client, lab, owner, robot):
    client.force_login(owner)
    said = {"account": str(robot.pk), "name": "ci", "scopes": ["read"], "life_days": "7"}
    page = client.post("/t/lab/tokens/new/", said)
    assert "qmp_" in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    token = PersonalAccessToken.objects.get(user=robot)
    path = f"/t/lab/tokens/{token.pk}/revoke/"
    assert "Revoke ci?" in client.get(path, headers={"HX-Request": "true"}).content.decode()
    assert client.post(path).status_code == 302
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_another_tenants_service_account_is_no_choice(client, lab, owner):
    foreign = UserFactory(service_of=TenantFactory())
    client.force_login(owner)
    said = {"account": str(foreign.pk), "name": "ci", "scopes": ["read"], "life_days": "7"}
    assert client.post("/t/lab/tokens/new/", said).status_code == 422
    assert not PersonalAccessToken.objects.exists()


def test_operators_revoke_tokens_in_the_staff_site(client, lab, developer, operator, cost_reviewer):
    token, _ = token_of(developer, tenant=lab)
    path = f"/admin/tenants/personalaccesstoken/{token.pk}/"
    client.force_login(cost_reviewer)
    assert client.get(f"{path}change/").status_code == 403
    client.force_login(operator)
    assert token.prefix in client.get(f"{path}change/").content.decode()
    assert client.post(f"{path}revoke/", {"_form_submitted": "on"}).status_code == 302
    token.refresh_from_db()
    assert token.state == "revoked"
