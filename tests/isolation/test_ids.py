"""Nobody guesses an address: what stands in one is a slug or a UUID of version 7, never a sequence."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from django.conf import settings
from django.db.models import UUIDField

from audit.models.entries import NewEntryId
from core.ids import uuid7
from tests.isolation.sweep import ACCOUNT, ADMIN, API, PORTAL, keys_of
from tests.url_arguments import OPAQUE_PARAMETERS

SLUGS = {
    "tenant": "a tenant's slug",
    "name": "a model's public name, the same for everybody",
    "kind": "what is suggested, one of a few words",
}


# Staff who see one see all of them, so a number tells nothing.
NUMBERED = {
    "billing.usagekind": "its number stands in the ledger, as packed usage",
    "tenants.configchange": "its number is what gateways, usage events and alarms call it",
}


def ours(route):
    return route.model is not None and route.model._meta.app_label in settings.OUR_APPS


def is_version_7(key):
    """By our clock, or by the database's (tests/audit/test_times.py looks at those)."""
    return isinstance(key, UUIDField) and (key.default is uuid7 or isinstance(key.db_default, NewEntryId))


@pytest.mark.parametrize("route", [*PORTAL, *ACCOUNT, *API], ids=str)
def test_what_stands_in_an_address_is_no_number(route):
    for parameter in route.parameters:
        if parameter in SLUGS or parameter in OPAQUE_PARAMETERS:
            continue
        assert route.model is not None, f"Say which model <{parameter}> of {route} is the key of"
        assert parameter in keys_of(route), parameter
        field = getattr(route.view, "lookup_field", "pk") if route.is_api else "pk"
        key = route.model._meta.pk if field == "pk" else route.model._meta.get_field(field)
        is_slug = field in ("slug", "name", "code")
        assert is_slug or is_version_7(key), f"{route}: {key}"


@pytest.mark.parametrize("route", [route for route in ADMIN if ours(route) and route.parameters], ids=str)
def test_nor_on_the_staff_site(route):
    key = route.model._meta.pk
    is_numbered = route.model._meta.label_lower in NUMBERED
    assert is_numbered or is_version_7(key), f"{route.model} is addressed by {key}"


def test_a_uuid_of_version_7_says_when_and_no_more():
    """74 bits of it are random: knowing one tells no other of the same millisecond."""
    many = {uuid7() for _ in range(1000)}
    assert len(many) == 1000
    assert {one.version for one in many} == {7}
    tails = {re.sub("-", "", str(one))[16:] for one in many}
    assert len(tails) == 1000
    assert all(isinstance(one, UUID) for one in many)
