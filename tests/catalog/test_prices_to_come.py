"""A price that is published to begin later is a fact of the moment: a grant lives longer than the hour."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now

from billing.prices import estimate_monthly_cost, hour_of, publish_prices
from catalog.actions import decide_review
from catalog.models import Grant, Review
from catalog.prices import publish_list_prices
from core.errors import Conflict
from tests.factories import CatalogModelFactory

CHEAP = {"input": Decimal(2), "output": Decimal(8)}
DEAR = {"input": Decimal(200), "output": Decimal(800)}
pytestmark = pytest.mark.django_db


def publish(prices, hours=0, **options):
    since = hour_of(now()) + timedelta(hours=hours)
    publish_prices("gpt-4.1", prices, valid_from=since, reason="test", by=None, **options)


@pytest.fixture
def gpt():
    CatalogModelFactory(name="gpt-4.1", title="GPT-4.1")
    publish(CHEAP, hours=-3)


@pytest.fixture
def asked(gpt, ask):
    return ask(model="gpt-4.1")


def cost_review(asked):
    return Review.objects.across_tenants().filter(access_request=asked, track="cost").first()


def test_a_price_that_an_import_raises_from_the_next_hour_on_needs_a_cost_review(
    asked, review_of, security_reviewer
):
    assert publish_list_prices({"gpt-4.1": DEAR}, reason="import")[0] > 0
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    asked.refresh_from_db()
    assert (asked.state, asked.expected_monthly_cost) == ("pending", 10_500)
    assert "above 500 USD" in cost_review(asked).reason
    assert not Grant.objects.across_tenants().exists()


@pytest.mark.parametrize(
    ("prices", "options", "shown"),
    [
        (DEAR, {}, (105_000, "USD")),
        ({}, {}, (None, "USD")),
        (CHEAP, {"currency": "EUR"}, (1_050, "EUR")),
    ],
)
def test_a_cost_reviewer_is_shown_what_is_to_come(gpt, ask, cost_reviewer, prices, options, shown):
    asked = ask(model="gpt-4.1", expected_tokens_per_day=10_000_000)
    publish(prices, hours=30, **options)
    with pytest.raises(Conflict, match="Check the request again"):
        decide_review(cost_review(asked).pk, by=cost_reviewer, verdict="approve")
    asked.refresh_from_db()
    assert (asked.expected_monthly_cost, asked.facts[str(asked.items.get().pk)]["currency"]) == shown
    assert decide_review(cost_review(asked).pk, by=cost_reviewer, verdict="approve").state == "approved"


def test_a_dear_price_between_two_cheap_ones_counts(asked, review_of, security_reviewer):
    publish(DEAR, hours=24)
    publish(CHEAP, hours=48)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert cost_review(asked).state == "pending"


def test_a_request_says_what_is_to_come_when_it_is_made(gpt, ask):
    publish(DEAR, hours=1)
    asked = ask(model="gpt-4.1")
    assert asked.expected_monthly_cost == 10_500
    assert cost_review(asked) is not None


def test_a_price_that_falls_later_is_not_counted_before_it_does(gpt):
    publish({"input": Decimal(1), "output": Decimal(4)}, hours=1)
    assert estimate_monthly_cost("gpt-4.1", 1_000_000).amount == 105


def test_prices_of_the_past_count_for_nothing(gpt):
    publish(DEAR, hours=-2)
    publish(CHEAP, hours=-1)
    assert estimate_monthly_cost("gpt-4.1", 1_000_000).amount == 105
