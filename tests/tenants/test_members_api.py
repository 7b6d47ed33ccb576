"""Members, invitations and service accounts over HTTP: the same actions, as JSON."""

from __future__ import annotations

import pytest

from tenants.actions import create_service_account, invite
from tenants.models import ApiKey, Invitation, Membership
from tests.factories import ApiKeyFactory, member_of

JSON = {"content_type": "application/json"}


def pk_of(user, tenant):
    return str(Membership.objects.in_tenant(tenant).get(user=user).pk)


@pytest.fixture
def as_owner(client, owner):
    client.force_login(owner)
    return client


def test_members_are_listed_found_and_paged(as_owner, lab, developer, stranger):
    answer = as_owner.get("/api/v1/members/?tenant=lab&q=dana").json()
    assert [row["email"] for row in answer["results"]] == [developer.email]
    assert as_owner.get("/api/v1/members/?role=owner").json()["results"][0]["role"] == "owner"
    assert stranger.email not in as_owner.get("/api/v1/members/").content.decode()


def test_a_role_is_changed(as_owner, lab, developer):
    url = f"/api/v1/members/{pk_of(developer, lab)}/role/"
    assert as_owner.post(url, {"role": "viewer"}, **JSON).json()["role"] == "viewer"
    assert as_owner.post(url, {"role": "emperor"}, **JSON).status_code == 400


def test_ones_own_role_is_not(as_owner, lab, owner):
    answer = as_owner.post(f"/api/v1/members/{pk_of(owner, lab)}/role/", {"role": "viewer"}, **JSON)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


def test_a_member_goes_once_it_is_said_what_becomes_of_their_things(as_owner, lab, project, owner, developer):
    key = ApiKeyFactory(tenant=lab, project=project, owner=developer)
    url = f"/api/v1/members/{pk_of(developer, lab)}/"
    assert as_owner.get(f"{url}owned-resources/").json()[0]["kind"] == "keys"
    answer = as_owner.post(f"{url}remove/", {}, **JSON)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["keys"])
    new_owner = pk_of(owner, lab)
    assert as_owner.post(f"{url}remove/", {"choices": {"keys": new_owner}}, **JSON).status_code == 204
    assert ApiKey.objects.in_tenant(lab).get(pk=key.pk).owner == owner
    assert as_owner.get(url).status_code == 404


def test_the_last_owner_stays(as_owner, lab, owner):
    answer = as_owner.post(f"/api/v1/members/{pk_of(owner, lab)}/remove/", {}, **JSON)
    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


def test_an_invitation_is_sent_once_for_one_idempotency_key(as_owner, lab, stranger):
    said = {"tenant": "lab", "email": stranger.email, "role": "viewer"}
    first = as_owner.post("/api/v1/invitations/", said, headers={"Idempotency-Key": "a"}, **JSON)
    again = as_owner.post("/api/v1/invitations/", said, headers={"Idempotency-Key": "a"}, **JSON)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert "qmi_" not in first.content.decode()
    assert Invitation.objects.in_tenant(lab).count() == 1
    assert as_owner.post("/api/v1/invitations/", said, **JSON).json()["code"] == "already_invited"


def test_an_address_with_an_account_elsewhere_is_answered_like_any_other(as_owner, lab, stranger):
    answers = []
    for email in (stranger.email, "nobody@example.org"):
        answer = as_owner.post(
            "/api/v1/invitations/", {"tenant": "lab", "email": email, "role": "viewer"}, **JSON
        )
        told = answer.json()
        for unique in ("id", "email", "created_at", "expires_at"):
            told.pop(unique)
        answers.append((answer.status_code, told))
    assert answers[0] == answers[1]


def test_an_invitation_is_sent_again_and_withdrawn(as_owner, lab, owner):
    invitation, _ = invite(lab, "nia@example.org", "viewer", by=owner)
    url = f"/api/v1/invitations/{invitation.pk}/"
    assert as_owner.post(f"{url}resend/", {}, "application/json").status_code == 200
    assert as_owner.post(f"{url}withdraw/", {}, "application/json").json()["withdrawn_at"]
    assert as_owner.post(f"{url}withdraw/", {}, "application/json").status_code == 409


def test_invitations_are_for_those_who_manage_members(client, lab, owner, developer):
    invitation, _ = invite(lab, "nia@example.org", "viewer", by=owner)
    client.force_login(developer)
    assert client.get("/api/v1/invitations/").json()["results"] == []
    assert client.get(f"/api/v1/invitations/{invitation.pk}/").status_code == 404
    said = {"tenant": "lab", "email": "a@b.org", "role": "viewer"}
    assert client.post("/api/v1/invitations/", said, **JSON).status_code == 403


def test_in_a_tenant_of_others_nothing_is_found(as_owner, stranger):
    for path, said in (
        ("invitations", {"tenant": "elsewhere", "email": "a@b.org", "role": "viewer"}),
        ("service-accounts", {"tenant": "elsewhere", "name": "x", "role": "viewer"}),
    ):
        assert as_owner.post(f"/api/v1/{path}/", said, **JSON).status_code == 404


def test_a_service_account_is_made_stopped_continued_and_ended(as_owner, lab, owner):
    said = {"tenant": "lab", "name": "nightly", "role": "developer"}
    made = as_owner.post("/api/v1/service-accounts/", said, **JSON)
    assert made.status_code == 201
    assert made.json()["responsible"] == owner.email
    url = f"/api/v1/service-accounts/{made.json()['id']}/"
    assert as_owner.post(f"{url}disable/", {}, "application/json").json()["is_active"] is False
    assert as_owner.post(f"{url}enable/", {}, "application/json").json()["is_active"] is True
    assert as_owner.post(f"{url}delete/", {}, **JSON).status_code == 204
    assert as_owner.get(url).status_code == 404
    assert as_owner.post("/api/v1/service-accounts/", said | {"role": "owner"}, **JSON).status_code == 400


def test_people_and_service_accounts_are_apart(as_owner, lab, owner, developer):
    account = create_service_account(lab, name="nightly", role="developer", by=owner)
    assert account.email not in as_owner.get("/api/v1/members/").content.decode()
    assert as_owner.get(f"/api/v1/service-accounts/{pk_of(developer, lab)}/").status_code == 404


def test_a_key_is_claimed_for_a_service_account(client, lab, project, owner, developer):
    account = create_service_account(lab, name="nightly", role="developer", by=owner)
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    client.force_login(developer)
    url = f"/api/v1/keys/{waiting.pk}/claim/"
    assert client.post(url, {"service_account": pk_of(developer, lab)}, **JSON).status_code == 400
    assert client.post(url, {"service_account": pk_of(account, lab)}, **JSON).status_code == 200
    assert ApiKey.objects.in_tenant(lab).get(pk=waiting.pk).owner == account


def test_who_may_not_is_refused(client, lab, owner):
    viewer = member_of(lab, "viewer")
    client.force_login(viewer)
    target = pk_of(owner, lab)
    for path, said in (
        (f"members/{target}/role/", {"role": "viewer"}),
        (f"members/{target}/remove/", {}),
        ("service-accounts/", {"tenant": "lab", "name": "x", "role": "viewer"}),
    ):
        assert client.post(f"/api/v1/{path}", said, **JSON).status_code == 403
    assert client.get(f"/api/v1/members/{target}/owned-resources/").status_code == 403
