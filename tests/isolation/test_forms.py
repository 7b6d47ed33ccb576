"""No form offers a foreign row, and none takes one: neither a page's nor the API's."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import product

import pytest
from django import forms
from django.forms.models import ModelChoiceField
from django.utils.timezone import now
from drf_spectacular.generators import SchemaGenerator

from tests.isolation.sweep import (
    ACCOUNT,
    API,
    PORTAL,
    address,
    plainly,
    row_of,
    text_of,
    undone,
)
from tests.url_arguments import TENANT_OWNED

pytestmark = pytest.mark.django_db
# Some that there are.
CHOICES = {
    ("request-new", "project"),
    ("export-new", "project"),
    ("token-new", "tenant"),
}


def forms_on(response):
    """The forms that a page was made with."""
    found = {}
    for layer in response.context or []:
        for named in layer:
            found |= (
                {id(value): value for value in named.values() if isinstance(value, forms.BaseForm)}
                if hasattr(named, "values")
                else {}
            )
    return list(found.values())


def test_no_page_offers_or_takes_a_foreign_choice(client, full_lab, stranger):
    client.force_login(stranger)
    foreign = {label: full_lab.row(label) for label in (*TENANT_OWNED, "accounts.user")}
    seen = set()
    for route in [*PORTAL, *ACCOUNT]:
        if row_of(route, full_lab) or "get" not in route.methods:
            continue
        url = address(route, full_lab, tenant="elsewhere")
        for form in forms_on(client.get(url)):
            for name, field in form.fields.items():
                if not isinstance(field, ModelChoiceField):
                    continue
                seen.add((route.name, name))
                row = foreign[field.queryset.model._meta.label_lower]
                assert row not in field.queryset, f"{url} offers {row} as {name}"
                assert_refused(client, url, form, name, getattr(row, field.to_field_name or "pk"), full_lab)
    assert seen >= CHOICES


def assert_refused(client, url, form, name, value, full_lab):
    """Posting `value` as `name` is wrong input, and the answer says nothing of the foreign row."""
    filled = {one: form.get_initial_for_field(field, one) or "1" for one, field in form.fields.items()}
    with undone():
        answer = client.post(url, filled | {form.add_prefix(name): str(value)})
    assert answer.status_code in (400, 403, 404, 405, 422), f"{url} took a foreign {name}"
    text = text_of(answer).replace(str(value), "")
    assert "lab-marker" not in text
    assert full_lab.person.email not in text


def bodies_of_the_api():
    """(method, path template, schema of the body) of every route of the API that reads one."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    for path, said in document["paths"].items():
        for method, action in said.items():
            content = action.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                yield method, path, resolved(document, content["application/json"]["schema"])


def resolved(document, schema):
    while "$ref" in schema or "allOf" in schema:
        schema = schema["allOf"][0] if "allOf" in schema else schema
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return (
        schema
        | {
            "properties": {
                name: resolved(document, one) if ("$ref" in one or "allOf" in one) else one
                for name, one in schema.get("properties", {}).items()
            }
        }
        if "properties" in schema
        else schema
    )


def plausible(schema):
    """A value that a property of this schema might have."""
    if "enum" in schema:
        return schema["enum"][0]
    next_week = (now() + timedelta(days=7)).isoformat()
    kind = {"date": "2026-10-01", "date-time": next_week}.get(schema.get("format"))
    if kind:
        return kind
    return {"integer": 1, "boolean": True, "array": [], "object": {}}.get(schema.get("type"), "words")


def test_no_route_of_the_api_takes_a_foreign_row(client, full_lab, stranger, foreign_and_never):
    """What is posted about a foreign row gets the answer that a row gets which never was."""
    client.force_login(stranger)
    routes = {(method, "/" + route.path % dict.fromkeys(route.parameters, "{}")): route
              for route in API for method in route.methods}  # fmt: skip
    asked = set()
    for method, path, schema in bodies_of_the_api():
        template = "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
        route = routes[method, template]
        if row_of(route, full_lab):
            # 404 before the body is read: the walk itself.
            continue
        texts = [
            name for name, one in schema.get("properties", {}).items()
            if one.get("type") == "string" and not one.get("enum")
        ]  # fmt: skip
        body = {name: plausible(one) for name, one in schema["properties"].items()}
        body |= {"tenant": "elsewhere"} if "tenant" in body else {}
        for name, (foreign, never) in product(texts, foreign_and_never):
            asked.add((path, name))
            answers = []
            for value in (foreign, never):
                with undone():
                    answer = client.generic(
                        method.upper(),
                        address(route, full_lab),
                        json.dumps(body | {name: value}),
                        "application/json",
                    )
                answers.append(plainly(answer, value))
            assert answers[0] == answers[1], f"{method} {path} {name}={foreign}"
    assert asked >= {
        ("/api/v1/access-requests/", "project"), ("/api/v1/exports/", "tenant"), ("/api/v1/exports/", "project"),
        ("/api/v1/tokens/", "tenant"), ("/api/v1/tokens/", "service_account"),
    }  # fmt: skip
