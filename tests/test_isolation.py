"""Nobody sees over the wall: every page, API route and admin page, as a stranger, as nobody, and as a plain member.

The walk reads the URL configuration, so a new route is tested by existing. If it cannot fill the route's
address it fails and says what to add to tests/isolation_fillers.py.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from tenants.actions.scim_tokens import issue_scim_token
from tests.factories import ProjectFactory
from tests.isolation_fillers import OPEN, PARAMETERS, SKIPPED, TENANT_OWNED, Lab
from tests.routes import all_routes

ROUTES = [route for route in all_routes() if route.name not in SKIPPED]
GUARDED = [
    route for route in ROUTES if route.name not in OPEN and not (route.is_internal or route.is_directory)
]
PORTAL = [route for route in GUARDED if route.is_portal]
API = [route for route in GUARDED if route.is_api]
ADMIN = [route for route in GUARDED if route.is_admin]
OUR_APPS = {"tenants", "billing", "catalog", "deployments", "gateway"}
HTMX = {"HX-Request": "true"}


def each(routes):
    return pytest.mark.parametrize("route", routes, ids=str)


@pytest.fixture
def walled(lab, developer):
    """The lab with one row of everything."""
    project = ProjectFactory(tenant=lab, slug="marked", name="lab-marker project")
    walled = Lab(lab, project, developer)
    walled.fill_everything()
    return walled


def address(route, lab, **given):
    """The route's address, filled with the lab's rows."""
    values = {}
    for parameter in route.parameters:
        if parameter in given:
            values[parameter] = given[parameter]
        elif route.model is not None and parameter in _keys(route):
            values[parameter] = _key(route, parameter, lab)
        elif parameter in PARAMETERS:
            values[parameter] = PARAMETERS[parameter](lab)
        else:
            pytest.fail(
                f"The isolation walk cannot fill <{parameter}> of {route}. If it is the key of a row, give the view a "
                f"`model`; else add {parameter!r} to PARAMETERS in tests/isolation_fillers.py.",
                pytrace=False,
            )
    return "/" + route.path % values


def _key(route, parameter, lab):
    if route.model._meta.app_label not in OUR_APPS:
        return "1"  # a library's rows belong to no tenant
    return route.key_of(lab.row(route.model._meta.label_lower), parameter)


def _keys(route):
    """Names under which a route takes the key of its own model's row."""
    view = route.view
    names = {"pk", "object_id", "uuid", "id"}
    names |= {getattr(view, name, None) for name in ("lookup_url_kwarg", "lookup_field", "slug_url_kwarg")}
    return names - {"tenant"} if route.is_portal else names


def row_of(route, lab):
    """The lab's row in the route's address, if it is the tenant's own."""
    label = route.model._meta.label_lower if route.model is not None else ""
    return label in TENANT_OWNED and any(parameter in _keys(route) for parameter in route.parameters)


def ask(client, method, url):
    body = {} if method == "get" else {"data": "{}", "content_type": "application/json"}
    return getattr(client, method)(url, **body)


def assert_silent(response, lab):
    text = response.getvalue().decode(errors="replace")
    leaked = [marker for marker in lab.markers() if marker in text]
    assert not leaked, f"{response.request['PATH_INFO']} shows {leaked} to somebody from elsewhere"


def test_the_walk_finds_the_routes_it_is_for():
    names = {route.name for route in ROUTES}
    assert {
        "request-detail",
        "key-claim",
        "api-access-request-detail",
        "admin:catalog_review_change",
    } <= names
    assert len(PORTAL) > 10
    assert len(API) > 20
    assert len(ADMIN) > 20


def test_what_is_open_to_anybody_is_still_there():
    names = {route.name for route in ROUTES} | set(SKIPPED)
    assert names >= set(OPEN), "Take routes that are gone out of OPEN in tests/isolation_fillers.py"


@each(PORTAL)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_stranger_finds_no_page_of_the_lab(client, walled, stranger, route, headers):
    client.force_login(stranger)
    url = address(route, walled)
    for method in ("get", "post"):
        response = getattr(client, method)(url, headers=headers)
        assert response.status_code in (404, 405), f"{method} {url}"
        if response.status_code == 404:
            assert "lab-marker" not in response.content.decode()


@each([route for route in PORTAL if "tenant" in route.parameters])
def test_a_strangers_own_pages_show_nothing_of_the_lab(client, walled, stranger, route):
    client.force_login(stranger)
    url = address(route, walled, tenant="elsewhere")
    for method in ("get", "post"):
        response = getattr(client, method)(url)
        if row_of(route, walled):
            assert response.status_code in (404, 405), f"{method} {url}"
        else:
            assert response.status_code < 500, f"{method} {url}"
            assert_silent(response, walled)


@each(API)
def test_a_stranger_finds_nothing_of_the_lab_in_the_api(client, walled, stranger, route):
    client.force_login(stranger)
    url = address(route, walled)
    for method in route.methods:
        response = ask(client, method, url)
        if row_of(route, walled):
            assert response.status_code in (404, 405), f"{method} {url}: {response.content[:200]!r}"
        else:
            assert response.status_code < 500, f"{method} {url}"
            assert_silent(response, walled)


@each(ADMIN)
def test_staff_pages_are_for_staff(client, walled, developer, owner, route):
    url = address(route, walled)
    for person in (developer, owner):
        client.force_login(person)
        for method in ("get", "post"):
            response = getattr(client, method)(url)
            assert response.status_code in (302, 403, 404, 405), f"{method} {url}"
            if response.status_code == 302:
                assert response["Location"].startswith("/admin/login/") or response["Location"].startswith(
                    f"{url}/"
                ), response["Location"]


@each(GUARDED)
def test_nobody_in_particular_is_sent_to_sign_in(client, walled, route):
    url = address(route, walled)
    for method in route.methods:
        response = ask(client, method, url)
        assert response.status_code in (301, 302, 401, 403, 404, 405), f"{method} {url}"
        if response.status_code == 302:
            assert "/login/" in response["Location"]
        if route.is_api:
            assert response.status_code == 401
        elif not route.is_admin:
            assert response.status_code in (302, 405), f"{method} {url}"
        if response.status_code != 302 and response.content:
            assert_silent(response, walled)


def test_gateways_show_their_token(client, walled, owner):
    client.force_login(owner)
    for route in ROUTES:
        if route.is_internal:
            for method in ("get", "post"):
                response = ask(client, method, address(route, walled))
                assert response.status_code in (401, 403, 404, 405), f"{method} {route}"


def test_directories_show_their_token(client, walled, owner):
    routes = [route for route in ROUTES if route.is_directory]
    assert {"scim-user", "scim-group", "scim-users", "scim-unknown"} <= {route.name for route in routes}
    client.force_login(owner)
    for route in routes:
        for method in ("get", "post", "put", "patch", "delete"):
            response = ask(client, method, address(route, walled))
            assert response.status_code == 401, f"{method} {route}"
            assert_silent(response, walled)


def test_a_directory_with_its_token_sees_people_and_nothing_of_any_tenant(client, walled):
    _token, secret = issue_scim_token("Directory", life=timedelta(days=1), by=None)
    for route in ROUTES:
        if route.is_directory:
            response = client.get(address(route, walled), headers={"Authorization": f"Bearer {secret}"})
            assert response.status_code in (200, 404, 405, 501), route
            assert_silent(response, walled)


def test_the_walk_changed_nothing(client, walled, stranger):
    """Whatever a stranger posts, the lab's rows stay as they are."""

    def everything():
        with connection.cursor() as cursor:
            found = []
            for table in (
                "tenants_apikey",
                "catalog_accessrequest",
                "catalog_review",
                "catalog_grant",
                "tenants_limit",
            ):
                cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
                found += cursor.fetchall()
            return found

    client.force_login(stranger)
    before = everything()
    for route in [*PORTAL, *API]:
        ask(client, "post", address(route, walled))
    assert everything() == before
