"""The staff site shows each role what its permissions cover: in lists, searches, filters and lookups."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import ForeignKey
from django.test import RequestFactory
from django.urls import reverse

from accounts.roles import StaffRole
from tenants.models import Tenant
from tests.databases import shared_rows
from tests.factories import staff
from tests.isolation.sweep import ADMIN, Cast, address, questions, text_of

pytestmark = pytest.mark.django_db
PAGES = {
    model._meta.label_lower: page
    for model, page in admin.site._registry.items()
    if model._meta.app_label in settings.OUR_APPS
}
# Ways from one table into what no list shows.
PRYING = (
    "user__password__startswith", "user__email__startswith", "tenant__memberships__user__email__startswith",
    "tenant__memberships__user__password__startswith", "project__keys__digest__startswith", "digest__startswith",
    "tenant__service_accounts__password__startswith", "requested_by__password__startswith",
    "requested_by__tokens__digest__startswith", "user__tokens__digest__startswith", "key__digest__startswith",
    "tokens__digest__startswith", "password__startswith", "sessions__session_key__startswith",
    "tenant__apikey__digest__startswith", "identities__subject__startswith", "actor__password__startswith",
    "user__external_id__startswith", "staffroleassignment__role__startswith", "service_accounts__email__startswith",
    "memberships__role", "tokens__prefix__startswith", "directory_groups__display_name__startswith",
)  # fmt: skip


@pytest.fixture(params=list(StaffRole), ids=str)
def role(request):
    return request.param


@pytest.fixture(scope="module")
def cast(django_db_setup, django_db_blocker):
    yield from shared_rows(django_db_blocker, Cast)


@pytest.fixture
def full_lab(db, cast):
    """The lab with one row of everything, which the tests of this module share."""
    return cast.full_lab


@pytest.fixture
def desk(client, full_lab, role):
    """The client of somebody with the role, and that person."""
    person = staff(role, name=f"{role} of the platform")
    client.force_login(person)
    return client, person


def may_look(person, label):
    request = RequestFactory().get("/")
    request.user = person
    return PAGES[label].has_view_permission(request)


def changelist(label):
    return reverse(f"admin:{label.replace('.', '_')}_changelist")


def test_a_role_opens_the_pages_that_its_permissions_name_and_no_others(desk, full_lab):
    client, person = desk
    for route in ADMIN:
        label = route.model._meta.label_lower if route.model is not None else ""
        if label not in PAGES or may_look(person, label):
            continue
        for method in ("get", "post"):
            answer = getattr(client, method)(address(route, full_lab))
            assert answer.status_code in (302, 403, 404, 405), f"{person.name} {method} {route}"
            if answer.status_code == 302:
                # An address without /change/ leads to the one with it.
                where = answer["Location"]
                assert where == reverse("admin:index") or where == f"{address(route, full_lab)}change/", where


def test_a_search_finds_what_the_role_may_see(desk, full_lab):
    """A term that only a hidden row holds finds nothing, and the answer names none of it."""
    client, person = desk
    hidden = {
        str(full_lab.row(label).pk)
        for label in PAGES
        if not may_look(person, label) and label in {"tenants.apikey", "tenants.limit", "audit.auditentry"}
    }
    if not may_look(person, "tenants.membership") and not may_look(person, "catalog.accessrequest"):
        # Who asks for access is named to whoever decides.
        hidden.add(full_lab.person.email)
    for label in PAGES:
        if may_look(person, label):
            for term in ("lab-marker", full_lab.person.email, full_lab.project.slug):
                answer = client.get(changelist(label), {"q": term})
                assert answer.status_code == 200, f"{label}?q={term}"
                text = text_of(answer).replace(f'value="{term}"', "")
                # An empty list repeats what narrows it.
                text = re.sub(r'data-empty="narrowed">.*?Show everything', "", text, flags=re.DOTALL)
                leaked = [mark for mark in hidden if mark in text]
                assert not leaked, f"{person.name} {label}?q={term}"


@pytest.mark.timeout(900)
def test_no_filter_in_an_address_reaches_past_the_list(desk):
    client, person = desk
    for label in PAGES:
        if may_look(person, label):
            for lookup in PRYING:
                with questions() as asked:
                    answer = client.get(changelist(label), {lookup: "a"})
                # A page of our own takes no lookups at all.
                is_list = "cl" in (answer.context or {})
                assert answer.status_code in (302, 400) or not is_list, f"{label}?{lookup}"
                secret = lookup.split("__")[-2]
                assert not [one for one in asked if f'"{secret}"::text LIKE' in one], f"{label}?{lookup}"
                if not is_list:
                    break


def test_autocomplete_answers_for_what_the_role_may_see(desk, full_lab):
    """No page uses it so far; the address is there all the same."""
    client, person = desk
    for label in PAGES:
        model = apps.get_model(label)
        for field in model._meta.get_fields():
            if not isinstance(field, ForeignKey):
                continue
            asked = {"app_label": model._meta.app_label, "model_name": model._meta.model_name,
                     "field_name": field.name, "term": ""}  # fmt: skip
            answer = client.get(reverse("admin:autocomplete"), asked)
            target = field.related_model._meta.label_lower
            if not (target in PAGES and may_look(person, target)):
                assert answer.status_code in (403, 404), f"{person.name} {label}.{field.name}"
            else:
                assert answer.status_code in (200, 403, 404), f"{person.name} {label}.{field.name}"


def test_who_is_no_longer_staff_sees_nothing(desk, full_lab):
    client, person = desk
    type(person).objects.filter(pk=person.pk).update(is_staff=False)
    for label in PAGES:
        assert client.get(changelist(label)).status_code == 302
    assert client.get("/api/v1/tenants/").json()["results"] == []
    assert client.get("/t/lab/").status_code == 404


def test_staff_see_on_a_tenants_pages_what_their_role_covers(desk, full_lab):
    """Staff see tenants as their role says: a reviewer opens no keys, a controller no requests."""
    client, person = desk
    lists = {"tenants.apikey": "/api/v1/keys/", "catalog.grant": "/api/v1/grants/",
             "catalog.accessrequest": "/api/v1/access-requests/", "audit.auditentry": "/api/v1/audit/"}  # fmt: skip
    for label, path in lists.items():
        model = apps.get_model(label)
        answer = client.get(path)
        if not (person.staff_roles & model.visible_to_staff):
            assert answer.status_code == 403 or answer.json()["results"] == [], f"{person.name} {path}"
    assert Tenant.objects.visible_to(person).exists()
