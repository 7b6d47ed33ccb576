"""How the isolation walk goes: which routes there are, their addresses, and how answers are compared."""

from __future__ import annotations

import re
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape
from django.utils.text import slugify

from tests.factories import ProjectFactory, TenantFactory, member_of
from tests.routes import all_routes
from tests.url_arguments import OPEN, PARAMETERS, SKIPPED, TENANT_OWNED, Lab

ROUTES = [route for route in all_routes() if route.name not in SKIPPED]
GUARDED = [
    route for route in ROUTES if route.name not in OPEN and not (route.is_internal or route.is_directory)
]
PORTAL = [route for route in GUARDED if route.is_portal]
API = [route for route in GUARDED if route.is_api]
ADMIN = [route for route in GUARDED if route.is_admin]
ACCOUNT = [route for route in GUARDED if not (route.is_portal or route.is_api or route.is_admin)]
HTMX = {"HX-Request": "true", "HX-Target": "main"}


def fill_lab(lab, person):
    """The lab with one row of everything."""
    full_lab = Lab(lab, ProjectFactory(tenant=lab, slug="ebb-tide", name="lab-marker project"), person)
    full_lab.fill_everything()
    return full_lab


class Cast:
    """The lab with one row of everything, two of its people, and a stranger: what tests that only look can share."""

    def __init__(self):
        lab = TenantFactory(slug="lab", name="Lab")
        self.developer = member_of(lab, "developer", name="Dana Developer")
        self.owner = member_of(lab, "owner", name="Olu Owner")
        elsewhere = TenantFactory(slug="elsewhere", name="Elsewhere")
        self.stranger = member_of(elsewhere, "owner", name="Sam Stranger")
        self.full_lab = fill_lab(lab, self.developer)


def address(route, lab, **given):
    """The route's address, filled with the lab's rows."""
    values = {}
    for parameter in route.parameters:
        if parameter in given:
            values[parameter] = given[parameter]
        elif route.model is not None and parameter in keys_of(route):
            values[parameter] = _key(route, parameter, lab)
        elif parameter in PARAMETERS:
            values[parameter] = PARAMETERS[parameter](lab)
        elif route.is_internal:
            values[parameter] = str(lab.person.pk)
        else:
            pytest.fail(
                f"The isolation walk cannot fill <{parameter}> of {route}. If it is the key of a row, give the view a "
                f"`model`; else add {parameter!r} to PARAMETERS in tests/url_arguments.py.",
                pytrace=False,
            )
    return "/" + route.path % values


def _key(route, parameter, lab):
    if route.model._meta.app_label not in settings.OUR_APPS:
        # A library's rows belong to no tenant.
        return "1"
    return route.key_of(lab.row(route.model._meta.label_lower), parameter)


def keys_of(route):
    """Names under which a route takes the key of its own model's row."""
    view = route.view
    names = {"pk", "object_id", "uuid", "id"}
    names |= {getattr(view, name, None) for name in ("lookup_url_kwarg", "lookup_field", "slug_url_kwarg")}
    return names - {"tenant"} if route.is_portal else names


def owned_model(route):
    """The tenant-owned model whose rows the route shows, if it says so."""
    is_owned = route.model is not None and route.model._meta.label_lower in TENANT_OWNED
    return route.model if is_owned else None


def row_of(route, lab):
    """Whether the lab's row is in the route's address, and the tenant's own."""
    return owned_model(route) is not None and any(name in keys_of(route) for name in route.parameters)


def ask(client, method, url, headers=None):
    body = {} if method == "get" else {"data": "{}", "content_type": "application/json"}
    return getattr(client, method)(url, headers=headers, **body)


def text_of(response):
    return response.getvalue().decode(errors="replace")


def assert_silent(response, lab):
    leaked = [marker for marker in lab.markers() if marker in text_of(response)]
    assert not leaked, f"{response.request['PATH_INFO']} shows {leaked} to somebody from elsewhere"


@contextmanager
def undone():
    """Whatever is written within is as if it had never been."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def snapshot_of_tenants(tenant=None):
    """Every row of every table that tenants own, as text; of one tenant alone if it is given."""
    found = []
    with connection.cursor() as cursor:
        for label in sorted(TENANT_OWNED):
            table = apps.get_model(label)._meta.db_table
            cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')
            found += [(table, row) for (row,) in cursor.fetchall()]
    return [(table, row) for table, row in found if tenant is None or str(tenant.pk) in row]


# What differs between two answers to the same question, and tells nothing.
_NOISE = [
    # When a page was printed.
    (re.compile(r"\d\d:\d\d:\d\d UTC"), "moment"),
    (re.compile(r'(csrfmiddlewaretoken" value=|X-CSRFToken": )"\w+"'), "csrf"),
    (re.compile(r'nonce="[^"]+"'), "nonce"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "uuid"),
    (re.compile(r"qm[a-z]?_[\w-]{5,60}"), "secret"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.]*(?:Z|\+00:00)?"), "moment"),
    (re.compile(r">[\d.]+ m?s<"), ">duration<"),
]


def plainly(response, *values):
    """Status, headers that speak, and body of an answer, without what differs by nature and without `values`."""
    speaking = ("Content-Type", "Location", "WWW-Authenticate", "HX-Redirect")
    text = "\n".join([*(f"{name}: {response.headers.get(name)}" for name in speaking), text_of(response)])
    for value in values:
        for written in {value, quote(value), quote_plus(value), escape(value), slugify(value)}:
            text = re.sub(
                rf"(?<![A-Za-z0-9]){re.escape(written)}(?![A-Za-z0-9])", "said", text, flags=re.IGNORECASE
            )
    for pattern, name in _NOISE:
        text = pattern.sub(name, text)
    return response.status_code, text


@contextmanager
def questions():
    """The questions that are put to the database within, in order, without the values in them."""
    found = []
    with CaptureQueriesContext(connection) as captured:
        yield found
    for query in captured:
        text = re.sub(r"'[^']*'(::\w+)?|\b\d+\b", "?", query["sql"])
        found.append(re.sub(r"\s+", " ", re.sub(r"\?(, \?)+", "?", text)))
