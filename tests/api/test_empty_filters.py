"""A filter of the API that is there and says nothing is refused by name: no filter would show everything.

`?tenant=$TENANT` with an empty variable is such a filter, and so is `?in_force=treu`. Routes and their parameters come
from the OpenAPI document. A new filter is tested by existing.
"""

from __future__ import annotations

import pytest
from drf_spectacular.generators import SchemaGenerator

from tests.factories import ApiKeyFactory, CatalogModelFactory, ProjectFactory
from tests.isolation.sweep import API, address, fill_lab

pytestmark = pytest.mark.django_db
# Not filters: the place in a list, and the format of the answer.
PLACES = {"cursor", "page_size", "before", "after", "format"}
# They mean something if they are empty: no words find everything, and without a group there is the total alone.
MEANINGFUL = {"q", "group_by"}


def filters_of_the_api(client, lab, developer):
    """(address, name, type) of each filter of each GET route."""
    full_lab = fill_lab(lab, developer)
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    for route in API:
        document = paths.get("/" + route.path % {name: f"{{{name}}}" for name in route.parameters})
        document = document or paths.get("/" + route.path % dict.fromkeys(route.parameters, "{id}"), {})
        for one in document.get("get", {}).get("parameters", []):
            if one["in"] == "query" and one["name"] not in PLACES:
                yield address(route, full_lab), one["name"], one["schema"]["type"]


@pytest.fixture
def filters(client, lab, owner, developer):
    found = list(filters_of_the_api(client, lab, developer))
    client.force_login(owner)
    return found


@pytest.mark.parametrize("empty", ["", "%20%09"])
def test_an_empty_filter_is_refused_by_name(client, filters, empty):
    seen = set()
    for url, name, _ in filters:
        answer = client.get(f"{url}?{name}={empty}")
        if name in MEANINGFUL:
            errors = answer.json().get("errors", {}) if answer.status_code == 400 else {}
            assert name not in errors, f"{url}?{name}="
        elif answer.status_code != 403:
            assert answer.status_code == 400, f"{url}?{name}={empty}: {answer.status_code}"
            # Where parameters are missing as well, `errors` may name those first.
            assert name in answer.json()["errors"] or "tenant" in answer.json()["errors"]
            seen.add(name)
    assert {"tenant", "project", "state", "mine", "in_force", "mode", "capability", "verb"} <= seen


def test_a_filter_that_is_true_or_false_takes_no_other_word(client, filters):
    asked = [(url, name) for url, name, kind in filters if kind == "boolean"]
    assert {name for _, name in asked} >= {"mine", "in_force", "is_enabled"}
    for url, name in asked:
        for word in ("treu", "yes", "2", "null"):
            answer = client.get(f"{url}?{name}={word}")
            if answer.status_code != 403:
                assert answer.json()["errors"] == {name: ["This filter is true or false."]}, url
        for word in ("true", "False", "1", "0"):
            assert client.get(f"{url}?{name}={word}").status_code in (200, 403)


def test_an_empty_tenant_shows_no_other_tenants_keys(client, lab, owner, operator):
    """The people whom it would mislead see several tenants."""
    ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab))
    client.force_login(operator)
    answer = client.get("/api/v1/keys/?tenant=")
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"tenant": ["This filter is empty. Give it a value, or leave it out."]}


def test_one_empty_value_of_several_is_refused_too(client, owner):
    client.force_login(owner)
    answer = client.get("/api/v1/models/?capability=vision&capability=")
    assert list(answer.json()["errors"]) == ["capability"]


def test_no_words_find_everything(client, owner):
    CatalogModelFactory()
    client.force_login(owner)
    everything = client.get("/api/v1/models/").json()["results"]
    assert everything
    assert client.get("/api/v1/models/?q=").json()["results"] == everything
