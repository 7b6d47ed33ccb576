"""Making a token and taking it away again, as people do it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import requests
from playwright.sync_api import expect

from tenants.actions import add_member, issue_personal_access_token
from tests.browser.looking import accessibility_violations, sideways_scroll
from tests.factories import UserFactory

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def robot(house):
    """A service account of the tenant, with a token; and a token of the developer's, bound to the tenant."""
    account = UserFactory(name="Nightly report", service_of=house.tenant)
    add_member(house.tenant, account, "developer", by=None)
    issue_personal_access_token(account, name="report", life=timedelta(days=9))
    developer = house.people["developer"]
    issue_personal_access_token(developer, name="laptop", life=timedelta(days=9), tenant=house.tenant)
    return account


def test_a_token_is_made_copied_used_and_revoked(browser, house):
    console = house.stack.console
    with house.visit(browser, "developer") as (page, _):
        page.goto(f"{console}/account/tokens/")
        page.get_by_role("link", name="New token").first.click()
        page.get_by_label("Name").fill("nightly")
        page.get_by_label("Opens").select_option(label="Harbour Bank")
        page.get_by_label("Build and download cost reports").check()
        page.get_by_role("button", name="Create token").click()
        secret = page.get_by_role("status", name="Token").inner_text()
        assert re.fullmatch(r"qmp_[\w-]{49}", secret)
        assert accessibility_violations(page) == []
        page.get_by_role("link", name="I stored it").click()
        assert secret not in page.content()

        def status():
            headers = {"Authorization": f"Bearer {secret}"}
            return requests.get(f"{console}/api/v1/projects/", headers=headers, timeout=60).status_code

        assert status() == 200
        page.get_by_role("row", name=re.compile("nightly")).get_by_role("link", name="Revoke").click()
        page.get_by_role("button", name="Revoke token").click()
        expect(page.get_by_text("The token is revoked")).to_be_visible()
        assert status() == 401


def test_an_owner_revokes_a_token_of_their_tenant_in_a_dialog(browser, house, robot):
    with house.visit(browser, "owner") as (page, _):
        page.goto(house.home)
        page.get_by_role("link", name="Tokens", exact=True).click()
        row = page.get_by_role("row", name=re.compile("laptop"))
        expect(row).to_contain_text("Developer of Harbour")
        row.get_by_role("link", name="Revoke").click()
        dialog = page.get_by_role("dialog", name="Revoke laptop?")
        expect(dialog).to_contain_text("Developer of Harbour")
        dialog.get_by_role("button", name="Revoke token").click()
        expect(row).to_have_count(0)


@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])
def test_no_page_about_tokens_hinders_anybody(browser, house, robot, theme, width):
    account = ("", "?tab=ended", "new/")
    pages = [f"{house.stack.console}/account/tokens/{path}" for path in account]
    pages += [f"{house.home}tokens/{path}" for path in account]
    found = {}
    with house.visit(browser, "owner", theme=theme, width=width) as (page, _):
        for address in pages:
            page.goto(address)
            problems = accessibility_violations(page)
            problems += [f"{by} pixels wider than the window"] if (by := sideways_scroll(page)) else []
            if problems:
                found[address] = problems
    assert found == {}
