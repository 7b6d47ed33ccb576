"""Every route of the HTTP API answers as its own OpenAPI document says, whatever it is sent.

Schemathesis reads the document and makes up requests, right and wrong ones. As an owner, a developer and an
operator each, by token: no answer is a 5xx, each has a documented status, and its body fits the schema.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice, product

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tenants.actions import issue_personal_access_token
from tests.isolation.sweep import API, address, fill_lab, undone

pytestmark = pytest.mark.django_db
EXAMPLES = (
    # Made-up requests a route, person and row; each is sent to a row that is there and to one that is not.
    6
)
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
UNSENDABLE = {"schema", "docs"}


@pytest.fixture(autouse=True)
def keep_the_connection():
    """A server gives its connection back between requests; here it holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(scope="module")
def document():
    return SchemaGenerator().get_schema(request=None, public=True)


def routes_by_template():
    """(method, path with {} for each parameter) of every route of the API."""
    return {
        (method.upper(), "/" + route.path % dict.fromkeys(route.parameters, "{}")): route
        for route in API
        for method in route.methods
        if getattr(route.callback, "actions", None) or hasattr(route.view, method)
    }


def template(path):
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("third", range(3))
def test_every_answer_is_as_the_document_says(
    document, lab, owner, developer, operator, third, tmp_path, settings
):
    settings.EXPORT_DIR = tmp_path
    full_lab = fill_lab(lab, developer)
    senders = {who.name: headers_of(who) for who in (owner, developer, operator)}
    schema = schemathesis.openapi.from_dict(document)
    schema.app = WSGIHandler()
    routes, refused = routes_by_template(), {}
    for found in islice(schema.get_all_operations(), third, None, 3):
        operation = found.ok()
        route = routes.get((operation.method.upper(), template(operation.path)))
        assert route is not None, (
            f"{operation.method} {operation.path} is documented and there is no such route"
        )
        try:
            send_examples(operation, route, full_lab, senders)
        # Gathered: one run names all.
        except (Exception, BaseExceptionGroup) as failure:
            refused[operation.label] = "\n".join([str(failure), *getattr(failure, "__notes__", ())])
    assert not refused, "\n\n".join(f"{label}: {why}" for label, why in refused.items())


def headers_of(person):
    _, secret = issue_personal_access_token(person, name="schemathesis", life=timedelta(days=1))
    return {"Authorization": f"Bearer {secret}"}


def send_examples(operation, route, full_lab, senders):
    """Send made-up requests to a row that is there and to wherever Schemathesis likes, and check the answers.

    Making one up takes as long as an answer, so each person sends the same ones.
    """
    there = path_parameters(operation, route, full_lab)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case):
        for parameters, (who, headers) in product((case.path_parameters, there), senders.items()):
            case.path_parameters = parameters
            with undone():
                answer = case.call(headers=headers)
            try:
                case.validate_response(answer, checks=CHECKS)
            except BaseException as failure:
                failure.add_note(f"Sent by {who}.")
                raise

    send()


def path_parameters(operation, route, full_lab):
    """The parameters of the address at which the route finds the lab's row."""
    filled = address(route, full_lab).split("/")
    names = [part.strip("{}") if part.startswith("{") else None for part in operation.path.split("/")]
    return {name: value for name, value in zip(names, filled, strict=True) if name}


def test_every_route_of_the_api_is_documented(document):
    said = {
        (method.upper(), template(path)) for path, actions in document["paths"].items() for method in actions
    }
    there = {key for key in routes_by_template() if not UNSENDABLE & set(key[1].split("/"))}
    assert there == said


def test_refusals_are_documented_for_every_route(document):
    for path, actions in document["paths"].items():
        for method, action in actions.items():
            refusals = {"400", "401", "403", "404", "429"} | ({"409", "415"} if method != "get" else set())
            for status in refusals:
                assert "application/problem+json" in action["responses"][status]["content"], (
                    f"{method} {path}"
                )
