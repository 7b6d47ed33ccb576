"""Groups and their members, small and huge."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from audit.models import AuditEntry
from directory.models import DirectoryGroup, GroupMappingsDue
from tests.scim.conftest import GROUP

HUGE = 5_000


def add(*people):
    return {"op": "add", "path": "members", "value": [{"value": str(getattr(p, "pk", p))} for p in people]}


def ids(answer):
    return {member["value"] for member in answer.json().get("members", [])}


def questions(action):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        answer = action()
    assert answer.status_code < 300, answer.content
    return len(captured)


@pytest.fixture
def people(directory):
    return [directory.person(f"p{n}@example.com") for n in range(3)]


@pytest.fixture
def crowd(db):
    """As many people as a large company has in one group."""
    return User.objects.bulk_create(
        [User(email=f"crowd{n}@example.com", name=f"Crowd {n}", password="!") for n in range(HUGE)]
    )


def test_operations_on_members_happen_in_their_order(directory, people):
    one, two, three = people
    group = directory.group("G", one)
    directory.patch(
        f"Groups/{group}",
        add(two, three),
        {"op": "remove", "path": f'members[value eq "{one.pk}" or value eq "{two.pk}"]'},
        add(one),
        {"op": "remove", "path": "members", "value": [{"value": str(three.pk)}]},
    )
    assert ids(directory.get(f"Groups/{group}")) == {str(one.pk)}
    changed = AuditEntry.objects.across_tenants().filter(verb="directory_group.changed")
    assert not changed.exists(), "all in all nobody came and nobody went"
    directory.patch(f"Groups/{group}", add(two), {"op": "remove", "path": f'members[value eq "{one.pk}"]'})
    assert changed.get().details["added"] == [str(two.pk)]
    assert changed.get().details["removed"] == [str(one.pk)]


def test_all_members_go_at_once(directory, people):
    group = directory.group("G", *people)
    directory.patch(f"Groups/{group}", {"op": "remove", "path": "members"})
    assert ids(directory.get(f"Groups/{group}")) == set()


def test_removing_nobody_in_particular_removes_nobody(directory, people):
    group = directory.group("G", *people)
    assert (
        directory.patch(f"Groups/{group}", {"op": "remove", "path": "members", "value": []}).status_code
        == 204
    )
    assert len(ids(directory.get(f"Groups/{group}"))) == 3


@pytest.mark.parametrize("unknown", ["01a1f8c3-c6af-74de-a807-81981fe4f4aa", "u1091", "' OR 1=1 --"])
def test_a_member_who_is_nobody_is_refused_and_nothing_happens(directory, people, unknown):
    group = directory.group("G", people[0])
    answer = directory.patch(f"Groups/{group}", add(people[1]), add(unknown))
    assert answer.status_code == 400
    assert answer.json()["scimType"] == "invalidValue"
    assert ids(directory.get(f"Groups/{group}")) == {str(people[0].pk)}


def test_local_accounts_are_nobody_to_groups_too(directory, owner):
    group = directory.group("G")
    assert directory.patch(f"Groups/{group}", add(owner)).status_code == 400


def test_members_are_not_edited_in_place(directory, people):
    group = directory.group("G", *people)
    for path in (f'members[value eq "{people[0].pk}"].display', "members.value"):
        answer = directory.patch(f"Groups/{group}", {"op": "replace", "path": path, "value": "x"})
        assert answer.status_code == 400, path
    assert len(ids(directory.get(f"Groups/{group}"))) == 3


def test_two_groups_of_one_name_would_be_one_to_the_rules(directory):
    directory.group("Engineers")
    other = directory.group("Others")
    for answer in (
        directory.post("Groups", {"schemas": [GROUP], "displayName": "Engineers"}),
        directory.patch(f"Groups/{other}", {"op": "replace", "path": "displayName", "value": "Engineers"}),
    ):
        assert answer.status_code == 409
        assert answer.json()["scimType"] == "uniqueness"
    assert DirectoryGroup.objects.get(pk=other).display_name == "Others"


@pytest.mark.parametrize("name", [None, "", "x" * 201])
def test_a_group_needs_a_name_of_a_sensible_length(directory, name):
    assert directory.post("Groups", {"schemas": [GROUP], "displayName": name}).status_code == 400


def test_a_patch_answers_with_the_group_only_if_asked(directory, people):
    group = directory.group("G")
    answer = directory("PATCH", f"Groups/{group}?attributes=members,displayName", {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [add(people[0])]
    })  # fmt: skip
    assert answer.status_code == 200
    assert ids(answer) == {str(people[0].pk)}
    assert "meta" not in answer.json()


def test_a_huge_group_costs_no_more_questions_than_a_small_one(directory, people, crowd):
    small, huge = directory.group("Small", *people[:2]), directory.group("Huge")
    # Rules are asked for who is in any group.
    directory.group("Another", people[2])
    everybody = [add(*crowd)]
    assert directory.patch(f"Groups/{huge}", *everybody).status_code == 204
    assert DirectoryGroup.objects.get(pk=huge).members.count() == HUGE
    actions = {
        "read": lambda group: directory.get(f"Groups/{group}"),
        "read without members": lambda group: directory.get(f"Groups/{group}?excludedAttributes=members"),
        "add one": lambda group: directory.patch(f"Groups/{group}", add(people[2])),
        "remove one": lambda group: directory.patch(
            f"Groups/{group}", {"op": "remove", "path": f'members[value eq "{people[2].pk}"]'}
        ),
    }
    for says, action in actions.items():
        assert questions(lambda action=action: action(huge)) == questions(
            lambda action=action: action(small)
        ), says
    assert len(ids(directory.get(f"Groups/{huge}"))) == HUGE


def test_adding_thousands_asks_as_much_as_adding_hundreds(directory, crowd):
    few, many = directory.group("Few"), directory.group("Many")
    of_few = questions(lambda: directory.patch(f"Groups/{few}", add(*crowd[:100])))
    assert questions(lambda: directory.patch(f"Groups/{many}", add(*crowd[:4000]))) == of_few


def test_the_roles_of_many_are_noted_and_left_to_a_task(directory, crowd):
    group = directory.group("Many")
    directory.patch(f"Groups/{group}", add(*crowd[:51]))
    assert GroupMappingsDue.objects.count() == 51
    few = directory.group("Few", *crowd[100:103])
    assert GroupMappingsDue.objects.count() == 51, "few are done at once"
    assert len(ids(directory.get(f"Groups/{few}"))) == 3
