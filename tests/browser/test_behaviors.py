"""What the modules add to a page: keys, toasts, and messages about a field that go once it is corrected."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MODEL

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_a_message_goes_once_its_field_is_corrected(browser, house):
    with house.visit(browser, "developer") as (page, seen):
        page.goto(f"{house.home}models/{MODEL}/request/")
        tokens, purpose = page.get_by_label("Expected tokens per day"), page.get_by_label("What is it for?")
        tokens.fill("-5")
        page.get_by_role("button", name="Send request").click()
        summary = page.get_by_role("alert")
        expect(summary.get_by_role("link")).to_have_text(
            [re.compile("What is it for"), re.compile("Expected tokens")]
        )

        tokens.fill("-6")
        expect(tokens).to_have_attribute("aria-invalid", "true")
        tokens.fill("500000")
        expect(tokens).not_to_have_attribute("aria-invalid", "true")
        expect(summary.get_by_role("link")).to_have_text([re.compile("What is it for")])
        expect(page.locator(".qm-error")).to_have_count(1)

        purpose.fill("Draft replies")
        expect(summary).to_have_count(0)
        expect(page.locator(".qm-error")).to_have_count(0)
        seen.complaints = [complaint for complaint in seen.complaints if "400" not in complaint]


def test_a_toast_stays_while_somebody_reads_it(browser, house):
    with house.visit(browser, "owner") as (page, _):
        page.clock.install()
        page.goto(f"{house.home}settings/")
        page.get_by_role("button", name="Save").first.click()
        toast = page.locator("#toasts .qm-toast")
        expect(toast).to_contain_text("Settings saved")
        toast.hover()
        page.clock.run_for(20_000)
        expect(toast).to_be_visible()
        toast.get_by_role("button", name="Close").focus()
        page.mouse.move(0, 0)
        page.clock.run_for(20_000)
        expect(toast).to_be_visible()
        page.get_by_role("main").focus()
        page.clock.run_for(12_500)
        expect(toast).to_have_count(0)


def test_the_side_menu_shows_where_one_is(browser, house):
    with house.visit(browser, "operator") as (page, _):
        page.set_viewport_size({"width": 1360, "height": 500})
        page.goto(f"{house.stack.console}/admin/audit/auditentry/")
        entry = page.locator(".qm-nav[aria-current]")
        expect(entry).to_be_in_viewport()
        assert page.evaluate("scrollY") == 0
        assert page.locator(".qm-side-in").evaluate("menu => menu.scrollTop") > 0


def test_keys_lead_to_pages_and_are_listed(browser, house):
    with house.visit(browser, "developer") as (page, _):
        page.goto(house.home)
        page.keyboard.press("?")
        keys = page.get_by_role("dialog", name="Keyboard shortcuts")
        expect(keys).to_be_visible()
        page.keyboard.press("Escape")
        expect(keys).to_be_hidden()
        page.keyboard.press("g")
        page.keyboard.press("k")
        expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
        page.wait_for_load_state()  # Its scripts have run.
        page.keyboard.press("/")
        search = page.locator("[data-search]")
        expect(search).to_be_focused()
        page.keyboard.type("g?")
        expect(search).to_have_value("g?")
        expect(page.get_by_role("dialog")).to_be_hidden()


def test_single_keys_can_be_switched_off_for_an_account(browser, house):
    """WCAG 2.1.4: who speaks to the browser, or rests a hand on the keys, is led nowhere."""
    with house.visit(browser, "owner") as (page, _):
        page.goto(house.home)
        page.keyboard.press("?")
        keys = page.get_by_role("dialog", name="Keyboard shortcuts")
        keys.get_by_role("button", name="Switch off single keys").click()
        expect(page.locator("body")).to_have_attribute("data-single-keys", "off")
        page.wait_for_load_state()
        for key in ("?", "/", "g", "k", "n"):
            page.keyboard.press(key)
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page).to_have_url(house.home)
        assert page.evaluate("document.activeElement === document.body")
        # Keys with Ctrl stay, and the list is found in the account menu.
        page.keyboard.press("Control+k")
        expect(page.locator("[data-find] input")).to_be_focused()
        page.locator("summary[aria-label*='Account:']").click()
        page.get_by_role("button", name="Keyboard shortcuts").click()
        keys.get_by_role("button", name="Switch on single keys").click()
        expect(page.locator("body")).not_to_have_attribute("data-single-keys", "off")


def test_no_key_closes_a_dialog_that_shows_a_secret_once(browser, house):
    with house.visit(browser, "operator") as (page, _):
        page.goto(f"{house.stack.console}/admin/gateway/gateway/")
        page.get_by_role("link", name=re.compile(r"Register a gateway$")).click()
        page.locator("#dialog").get_by_label("Name").fill("gw-escape")
        page.locator("#dialog").get_by_role("button", name="Register").click()
        secret = page.locator("[data-unsaved-secret]")
        expect(secret).to_have_text(re.compile("^qmg_"))
        # A browser asks the page about the first Escape in a row, and not about the second.
        for _again in range(4):
            page.keyboard.press("Escape")
        expect(secret).to_be_visible()
        page.mouse.click(5, 5)
        expect(secret).to_be_visible()
        page.evaluate("document.getElementById('modal').close()")
        expect(secret).to_be_visible()
        page.get_by_role("button", name="I stored it").click()
        expect(secret).to_have_count(0)
        expect(page.locator("#modal")).to_be_hidden()
