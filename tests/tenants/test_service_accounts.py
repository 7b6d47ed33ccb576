"""Service accounts: members that own keys and tokens, and never sign in to pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from tenants.actions import (
    add_member,
    change_role,
    claim_api_key,
    create_service_account,
    delete_service_account,
    disable_service_account,
    enable_service_account,
    invite,
    issue_personal_access_token,
    remove_member,
)
from tenants.actions.owned_resources import END
from tenants.models import ApiKey, Membership, PersonalAccessToken, Tenant
from tests.factories import ApiKeyFactory, member_of


@pytest.fixture
def account(lab, owner):
    return create_service_account(lab, name="Nightly Report", role="developer", by=owner)


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user)


def test_it_is_a_member_with_an_address_that_no_mail_reaches(lab, owner, account):
    assert account.email == "nightly-report@lab.service.invalid"
    assert (account.service_of, account.responsible) == (lab, owner)
    assert account.has_perm("tenants.claim_key", lab)
    line = AuditEntry.objects.in_tenant(lab).get(verb="service_account.created")
    assert line.details["responsible"] == owner.email


def test_it_cannot_sign_in_to_pages(client, account):
    assert not account.has_usable_password()
    account.set_password("unguessable-otter-42")
    account.save()
    said = {"username": account.email, "password": "unguessable-otter-42"}
    assert client.post("/login/", said).status_code == 200  # the form again
    client.force_login(account)
    assert client.get("/t/lab/").status_code == 302


def test_its_token_opens_the_api(client, account):
    _, secret = issue_personal_access_token(account, name="job", life=timedelta(days=9))
    bearer = {"Authorization": f"Bearer {secret}"}
    assert [t["slug"] for t in client.get("/api/v1/tenants/", headers=bearer).json()["results"]] == ["lab"]


def test_nobody_makes_one_above_themselves_or_an_owner(lab, owner, developer):
    admin = member_of(lab, "admin")
    assert create_service_account(lab, name="a", role="admin", by=admin)
    for person in (owner, admin):
        with pytest.raises(PermissionDenied, match="owner"):
            create_service_account(lab, name="b", role="owner", by=person)
    with pytest.raises(PermissionDenied):
        create_service_account(lab, name="c", role="viewer", by=developer)


def test_it_never_becomes_an_owner(lab, owner, account):
    with pytest.raises(PermissionDenied, match="cannot be an owner"):
        change_role(membership(account, lab).pk, "owner", by=owner)


def test_through_it_nobody_changes_who_belongs(lab, owner, developer):
    """An admin who is demoted may still know a token of the account they made."""
    account = create_service_account(lab, name="robot", role="admin", by=owner)
    for action in (
        lambda: change_role(membership(developer, lab).pk, "admin", by=account),
        lambda: remove_member(membership(developer, lab).pk, by=account),
        lambda: invite(lab, "nia@example.org", "viewer", by=account),
        lambda: create_service_account(lab, name="another", role="viewer", by=account),
    ):
        with pytest.raises(PermissionDenied, match="a person must"):
            action()


def test_a_name_is_taken_once_and_needs_a_letter(lab, owner, account):
    with pytest.raises(ValidationError, match="already"):
        create_service_account(lab, name="nightly report", role="viewer", by=owner)
    with pytest.raises(ValidationError, match="letters"):
        create_service_account(lab, name="…", role="viewer", by=owner)


def test_a_member_claims_a_key_for_it(lab, project, owner, developer, account):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project, owner=developer, created_for=developer)
    key, _ = claim_api_key(waiting.pk, by=developer, owner=account.pk)
    assert (key.owner, key.claimed_by) == (account, developer)
    line = AuditEntry.objects.in_tenant(lab).get(verb="api_key.claimed")
    assert line.details["owner"] == account.email


def test_a_key_is_claimed_for_no_other_person_nor_elsewhere(lab, project, owner, developer, stranger):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    foreign = create_service_account(
        stranger.memberships.get().tenant, name="x", role="developer", by=stranger
    )
    for who in (owner.pk, foreign.pk, "nobody"):
        with pytest.raises(ValidationError, match="service account"):
            claim_api_key(waiting.pk, by=developer, owner=who)


def test_one_that_may_not_hold_keys_gets_none(lab, project, owner, developer):
    viewer = create_service_account(lab, name="viewer", role="viewer", by=owner)
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    with pytest.raises(PermissionDenied, match="viewer may not hold keys of Letters"):
        claim_api_key(waiting.pk, by=developer, owner=viewer.pk)


def test_what_is_suspended_with_it_names_nobody(lab, project, owner, developer, account):
    """The words stay on keys and tokens when the person who answered for it has been erased."""
    User.objects.filter(pk=account.pk).update(responsible=developer)
    key = ApiKeyFactory(tenant=lab, project=project, owner=account)
    remove_member(membership(developer, lab).pk, by=owner, choices={"service_accounts": "end"})
    key.refresh_from_db()
    assert key.suspended_reason == "The person who answered for it has left."
    assert developer.email not in key.suspended_reason


def test_disabled_it_stops_and_enabled_it_goes_on(client, lab, project, owner, account):
    key = ApiKeyFactory(tenant=lab, project=project, owner=account)
    _, secret = issue_personal_access_token(account, name="job", life=timedelta(days=9))
    bearer = {"Authorization": f"Bearer {secret}"}
    usable = ApiKey.objects.in_tenant(lab).usable().filter(pk=key.pk)

    disable_service_account(membership(account, lab).pk, by=owner)
    assert not usable.exists()
    assert client.get("/api/v1/tenants/", headers=bearer).status_code == 401
    with pytest.raises(Conflict, match="already disabled"):
        disable_service_account(membership(account, lab).pk, by=owner)

    enable_service_account(membership(account, lab).pk, by=owner)
    assert usable.exists()
    assert client.get("/api/v1/tenants/", headers=bearer).status_code == 200
    with pytest.raises(Conflict, match="not disabled"):
        enable_service_account(membership(account, lab).pk, by=owner)


def test_deleted_it_leaves_its_keys_to_somebody_and_its_name_free(lab, project, owner, account):
    key = ApiKeyFactory(tenant=lab, project=project, owner=account)
    issue_personal_access_token(account, name="job", life=timedelta(days=9))
    PersonalAccessToken.objects.filter(user=account).update(tenant=lab)
    pk = membership(account, lab).pk
    with pytest.raises(ValidationError):
        delete_service_account(pk, by=owner)
    delete_service_account(pk, by=owner, choices={"keys": str(membership(owner, lab).pk), "tokens": END})
    key.refresh_from_db()
    assert (key.owner, key.state) == (owner, "active")
    assert not User.objects.get(pk=account.pk).is_active
    assert not Membership.objects.in_tenant(lab).filter(user=account).exists()
    assert create_service_account(lab, name="Nightly Report", role="viewer", by=owner)


def test_it_is_for_who_manages_members(lab, account, developer, stranger):
    with pytest.raises(PermissionDenied):
        disable_service_account(membership(account, lab).pk, by=developer)
    with pytest.raises(Membership.DoesNotExist):
        disable_service_account(membership(account, lab).pk, by=stranger)
    with pytest.raises(Tenant.DoesNotExist):
        create_service_account(lab, name="x", role="viewer", by=stranger)


def test_a_person_is_no_service_account(lab, owner, developer):
    with pytest.raises(Membership.DoesNotExist):
        disable_service_account(membership(developer, lab).pk, by=owner)


def test_it_is_added_nowhere_as_if_it_were_a_person(lab, owner, stranger, account):
    elsewhere = stranger.memberships.get().tenant
    for tenant, role, by in ((lab, "owner", owner), (lab, "admin", owner), (elsewhere, "viewer", None)):
        with pytest.raises(PermissionDenied, match="service account"):
            add_member(tenant, account, role, by=by)
    with pytest.raises(PermissionDenied, match="service account"):
        add_member(lab, account, "owner", by=None)
