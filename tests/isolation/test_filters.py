"""A filter that is given something foreign answers as if that had never been.

Parameters are found, not listed: the API's in its own OpenAPI document, the pages' by watching what they ask of
the request. A new filter is tested by existing.
"""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.http import QueryDict
from drf_spectacular.generators import SchemaGenerator

from tests.isolation.sweep import (
    ACCOUNT,
    API,
    HTMX,
    PORTAL,
    address,
    assert_silent,
    plainly,
    row_of,
)

pytestmark = pytest.mark.django_db
PAGING = {"cursor", "page_size"}


def parameters_of_the_api():
    """By path, the query parameters of each GET route, from the OpenAPI document."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {
        path: [one for one in said["get"].get("parameters", []) if one["in"] == "query"]
        for path, said in paths.items()
        if "get" in said
    }


def usual(parameter, tenant):
    """A value that suits a required parameter."""
    if parameter["name"] == "tenant":
        return tenant
    return {"date": "2026-10-01"}.get(parameter["schema"].get("format"), "")


def test_the_sweep_finds_the_filters_it_is_for():
    found = {path: {one["name"] for one in said} for path, said in parameters_of_the_api().items()}
    assert {"tenant", "project"} <= found["/api/v1/keys/"]
    assert {"subject_id", "verb"} <= found["/api/v1/audit/"]
    assert {"group_by", "project", "start"} <= found["/api/v1/costs/"]


def test_a_filter_of_the_api_knows_nothing_foreign(client, full_lab, stranger, foreign_and_never):
    client.force_login(stranger)
    documented = parameters_of_the_api()
    for route in API:
        url = address(route, full_lab)
        said = documented.get(url, [])
        needed = {one["name"]: usual(one, "elsewhere") for one in said if one.get("required")}
        for name in {one["name"] for one in said} - PAGING:
            for foreign, never in foreign_and_never:
                seen = client.get(f"{url}?{urlencode(needed | {name: foreign})}")
                unseen = client.get(f"{url}?{urlencode(needed | {name: never})}")
                assert plainly(seen, foreign) == plainly(unseen, never), f"{url}?{name}={foreign}"


@pytest.fixture
def asked_of_requests(monkeypatch):
    """The names that views ask of a query, as they ask them."""
    names = set()
    for reader in ("get", "getlist", "__getitem__", "__contains__"):
        original = getattr(QueryDict, reader)

        def watched(self, key, *rest, original=original, **also):
            names.add(key)
            return original(self, key, *rest, **also)

        monkeypatch.setattr(QueryDict, reader, watched)
    return names


def test_a_filter_of_a_page_knows_nothing_foreign(
    client, full_lab, stranger, foreign_and_never, asked_of_requests
):
    client.force_login(stranger)
    found = {}
    for route in [*PORTAL, *ACCOUNT]:
        if row_of(route, full_lab):
            continue
        url = address(route, full_lab, tenant="elsewhere")
        asked_of_requests.clear()
        if client.get(url).status_code == 405:
            continue
        found[route.name] = names = asked_of_requests - {"csrfmiddlewaretoken"}
        for name in sorted(names):
            for foreign, never in foreign_and_never:
                seen = client.get(url, {name: foreign}, headers=HTMX)
                unseen = client.get(url, {name: never}, headers=HTMX)
                assert plainly(seen, foreign) == plainly(unseen, never), f"{url}?{name}={foreign}"
    assert {"month", "project"} <= found["cost"]
    assert {"before", "after", "tab"} <= found["key-list"]
    assert "q" in found["model-list"]


def test_a_place_in_one_tenants_list_is_none_in_anothers(client, full_lab, stranger, owner):
    """A cursor of the lab's, used elsewhere, leads to nothing of the lab."""
    client.force_login(owner)
    path = "/api/v1/projects/?page_size=1"
    cursor = client.get(path).json()["next"]
    client.force_login(stranger)
    assert_silent(client.get(cursor or path), full_lab)
