"""Which reviews a request needs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from catalog.rule_table import FIRST_TABLE, evaluate
from catalog.rules import Facts

HARMLESS = Facts(
    is_new_to_project=True,
    risk_tier="moderate",
    data_class="internal",
    expected_monthly_cost=Decimal(100),
)


@pytest.mark.parametrize(
    ("what_differs", "tracks"),
    [
        ({}, ["security"]),
        ({"data_class": "confidential"}, ["security", "compliance"]),
        ({"data_class": "public"}, ["security"]),
        ({"risk_tier": "high"}, ["security", "compliance"]),
        ({"expected_monthly_cost": Decimal(500)}, ["security"]),
        ({"expected_monthly_cost": Decimal("500.01")}, ["security", "cost"]),
        ({"expected_monthly_cost": None}, ["security", "cost"]),
        ({"is_new_to_project": False, "expected_monthly_cost": Decimal(501)}, ["cost"]),
        ({"is_new_to_project": False, "risk_tier": "high"}, ["security", "compliance"]),
        ({"is_new_to_project": False}, ["security"]),
    ],
)
def test_the_rules_choose_the_tracks_and_say_why(what_differs, tracks):
    needed = evaluate(FIRST_TABLE, replace(HARMLESS, **what_differs)).reviews
    assert [review.track for review in needed] == tracks
    assert all(review.reason.endswith(".") for review in needed)
