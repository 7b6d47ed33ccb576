"""The API refuses a field that it would ignore, by its name: a typing error must not look like a success.

The OpenAPI document says so of each body, too. The routes, and bodies that succeed, are those of the role matrix
(tests/actions/).
"""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft7Validator
from rest_framework.serializers import BaseSerializer, ListSerializer

from core.serializers import MOST_NAMED, RefusesUnknownFields, StrictSerializer
from tests.actions import ACTIONS
from tests.role_matrix import _filled, _lines
from tests.tenants.test_role_matrix import CASES, world  # noqa: F401

NAME = "no_such_field"
# What the reader of the documentation may put there: names of headers, and the facts that a reviewer has read.
FREE_FORM = {"extra_headers", "facts", "choices"}


def _one_who_may():
    found = {}
    for action, where, role, entry_point, documented in CASES:
        is_change = entry_point == "API" and not action.api.request.startswith(("GET", "DELETE"))
        if is_change and documented == {"done"}:
            found.setdefault(action.name, (where, role))
    return sorted((name, *who) for name, who in found.items())


def _places(body, path=()):
    """Where a body has fields of its own: the body itself, and objects in it."""
    if isinstance(body, dict):
        yield path
        for name, value in body.items():
            if name not in FREE_FORM:
                yield from _places(value, (*path, name))
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from _places(value, (*path, index))


def _at(body, path):
    for step in path:
        body = body[step]
    return body


@pytest.fixture(scope="module")
def document():
    return SchemaGenerator().get_schema(request=None, public=True)


def _surplus(document, method, path, body):
    """The places of `body` where the OpenAPI document allows no such field."""
    [route] = [
        ways[method.lower()]
        for template, ways in document["paths"].items()
        if method.lower() in ways and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    ]
    schema = {"additionalProperties": False}
    if "requestBody" in route:
        schema = route["requestBody"]["content"]["application/json"]["schema"]
    errors = Draft7Validator({**schema, "components": document["components"]}).iter_errors(body)
    return [tuple(error.absolute_path) for error in errors if error.validator == "additionalProperties"]


@pytest.mark.parametrize(("name", "where", "role"), _one_who_may())
def test_every_route_refuses_a_field_that_it_does_not_read(world, db, document, name, where, role):  # noqa: F811
    way, actor = ACTIONS[name].api, world.crowd(where)[role]
    it = ACTIONS[name].subject(world, actor)
    lines = _lines().count()
    method, _, path = way.request.partition(" ")
    path = path.format(w=world, it=it)

    def body():
        return way.data(world, it) if callable(way.data) else _filled(way.data or {}, world, it)

    assert _surplus(document, method, path, body()) == []
    for place in _places(body()):
        sent = body()
        _at(sent, place)[NAME] = 1
        assert _surplus(document, method, path, sent) == [place], "the OpenAPI document says otherwise"
        client = world.browsers[actor.pk]
        answer = getattr(client, method.lower())(path, sent, content_type="application/json")
        assert answer.status_code == 400, (place, answer.status_code, answer.content[:300])
        # REST framework names the places of a list by their number, as text.
        errors = _at(answer.json()["errors"], map(str, place))
        assert list(errors) == [NAME], errors
    assert _lines().count() == lines


def test_the_sweep_reaches_most_routes():
    assert len(_one_who_may()) > 45


def test_every_serializer_refuses_unknown_fields():
    for app in settings.OUR_APPS:
        for module in pkgutil.walk_packages([app], prefix=f"{app}."):
            if "api" in module.name or "serializers" in module.name:
                importlib.import_module(module.name)
    found, todo = set(), [BaseSerializer]
    while todo:
        todo += (subclasses := todo.pop().__subclasses__())
        found |= {one for one in subclasses if one.__module__.partition(".")[0] in settings.OUR_APPS}
    assert len(found) > 80
    lax = {one for one in found if not issubclass(one, RefusesUnknownFields | ListSerializer)}
    assert not lax, f"{lax}: derive them from core.serializers, which names fields that it does not know."


def test_an_answer_names_a_few_unknown_fields_and_all_wrong_ones():
    class Wanted(StrictSerializer):
        from rest_framework.serializers import IntegerField

        size = IntegerField()
        made = IntegerField(read_only=True)

    wanted = Wanted(data={"size": "x", "made": 1, "y" * 1000: 1} | {f"f{n}": n for n in range(1000)})
    assert not wanted.is_valid()
    assert {"size", "made", "y" * 80, "f0"} <= wanted.errors.keys()
    assert "cannot be set" in wanted.errors["made"][0]
    assert len(wanted.errors) == MOST_NAMED + 1
