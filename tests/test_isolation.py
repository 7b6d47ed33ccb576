"""No tenant sees another: every page, API route and admin page, as a stranger, as nobody, and as a plain member.

The walk reads the URL configuration, so a new route is tested by existing. If it cannot fill the route's
address it fails and says what to add to tests/url_arguments.py. It goes on in tests/isolation/.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from directory.actions.scim_tokens import issue_scim_token
from tests.databases import shared_rows
from tests.isolation.sweep import (
    ACCOUNT,
    ADMIN,
    API,
    GUARDED,
    HTMX,
    PORTAL,
    ROUTES,
    Cast,
    address,
    ask,
    assert_silent,
    row_of,
    snapshot_of_tenants,
)
from tests.url_arguments import OPEN, SKIPPED


def each(routes):
    return pytest.mark.parametrize("route", routes, ids=str)


@pytest.fixture(scope="module")
def cast(django_db_setup, django_db_blocker):
    yield from shared_rows(django_db_blocker, Cast)


@pytest.fixture
def full_lab(db, cast):
    """The lab with one row of everything."""
    return cast.full_lab


@pytest.fixture
def developer(db, cast):
    return cast.developer


@pytest.fixture
def owner(db, cast):
    return cast.owner


@pytest.fixture
def stranger(db, cast):
    return cast.stranger


def test_the_sweep_finds_the_routes_it_is_for():
    names = {route.name for route in ROUTES}
    assert {
        "request-detail",
        "key-claim",
        "api-access-request-detail",
        "admin:catalog_review_change",
        "token-revoke",
    } <= names
    assert len(PORTAL) > 10
    assert len(API) > 20
    assert len(ADMIN) > 20


def test_what_is_open_to_anybody_is_still_there():
    names = {route.name for route in ROUTES} | set(SKIPPED)
    assert names >= set(OPEN), "Take routes that are gone out of OPEN in tests/url_arguments.py"


@each(PORTAL)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_stranger_finds_no_page_of_the_lab(client, full_lab, stranger, route, headers):
    client.force_login(stranger)
    url = address(route, full_lab)
    for method in ("get", "post"):
        response = getattr(client, method)(url, headers=headers)
        assert response.status_code in (404, 405), f"{method} {url}"
        if response.status_code == 404:
            assert "lab-marker" not in response.content.decode()


@each([route for route in PORTAL if "tenant" in route.parameters])
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_strangers_own_pages_show_nothing_of_the_lab(client, full_lab, stranger, route, headers):
    client.force_login(stranger)
    url = address(route, full_lab, tenant="elsewhere")
    for method in ("get", "post"):
        response = getattr(client, method)(url, headers=headers)
        if row_of(route, full_lab):
            assert response.status_code in (404, 405), f"{method} {url}"
        else:
            assert response.status_code < 500, f"{method} {url}"
            assert_silent(response, full_lab)


@each(ACCOUNT)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_the_pages_of_an_account_are_its_own(client, full_lab, stranger, route, headers):
    client.force_login(stranger)
    url = address(route, full_lab)
    for method in ("get", "post"):
        response = getattr(client, method)(url, headers=headers)
        if row_of(route, full_lab):
            assert response.status_code in (404, 405), f"{method} {url}"
        else:
            assert response.status_code < 500, f"{method} {url}"
            assert_silent(response, full_lab)


@each(API)
def test_a_stranger_finds_nothing_of_the_lab_in_the_api(client, full_lab, stranger, route):
    client.force_login(stranger)
    url = address(route, full_lab)
    for method in route.methods:
        response = ask(client, method, url)
        if row_of(route, full_lab):
            assert response.status_code in (404, 405), f"{method} {url}: {response.content[:200]!r}"
        else:
            assert response.status_code < 500, f"{method} {url}"
            assert_silent(response, full_lab)


@each(ADMIN)
def test_staff_pages_are_for_staff(client, full_lab, developer, owner, route):
    url = address(route, full_lab)
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
def test_nobody_in_particular_is_sent_to_sign_in(client, full_lab, route):
    url = address(route, full_lab)
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
            assert_silent(response, full_lab)


def test_gateways_show_their_token(client, full_lab, owner):
    client.force_login(owner)
    for route in ROUTES:
        if route.is_internal:
            for method in ("get", "post"):
                response = ask(client, method, address(route, full_lab))
                assert response.status_code in (401, 403, 404, 405), f"{method} {route}"


def test_directories_show_their_token(client, full_lab, owner):
    routes = [route for route in ROUTES if route.is_directory]
    assert {"scim-user", "scim-group", "scim-users", "scim-unknown"} <= {route.name for route in routes}
    client.force_login(owner)
    for route in routes:
        for method in ("get", "post", "put", "patch", "delete"):
            response = ask(client, method, address(route, full_lab))
            assert response.status_code == 401, f"{method} {route}"
            assert_silent(response, full_lab)


def test_a_directory_with_its_token_sees_people_and_nothing_of_any_tenant(client, full_lab):
    _token, secret = issue_scim_token("Directory", life=timedelta(days=1), by=None)
    for route in ROUTES:
        if route.is_directory:
            response = client.get(address(route, full_lab), headers={"Authorization": f"Bearer {secret}"})
            assert response.status_code in (200, 404, 405, 501), route
            text = response.getvalue().decode()
            leaked = [marker for marker in full_lab.markers() if "@" not in marker and marker in text]
            assert not leaked, f"{route} shows {leaked} of a tenant to a directory"


def test_the_sweep_changed_nothing(client, full_lab, stranger):
    """Whatever a stranger posts, the lab's rows stay as they are, and no new ones come to them."""
    before = snapshot_of_tenants(full_lab.tenant)
    for route in [*PORTAL, *API, *ACCOUNT]:
        for method in sorted({"post", *route.methods} - {"get"}):
            client.force_login(stranger)  # some routes end sessions
            ask(client, method, address(route, full_lab))
    assert snapshot_of_tenants(full_lab.tenant) == before
