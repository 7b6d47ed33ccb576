"""The main path without a mouse, from the home page, in at most fifteen presses of a key."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from catalog.models import Review
from tests.browser.conftest import OTHER

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

MOST = 15


class Keys:
    """Counts each press, the characters of a search or of a number among them.

    What only a person can write, such as a purpose or a reason, is typed by `write` and is not counted.
    """

    def __init__(self, page):
        self.page, self.pressed = page, 0

    def press(self, *names):
        for name in names:
            self.page.keyboard.press(name)
            self.pressed += 1

    def write(self, text):
        self.page.keyboard.type(text)


def test_a_developer_finds_a_model_and_asks_for_it(browser, house):
    with house.visit(browser, "developer") as (page, _):
        page.goto(house.home)
        keys = Keys(page)
        keys.press("/", *"let", "Enter")
        expect(page.get_by_role("link", name="Harbour Letters", exact=True)).to_be_visible()
        keys.press("n")
        expect(page.get_by_role("heading", level=1, name="Harbour Letters")).to_be_visible()
        keys.press("n")
        expect(page.get_by_role("dialog").get_by_role("heading", level=2)).to_be_focused()
        keys.press("n")
        expect(page.get_by_label("What is it for?")).to_be_focused()
        keys.write("Draft replies to letters.")
        keys.press("Tab", "Tab")
        expect(page.get_by_label("Expected tokens per day")).to_be_focused()
        keys.press(*"1000", "Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Harbour Letters for ")
    assert keys.pressed <= MOST
    assert Review.objects.in_tenant(house.tenant).filter(access_request__model__name=OTHER).exists()
