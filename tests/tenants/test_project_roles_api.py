"""Roles in a project over HTTP."""

from __future__ import annotations

import re

import pytest

from accounts.models import User
from tenants.models import Membership, ProjectRole
from tests.factories import UserFactory, member_of


@pytest.fixture
def url(project):
    return f"/api/v1/projects/{project.pk}/roles/"


@pytest.fixture
def member(lab, developer):
    return str(Membership.objects.in_tenant(lab).get(user=developer).pk)


def post(client, url, member, role):
    return client.post(url, {"member": member, "role": role}, content_type="application/json")


def test_an_owner_narrows_a_member_and_lets_them_again(client, owner, developer, project, url, member):
    client.force_login(owner)
    answer = post(client, url, member, "viewer")
    assert answer.status_code == 200
    (row,) = answer.json()
    assert row | {"created_at": ""} == {
        "member": member,
        "name": "Dana Developer",
        "role": "viewer",
        "tenant_role": "developer",
        "created_at": "",
    }
    assert client.get(url).json() == answer.json()
    assert not User.objects.get(pk=developer.pk).has_perm("tenants.claim_key", project)

    assert post(client, url, member, None).json() == []
    assert User.objects.get(pk=developer.pk).has_perm("tenants.claim_key", project)


def test_answers_come_in_the_usual_order(client, lab, owner, developer, stranger, url, member):
    client.force_login(stranger)
    assert post(client, url, member, "viewer").status_code == 404
    client.force_login(developer)
    assert client.get(url).status_code == 200
    assert post(client, url, member, "viewer").status_code == 403
    client.force_login(owner)
    boss = str(Membership.objects.in_tenant(lab).get(user=member_of(lab, "admin")).pk)
    assert post(client, url, boss, "viewer").status_code == 409
    assert post(client, url, member, "owner").status_code == 400
    foreign = str(Membership.objects.across_tenants().get(user=stranger).pk)
    assert post(client, url, foreign, "viewer").status_code == 404


def test_the_roles_of_many_members_come_in_pages(client, lab, owner, project, url):
    people = [UserFactory(name=f"One {n:03}") for n in range(60)]
    members = Membership.objects.across_tenants().bulk_create(
        Membership(tenant=lab, user=person, role="developer") for person in people
    )
    ProjectRole.objects.across_tenants().bulk_create(
        ProjectRole(tenant=lab, membership=one, project=project, role="viewer") for one in members
    )
    client.force_login(owner)
    assert len(client.get(url).json()) == 60
    address, found = f"{url}?page_size=25", []
    while address:
        answer = client.get(address)
        found += [one["name"] for one in answer.json()]
        links = re.findall(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
        address = links[0] if links else None
    assert found == [person.name for person in people]
    first = post(client, f"{url}?page_size=25", str(members[40].pk), "finance")
    assert (len(first.json()), 'rel="next"' in first.headers["Link"]) == (25, True)
