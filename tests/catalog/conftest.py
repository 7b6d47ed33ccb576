"""A published, priced model, and the path to a pending request for it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from catalog.actions import raise_access_request
from catalog.models import Review
from catalog.prices import publish_list_prices
from tests.factories import CatalogModelFactory, staff


@pytest.fixture
def model(db):
    return CatalogModelFactory(name="glm-4.6", title="GLM-4.6")


@pytest.fixture
def priced_model(model):
    """`model` with list prices of 0.60 and 2.20 US dollars per million input and output tokens."""
    publish_list_prices({model.name: {"input": Decimal("0.60"), "output": Decimal("2.20")}}, reason="test")
    return model


@pytest.fixture
def ask(project, priced_model, developer):
    """Raise a request; what is not given is harmless."""

    def raise_one(**given):
        wanted = {
            "by": developer,
            "purpose": "Draft replies to letters; a person reads every one.",
            "expected_tokens_per_day": 1_000_000,
            "data_class": "internal",
        }
        return raise_access_request(
            given.pop("project", project), given.pop("model", priced_model.name), **wanted | given
        )

    return raise_one


@pytest.fixture
def compliance_reviewer(db):
    return staff("compliance-reviewer", name="Cora Compliance")


@pytest.fixture
def review_of():
    """The review of a request on one track."""

    def find(access_request, track="security"):
        return Review.objects.across_tenants().get(access_request=access_request, track=track)

    return find
