"""The menus as data: each page of a tenant and each list of the staff site has its entry, and each key one place."""

from collections import Counter

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import RequestFactory
from django.urls import get_resolver, resolve, reverse

from core.menu import current_link, portal_entries, staff_entries, staff_menu
from tests.factories import staff

# Answers that are no page of their own: parts, files, and buttons that lead back.
NO_PAGE = {"request-preview", "suggestions", "export-download", "find"}


def names_of_a_tenants_pages() -> set[str]:
    found = set()
    for included in get_resolver().url_patterns:
        if str(included.pattern).startswith("t/"):
            found |= {pattern.name for pattern in included.url_patterns}
    return found


def test_every_page_of_a_tenant_belongs_to_one_entry():
    pages = Counter(name for entry in portal_entries() for name in (entry.page, *entry.below))
    assert set(pages) == names_of_a_tenants_pages() - NO_PAGE
    assert [name for name, times in pages.items() if times > 1] == []


def test_every_list_of_the_staff_site_has_an_entry_or_is_reached_from_another():
    listed = {entry.model for entry in staff_entries()}
    registered = {model._meta.label_lower for model in admin.site._registry}
    assert listed <= registered
    ours = {label for label in registered if label.split(".")[0] in settings.OUR_APPS}
    # A provider's page lists its credentials, a version of the rules its rules, and one of a track's questions these;
    # an import links to its entries, and a campaign to its attestations.
    assert ours - listed == {
        "deployments.providercredential", "catalog.rule", "catalog.question", "catalog.importentry",
        "catalog.attestation",
    }  # fmt: skip


@pytest.mark.parametrize("entries", [portal_entries, staff_entries])
def test_no_key_leads_to_two_places(entries):
    keys = Counter(entry.key for entry in entries() if entry.key)
    assert keys
    assert [key for key, times in keys.items() if times > 1] == []
    places = Counter((entry.group.place, entry.place) for entry in entries())
    assert [place for place, times in places.items() if times > 1] == [], "two entries share a place"


@pytest.mark.django_db
def test_a_row_belongs_to_its_list_and_not_to_one_whose_name_begins_alike():
    request = RequestFactory().get("/")
    request.user = staff("operator")
    add = reverse("admin:deployments_provider_add")
    request.resolver_match = resolve(add)
    link = current_link(staff_menu(request))
    assert (link.url, link.current) == (reverse("admin:deployments_provider_changelist"), "true")
    request.resolver_match = resolve(reverse("admin:deployments_providermodel_changelist"))
    link = current_link(staff_menu(request))
    assert (link.url, link.current) == (reverse("admin:deployments_providermodel_changelist"), "page")
