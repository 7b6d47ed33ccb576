"""Tracks and facts are declared once, and whatever carries a track's name agrees with its declaration."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.apps import apps

from accounts.permissions import WORDS
from accounts.roles import REVIEWERS, STAFF_PERMISSIONS, StaffRole
from catalog.actions import decide_review
from catalog.models import Review
from catalog.rules import FACTS, TRACKS, Facts, change_in_words, worse

CATALOG_PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"
NOW = {
    "expected_monthly_cost": "12.00000000",
    "currency": "EUR",
    "risk_tier": "high",
    "data_class": "restricted",
    "is_new_to_project": True,
}
# What is said of each fact that was `None` or differed before.
SAID = {
    "expected_monthly_cost": "The expected monthly cost was unknown and is now 12.00 EUR.",
    "currency": "The price was in unknown and is now in EUR.",
    "risk_tier": "The model's risk tier was unknown and is now high.",
    "data_class": "The data class was unknown and is now restricted.",
    "is_new_to_project": "The project no longer has a grant for this model.",
}


def declared_permissions():
    """`review_*` in `Meta.permissions` of the catalog's models."""
    return {
        f"catalog.{codename}"
        for model in apps.get_app_config("catalog").get_models()
        for codename, _ in model._meta.permissions
        if codename.startswith("review_")
    }


def test_every_track_of_a_review_is_declared_and_no_other():
    assert list(TRACKS) == Review.Track.values
    assert all(name == track.name for name, track in TRACKS.items())


@pytest.mark.parametrize("name", Review.Track.values)
def test_a_track_has_its_permission_which_only_its_role_has(name):
    track = TRACKS[name]
    assert track.permission == f"catalog.review_{name}"
    assert track.role == StaffRole(f"{name}-reviewer")
    assert track.permission in declared_permissions(), "add it to Review.Meta.permissions"
    assert {role for role, held in STAFF_PERMISSIONS.items() if track.permission in held} == {track.role}
    assert track.permission in WORDS, "say it in accounts/permissions.py"


def test_reviewers_and_their_permissions_are_those_of_the_tracks():
    permissions = {track.permission for track in TRACKS.values()}
    assert {track.role for track in TRACKS.values()} == REVIEWERS
    assert declared_permissions() == permissions
    assert set(decide_review.permissions) == permissions


def test_the_catalog_page_names_every_track_with_its_working_days():
    days = re.findall(r"^\| (\w+) \| .* \| (\d+) working days? \|$", CATALOG_PAGE.read_text(), re.MULTILINE)
    assert dict(days) == {track.name: str(track.working_days) for track in TRACKS.values()}
    assert all(track.working_days >= 1 for track in TRACKS.values())


def test_every_fact_is_declared_and_looked_at_and_every_track_looks_at_one():
    assert set(FACTS) == {field.name for field in fields(Facts)} - {"data_class_rank"}
    for fact in FACTS.values():
        assert fact.tracks, f"{fact.name}: which track looks at it?"
        assert set(fact.tracks) <= set(TRACKS), fact.name
    assert {track for fact in FACTS.values() for track in fact.tracks} == set(TRACKS)


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_that_became_worse_is_said_in_a_sentence_of_its_own(name):
    assert FACTS[name].is_readable(NOW[name])
    assert change_in_words(name, dict.fromkeys(FACTS), NOW) == SAID[name]
    assert len({fact.sentence for fact in FACTS.values()}) == len(FACTS)


def test_a_fact_that_nobody_wrote_down_is_worse_than_any():
    assert {name for track in TRACKS for name in worse(track, {}, NOW)} == set(FACTS)
    assert all(worse(track, NOW, NOW) == [] for track in TRACKS)


def test_an_unknown_track_or_fact_is_an_error():
    with pytest.raises(KeyError):
        worse("no-such-track", NOW, NOW)
    with pytest.raises(KeyError):
        change_in_words("license", {"license": "MIT"}, {"license": "none"})
