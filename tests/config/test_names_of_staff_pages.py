"""Pages of the staff site are called by what they show, and load what the portal loads."""

import re

import pytest
from django.urls import reverse

from tests.factories import ProviderFactory, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client):
    """The operator's browser."""
    client.force_login(staff("operator"))
    return client


def read(desk, address, **headers):
    answer = desk.get(address, **headers)
    assert answer.status_code == 200, address
    return answer.content.decode()


def words(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def names(page):
    """The title in the browser's tab, the heading, and the crumbs."""
    tab = re.search(r"<title>(.*?)</title>", page, re.S)[1]
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.S)[1]
    crumbs = re.search(r'<ol class="qm-crumb.*?</ol>', page, re.S)[0]
    return words(tab), words(heading), [words(one) for one in re.findall(r"<li>.*?</li>", crumbs, re.S)]


def test_a_list_is_called_as_in_the_menu(desk):
    page = read(desk, reverse("admin:deployments_provider_changelist"))
    assert names(page) == ("Providers · Quartermaster", "Providers", ["Operations", "Providers"])


def test_the_page_of_a_row_is_called_by_the_row_and_says_its_state(desk):
    provider = ProviderFactory(title="Rhine AI", name="rhine")
    page = read(desk, reverse("admin:deployments_provider_change", args=[provider.pk]))
    name = str(provider)
    assert names(page) == (f"{name} · Quartermaster", name, ["Operations", "Providers", name])
    head = page[page.index("<h1") : page.index("</h1>") + 300]
    assert "qm-badge" in head


def test_a_form_says_what_becomes_new(desk):
    page = read(desk, reverse("admin:deployments_provider_add"))
    assert names(page)[1:] == ("New provider", ["Operations", "Providers", "New provider"])


def test_names_are_in_the_language_of_the_page(desk):
    page = read(
        desk, reverse("admin:deployments_provider_changelist"), headers={"Accept-Language": "zh-Hans"}
    )
    assert names(page)[1] == "提供商"
    page = read(desk, reverse("admin:deployments_provider_add"), headers={"Accept-Language": "zh-Hans"})
    assert names(page)[1] == "新建提供商"


def test_staff_pages_load_the_scripts_of_the_portal_and_no_others(desk):
    provider = ProviderFactory()
    scripts = set()
    for name, args in (
        ("index", []),
        ("deployments_provider_changelist", []),
        ("deployments_provider_change", [provider.pk]),
    ):
        scripts |= set(
            re.findall(r'<script[^>]* src="([^"]+)"', read(desk, reverse(f"admin:{name}", args=args)))
        )
    assert {re.sub(r"\.[0-9a-f]{12}(?=\.)", "", one.removeprefix("/static/")) for one in scripts} == {
        "qm/theme.js", "qm/js/main.js", "qm/js/actions.js", "vendor/htmx/htmx.min.js",
    }  # fmt: skip
