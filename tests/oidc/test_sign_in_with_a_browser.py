"""The whole way in and out in a real Chromium, under the strict policies of the console's pages."""

from __future__ import annotations

import os

import pytest
from django.urls import reverse

from accounts.models import Session
from directory.models import FederatedIdentity, GroupMapping
from tests.browser.looking import accessibility_violations, chromium, sideways_scroll, watched_page
from tests.factories import UserFactory, staff
from tests.oidc.running_provider import clients

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]
LOOKS = [("light", 1360), ("dark", 390)]


@pytest.fixture(scope="module")
def browser():
    # Playwright runs an event loop in this thread.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with chromium() as browser:
        yield browser


@pytest.fixture
def console(provider, live_server):
    """The running console, known to the provider by its address."""
    redirects, after = [f"{live_server.url}/oidc/callback/"], [f"{live_server.url}/login/"]
    logout = f"{live_server.url}/oidc/backchannel-logout/"
    provider.tell("clients", clients(redirects, logout=logout, after=after))
    return live_server.url


def test_somebody_signs_in_works_and_signs_out(browser, console, provider, lab):
    GroupMapping.objects.create(group="writers", tenant=lab, role="developer")
    provider.user("ana", groups=["writers"], name="Ana Adler")
    with watched_page(browser, origin=console) as (page, seen):
        page.set_default_timeout(45_000)
        page.goto(f"{console}/t/lab/keys/")
        page.get_by_role("link", name="Sign in with Harbour").click()
        page.get_by_label("Account").fill("ana")
        page.get_by_role("button", name="Sign in at the provider").click()
        page.wait_for_url(f"{console}/t/lab/keys/")
        assert Session.objects.filter(subject="ana").count() == 1

        page.get_by_label("Account: Ana Adler").click()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Yes, sign me out").click()
        page.wait_for_url(f"{console}/login/**")
        assert not Session.objects.filter(subject="ana").exists()
        page.get_by_role("link", name="Sign in with Harbour").click()
        page.get_by_label("Account").wait_for()  # the provider asks again

        assert seen.complaints == []
        assert all(address.startswith(provider.issuer) for address in seen.elsewhere)


def test_a_page_that_is_due_comes_back_as_it_was(browser, console, provider, lab):
    GroupMapping.objects.create(group="writers", tenant=lab, role="developer")
    provider.user("ana", groups=["writers"])
    with watched_page(browser, origin=console) as (page, seen):
        page.goto(f"{console}/oidc/sign-in/")
        page.get_by_label("Account").fill("ana")
        page.get_by_role("button", name="Sign in at the provider").click()
        page.wait_for_url(f"{console}/t/lab/")
        make_due()
        page.goto(f"{console}/t/lab/models/?q=chat")
        page.wait_for_url(f"{console}/t/lab/models/?q=chat")
        assert seen.complaints == []


def make_due():
    for row in Session.objects.filter(subject="ana"):
        session = row.get_session_store_class()(row.session_key)
        session["oidc_id_token_expiration"] = 0
        session.save()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_a_refusal_can_be_read_by_everybody(browser, console, provider, theme, width):
    UserFactory(email="ana@example.com")
    provider.user("ana")
    with watched_page(browser, origin=console, theme=theme, width=width) as (page, _):
        page.goto(f"{console}/login/")
        assert accessibility_violations(page) == []
        page.get_by_role("link", name="Sign in with Harbour").click()
        page.get_by_label("Account").fill("ana")
        page.get_by_role("button", name="Sign in at the provider").click()
        page.get_by_text("at the provider is ana").wait_for()
        assert accessibility_violations(page) == []
        assert sideways_scroll(page) == 0
        page.get_by_role("link", name="Go to the sign-in page").click()
        page.wait_for_url(f"{console}/login/")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_an_operator_writes_a_mapping_after_seeing_what_it_does(
    browser, console, client, lab, settings, theme, width
):
    settings.STAFF_SECOND_FACTOR, settings.OIDC_ISSUER = "optional", "i"
    for name in ("ana", "ben"):
        user = UserFactory(email=f"{name}@example.com", name=name.title())
        FederatedIdentity.objects.create(user=user, issuer="i", subject=name, groups=["writers"])
    client.force_login(staff("operator"))
    cookie = {"name": "qm_session", "value": client.cookies["qm_session"].value, "url": console}
    with watched_page(browser, origin=console, theme=theme, width=width) as (page, seen):
        page.context.add_cookies([cookie])
        page.goto(f"{console}{reverse('admin:directory_groupmapping_begin')}")
        page.get_by_role("textbox", name="Group").fill("writers")
        page.get_by_role("combobox", name="Tenant", exact=True).select_option(label="Lab")
        page.get_by_role("combobox", name="Role in the tenant").select_option(label="Developer")
        page.get_by_role("button", name="Preview").click()
        page.get_by_role("heading", name="What this does").wait_for()
        assert page.get_by_role("row").count() == 3
        if picture := os.environ.get("PICTURES"):
            page.screenshot(path=f"{picture}/rule-{theme}.png", full_page=True)
        assert sideways_scroll(page) == 0
        page.get_by_role("button", name="Save this mapping").click()
        page.get_by_text("The mapping is in force").wait_for()
        assert seen.complaints == []
    assert GroupMapping.objects.get().role == "developer"
