"""Whoever issued a service account's token knows its secret: it ends, or rests, when they may not make it any more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, transaction
from django.utils.timezone import now

from accounts.actions import end_staff_role, make_staff
from audit.models import AuditEntry
from directory.actions.group_mappings import begin_group_mapping, draft_group_mapping
from directory.group_mappings import apply_group_mappings
from directory.models import FederatedIdentity
from tenants import actions
from tenants.actions import people
from tenants.models import Membership, PersonalAccessToken
from tests.factories import ApiKeyFactory, member_of, staff

TOKENS = "/api/v1/tokens/"


@pytest.fixture
def admin(lab, owner):
    return member_of(lab, "admin", name="Selma Second")


@pytest.fixture
def account(lab, owner):
    return actions.create_service_account(lab, name="Nightly", role="admin", by=owner)


@pytest.fixture
def issue(account):
    def make(by, **given):
        wanted = {"name": "job", "life": timedelta(days=9), "scopes": ["read", "keys", "manage"]}
        return actions.issue_personal_access_token(account, by=by, **wanted | given)

    return make


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user)


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def opens(client, secret):
    return client.get("/api/v1/tenants/", headers=bearer(secret)).status_code == 200


def test_a_token_names_its_issuer_on_the_api_and_the_page(client, lab, owner, admin, issue):
    token, _ = issue(admin)
    assert token.issued_by == admin
    client.force_login(owner)
    (listed,) = client.get(TOKENS).json()["results"]
    assert listed["issued_by"] == admin.email
    assert "token issued by Selma Second" in client.get("/t/lab/tokens/").content.decode()


def test_ones_own_token_is_issued_by_oneself(developer):
    token, _ = actions.issue_personal_access_token(developer, name="mine", life=timedelta(days=1))
    assert token.issued_by == developer


def test_leaving_revokes_the_tokens_one_issued_and_no_others(client, lab, owner, admin, issue):
    token, secret = issue(admin)
    _, other = issue(owner)
    assert opens(client, secret)
    actions.remove_member(membership(admin, lab).pk, by=admin)
    assert not opens(client, secret)
    assert opens(client, other)
    token.refresh_from_db()
    assert token.revoked_at is not None
    line = AuditEntry.objects.in_tenant(lab).get(verb="personal_access_token.revoked")
    assert (line.actor, line.details["prefix"]) == (admin, token.prefix)


def test_the_page_says_what_leaving_revokes(client, lab, admin, issue):
    issue(admin)
    client.force_login(admin)
    page = client.get(f"/t/lab/members/{membership(admin, lab).pk}/remove/").content.decode()
    assert "1 token of a service account that Selma Second issued is revoked" in page


def test_an_old_token_of_somebody_who_left_claims_no_key(client, lab, project, admin, account, issue):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project, owner=account, created_for=account)
    _, secret = issue(admin)
    actions.remove_member(membership(admin, lab).pk, by=admin)
    answer = client.post(f"/api/v1/keys/{waiting.pk}/claim/", headers=bearer(secret))
    assert answer.status_code == 401
    waiting.refresh_from_db()
    assert waiting.state == "claimable"


def test_a_token_made_by_a_token_counts_as_made_by_who_issued_the_first(client, lab, admin, issue):
    """Otherwise whoever leaves would keep a way in that they made with their own token's help."""
    _, first = issue(admin)
    expires_at = (now() + timedelta(days=2)).isoformat()
    # No account is named: its own.
    wanted = {"name": "child", "scopes": ["read"], "expires_at": expires_at}
    made = client.post(TOKENS, wanted, content_type="application/json", headers=bearer(first))
    assert made.status_code == 201, made.content
    assert made.json()["issued_by"] == admin.email
    actions.remove_member(membership(admin, lab).pk, by=admin)
    assert not opens(client, made.json()["secret"])


def test_a_lower_role_suspends_them_and_the_old_one_brings_them_back(client, lab, owner, admin, issue):
    token, secret = issue(admin)
    actions.change_role(membership(admin, lab).pk, "developer", by=owner)
    assert not opens(client, secret)
    token.refresh_from_db()
    assert "may not create such tokens now" in token.suspended_reason
    line = AuditEntry.objects.in_tenant(lab).get(verb="access.suspended")
    assert line.details["tokens"] == [token.prefix]
    actions.change_role(membership(admin, lab).pk, "admin", by=owner)
    assert opens(client, secret)


def test_the_page_counts_them_before_a_role_is_lowered(client, lab, owner, admin, issue):
    issue(admin)
    client.force_login(owner)
    page = client.post(
        f"/t/lab/members/{membership(admin, lab).pk}/role/", {"role": "developer"}
    ).content.decode()
    assert "1 access token that is bound to this tenant stops as well" in page


def test_a_deactivated_issuer_s_tokens_rest_until_they_are_back(client, lab, operator, admin, issue):
    _, secret = issue(admin)
    people.deactivate_person(admin, by=operator, reason="Left the company.")
    assert not opens(client, secret)
    people.reactivate_person(admin, by=operator, reason="A mistake.")
    assert opens(client, secret)


def test_enabling_the_account_brings_back_no_token_of_somebody_demoted(
    client, lab, owner, admin, account, issue
):
    _, gone = issue(admin)
    _, kept = issue(owner)
    actions.disable_service_account(membership(account, lab).pk, by=owner)
    actions.change_role(membership(admin, lab).pk, "developer", by=owner)
    actions.enable_service_account(membership(account, lab).pk, by=owner)
    assert opens(client, kept)
    assert not opens(client, gone)


def test_an_issuer_who_is_back_does_not_open_a_disabled_account(client, lab, owner, admin, account, issue):
    _, secret = issue(admin)
    actions.change_role(membership(admin, lab).pk, "developer", by=owner)
    actions.disable_service_account(membership(account, lab).pk, by=owner)
    actions.change_role(membership(admin, lab).pk, "admin", by=owner)
    assert not opens(client, secret)
    assert PersonalAccessToken.objects.get(user=account).suspended_at is not None


def test_a_group_mapping_that_takes_the_role_suspends_them(
    client, settings, lab, owner, operator, account, issue
):
    settings.OIDC_ISSUER = "https://id.example"
    person = member_of(lab, "viewer")
    person.memberships.all().delete()
    identity = FederatedIdentity.objects.create(
        user=person, issuer="https://id.example", subject="s", groups=["admins"]
    )
    begin_group_mapping(draft_group_mapping(group="admins", tenant=lab, role="admin"), by=operator)
    apply_group_mappings(person, reason="test")
    _, secret = issue(person)
    assert opens(client, secret)
    identity.groups = []
    identity.save()
    apply_group_mappings(person, reason="test")
    assert not opens(client, secret)


def test_an_operator_s_tokens_rest_when_they_are_none_any_more(client, operator, issue):
    second = staff("operator")
    _, secret = issue(second)
    assert opens(client, secret)
    end_staff_role(second, "operator", by=operator)
    assert not opens(client, secret)
    make_staff(second, "operator", by=operator)
    assert opens(client, secret)


def test_an_erased_issuer_s_tokens_are_revoked(client, operator, admin, issue):
    from privacy.personal_data import erase_person

    token, secret = issue(admin)
    erase_person(admin.pk, by=operator, reason="Ticket 4711")
    assert not opens(client, secret)
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_the_database_keeps_the_issuer(admin, owner, issue):
    token, _ = issue(admin)
    with pytest.raises(DatabaseError, match="who issued it"), transaction.atomic():
        PersonalAccessToken.objects.filter(pk=token.pk).update(issued_by=owner)


@pytest.mark.parametrize("field", ["digest", "prefix"])
def test_the_database_keeps_the_secret_that_the_issuer_knows(admin, issue, field):
    """Else the token that one person issued would be another's, who asks by it and decides."""
    token, _ = issue(admin)
    with pytest.raises(DatabaseError, match="who issued it"), transaction.atomic():
        PersonalAccessToken.objects.filter(pk=token.pk).update(**{field: "0" * 8})


def test_who_lost_the_right_since_they_were_asked_issues_none(lab, owner, admin, issue):
    """As in a request that began before the removal was committed: what it remembers of its person is of before."""
    assert admin.has_perm("tenants.manage_tokens", lab)
    actions.remove_member(membership(admin, lab).pk, by=owner)
    with pytest.raises(PermissionDenied, match="see or revoke other people's tokens"):
        issue(admin)
    assert not PersonalAccessToken.objects.filter(issued_by=admin).exists()


def test_who_is_deactivated_meanwhile_issues_none(operator, admin, issue):
    person = type(admin).objects.get(pk=admin.pk)
    assert person.is_active
    people.deactivate_person(admin, by=operator, reason="Left the company.")
    with pytest.raises(PermissionDenied, match="no longer active"):
        issue(person)


def test_a_token_that_names_no_issuer_gets_one(account, owner, developer):
    """As from a console of the version before, which knows nothing of issuers."""
    for who, issuer in ((account, owner), (developer, developer)):
        token = PersonalAccessToken.objects.create(
            user=who, name="old", prefix="qmp_", digest=f"{who.pk}", expires_at=now() + timedelta(days=1)
        )
        token.refresh_from_db()
        assert token.issued_by == issuer
