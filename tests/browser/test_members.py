"""Members as people meet them: inviting, the link, a confirmation step at a role, and leaving with what one owns."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tenants.actions import create_service_account, invite
from tenants.models import Invitation, Membership
from tests.browser.looking import accessibility_violations, sideways_scroll
from tests.factories import ApiKeyFactory, UserFactory, member_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def people(house):
    """A colleague with a key, a service account, and an open invitation."""
    colleague = member_of(house.tenant, "developer", name="Cara Colleague")
    ApiKeyFactory(tenant=house.tenant, project=house.project, owner=colleague, name="nightly letters")
    robot = create_service_account(house.tenant, name="robot", role="developer", by=house.people["owner"])
    invitation, secret = invite(house.tenant, "nia@example.org", "viewer", by=house.people["owner"])
    pk = {user: Membership.objects.in_tenant(house.tenant).get(user=user).pk for user in (colleague, robot)}
    return {"colleague": pk[colleague], "robot": pk[robot], "invitation": invitation.pk, "secret": secret}


@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])
def test_no_page_about_members_hinders_anybody(browser, house, people, theme, width):
    paths = [
        "members/", "members/?tab=invitations", "members/?tab=service-accounts", "members/?q=nobody+of+this+name",
        "members/invite/", "service-accounts/new/", f"members/{people['colleague']}/",
        f"members/{people['colleague']}/remove/", f"members/{people['robot']}/",
        f"members/{people['robot']}/disable/", f"invitations/{people['invitation']}/withdraw/",
    ]  # fmt: skip
    found = {}
    with house.visit(browser, "owner", theme=theme, width=width) as (page, seen):
        for path in [house.home + path for path in paths] + [f"{house.stack.console}/tenants/"]:
            page.goto(path)
            problems = accessibility_violations(page)
            problems += [f"{by} pixels wider than the window"] if (by := sideways_scroll(page)) else []
            problems += seen.complaints
            seen.complaints.clear()
            if problems:
                found[path] = problems
    assert found == {}


def test_somebody_is_invited_and_finds_in_without_javascript(browser, house, people):
    with house.visit(browser, "owner", script=False) as (page, _):
        page.goto(f"{house.home}members/")
        page.get_by_role("link", name="Invite").click()
        page.get_by_label("E-mail address").fill("lea@example.org")
        page.get_by_role("radio", name=re.compile("Finance")).check(force=True)
        page.get_by_role("button", name="Send invitation").click()
        expect(page.get_by_role("row", name=re.compile("lea@example.org"))).to_contain_text("Finance")
    with house.visit(browser, "developer", script=False) as (page, _):
        page.context.clear_cookies()
        page.goto(f"{house.stack.console}/invitations/{people['secret']}/")
        page.get_by_label("Your name").fill("Nia Newcomer")
        page.get_by_label("Password", exact=True).fill("unguessable-otter-42")
        page.get_by_label("Password again").fill("unguessable-otter-42")
        page.get_by_role("button", name="Create the account and accept").click()
        page.wait_for_url(house.home)


def test_a_member_is_searched_and_loses_nothing_unasked(browser, house, people):
    with house.visit(browser, "owner") as (page, seen):
        page.goto(f"{house.home}members/")
        page.get_by_label("Search members").fill("cara")
        expect(page.get_by_role("row", name=re.compile("Owner of Harbour"))).to_have_count(0)
        page.get_by_role("link", name="Cara Colleague").click()
        page.get_by_role("link", name="Remove").click()
        expect(page.get_by_text("nightly letters")).to_be_visible()
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("Choose a new owner for these")).to_be_visible()
        # The browser itself reports the 400.
        seen.complaints.clear()
        page.get_by_label("Transfer to").check()
        page.get_by_label(re.compile("Keys: address")).fill(house.people["owner"].email)
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_role("heading", name="Members")).to_be_visible()


def test_a_withdrawal_asks_in_a_dialog(browser, house, people):
    invitation, __ = invite(house.tenant, UserFactory.build().email, "viewer", by=house.people["owner"])
    with house.visit(browser, "owner") as (page, _):
        page.goto(f"{house.home}members/?tab=invitations")
        page.get_by_role("row", name=re.compile(invitation.email)).get_by_role(
            "link", name="Withdraw"
        ).click()
        page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
        expect(page.get_by_role("row", name=re.compile(invitation.email))).to_have_count(0)
    assert Invitation.objects.in_tenant(house.tenant).get(pk=invitation.pk).withdrawn_at is not None
