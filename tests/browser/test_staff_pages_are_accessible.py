"""What operators use to look after tenants and people: lists, forms and dialogs of the admin, light and dark."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

import audit
from directory.actions.scim_tokens import issue_scim_token
from directory.models import DirectoryGroup, FederatedIdentity, GroupMapping
from tenants.actions import add_member
from tests.browser.looking import accessibility_violations, sideways_scroll
from tests.factories import ApiKeyFactory, ProviderModelFactory, UserFactory, credential_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rows(house):
    """Something in every list, and somebody to whom actions can be done."""
    person = UserFactory(name="Lina Leaver")
    add_member(house.tenant, person, "developer", by=None)
    ApiKeyFactory(tenant=house.tenant, project=house.project, owner=person, name="nightly letters")
    FederatedIdentity.objects.create(user=person, issuer="https://id.example", subject="lina")
    DirectoryGroup.objects.create(display_name="harbour-engineers")
    token, _ = issue_scim_token("Directory", life=timedelta(days=30), by=None)
    listed = ProviderModelFactory()
    credential_of(listed.provider, "a-key-of-this-provider")
    return {
        "provider": listed.provider_id,
        "listed": listed.pk,
        "person": person.pk,
        "tenant": house.tenant.pk,
        "rule": GroupMapping.objects.create(group="harbour-engineers", tenant=house.tenant, role="viewer").pk,
        "token": token.pk,
        "line": audit.record("lab.marked", actor=person, subject=house.project, note="seen").pk,
    }


LISTS = [
    "tenants/tenant", "tenants/project", "tenants/membership", "accounts/user", "accounts/staffroleassignment",
    "tenants/tenantclosing", "tenants/personalaccesstoken", "directory/groupmapping", "directory/federatedidentity",
    "directory/directorygroup", "directory/scimtoken", "audit/auditentry", "tenants/apikey", "tenants/limit",
    "deployments/provider", "deployments/providercredential", "deployments/providermodel",
]  # fmt: skip
PAGES = [
    "tenants/tenant/new/", "tenants/tenant/{tenant}/change/", "tenants/tenant/{tenant}/settings/",
    "accounts/user/{person}/change/",
    "accounts/user/{person}/erase/", "directory/groupmapping/begin/", "directory/groupmapping/{rule}/replace/",
    "directory/groupmapping/{rule}/end/", "accounts/staffroleassignment/assign/", "audit/auditentry/{line}/change/",
    "audit/auditentry/?person=nobody%40example.com",
    "deployments/provider/add/", "deployments/provider/{provider}/change/", "deployments/provider/{provider}/settings/",
    "deployments/providermodel/{listed}/change/",
]  # fmt: skip
DIALOGS = [
    ("tenants/tenant/{tenant}/change/", "Suspend"),
    ("accounts/user/{person}/change/", "Deactivate"),
    ("directory/scimtoken/", "Issue a token"),
    ("directory/scimtoken/{token}/change/", "Revoke"),
    ("deployments/provider/", "Allowed networks"),
    ("deployments/provider/{provider}/change/", "Disable"),
    ("deployments/provider/{provider}/change/", "New credential"),
    ("deployments/providermodel/{listed}/change/", "Match"),
]


LOOKS = pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])


def problems_of(page, seen, within=None):
    problems = accessibility_violations(page, within) + seen.complaints
    problems += [f"{by} pixels wider than the window"] if (by := sideways_scroll(page)) else []
    seen.complaints.clear()
    return problems


@LOOKS
def test_no_page_of_staff_hinders_anybody(browser, house, rows, theme, width):
    found = {}
    with house.visit(browser, "operator", theme=theme, width=width) as (page, seen):
        for path in ["", *(f"{name}/" for name in LISTS), *PAGES]:
            page.goto(f"{house.stack.console}/admin/{path.format(**rows)}")
            found[path] = problems_of(page, seen)
    assert {path: problems for path, problems in found.items() if problems} == {}


@LOOKS
def test_no_dialog_of_staff_hinders_anybody(browser, house, rows, theme, width):
    found = {}
    with house.visit(browser, "operator", theme=theme, width=width) as (page, seen):
        for path, button in DIALOGS:
            page.goto(f"{house.stack.console}/admin/{path.format(**rows)}")
            if (more := page.get_by_role("link", name="more_horiz")).is_visible():  # on a phone
                more.click()
            # An icon's word may come first.
            page.get_by_role("link", name=re.compile(rf"\b{button}$")).click()
            expect(page.locator("#dialog")).to_be_visible()
            found[f"{path} {button}"] = problems_of(page, seen, within="#dialog")
    assert {path: problems for path, problems in found.items() if problems} == {}
