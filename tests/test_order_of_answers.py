"""Not visible 404, not permitted 403, wrong state 409, wrong data 400: who may not, learns nothing of the form."""

from __future__ import annotations

import pytest
from django.utils.timezone import now

from accounts.models import Source
from catalog.actions import raise_access_request, withdraw_access_request
from catalog.models import AccessRequest, Grant
from gateway.actions import register_gateway
from tenants.actions import (
    add_member,
    change_role,
    claim_api_key,
    create_service_account,
    revoke_api_key,
    suspend_tenant,
)
from tenants.models import Invitation, Membership
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, CatalogModelFactory, UserFactory, member_of
from tests.gateway.granted import key_for

TOO_LONG = {"reason": "x" * 501}


@pytest.fixture
def asked(project, developer):
    return raise_access_request(
        project, CatalogModelFactory().name, by=developer, purpose="Letters.", expected_tokens_per_day=9
    )


def post(client, path, body):
    return client.post(f"/api/v1/{path}", body, "application/json").status_code


def test_revoking_a_key_for_too_long_a_reason(client, lab, project, developer, stranger):
    key = ApiKeyFactory(tenant=lab, project=project)
    path = f"keys/{key.pk}/revoke/"
    client.force_login(stranger)
    assert post(client, path, TOO_LONG) == 404
    client.force_login(member_of(lab, "viewer"))
    assert post(client, path, TOO_LONG) == 403
    client.force_login(developer)
    assert post(client, path, TOO_LONG) == 400
    revoke_api_key(key.pk, by=developer)
    assert post(client, path, TOO_LONG) == 409


def test_revoking_a_grant_for_too_long_a_reason(client, lab, project, developer, stranger):
    grant = Grant.objects.across_tenants().get(item__key=key_for(project, CatalogModelFactory()))
    path = f"grants/{grant.pk}/revoke/"
    client.force_login(stranger)
    assert post(client, path, TOO_LONG) == 404
    client.force_login(member_of(lab, "viewer"))
    assert post(client, path, TOO_LONG) == 403
    client.force_login(developer)
    assert post(client, path, TOO_LONG) == 400
    grant.revoked_at = now()
    grant.save()
    assert post(client, path, TOO_LONG) == 409


@pytest.mark.parametrize(
    "body", [{}, {"track": "security"}, {"track": "nonsense"}, [], {"track": ["security"]}]
)
def test_a_review_that_cannot_be_read(
    client, asked, developer, stranger, security_reviewer, cost_reviewer, body
):
    path = f"access-requests/{asked.pk}/reviews/"
    client.force_login(stranger)
    assert post(client, path, body) == 404
    client.force_login(developer)
    assert post(client, path, body) == 403
    client.force_login(security_reviewer)
    assert post(client, path, body) == 400
    withdraw_access_request(asked.pk, by=developer)
    assert post(client, path, body) == 409


def test_a_track_that_is_somebody_elses(client, asked, cost_reviewer):
    client.force_login(cost_reviewer)
    assert post(client, f"access-requests/{asked.pk}/reviews/", {"track": "security"}) == 403


def test_the_page_that_asks_whether_to_withdraw_is_for_who_may(client, asked, lab, developer, owner):
    page = f"/t/lab/requests/{asked.pk}/withdraw/"
    for role in ("developer", "viewer"):
        client.force_login(member_of(lab, role))
        assert client.get(page).status_code == 403
    for person in (developer, owner):
        client.force_login(person)
        assert client.get(page).status_code == 200
    withdraw_access_request(asked.pk, by=developer)
    assert client.get(page).status_code == 409


# By route: what cannot be read of it, beside the names that say where it would be done.
BAD = {
    "exports": {"tenant": "lab", "period": "nonsense"},
    "exports of the audit log": {"tenant": "lab", "kind": "audit_csv", "period": "nonsense"},
    "access-requests": {"project": "letters", "model": 7, "expected_tokens_per_day": "many"},
    "invitations": {"tenant": "lab", "email": "nobody", "role": "viewer"},
    "service-accounts": {"tenant": "lab", "name": "", "role": "viewer"},
    "projects": {"tenant": "lab", "slug": "no slug", "name": ""},
}


@pytest.mark.parametrize("what", BAD)
def test_creating_with_a_bad_body(client, lab, project, owner, operator, stranger, what):
    path, body = f"{what.split()[0]}/", BAD[what]
    for somebody, status in ((stranger, 404), (member_of(lab, "viewer"), 403), (owner, 400)):
        client.force_login(somebody)
        assert post(client, path, body) == status, status
    suspend_tenant(lab.pk, by=operator, reason="Unpaid")
    assert post(client, path, body) == (400 if what == "exports of the audit log" else 409)


def test_costs_of_nonsense_days(client, lab, owner, stranger):
    for somebody, status in ((stranger, 404), (owner, 400)):
        client.force_login(somebody)
        for route in ("costs", "usage"):
            assert client.get(f"/api/v1/{route}/?tenant=lab&start=never").status_code == status


def test_a_token_for_somebody_elses_account(client, lab, owner, developer, operator):
    account = create_service_account(lab, name="nightly", role="viewer", by=owner)
    body = {"service_account": str(account.memberships.get().pk), "scopes": "all of them"}
    for somebody, status in ((developer, 403), (owner, 400)):
        client.force_login(somebody)
        assert post(client, "tokens/", body) == status
    suspend_tenant(lab.pk, by=operator, reason="Unpaid")
    assert post(client, "tokens/", body) == 409


def test_claiming_for_what_is_no_id(client, lab, project, developer, stranger):
    key = ApiKeyFactory.claimable(tenant=lab, project=project)
    path, body = f"keys/{key.pk}/claim/", {"service_account": "nobody"}
    for somebody, status in ((stranger, 404), (member_of(lab, "viewer"), 403), (developer, 400)):
        client.force_login(somebody)
        assert post(client, path, body) == status
    claim_api_key(key.pk, by=developer)
    assert post(client, path, body) == 409


class TestOfMembers:
    @pytest.fixture
    def by_rule(self, lab):
        user = UserFactory()
        return add_member(lab, user, "viewer", by=None, source=Source.GROUP)

    @pytest.mark.parametrize(
        ("action", "body"), [("role", {"role": "emperor"}), ("remove", {"reason": "x" * 501})]
    )
    def test_changing_and_removing(self, client, lab, owner, developer, stranger, by_rule, action, body):
        member = Membership.objects.in_tenant(lab).get(user=developer)
        path = f"members/{member.pk}/{action}/"
        for somebody, status in (
            (stranger, 404),
            (member_of(lab, "viewer"), 403),
            (owner, 400),
        ):
            client.force_login(somebody)
            assert post(client, path, body) == status
        assert post(client, f"members/{by_rule.pk}/{action}/", body) == 409

    def test_an_owner_who_came_by_a_rule_is_first_of_all_above_an_admin(self, client, lab, owner):
        Membership.objects.in_tenant(lab).filter(user=owner).update(source=Source.GROUP)
        client.force_login(member_of(lab, "admin"))
        path = f"members/{Membership.objects.in_tenant(lab).get(user=owner).pk}/role/"
        assert post(client, path, {"role": "viewer"}) == 403

    def test_a_role_in_a_project(self, client, lab, project, owner, operator, developer, stranger):
        path, body = f"projects/{project.pk}/roles/", {"member": "nobody", "role": "emperor"}
        for somebody, status in ((stranger, 404), (developer, 403), (owner, 400)):
            client.force_login(somebody)
            assert post(client, path, body) == status
        suspend_tenant(lab.pk, by=operator, reason="Unpaid")
        assert post(client, path, body) == 409

    def test_a_role_above_ones_own_is_refused_before_the_address_is_read(self, client, lab, owner):
        client.force_login(member_of(lab, "admin"))
        assert post(client, "invitations/", {"tenant": "lab", "role": "owner", "email": "nobody"}) == 403
        assert post(client, "invitations/", {"tenant": "lab", "role": [], "email": "nobody"}) == 400
        assert post(client, "invitations/", []) == 400


class TestSentAgain:
    """What is repeated by an Idempotency-Key is repeated to who still may."""

    def send(self, client, path, body):
        return client.post(
            f"/api/v1/{path}/", body, "application/json", headers={"Idempotency-Key": "once"}
        ).status_code

    def test_an_access_request(self, client, lab, project, owner, developer, operator):
        model = CatalogModelFactory().name
        body = {"project": "letters", "model": model, "purpose": "Letters.", "expected_tokens_per_day": 9}
        client.force_login(developer)
        assert self.send(client, "access-requests", body) == 201
        assert self.send(client, "access-requests", body) == 201
        assert AccessRequest.objects.in_tenant(lab).count() == 1
        member = Membership.objects.in_tenant(lab).get(user=developer).pk
        change_role(member, "viewer", by=owner)
        assert self.send(client, "access-requests", body) == 403
        change_role(member, "developer", by=owner)
        suspend_tenant(lab.pk, by=operator, reason="Unpaid")
        assert self.send(client, "access-requests", body) == 201, "it was done before"

    @pytest.mark.parametrize("route", ["invitations", "service-accounts"])
    def test_what_is_above_ones_role_now(self, client, lab, owner, route):
        admin = member_of(lab, "owner")
        who = {"email": "nia@example.org"} if route == "invitations" else {"name": "nightly"}
        body = {"tenant": "lab", "role": "admin", **who}
        client.force_login(admin)
        assert self.send(client, route, body) == 201
        change_role(Membership.objects.in_tenant(lab).get(user=admin).pk, "developer", by=owner)
        assert self.send(client, route, body) == 403

    def test_an_invitation_to_own(self, client, lab, owner):
        other = member_of(lab, "owner")
        body = {"tenant": "lab", "email": "nia@example.org", "role": "owner"}
        client.force_login(other)
        assert self.send(client, "invitations", body) == 201
        change_role(Membership.objects.in_tenant(lab).get(user=other).pk, "admin", by=owner)
        assert self.send(client, "invitations", body) == 403
        assert Invitation.objects.in_tenant(lab).count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_gateways_of_one_name_at_once_are_a_conflict_not_an_error():
    outcomes = at_the_same_time(*[lambda: register_gateway("gw", by=None)] * 2)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "tuple"]


def test_a_question_to_the_audit_log_that_cannot_be_read(client, lab, owner):
    page = "/api/v1/audit/?page_size=x"
    client.force_login(member_of(lab, "viewer"))
    assert client.get(page).status_code == 403
    client.force_login(owner)
    assert client.get(page).status_code == 400
