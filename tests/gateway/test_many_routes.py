"""The console reads all routes at each change of a key, so what it reads of each counts."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.routes import EntryPlan, change_route, make_routable
from gateway.publishing import routing_now
from tests.factories import (
    CatalogModelFactory,
    DeploymentFactory,
    ModelVersionFactory,
    ProviderFactory,
    ProviderModelFactory,
    credential_of,
    routed,
)

pytestmark = pytest.mark.django_db


def test_more_routes_take_no_more_queries_and_read_no_texts_of_the_catalog():
    providers = [ProviderFactory(), ProviderFactory()]
    for provider in providers:
        credential_of(provider, "sk-of-a-provider")

    def add_routes():
        version = ModelVersionFactory(model=CatalogModelFactory(mode="chat"))
        routed(DeploymentFactory(version=version), "http://127.0.0.1:1/v1")
        model = CatalogModelFactory(mode="chat")
        listed = [ProviderModelFactory(provider=provider, model=model) for provider in providers]
        make_routable(listed)
        change_route(model.route.pk, [EntryPlan(one.target.pk) for one in listed], based_on=0, by=None)

    add_routes()
    with CaptureQueriesContext(connection) as few:
        assert sum(len(route.targets) for route in routing_now().routes) == 3
    for _ in range(3):
        add_routes()
    with CaptureQueriesContext(connection) as many:
        assert sum(len(route.targets) for route in routing_now().routes) == 12
    assert len(many) == len(few)
    for query in many.captured_queries:
        for column in ("description", "capabilities", "search_text", "able", "places", "facts"):
            assert f'"{column}"' not in query["sql"], query["sql"]
