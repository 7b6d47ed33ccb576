"""Settings, projects, suspension and closing as people meet them."""

from __future__ import annotations

import os

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from tenants.actions import suspend_tenant
from tests.browser.conftest import House
from tests.browser.looking import accessibility_violations, sideways_scroll
from tests.factories import ProjectFactory, TenantFactory, member_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# A directory: keep what was seen.
SHOTS = os.environ.get("QM_SCREENSHOTS", "")


@pytest.fixture
def pier(house):
    """Another tenant with its owner; whatever becomes of it, the house stands."""
    # Of a name of its own: those of earlier tests stand.
    tenant = TenantFactory(cost_centre="CC-1")
    project = ProjectFactory(tenant=tenant, slug="letters", name="Letters")
    people = {"owner": member_of(tenant, "owner", name="Ola Owner"), "operator": house.people["operator"]}
    return House(house.stack, tenant, project, people)


def problems_of(page, seen, name, theme):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}-{theme}.png", full_page=True)
    problems = accessibility_violations(page) + seen.complaints
    problems += [f"{by} pixels wider than the window"] if (by := sideways_scroll(page)) else []
    seen.complaints.clear()
    return problems


@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])
def test_no_page_hinders_anybody(browser, pier, theme, width):
    found = {}
    with pier.visit(browser, "owner", theme=theme, width=width) as (page, seen):
        pk = pier.project.pk
        paths = ["settings/", "projects/", "projects/new/", f"projects/{pk}/edit/", f"projects/{pk}/limits/"]
        for path in [*paths, "settings/closing/"]:
            page.goto(pier.home + path)
            found[path] = problems_of(page, seen, path.replace("/", "_"), theme)
        suspend_tenant(
            pier.tenant.pk, by=pier.people["operator"], reason="The invoices since March are unpaid."
        )
        for path in ["", "settings/", "settings/closing/"]:
            page.goto(pier.home + path)
            expect(page.locator("#tenant-status")).to_contain_text("The invoices since March are unpaid.")
            found[f"suspended {path}"] = problems_of(page, seen, f"suspended_{path.replace('/', '_')}", theme)
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_an_owner_and_an_operator_close_a_tenant(browser, pier):
    with pier.visit(browser, "owner") as (page, seen):
        page.goto(f"{pier.home}settings/")
        page.get_by_role("link", name="Start closing").click()
        page.get_by_label("Reason").fill("The department is dissolved.")
        page.get_by_label("to confirm").fill(pier.tenant.slug)
        page.get_by_role("button", name="Suspend and export").click()
        expect(page.get_by_text("Ready", exact=True)).to_be_visible(timeout=60_000)
        page.goto(f"{pier.home}settings/closing/")
        page.get_by_label("Reason").fill("The department is dissolved.")
        page.get_by_label("to confirm").fill(pier.tenant.slug)
        page.get_by_role("button", name="Propose closing").click()
        expect(page.get_by_text("An operator who did not propose it confirms it.")).to_be_visible()
        assert problems_of(page, seen, "proposed", "light") == []
    with pier.visit(browser, "operator") as (page, seen):
        page.goto(f"{pier.home}settings/closing/")
        page.get_by_label("to confirm").fill(pier.tenant.slug)
        page.get_by_role("button", name="Close permanently").click()
        expect(page.get_by_text(f"{pier.tenant.name} is closed.").first).to_be_visible()
        assert problems_of(page, seen, "closed", "light") == []
    pier.tenant.refresh_from_db()
    assert pier.tenant.status == "closed"


def test_operators_see_what_stops_before_they_suspend(browser, pier):
    with pier.visit(browser, "operator") as (page, _seen):
        page.goto(f"{pier.stack.console}/admin/tenants/tenant/{pier.tenant.pk}/change/")
        page.get_by_role("link", name="Suspend").click()
        expect(page.get_by_text("Calls in the last 24 hours")).to_be_visible()
        page.get_by_label("Reason").fill(f"Unpaid on {now():%d %B}")
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/admin-suspend.png")
        page.get_by_role("button", name="Suspend tenant").click()
        expect(page.get_by_text(f"{pier.tenant.name} is suspended.")).to_be_visible()
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/admin-suspended.png")
