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
