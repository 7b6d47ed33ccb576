"""Emergency access as its opener and the tenant's owner meet it: two looks before, a banner within, a list after."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from accounts.models import Session
from accounts.session_store import SessionStore
from tests.browser.looking import accessibility_violations, sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
REASON = "Their only owner is away and a key leaked, says ticket 2026-17."


def strengthen(person):
    """The person's sessions, as if they had been signed in to with a second factor."""
    for row in Session.objects.filter(user=person):
        session = SessionStore(row.session_key)
        session["qm_has_second_factor"] = True
        session.save()


def problems_of(page, seen):
    found = accessibility_violations(page) + seen.complaints
    seen.complaints.clear()
    return found + ([f"{by} pixels wider than the window"] if (by := sideways_scroll(page)) else [])


@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])
def test_it_is_opened_shown_on_every_page_and_ended(browser, house, theme, width):
    asking = f"{house.stack.console}/admin/tenants/tenant/{house.tenant.pk}/emergency-access/"
    with house.visit(browser, "operator", theme=theme, width=width) as (page, seen):
        page.goto(f"{house.home}emergency-access/")
        assert problems_of(page, seen) == []
        strengthen(house.people["operator"])
        page.goto(asking)
        page.get_by_label("Reason").fill(REASON)
        page.get_by_role("radio", name="1 hour").check()
        page.get_by_role("button", name="Next").click()
        expect(
            page.get_by_role("heading", name="Open emergency access to Harbour Bank for 1 hour?")
        ).to_be_visible()
        expect(page.get_by_text(house.people["owner"].email)).to_be_visible()
        page.get_by_role("button", name="Open emergency access").click()
        for path in ("", "models/", "keys/", "emergency-access/"):
            page.goto(house.home + path)
            expect(page.locator("#emergency")).to_contain_text(REASON)
            assert problems_of(page, seen) == [], path
        page.get_by_role("button", name="End now").click()
        expect(page.locator("#emergency")).to_have_count(0)
    with house.visit(browser, "owner", theme=theme, width=width) as (page, seen):
        page.goto(f"{house.home}settings/")
        page.get_by_role("link", name="See emergency access").click()
        row = page.get_by_role("row").filter(has_text=REASON).first
        expect(row).to_contain_text("Ended")
        row.get_by_role("link", name="Actions").click()
        expect(page.get_by_role("link", name="Emergency access opened")).to_be_visible()
        assert problems_of(page, seen) == []
