"""The API refuses a query parameter that it would ignore, by its name: a filter with a typing error must not show more.

Routes come from the URL configuration, what each takes from its OpenAPI document. A new route is tested by existing.
"""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from drf_spectacular.generators import SchemaGenerator

from core.serializers import LONGEST_NAMED, MOST_NAMED
from tests.isolation.sweep import API, address, ask, fill_lab, undone

pytestmark = pytest.mark.django_db
UNKNOWN = "There is no such parameter here."
NONE_AT_ALL = "This address takes no parameters."
ONCE = "This parameter takes one value."


@pytest.fixture
def routes(client, lab, owner, developer):
    """(address, method, documented query parameters but `format`) of each route, for the owner, who is signed in."""
    full_lab = fill_lab(lab, developer)
    client.force_login(owner)
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    found = []
    for route in API:
        document = paths.get("/" + route.path % {name: f"{{{name}}}" for name in route.parameters})
        document = document or paths.get("/" + route.path % dict.fromkeys(route.parameters, "{id}"), {})
        for method in route.methods:
            if getattr(route.callback, "actions", None) or hasattr(route.view, method):
                said = document[method].get("parameters", [])
                # Whoever asks for a format that there is not is told so first: 404.
                query = [one for one in said if one["in"] == "query" and one["name"] != "format"]
                found.append((address(route, full_lab), method, query))
    return found


def errors_of(answer):
    problem = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
    return problem.get("errors", {}) if answer.status_code == 400 else {}


def test_every_route_refuses_a_parameter_that_it_does_not_read(client, routes):
    for url, method, documented in routes:
        answer = ask(client, method, f"{url}?tenent=lab")
        assert answer.status_code == 400, f"{method} {url}: {answer.status_code}"
        assert answer.headers["Content-Type"] == "application/problem+json"
        [said] = errors_of(answer).pop("tenent")
        names = ", ".join(sorted(one["name"] for one in documented))
        assert said == (f"{UNKNOWN} This address takes: {names}." if names else NONE_AT_ALL), (
            f"{method} {url}"
        )
    assert len(routes) > 110


def test_every_route_takes_what_its_document_says_once_unless_it_is_a_list(client, routes):
    lists, seen = set(), 0
    for url, method, documented in routes:
        for one in documented:
            with undone():
                answer = ask(client, method, f"{url}?{urlencode([(one['name'], 'a'), (one['name'], 'b')])}")
            said = errors_of(answer).get(one["name"])
            if one["schema"]["type"] == "array":
                lists.add((url, one["name"]))
                for refusal in (ONCE, UNKNOWN, NONE_AT_ALL):
                    assert refusal not in str(said)
            else:
                assert said == [ONCE], f"{url}?{one['name']}: {said}"
            seen += 1
    assert lists == {("/api/v1/models/", name) for name in ("mode", "provider", "region", "capability")}
    assert seen > 80


def test_each_language_says_it(client, owner):
    client.force_login(owner)
    answer = client.get("/api/v1/keys/?tenent=lab", headers={"Accept-Language": "zh-Hans"})
    assert errors_of(answer) == {
        "tenent": ["这里没有这个参数。此地址接受：cursor, page_size, project, tenant。"]
    }


def test_a_few_unknown_parameters_are_named_and_no_more_than_their_beginning(client, owner):
    client.force_login(owner)
    errors = errors_of(client.get("/api/v1/keys/?" + urlencode({f"{n:02}" * 200: n for n in range(99)})))
    assert len(errors) == MOST_NAMED
    assert all(len(name) == LONGEST_NAMED for name in errors)


def test_who_is_not_signed_in_learns_that_first(client):
    assert client.get("/api/v1/keys/?tenent=lab").status_code == 401


def test_a_method_that_there_is_not_is_said_to_be_so(client, owner):
    client.force_login(owner)
    assert client.delete("/api/v1/keys/?tenent=lab").status_code == 405


def test_an_answer_may_be_asked_for_by_its_format(client, owner):
    client.force_login(owner)
    assert client.get("/api/v1/keys/?format=json").status_code == 200
