"""What the directory says of groups becomes roles by group mappings, and what a role carried goes with it."""

from __future__ import annotations

from functools import partial

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.test import override_settings

from accounts.models import User
from directory.actions import due_group_mappings
from directory.models import DirectoryGroup, GroupMapping, GroupMappingsDue
from directory.tasks import apply_due_group_mappings
from tenants.models import ApiKey
from tests.factories import ApiKeyFactory, ProjectFactory, UserFactory


def add(*people):
    return {"op": "add", "path": "members", "value": [{"value": str(person.pk)} for person in people]}


def remove(person):
    return {"op": "remove", "path": f'members[value eq "{person.pk}"]'}


def role_of(person, tenant):
    membership = person.memberships.filter(tenant=tenant).first()
    return membership and membership.role


@pytest.fixture
def rule(lab):
    return GroupMapping.objects.create(group="Engineers", tenant=lab, role="developer")


def test_joining_a_group_gives_the_role_and_leaving_takes_it_with_its_keys(directory, lab, rule):
    ada = directory.person()
    group = directory.group("Engineers")
    assert role_of(ada, lab) is None
    directory.patch(f"Groups/{group}", add(ada))
    assert role_of(ada, lab) == "developer"
    key = ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab), owner=ada)
    directory.patch(f"Groups/{group}", remove(ada))
    assert role_of(ada, lab) is None
    assert not ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()
    directory.patch(f"Groups/{group}", add(ada))
    assert role_of(ada, lab) == "developer"
    assert ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()


def test_renaming_and_deleting_a_group_changes_what_its_members_may(directory, lab, rule):
    ada = directory.person()
    group = directory.group("Staff", ada)
    assert role_of(ada, lab) is None
    directory.patch(f"Groups/{group}", {"op": "replace", "value": {"displayName": "Engineers"}})
    assert role_of(ada, lab) == "developer"
    directory.delete(f"Groups/{group}")
    assert role_of(ada, lab) is None


def test_who_is_deleted_loses_what_groups_gave_and_gets_it_back_with_the_group(directory, lab, rule):
    ada = directory.person()
    group = directory.group("Engineers", ada)
    directory.delete(f"Users/{ada.pk}")
    assert role_of(ada, lab) is None
    back = directory.person()
    assert back == ada
    assert role_of(ada, lab) is None
    directory.patch(f"Groups/{group}", add(ada))
    assert role_of(ada, lab) == "developer"


def test_the_roles_of_a_crowd_follow_by_the_task(directory, lab, rule):
    crowd = User.objects.bulk_create([User(email=f"c{n}@example.com", password="!") for n in range(60)])
    directory.post("Groups", {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "Engineers",
        "members": [{"value": str(user.pk)} for user in crowd],
    })  # fmt: skip
    assert GroupMappingsDue.objects.count() == 60
    assert not lab.memberships.exists()
    apply_due_group_mappings()
    assert lab.memberships.filter(role="developer").count() == 60
    assert not GroupMappingsDue.objects.exists()


def test_a_crowd_larger_than_a_batch_does_not_wait_for_the_clock(directory, lab, rule, monkeypatch):
    group = directory.group("Engineers")
    people = [UserFactory() for _ in range(5)]
    DirectoryGroup.objects.get(pk=group).members.set(people)
    due_group_mappings.note_group_mappings_due([person.pk for person in people], reason="they joined")
    monkeypatch.setattr(
        due_group_mappings,
        "apply_due_group_mappings",
        partial(due_group_mappings.apply_due_group_mappings, limit=2),
    )
    monkeypatch.setattr(apply_due_group_mappings, "delay", apply_due_group_mappings)
    apply_due_group_mappings()
    assert lab.memberships.filter(role="developer").count() == 5


def test_a_task_whose_time_is_up_leaves_the_others_noted(directory, lab, rule, monkeypatch):
    people = [directory.person(f"p{n}@example.com") for n in range(3)]
    due_group_mappings.note_group_mappings_due([person.pk for person in people], reason="they joined")

    def time_is_up(user, *, reason):
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(due_group_mappings.group_mappings, "apply_group_mappings", time_is_up)
    with pytest.raises(SoftTimeLimitExceeded):
        due_group_mappings.apply_due_group_mappings()
    assert GroupMappingsDue.objects.count() == 3


def test_one_whose_roles_cannot_be_computed_keeps_nobody_waiting(directory, lab, rule, monkeypatch):
    people = [directory.person(f"p{n}@example.com") for n in range(3)]
    compute = due_group_mappings.group_mappings.apply_group_mappings

    def fails_for_one(user, *, reason):
        if user == people[0]:
            raise RuntimeError("no roles for you")
        compute(user, reason=reason)

    monkeypatch.setattr(due_group_mappings.group_mappings, "apply_group_mappings", fails_for_one)
    group = directory.group("Engineers", *people)
    assert directory.get(f"Groups/{group}").status_code == 200
    assert lab.memberships.count() == 2
    assert [due.user for due in GroupMappingsDue.objects.all()] == [people[0]]
    monkeypatch.undo()
    apply_due_group_mappings()
    assert role_of(people[0], lab) == "developer"


def test_a_change_noted_while_roles_are_computed_is_not_lost(directory, lab, rule, monkeypatch):
    ada = directory.person()
    directory.group("Engineers")
    compute = due_group_mappings.group_mappings.apply_group_mappings

    def and_meanwhile_noted_again(user, *, reason):
        compute(user, reason=reason)
        due_group_mappings.note_group_mappings_due([user.pk], reason="again")

    monkeypatch.setattr(due_group_mappings.group_mappings, "apply_group_mappings", and_meanwhile_noted_again)
    due_group_mappings.note_group_mappings_due([ada.pk], reason="first")
    assert due_group_mappings.apply_due_group_mappings() == 1
    assert GroupMappingsDue.objects.get().reason == "again"


@override_settings(RATE_LIMITS={"scim": "3/minute", "token_failed": "2/minute"})
def test_a_directory_that_asks_too_often_is_told_when_to_come_back(directory):
    answers = [directory.get("Users") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1]["Retry-After"]) > 0
    assert answers[-1].json()["status"] == "429"
    wrong = [directory("GET", "Users", secret="nonsense").status_code for _ in range(3)]
    assert wrong == [401, 401, 429]
