"""The HTTP API describes itself, completely and without a warning."""

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator

pytestmark = pytest.mark.django_db


def test_the_schema_is_valid_and_has_no_warnings(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))
    assert "/api/v1/access-requests/" in (tmp_path / "schema.yml").read_text()


def test_the_readable_docs_run_under_the_strict_policy(client, developer):
    client.force_login(developer)
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    assert "<script>" not in page.content.decode(), "an inline script would be blocked"


def test_a_body_has_no_fields_but_those_that_are_named():
    document = SchemaGenerator().get_schema(request=None, public=True)
    todo = [
        (f"{method} {path}", way["requestBody"])
        for path, ways in document["paths"].items()
        for method, way in ways.items()
        if "requestBody" in way
    ]
    assert len(todo) > 40
    said, names = {}, set()
    while todo:
        place, node = todo.pop()
        name = node.get("$ref", "").removeprefix("#/components/schemas/")
        if name and name not in names:
            names.add(name)
            todo.append((name, document["components"]["schemas"][name]))
        if "properties" in node:
            said[place] = node.get("additionalProperties")
        for one in node.values():
            several = one if isinstance(one, list) else [one]
            todo += [(f"{place}, within", each) for each in several if isinstance(each, dict)]
    assert {place for place, allowed in said.items() if allowed is not False} == set()
    assert {"NewAccessRequest", "PatchedSetLimits", "Numbers", "WantedEntry"} <= said.keys()
