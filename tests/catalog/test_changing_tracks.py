"""Operators change tracks, calendars and who decides, on pages of the staff site."""

from __future__ import annotations

from datetime import date, time

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils.translation import override

from accounts.actions import end_staff_role, make_staff
from accounts.models import User
from audit.models import AuditEntry
from catalog.actions.review_scopes import (
    add_review_scope,
    delete_review_scope,
    groups_of,
    people_of,
    set_scope_person,
    set_scope_role,
)
from catalog.actions.tracks import add_calendar, change_calendar, change_track
from catalog.models import Review, ReviewScope, Track, WorkingCalendar
from core.errors import Conflict
from tests.factories import CatalogModelFactory, UserFactory, staff

pytestmark = pytest.mark.django_db


def entries(verb):
    return list(AuditEntry.objects.across_tenants().filter(verb=verb).order_by("id"))


@pytest.fixture
def security():
    return Track.objects.get(code="security")


def change(track, by, **values):
    return change_track(track.pk, by=by, **{name: getattr(track, name) for name in Track.EDITABLE} | values)


def test_a_changed_track_is_recorded_and_holds_for_reviews_to_come(operator, security, ask, review_of):
    before = review_of(ask())
    for _ in range(2):
        change(security, operator, quorum=2, due_hours=4)
    [entry] = entries("track.changed")
    assert entry.changes == {"quorum": [1, 2], "due_hours": [16, 4]}
    assert Review.objects.across_tenants().get(pk=before.pk).quorum == 1
    after = review_of(ask(model=CatalogModelFactory().name))
    assert after.quorum == 2
    assert after.due_at == after.track.due_at(after.access_request.created_at)


@pytest.mark.parametrize(
    "values", [{"quorum": 0}, {"quorum": 10}, {"due_hours": 0}, {"due_hours": 1001}, {"name": " "}]
)
def test_a_track_stays_within_its_ranges(operator, security, values):
    with pytest.raises(ValidationError) as refused:
        change(security, operator, **values)
    assert set(refused.value.message_dict) == set(values)


def test_a_track_that_would_never_be_due_is_refused(operator, security):
    """Otherwise nobody could ask for a model any more."""
    calendar = add_calendar(by=operator, **GOOD | {"closes": time(8, 1), "weekdays": [1]})
    with pytest.raises(ValidationError, match="more than ten years"):
        change(security, operator, calendar=calendar, due_hours=1000)
    change(security, operator, calendar=calendar, due_hours=1)
    with pytest.raises(ValidationError, match="more than ten years"):
        change_calendar(calendar.pk, by=operator, **GOOD | {"closes": time(8, 0, 1), "weekdays": [1]})


GOOD = {
    "name": "Berlin",
    "time_zone": "Europe/Berlin",
    "opens": time(8),
    "closes": time(16),
    "weekdays": [5, 1, 1],
}


def test_a_calendar_is_added_and_changed(operator):
    calendar = add_calendar(by=operator, **GOOD, holidays=[date(2027, 1, 1)])
    assert (calendar.weekdays, calendar.holidays) == ([1, 5], [date(2027, 1, 1)])
    for _ in range(2):
        change_calendar(calendar.pk, by=operator, **GOOD | {"weekdays": [2]}, holidays=[date(2027, 1, 1)])
    [entry] = entries("working_calendar.changed")
    assert entry.changes == {"weekdays": [[1, 5], [2]]}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"time_zone": "Atlantis"}, "time_zone"),
        ({"weekdays": []}, "weekdays"),
        ({"weekdays": [8]}, "weekdays"),
        ({"closes": time(8)}, "closes"),
        ({"name": "Monday to Friday"}, "name"),
    ],
)
def test_a_calendar_without_working_hours_or_sense_is_refused(operator, wrong, field):
    with pytest.raises(ValidationError) as refused:
        add_calendar(by=operator, **GOOD | wrong)
    assert field in refused.value.message_dict


def test_a_person_and_a_role_decide_in_a_scope_until_they_no_longer_do(operator, lab):
    scope = add_review_scope(track="security", tenant="lab", by=operator)
    reviewer = staff("cost-reviewer")
    for decides in (True, True, False, False):
        set_scope_person(scope.pk, email=reviewer.email, decides=decides, by=operator)
        assert people_of(scope) == ([reviewer] if decides else [])
        set_scope_role(scope.pk, role="cost-reviewer", decides=decides, by=operator)
        assert [group.name for group in groups_of(scope)] == (["cost-reviewer"] if decides else [])
    for kind in ("person", "role"):
        assert len(entries(f"review_scope.{kind}_added")) == len(entries(f"review_scope.{kind}_removed")) == 1


def test_whoever_sees_no_requests_is_not_let_in(operator):
    scope = ReviewScope.objects.get(track__code="security")
    with pytest.raises(ValidationError, match="reviewer's role first"):
        set_scope_person(scope.pk, email=UserFactory().email, decides=True, by=operator)
    with pytest.raises(ValidationError, match="Nobody has this address"):
        set_scope_person(scope.pk, email="nobody@example.com", decides=True, by=operator)
    with pytest.raises(ValidationError, match="reviewer's role"):
        set_scope_role(scope.pk, role="operator", decides=True, by=operator)


def test_a_scope_is_added_once_and_for_what_there_is(operator, lab, model):
    add_review_scope(track="cost", tenant="lab", model=model.name, by=operator)
    with pytest.raises(Conflict, match="such a scope already"):
        add_review_scope(track="cost", tenant="lab", model=model.name, by=operator)
    with pytest.raises(ValidationError) as refused:
        add_review_scope(track="none", tenant="none", model="none", by=operator)
    assert set(refused.value.message_dict) == {"track", "tenant", "model"}


def test_the_scope_for_everything_stays_and_others_take_their_rights_with_them(operator, lab):
    everything = ReviewScope.objects.get(track__code="security")
    more = add_review_scope(track="security", tenant="lab", by=operator)
    with pytest.raises(Conflict, match="stays"):
        delete_review_scope(everything.pk, by=operator)
    set_scope_role(more.pk, role="security-reviewer", decides=True, by=operator)
    pk = more.pk
    delete_review_scope(pk, by=operator)
    more.pk = pk
    assert groups_of(more) == []


def test_somebody_always_decides_everything(operator):
    everything = ReviewScope.objects.get(track__code="security")
    with pytest.raises(Conflict, match="nobody would be left"):
        set_scope_role(everything.pk, role="security-reviewer", decides=False, by=operator)
    reviewer = staff("cost-reviewer")
    set_scope_person(everything.pk, email=reviewer.email, decides=True, by=operator)
    set_scope_role(everything.pk, role="security-reviewer", decides=False, by=operator)
    with pytest.raises(Conflict, match="nobody would be left"):
        set_scope_person(everything.pk, email=reviewer.email, decides=False, by=operator)


def test_nobody_gives_themselves_the_right_to_decide(operator):
    scope = ReviewScope.objects.get(track__code="security")
    make_staff(operator, "cost-reviewer", by=None)
    both = User.objects.get(pk=operator.pk)
    with pytest.raises(PermissionDenied, match="themselves"):
        set_scope_person(scope.pk, email=both.email, decides=True, by=both)
    with pytest.raises(PermissionDenied, match="themselves"):
        set_scope_role(scope.pk, role="cost-reviewer", decides=True, by=both)
    assert people_of(scope) == []


def test_who_reviews_no_longer_loses_their_scopes(operator, lab):
    scope = add_review_scope(track="security", tenant="lab", by=operator)
    reviewer = staff("security-reviewer")
    set_scope_person(scope.pk, email=reviewer.email, decides=True, by=operator)
    end_staff_role(reviewer, "security-reviewer", by=operator)
    assert people_of(scope) == []
    assert len(entries("review_scope.person_removed")) == 1


def test_pages_name_who_decides_in_the_language_of_the_page(client, operator, lab):
    add_review_scope(track="security", tenant="lab", by=operator)
    client.force_login(operator)
    page = client.get(reverse("admin:catalog_reviewscope_changelist")).content.decode()
    assert "Security: all tenants, all models" in page
    assert "Security: Lab, all models" in page
    assert "Security reviewer" in page
    track = client.get(reverse("admin:catalog_track_change", args=[Track.objects.get(code="cost").pk]))
    assert "Cost reviewer" in track.content.decode()
    with override("zh-hans"):
        assert str(ReviewScope.objects.get(track__code="cost")) == "成本：所有租户，所有模型"


def test_a_dialog_begins_with_what_holds_and_says_what_is_wrong(client, operator, security):
    client.force_login(operator)
    url = reverse("admin:catalog_workingcalendar_changelist") + "add-calendar/"
    form = client.get(url).content.decode()
    assert 'value="09:00"' in form
    wrong = {"_form_submitted": "1", "name": "B", "time_zone": "UTC", "weekdays": ["1"]}
    answer = client.post(url, wrong | {"opens": "09:00", "closes": "17:00", "holidays": "tomorrow"})
    assert answer.status_code == 422
    assert "tomorrow is no day" in answer.content.decode()
    assert not WorkingCalendar.objects.filter(name="B").exists()
