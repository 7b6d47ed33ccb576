"""Every page of the main path as people meet it: on a phone, in the dark, without a mouse, without JavaScript."""

from __future__ import annotations

import re

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from audit.models import AuditEntry
from billing.cost_reports import ask_for_cost_report
from catalog.actions import decide_review, raise_access_request, withdraw_access_request
from catalog.models import Grant, Review
from core.ids import uuid7
from core.local_days import end_of_month
from gateway.models import RefusedCalls
from tenants.actions import revoke_api_key
from tenants.models import ApiKey, Webhook
from tests.browser.conftest import LANGUAGES, OTHER
from tests.browser.looking import accessibility_violations, look_again, sideways_scroll
from tests.factories import ApiKeyFactory, CatalogModelFactory

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

LONG_NAME = "a-model-whose-name-is-as-long-as-names-of-models-ever-become"
LONG_TITLE = "A Model Whose Title Is As Long As Titles Of Models Ever Become"
# Ends the path of a request form that gets a second model.
ADDED = "#added"


@pytest.fixture(scope="module")
def paths(house):
    """The pages, below the tenant's; there is a request in every state and a key in most."""
    CatalogModelFactory(name=LONG_NAME, title=LONG_TITLE, maker="Harbour", search_text=LONG_NAME)
    withdrawn, refused = ask(house, withdraw=True), ask(house)
    decide(house, refused, "reject", "Letters hold health data. Ask for Confidential.")
    approved = ask(house)
    decide(house, approved, "approve", "Fits the purpose.")
    pending = ask(house)
    claimable = ApiKey.objects.in_tenant(house.tenant).claimable().latest("created_at")
    used = ApiKeyFactory(tenant=house.tenant, project=house.project, name="k" * 60)
    ended = ApiKeyFactory(tenant=house.tenant, project=house.project, name="ended")
    revoke_api_key(ended.pk, by=house.people["owner"], reason="Left on a train")
    action = AuditEntry.objects.in_tenant(house.tenant).filter(verb="api_key.revoked").latest("pk")
    refused_calls_of(used)
    grant = Grant.objects.in_tenant(house.tenant).latest("pk")
    hook = Webhook.objects.create(
        tenant=house.tenant,
        name="h" * 80,
        url="https://hooks.example.com/",
        events=["grant.given"],
        secret=b"-",
    )
    month = now().date().replace(day=1)
    ask_for_cost_report(house.tenant, start_day=month, end_day=end_of_month(month), by=house.people["owner"])
    return [
        "", "models/", "models/?view=table", "models/?q=nothing+fits+this",
        # The first holds them all.
        *(f"models/{OTHER}/?tab={tab}" for tab in ("overview", "versions", "use")),
        f"models/{LONG_NAME}/#request", f"models/{LONG_NAME}/request/",
        f"models/{LONG_NAME}/request/{ADDED}", "requests/", "requests/?tab=closed",
        *(f"requests/{request.pk}/" for request in (pending, approved, refused, withdrawn)),
        f"requests/{pending.pk}/withdraw/",
        "keys/", "keys/?tab=ended", f"keys/{claimable.pk}/claim/", f"keys/{used.pk}/revoke/",
        "audit/", "audit/?person=nobody%40example.com", f"audit/{action.pk}/", "audit/exports/",
        "projects/", f"projects/{house.project.pk}/limits/", "refused-calls/", "settings/",
        "cost/", f"cost/?month={house.last_month:%Y-%m}", "cost/?month=last-12", "exports/", "exports/new/",
        "grants/", f"grants/{grant.pk}/", "webhooks/", f"webhooks/{hook.pk}/", "../../account/notifications/",
    ]  # fmt: skip


def refused_calls_of(key):
    """Calls over a limit, and calls of a model that the key may not use: the second name no limit."""
    for code, limit in (("rate_limit_exceeded", "tokens_per_day"), ("model_not_found", "")):
        RefusedCalls.objects.create(
            id=uuid7(), tenant=key.tenant, project_id=key.project_id, key_id=key.pk, gateway_name="gw", minute=now(),
            model=LONG_NAME, status=429 if limit else 404, code=code, count=12_345, limit_kind=limit,
            limit_scope="key" if limit else "", limit_scope_id=key.pk if limit else None,
            limit_id=uuid7() if limit else None, limit_value=1_000_000 if limit else None,
            samples=[{"call_id": str(uuid7()), "at": 1_800_000_000}],
        )  # fmt: skip


def ask(house, *, withdraw=False):
    developer = house.people["developer"]
    asked = raise_access_request(
        house.project, OTHER, by=developer, purpose="Draft replies to letters.", expected_tokens_per_day=1000
    )
    return withdraw_access_request(asked.pk, by=developer) if withdraw else asked


def decide(house, access_request, verdict, comment):
    for review in Review.objects.in_tenant(house.tenant).filter(access_request=access_request):
        decide_review(
            review.pk, by=house.people[f"{review.track_id}-reviewer"], verdict=verdict, comment=comment
        )


@pytest.mark.parametrize(("theme", "width", "locale"), [("light", 1360, "en"), ("dark", 390, "zh-CN")])
def test_no_page_hinders_anybody(browser, house, paths, theme, width, locale):
    """WCAG 2.2 A and AA by axe, no sideways scroll; the console, CSP included, stays silent."""
    found = {}
    with house.visit(browser, "owner", theme=theme, width=width, locale=locale) as (page, seen):
        for path in paths:
            page.goto(house.home + path)
            assert page.locator("html").get_attribute("lang") == LANGUAGES[locale]
            if path.endswith("#request"):
                expect(page.get_by_role("dialog")).to_be_visible()
            if path.endswith(ADDED):
                page.locator("button[name=add]").click()
                expect(page.locator("button[name=remove]")).to_be_visible()
            problems = accessibility_violations(page)
            problems += [f"{by} pixels wider than the window"] if (by := sideways_scroll(page)) else []
            if locale == "zh-CN":
                # The same page on a tablet.
                look_again(page, theme="light", width=768)
                problems += [f"{by} pixels wider than a tablet"] if (by := sideways_scroll(page)) else []
                look_again(page, theme=theme, width=width)
            problems += seen.complaints
            seen.complaints.clear()
            if problems:
                found[path] = problems
    assert found == {}


def test_pages_outside_a_tenant_hinder_nobody(browser, house):
    with house.visit(browser, "owner") as (page, seen):
        page.goto(f"{house.stack.console}/t/nowhere/")
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
        assert accessibility_violations(page) == []
        # The browser itself reports the 404.
        seen.complaints.clear()
        page.context.clear_cookies()
        page.goto(house.home)
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert accessibility_violations(page) == []


def test_the_keyboard_alone_opens_and_leaves_the_request(browser, house, paths):
    with house.visit(browser, "developer") as (page, _):
        page.goto(f"{house.home}models/{LONG_NAME}/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()

        opener = page.get_by_role("link", name="Request access")
        tab_to(page, opener)
        page.keyboard.press("Enter")
        panel = page.get_by_role("dialog", name=re.compile("Request access"))
        expect(panel.get_by_role("heading", level=2)).to_be_focused()
        for _step in range(25):
            page.keyboard.press("Tab")
            assert page.evaluate(
                "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            )
        page.keyboard.press("Escape")
        expect(panel).to_be_hidden()
        expect(opener).to_be_focused()
        expect(page).not_to_have_url(re.compile("#request"))


def test_an_invalid_request_says_what_to_mend_and_forgets_nothing(browser, house, paths):
    with house.visit(browser, "developer") as (page, seen):
        page.goto(f"{house.home}models/{LONG_NAME}/#request")
        panel = page.get_by_role("dialog")
        panel.get_by_label("Expected tokens per day").fill("-5")
        panel.get_by_label("Money per month").fill("12.5")
        panel.get_by_role("button", name="Send request").click()
        summary = page.get_by_role("alert")
        expect(summary).to_be_focused()
        expect(summary).to_contain_text("What is it for?")
        expect(page.get_by_label("Expected tokens per day")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("Money per month")).to_have_value("12.5")
        assert accessibility_violations(page) == []
        assert [complaint for complaint in seen.complaints if "400" not in complaint] == []
        seen.complaints.clear()


def test_the_main_path_needs_no_javascript(browser, house, paths):
    """Ask for a model and claim a key with plain forms."""
    with house.visit(browser, "developer", script=False) as (page, _):
        page.goto(f"{house.home}models/{LONG_NAME}/")
        page.get_by_role("link", name="Request access").first.click()
        page.get_by_label("Project").select_option("Claims")
        page.get_by_label("What is it for?").fill("Sort claims by what they are about.")
        page.get_by_label("Expected tokens per day").fill("1000")
        page.get_by_role("button", name="Send request").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{LONG_TITLE} for Claims")

        page.goto(f"{house.home}keys/")
        page.get_by_role("link", name=re.compile("Claim key")).first.click()
        page.get_by_role("button", name="Show the secret").click()
        assert page.locator("#secret").inner_text().startswith("qm_")


def tab_to(page, target):
    """Press Tab until `target` has the focus."""
    for _step in range(60):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not reach it")
