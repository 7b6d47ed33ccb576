"""An operator adds a provider with a wrong key, reads what is wrong, mends it, and sees the models."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from catalog.models import CatalogModel
from deployments.models import Provider
from tests.browser.looking import accessibility_violations, sideways_scroll
from tests.deployments.provider_stub import GOOD_KEY, WRONG_KEY, serving
from tests.factories import CatalogModelFactory, allow_loopback

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def upstream(house):
    """A provider on this machine, as a test of the console reaches it."""
    allow_loopback()
    if not CatalogModel.objects.filter(name="gpt-4o").exists():
        CatalogModelFactory(name="gpt-4o", title="GPT-4o")
    with serving() as stub:
        yield stub


@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 390)])
def test_a_provider_with_a_wrong_key_is_mended_and_shows_its_models(browser, house, upstream, theme, width):
    name = f"openai-{theme}"
    with house.visit(browser, "operator", theme=theme, width=width) as (page, _):
        page.goto(f"{house.stack.console}/admin/deployments/provider/add/")
        assert accessibility_violations(page) == []
        page.get_by_label("Name", exact=False).first.fill(name)
        page.get_by_label("Display name").fill("OpenAI Europe")
        page.get_by_label("Dialect").select_option("openai")
        page.get_by_label("Base URL").fill(upstream.url)
        page.get_by_label("Credential").select_option("stored")
        page.get_by_label("Key optional", exact=True).fill(WRONG_KEY)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("It rejects the credential (401).")).to_be_visible()
        assert WRONG_KEY not in page.content()
        assert accessibility_violations(page) == []
        assert not sideways_scroll(page)

        page.get_by_label("Key optional", exact=True).fill(GOOD_KEY)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text(re.compile(r"Reached, 37 models listed, \d+ ms\."))).to_be_visible()

        provider = Provider.objects.get(name=name)
        page.goto(f"{house.stack.console}/admin/deployments/provider/{provider.pk}/change/")
        expect(page.get_by_role("link", name=re.compile("…GOOD"))).to_be_visible()
        assert GOOD_KEY not in page.content()
        page.get_by_role("link", name=re.compile(r"^37 listed, \d+ of them in the catalog$")).click()
        page.wait_for_url(re.compile("providermodel"))
        expect(page.get_by_text("gpt-4o (Published)").first).to_be_visible()
        assert accessibility_violations(page) == []
        assert not sideways_scroll(page)
