"""Teams of reviewers: named by operators, with people who decide in the scopes of the team."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from guardian.shortcuts import remove_perm

from accounts.actions import end_staff_role, make_staff
from accounts.models import User
from audit.models import AuditEntry
from catalog.actions import decide_review
from catalog.actions.review_scopes import set_scope_team
from catalog.actions.review_teams import add_review_team, delete_review_team, set_team_member
from catalog.models import ReviewScope, ReviewTeam, Track
from catalog.review_scopes import DECIDE, may_decide, reviewers_by_track
from core.errors import Conflict
from tests.factories import UserFactory, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def scope():
    """For everything of security, where nobody decides."""
    found = ReviewScope.objects.get(track__code="security")
    remove_perm(DECIDE, Group.objects.get(name="security-reviewer"), found)
    return found


@pytest.fixture
def team(scope, operator):
    made = add_review_team(name="Tomas' team", by=operator)
    set_scope_team(scope.pk, team=made.pk, decides=True, by=operator)
    return made


@pytest.fixture
def tomas(team, operator):
    person = staff("security-reviewer", name="Tomas")
    set_team_member(team.pk, email=person.email, belongs=True, by=operator)
    return person


def fresh(person):
    return User.objects.get(pk=person.pk)


def test_the_people_of_a_team_decide_in_its_scopes_until_they_leave_it(tomas, team, operator, ask, review_of):
    review = review_of(ask())
    assert may_decide(fresh(tomas), review)
    set_team_member(team.pk, email=tomas.email, belongs=False, by=operator)
    assert not may_decide(fresh(tomas), review)
    with pytest.raises(PermissionDenied, match="none of your review scopes"):
        decide_review(review.pk, by=fresh(tomas), verdict="approve")


def test_each_change_is_in_the_audit_log_once(scope, tomas, team, operator):
    for belongs in (True, False, False):
        set_team_member(team.pk, email=tomas.email, belongs=belongs, by=operator)
    verbs = AuditEntry.objects.across_tenants().filter(verb__contains="team").order_by("pk")
    assert list(verbs.values_list("verb", flat=True)) == [
        "review_team.added",
        "review_scope.team_added",
        "review_team.person_added",
        "review_team.person_removed",
    ]


def test_only_reviewers_join_and_nobody_joins_by_themselves(team, scope, operator):
    with pytest.raises(ValidationError, match="Nobody has this address"):
        set_team_member(team.pk, email="nobody@example.com", belongs=True, by=operator)
    with pytest.raises(ValidationError, match="reviewer's role first"):
        set_team_member(team.pk, email=UserFactory().email, belongs=True, by=operator)
    make_staff(operator, "security-reviewer", by=None)
    with pytest.raises(PermissionDenied, match="Nobody gives themselves"):
        set_team_member(team.pk, email=operator.email, belongs=True, by=fresh(operator))
    # Nor by a scope for the team that one is in.
    team.group.user_set.add(operator)
    set_scope_team(scope.pk, team=add_review_team(name="B", by=operator).pk, decides=True, by=operator)
    set_scope_team(scope.pk, team=team.pk, decides=False, by=operator)
    with pytest.raises(PermissionDenied, match="Nobody gives themselves"):
        set_scope_team(scope.pk, team=team.pk, decides=True, by=fresh(operator))


def test_a_name_that_a_staff_role_has_gives_no_role(operator):
    team = add_review_team(name="operator", by=operator)
    person = staff("security-reviewer")
    set_team_member(team.pk, email=person.email, belongs=True, by=operator)
    assert fresh(person).staff_roles == {"security-reviewer"}
    with pytest.raises(ValidationError, match="already has this value"):
        add_review_team(name="operator", by=operator)


def test_who_reviews_no_longer_leaves_the_teams(tomas, team, operator, ask, review_of):
    review = review_of(ask())
    end_staff_role(tomas, "security-reviewer", by=operator)
    assert not team.group.user_set.exists()
    make_staff(tomas, "cost-reviewer", by=None)
    assert not may_decide(fresh(tomas), review)


def test_a_team_that_decides_somewhere_stays(team, scope, operator):
    with pytest.raises(Conflict, match="Take it out of them first"):
        delete_review_team(team.pk, by=operator)
    with pytest.raises(Conflict, match="nobody would be left"):
        set_scope_team(scope.pk, team=team.pk, decides=False, by=operator)
    other = add_review_team(name="Others", by=operator)
    set_scope_team(scope.pk, team=other.pk, decides=True, by=operator)
    set_scope_team(scope.pk, team=team.pk, decides=False, by=operator)
    delete_review_team(team.pk, by=operator)
    assert list(ReviewTeam.objects.all()) == [other]
    assert not Group.objects.get(pk=team.group_id).user_set.exists()


def test_a_track_with_too_few_people_says_so(client, settings, tomas, operator):
    settings.STAFF_SECOND_FACTOR = "optional"
    assert reviewers_by_track().get("security") == 1
    assert "cost" not in reviewers_by_track()
    staff("cost-reviewer")
    assert reviewers_by_track()["cost"] == 1
    Track.objects.filter(code="security").update(quorum=2)
    client.force_login(operator)
    shown = client.get(reverse("admin:catalog_track_changelist")).content.decode()
    assert "1, but 2 must approve" in shown
    assert "0, but 1 must approve" in shown
    User.objects.filter(pk=tomas.pk).update(is_active=False)
    assert "security" not in reviewers_by_track()


def test_the_pages_name_people_and_scopes(client, settings, tomas, team, scope, operator):
    settings.STAFF_SECOND_FACTOR = "optional"
    client.force_login(operator)
    shown = client.get(reverse("admin:catalog_reviewteam_change", args=[team.pk])).content.decode()
    assert tomas.email in shown
    assert "Security: all tenants, all models" in shown
    shown = client.get(reverse("admin:catalog_reviewscope_change", args=[scope.pk])).content.decode()
    assert "Tomas&#x27; team" in shown
    assert "review-team:" not in shown
    sent = {"_form_submitted": "1", "team": str(team.pk), "decides": "yes"}
    assert client.post(f"/admin/catalog/reviewscope/{scope.pk}/team/", sent).status_code == 302
