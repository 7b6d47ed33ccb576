"""What a staff role may not see is said, with who sees it; an empty list never stands for a hidden one."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from accounts.roles import StaffRole
from tests.databases import shared_rows
from tests.factories import AccessRequestFactory, ProjectFactory, TenantFactory, UserFactory, staff
from tests.isolation.sweep import PORTAL, Cast, address, text_of, undone
from tests.isolation.test_staff import PAGES, changelist, may_look

pytestmark = pytest.mark.django_db
HIDDEN = "Not shown to your role"


@pytest.fixture(scope="module")
def cast(django_db_setup, django_db_blocker):
    yield from shared_rows(django_db_blocker, Cast)


@pytest.fixture
def full_lab(db, cast):
    """The lab with one row of everything."""
    return cast.full_lab


@pytest.fixture
def desk(client, full_lab):
    """A function that asks for a page as staff of a role, or as a superuser, who sees everything."""
    people = {role: staff(role) for role in StaffRole} | {
        "superuser": UserFactory(is_superuser=True, is_staff=True)
    }

    def page(role, url, query=None):
        client.force_login(people[role])
        with undone():
            return client.get(url, query or {})

    page.people = people
    return page


def empties(page):
    """The titles of a portal page's empty states."""
    return set(re.findall(r'<div class="qm-empty">.*?<b>(.*?)</b>', page, re.DOTALL))


@pytest.mark.timeout(900)
def test_no_page_of_the_portal_shows_staff_a_false_empty(desk, full_lab):
    """Of a tenant with a row of everything: what is empty for a role is empty for a superuser, too."""
    hidden = 0
    for route in PORTAL:
        url = address(route, full_lab)
        everything = desk("superuser", url)
        if everything.status_code != 200 or not everything["Content-Type"].startswith("text/html"):
            continue
        for role in StaffRole:
            answer = desk(role, url)
            assert answer.status_code in (200, 302, 403, 404), f"{role} {route}"
            if answer.status_code == 200:
                shown = empties(text_of(answer))
                hidden += HIDDEN in shown
                assert shown - {HIDDEN} <= empties(text_of(everything)), f"{role} {route}"
    assert hidden >= 3, "requests and keys are hidden from some"


@pytest.mark.timeout(900)
def test_no_list_of_the_staff_site_shows_a_false_empty(desk, full_lab):
    lists = 0
    for label in PAGES:
        everything = desk("superuser", changelist(label)).context
        for role in StaffRole:
            answer = desk(role, changelist(label))
            if not may_look(desk.people[role], label):
                assert answer.status_code == 403, f"{role} {label}"
                assert "see them" in text_of(answer) or "No staff role" in text_of(answer), f"{role} {label}"
            elif "cl" in everything and everything["cl"].result_list:
                lists += 1
                # Reviewers see their own.
                is_own = label in ("catalog.review", "catalog.reviewdelegation")
                says = 'data-empty="hidden"' in text_of(
                    answer
                ) and "Staff with one of these roles" in text_of(answer)
                assert answer.context["cl"].result_list or says or is_own, f"{role} {label}"
    assert lists > 40


@pytest.fixture
def lab_of_three(db):
    tenant = TenantFactory(slug="three")
    for n in range(3):
        project = ProjectFactory(tenant=tenant, slug=f"project-{n}")
    AccessRequestFactory(tenant=tenant, project=project)
    return tenant


def test_a_page_without_rows_to_show_is_refused_in_words(desk, full_lab):
    answer = desk("controller", "/t/lab/refused-calls/")
    assert answer.status_code == 403
    assert "Your role does not show whether there are any" in text_of(answer)


def test_a_list_that_is_narrowed_names_what_narrows_it(desk, lab_of_three):
    requests = reverse("admin:catalog_accessrequest_changelist")
    answer = desk("operator", requests, {"state__exact": "rejected", "q": "nothing-like-it"})
    text = text_of(answer)
    assert 'data-empty="narrowed"' in text
    shown = re.findall(
        r'<a class="btn btn-plain" href="(\?[^"]*)">\s*([^<]+?)\s*<svg',
        text.partition('data-empty="narrowed"')[2],
    )
    assert shown == [
        ("?state__exact=rejected", "Search: “nothing-like-it”"),
        ("?q=nothing-like-it", "State: Rejected"),
    ]
    assert 'href="?"' in text
    tenant = reverse("admin:tenants_membership_changelist")
    assert "Tenant" in text_of(desk("operator", tenant, {"tenant__id__exact": lab_of_three.pk}))


def test_a_list_without_rows_says_that_there_are_none(desk, db):
    text = text_of(desk("operator", reverse("admin:tenants_tenantclosing_changelist"), {}))
    assert 'data-empty="narrowed"' not in text


def test_the_queue_of_somebody_who_decides_nothing_says_where_the_reviews_are(desk, full_lab):
    text = text_of(desk("auditor", changelist("catalog.review")))
    assert "Your role decides no reviews." in text
