"""Tracks are rows, with a first set that the rules name; facts are declared once."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils.translation import override
from guardian.shortcuts import remove_perm

from accounts.roles import REVIEWERS, STAFF_PERMISSIONS, StaffRole
from catalog.actions import decide_review
from catalog.models import ReviewScope, Track
from catalog.review_scopes import DECIDE, scopes_of
from catalog.rules import FACTS, TRACKS, Facts, change_in_words, worse
from tests.factories import staff

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


@pytest.mark.django_db
def test_every_track_that_the_rules_name_is_a_row_that_its_first_role_decides_everywhere():
    assert set(Track.objects.values_list("code", flat=True)) == set(TRACKS)
    assert all(name == declared.name for name, declared in TRACKS.items())
    for declared in TRACKS.values():
        [scope] = ReviewScope.objects.filter(track__code=declared.name)
        assert (scope.tenant, scope.model) == (None, None)
        decides = {role for role in StaffRole if may_decide_everything(staff(role), scope)}
        assert decides == {declared.first_role}


def may_decide_everything(person, scope):
    return scopes_of(person).filter(pk=scope.pk).exists()


def test_reviewers_and_nobody_else_take_part_in_reviews():
    assert {declared.first_role for declared in TRACKS.values()} == REVIEWERS
    assert {role for role, held in STAFF_PERMISSIONS.items() if DECIDE in held} == REVIEWERS
    assert decide_review.permissions == (DECIDE,)


def test_the_catalog_page_names_every_track_with_its_first_due_time():
    days = re.findall(r"^\| (\w+) \| .* \| (\d+) working days? \|$", CATALOG_PAGE.read_text(), re.MULTILINE)
    assert {name: int(number) * 8 for name, number in days} == {
        declared.name: declared.first_due_hours for declared in TRACKS.values()
    }


@pytest.mark.django_db
@pytest.mark.as_owner
def test_migrate_leaves_alone_what_operators_have_made_of_a_track():
    group = Group.objects.get(name="security-reviewer")
    scope = ReviewScope.objects.get(track__code="security")
    remove_perm(DECIDE, group, scope)
    Track.objects.filter(code="security").update(name="Information security", quorum=2, due_hours=4)
    call_command("migrate", verbosity=0)
    track = Track.objects.get(code="security")
    assert (track.label, track.quorum, track.due_hours) == ("Information security", 2, 4)
    assert list(ReviewScope.objects.filter(track=track)) == [scope]
    assert not scopes_of(staff("security-reviewer")).exists()


@pytest.mark.django_db
def test_a_track_that_nobody_renamed_has_its_name_in_the_language_of_the_page():
    track = Track.objects.get(code="cost")
    with override("zh-hans"):
        assert track.label == "成本"
    track.name = "Money"
    with override("zh-hans"):
        assert track.label == "Money"


def test_every_fact_is_declared_and_looked_at_and_every_track_looks_at_one():
    # These stay as they were requested; regions matter to the rules, which run again at every decision.
    as_requested = {"tenant", "limits", "duration_days", "regions"}
    assert set(FACTS) == {field.name for field in fields(Facts)} - as_requested
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
