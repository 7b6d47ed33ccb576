"""The front of the staff site: what waits for whoever looks, and only what they may open."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from django.utils.timezone import now

from core.menu import staff_menu
from tests.factories import (
    AccessRequestFactory,
    ProjectFactory,
    ReviewFactory,
    TenantFactory,
    member_of,
    staff,
)

ROLES = {
    "security-reviewer": {
        "Review queue",
        "Requests",
        "Grants",
        "Campaigns",
        "Rules",
        "Tracks",
        "Questions",
        "Review scopes",
        "Delegations",
        "Review teams",
        "Working calendars",
        "Models",
        "Model versions",
        "Planned changes",
        "Tenants",
    },
    "controller": {"Cost reports", "Kinds of usage", "Prices", "Calls not billed", "Tenants"},
}


def front_of(client, person):
    client.force_login(person)
    return client.get("/admin/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_the_menu_offers_what_the_role_may_open_and_nothing_else(client, role):
    request = RequestFactory().get("/admin/")
    request.user, request.resolver_match = staff(role), resolve("/admin/")
    links = {link.url: str(link.label) for section in staff_menu(request) for link in section.links}
    assert set(links.values()) == ROLES[role]
    client.force_login(request.user)
    for address in links:
        assert client.get(address).status_code == 200, address


@pytest.mark.django_db
def test_every_entry_of_the_menu_leads_somewhere(client):
    page = front_of(client, staff("operator"))
    addresses = set(re.findall(r'href="(/admin/[a-z]+/[a-z]+/)"', page))
    assert len(addresses) > 20, "the search for entries finds none any more"
    for address in addresses:
        assert client.get(address).status_code == 200, address


@pytest.mark.django_db
def test_a_reviewer_reads_how_many_reviews_wait_and_how_many_are_late(client, security_reviewer, lab):
    assert "Nothing needs you." in front_of(client, security_reviewer)
    for late in (True, False):
        review = ReviewFactory(tenant=lab, access_request=AccessRequestFactory(tenant=lab))
        if late:
            review.due_at = now() - timedelta(hours=1)
            review.save()
    page = front_of(client, security_reviewer)
    assert "2 reviews wait for you" in page
    assert "1 is overdue" in page


@pytest.mark.django_db
def test_no_list_offers_every_tenant_to_choose_from(client):
    """Of two thousand, each list would load them all to show 25 rows."""
    TenantFactory(name="Needle Bank")
    page = front_of(client, staff("operator"))
    addresses = set(re.findall(r'href="(/admin/[a-z]+/[a-z]+/)"', page)) - {"/admin/tenants/tenant/"}
    for address in addresses:
        assert "Needle Bank" not in client.get(address).content.decode(), address


@pytest.mark.django_db
def test_the_page_of_a_tenant_costs_the_same_for_many_members(client, lab):
    client.force_login(staff("operator"))
    address = f"/admin/tenants/tenant/{lab.pk}/change/"

    def asked(members):
        for _ in range(members):
            ProjectFactory(tenant=lab, owner=member_of(lab, "viewer"))
        with CaptureQueriesContext(connection) as questions:
            assert client.get(address).status_code == 200
        return len(questions)

    # What is asked once a process.
    client.get(address)
    assert asked(2) == asked(40)
