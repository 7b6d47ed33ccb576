"""Signing in with an authenticator, and out from another browser, as people do it."""

from __future__ import annotations

import time
from base64 import b32decode
from contextlib import contextmanager

import pytest
from django_otp.oath import TOTP
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.looking import accessibility_violations, sideways_scroll, watched_page
from tests.factories import staff

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def chief(house):
    """Somebody of staff who has no second factor yet."""
    return staff("operator", name="Chief of the platform")


def code_of(secret, steps=0):
    """What the authenticator app shows, or will show so many half minutes later."""
    app = TOTP(b32decode(secret.replace(" ", "")), drift=steps)
    app.time = time.time()
    return f"{app.token():06}"


@contextmanager
def visitor(house, browser, **options):
    """A watched page at the sign-in form; fails if it complained or asked another host."""
    with watched_page(browser, origin=house.stack.console, **options) as (page, seen):
        page.set_default_timeout(60_000)
        yield page
        assert seen.complaints == []
        assert seen.elsewhere == []


def give_password(page, house, person, then="/"):
    page.goto(f"{house.stack.console}/login/?next={then}")
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def look(page):
    """What hinders people on this page."""
    problems = accessibility_violations(page)
    if by := sideways_scroll(page):
        problems.append(f"{by} pixels wider than the window")
    assert problems == [], page.url


@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])
def test_from_the_first_code_to_signing_out_everywhere(house, browser, chief, theme, width):
    looks = {"theme": theme, "width": width}
    with visitor(house, browser, **looks) as desk, visitor(house, browser, **looks) as phone:
        give_password(desk, house, chief, "/account/second-factor/")
        look(desk)
        desk.get_by_role("link", name="Set up").click()
        expect(desk.get_by_role("img", name="QR code")).to_be_visible()
        look(desk)
        secret = desk.locator("#secret").inner_text()
        desk.get_by_label("Code").fill(code_of(secret))
        desk.get_by_role("button", name="Confirm").click()
        expect(desk.get_by_role("heading", name="Second factor is set up")).to_be_visible()
        assert desk.locator("#codes span").count() == 10
        look(desk)
        desk.get_by_role("link", name="I stored them").click()
        expect(desk.get_by_text("Recovery codes left")).to_be_visible()
        look(desk)

        give_password(phone, house, chief, "/account/sessions/")
        expect(phone.get_by_role("heading", name="Second factor")).to_be_visible()
        assert phone.evaluate("document.activeElement.name") == "code"
        look(phone)
        # The present one was used at the desk.
        phone.get_by_label("Code").fill(code_of(secret, 1))
        phone.get_by_role("button", name="Confirm").click()
        expect(phone.get_by_role("heading", name="Your sessions")).to_be_visible()
        assert phone.get_by_role("row").count() == 3
        expect(phone.get_by_text("This browser")).to_have_count(1)
        look(phone)

        phone.get_by_role("link", name="Password").click()
        look(phone)
        phone.get_by_role("link", name="Sessions").click()
        phone.get_by_role("link", name="Sign out everywhere").click()
        look(phone)
        phone.get_by_role("button", name="Sign out everywhere").click()
        expect(phone.get_by_role("heading", name="Sign in")).to_be_visible()
        desk.goto(f"{house.stack.console}/account/second-factor/")
        expect(desk.get_by_role("heading", name="Sign in")).to_be_visible()


def test_one_browser_is_signed_out_from_another_without_javascript(house, browser, chief):
    with visitor(house, browser) as forgotten, visitor(house, browser, script=False) as here:
        give_password(forgotten, house, chief, "/account/sessions/")
        give_password(here, house, chief, "/account/sessions/")
        other = here.get_by_role("row").filter(has_text="ago").or_(here.get_by_role("row").nth(2))
        other.get_by_role("link", name="Sign out").click()
        here.get_by_role("button", name="Sign out").click()
        expect(here.get_by_role("row")).to_have_count(2)
        forgotten.reload()
        expect(forgotten.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_administrators_link_is_a_page_like_the_others(house, browser):
    from accounts.actions import create_administrator

    _, token = create_administrator("first@example.com", reason="the first day")
    with visitor(house, browser, theme="dark", width=390) as page:
        page.goto(f"{house.stack.console}/login/once/{token}/")
        look(page)
        for label in ("New password", "New password confirmation"):
            page.get_by_label(label, exact=True).fill("a brand new passphrase")
        page.get_by_role("button", name="Set password and sign in").click()
        page.wait_for_url(lambda address: address.endswith("/admin/"))


def test_a_locked_address_is_told_when_to_come_back(house, browser, chief):
    with watched_page(browser, origin=house.stack.console, width=390) as (page, seen):
        for _ in range(5):
            page.goto(f"{house.stack.console}/login/")
            page.get_by_label("E-mail address").fill(chief.email)
            page.get_by_label("Password").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Too many attempts")).to_be_visible()
        look(page)
        assert all("429" in complaint for complaint in seen.complaints)
