"""The main path without a mouse, from the home page, in at most fifteen presses of a key."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from catalog.actions import raise_access_request
from catalog.models import Review
from tests.factories import CatalogModelFactory

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

MOST = 15


@pytest.fixture(scope="module")
def model(house):
    """A model that no other test asks for."""
    return CatalogModelFactory(
        name="zephyr-1", title="Zephyr 1", maker="Zephyr", search_text="zephyr-1 Zephyr 1"
    )


class Keys:
    """Counts each press, the characters of a search or of a number among them.

    What only a person can write, such as a purpose or a reason, is typed by `write` and is not counted.
    """

    def __init__(self, page):
        self.page, self.pressed = page, 0

    def press(self, *names):
        # A page that is still loading hears no key.
        self.page.wait_for_load_state()
        for name in names:
            self.page.keyboard.press(name)
            self.pressed += 1

    def write(self, text):
        self.page.keyboard.type(text)


def test_a_developer_finds_a_model_and_asks_for_it(browser, house, model):
    with house.visit(browser, "developer") as (page, _):
        page.goto(house.home)
        keys = Keys(page)
        keys.press("/", *"zep")
        # Enter opens the first of what the search has found.
        expect(page.locator("#found").get_by_role("link", name="Zephyr 1")).to_be_visible()
        keys.press("Enter")
        expect(page.get_by_role("heading", level=1, name="Zephyr 1")).to_be_visible()
        keys.press("n")
        expect(page.get_by_role("dialog").get_by_role("heading", level=2)).to_be_focused()
        keys.press("n")
        expect(page.get_by_label("What is it for?")).to_be_focused()
        keys.write("Draft replies to letters.")
        keys.press("Tab", "Tab")
        expect(page.get_by_label("Expected tokens per day")).to_be_focused()
        keys.press(*"1000", "Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Zephyr 1 for ")
    assert keys.pressed <= MOST
    assert Review.objects.in_tenant(house.tenant).filter(access_request__items__model=model).exists()


def test_a_reviewer_opens_the_next_review_and_approves_it(browser, house, model):
    raise_access_request(
        house.project,
        model.name,
        by=house.people["developer"],
        purpose="Sort letters.",
        expected_tokens_per_day=10,
    )
    open_reviews = Review.objects.in_tenant(house.tenant).filter(state="pending", track="security")
    before = open_reviews.count()
    with house.visit(browser, "security-reviewer") as (page, _):
        page.goto(f"{house.stack.console}/admin/")
        keys = Keys(page)
        keys.press("n")
        comment = page.get_by_label("Comment", exact=True)
        page.wait_for_url("**/admin/catalog/review/**")
        if not comment.is_visible():
            keys.press("n")
        expect(comment).to_be_visible()
        keys.press("n")
        expect(comment).to_be_focused()
        keys.write("Fits the purpose.")
        keys.press("Tab")
        expect(page.get_by_role("button", name="Approve")).to_be_focused()
        here = page.url
        keys.press("Enter")
        # The next review of the queue, or the queue if there is none.
        page.wait_for_url(lambda url: url != here)
    assert keys.pressed <= MOST
    assert open_reviews.count() == before - 1
