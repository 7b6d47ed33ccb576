"""Versions (ETags): nobody overwrites what they have not seen."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from audit.models import AuditEntry
from directory.models import DirectoryGroup
from tests.concurrency import at_the_same_time
from tests.scim.conftest import PATCH, USER


def rename(name):
    return {"op": "replace", "path": "displayName", "value": name}


def test_what_is_unchanged_is_not_sent_again(directory):
    path = f"Users/{directory.person().pk}"
    version = directory.get(path)["ETag"]
    assert version.startswith('W/"')
    for header in (version, version.removeprefix("W/"), f'"other", {version}', "*"):
        answer = directory.get(path, **{"If-None-Match": header})
        assert answer.status_code == 304
        assert answer["ETag"] == version
    assert directory.get(path, **{"If-None-Match": '"other"'}).status_code == 200


def test_a_version_changes_with_everything_that_is_shown(directory, operator):
    from tenants.actions.people import deactivate_person

    ada = directory.person()
    path = f"Users/{ada.pk}"
    seen = [directory.get(path)["ETag"]]

    def is_new():
        seen.append(directory.get(path)["ETag"])
        return len(set(seen)) == len(seen)

    directory.patch(path, rename("Ada"))
    assert is_new()
    group = directory.group("G", ada)
    assert is_new()
    directory.patch(f"Groups/{group}", rename("H"))
    assert is_new()
    deactivate_person(ada, by=operator, reason="by hand")
    assert is_new()


def test_who_has_not_seen_the_newest_version_changes_nothing(directory):
    ada = directory.person(displayName="Ada")
    group = directory.group("G", ada)
    for path in (f"Users/{ada.pk}", f"Groups/{group}"):
        stale = directory.get(path)["ETag"]
        directory.patch(path, rename("Newer"))
        match = {"If-Match": stale}
        body = {**directory.get(path).json(), "displayName": "Older"}
        assert directory.patch(path, rename("Older"), **match).status_code == 412
        assert directory.put(path, body, **match).status_code == 412
        assert directory.delete(path, **match).status_code == 412
        assert directory.get(path).json()["displayName"] == "Newer"
        current = directory.get(path)["ETag"]
        assert directory.patch(path, rename("Newest"), **{"If-Match": f'"x", {current}'}).status_code in (
            200,
            204,
        )
        assert directory.delete(path, **{"If-Match": "*"}).status_code == 204


def test_a_changed_group_answers_with_its_new_version(directory):
    path = f"Groups/{directory.group('G')}"
    assert directory.patch(path, rename("H"))["ETag"] == directory.get(path)["ETag"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["Users", "Groups"])
def test_of_two_changes_of_one_version_at_once_one_is_refused(directory, token, kind):
    pk = directory.person(displayName="Ada").pk if kind == "Users" else directory.group("G")
    version = directory.get(f"{kind}/{pk}")["ETag"]

    def change(name):
        return lambda: Client().patch(
            f"/scim/v2/{kind}/{pk}",
            {"schemas": [PATCH], "Operations": [rename(name)]},
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {token.secret}", "If-Match": version},
        )

    answers = at_the_same_time(change("One"), change("Two"))
    assert sorted(answer.status_code for answer in answers) == [
        200 if kind == "Users" else 204,
        412,
    ] or sorted(answer.status_code for answer in answers) == [204, 412]
    model = User if kind == "Users" else DirectoryGroup
    assert (getattr(model.objects.get(), "name", None) or model.objects.get().display_name) in ("One", "Two")
    verb = "person.changed" if kind == "Users" else "directory_group.changed"
    assert AuditEntry.objects.across_tenants().filter(verb=verb).count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_address_created_twice_at_once_is_one_person(token):
    def create():
        return Client().post(
            "/scim/v2/Users",
            {"schemas": [USER], "userName": "ada@example.com"},
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {token.secret}"},
        )

    answers = at_the_same_time(create, create)
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_members_added_at_once_are_all_members(directory, token):
    people = [directory.person(f"p{n}@example.com") for n in range(4)]
    group = directory.group("G")

    def add(person):
        operation = {"op": "add", "path": "members", "value": [{"value": str(person.pk)}]}
        return lambda: Client().patch(
            f"/scim/v2/Groups/{group}",
            {"schemas": [PATCH], "Operations": [operation]},
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {token.secret}"},
        )

    answers = at_the_same_time(*(add(person) for person in people))
    assert [answer.status_code for answer in answers] == [204] * 4
    assert DirectoryGroup.objects.get().members.count() == 4
