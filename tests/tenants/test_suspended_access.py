"""Who loses what their keys and tokens depend on loses these too, for a while."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from tenants.actions import add_member, claim_api_key, issue_personal_access_token
from tenants.models import ApiKey, PersonalAccessToken, Tenant
from tenants.revision import current_revision
from tenants.suspension import restore_access, suspend_access
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, member_of


def is_usable(key):
    return ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()


@pytest.fixture
def key(lab, project, developer):
    return ApiKeyFactory(tenant=lab, project=project, owner=developer)


@pytest.fixture
def elsewhere_too(developer):
    """Another tenant of the developer, with a key of theirs in it."""
    tenant = TenantFactory()
    add_member(tenant, developer, "admin", by=None)
    return ApiKeyFactory(tenant=tenant, project=ProjectFactory(tenant=tenant), owner=developer)


def test_a_suspended_key_is_no_gateways_any_more_and_comes_back(key, lab, developer, owner):
    before = current_revision()
    assert suspend_access(developer, tenant=lab, reason="left the group", by=owner) == 1
    assert not is_usable(key)
    assert current_revision() == before + 1
    key.refresh_from_db()
    assert key.suspended_reason == "left the group"
    assert restore_access(developer, tenant=lab, by=owner) == 1
    assert is_usable(key)
    verbs = AuditEntry.objects.in_tenant(lab).filter(verb__startswith="access.").order_by("pk")
    assert [(line.verb, line.details["keys"]) for line in verbs] == [
        ("access.suspended", [key.prefix]),
        ("access.restored", [key.prefix]),
    ]


def test_suspending_twice_writes_and_wakes_nobody(key, lab, developer):
    suspend_access(developer, tenant=lab, reason="left", by=None)
    before = (current_revision(), AuditEntry.objects.in_tenant(lab).count())
    assert suspend_access(developer, tenant=lab, reason="left again", by=None) == 0
    assert (current_revision(), AuditEntry.objects.in_tenant(lab).count()) == before


def test_one_tenant_or_all_of_them(key, lab, developer, elsewhere_too):
    suspend_access(developer, tenant=lab, reason="left", by=None)
    assert (is_usable(key), is_usable(elsewhere_too)) == (False, True)
    suspend_access(developer, tenant=None, reason="deactivated", by=None)
    assert (is_usable(key), is_usable(elsewhere_too)) == (False, False)
    restore_access(developer, tenant=None, by=None)
    assert (is_usable(key), is_usable(elsewhere_too)) == (True, True)


def test_colleagues_keys_go_on(key, lab, project, developer, owner):
    others = ApiKeyFactory(tenant=lab, project=project, owner=owner)
    suspend_access(developer, tenant=None, reason="deactivated", by=None)
    assert is_usable(others)


def test_what_is_not_theirs_any_more_does_not_come_back(key, lab, developer, elsewhere_too):
    suspend_access(developer, tenant=None, reason="deactivated", by=None)
    developer.memberships.filter(tenant=lab).delete()
    assert restore_access(developer, tenant=None, by=None) == 1
    assert (is_usable(key), is_usable(elsewhere_too)) == (False, True)


def test_nothing_comes_back_to_somebody_inactive(key, lab, developer):
    suspend_access(developer, tenant=lab, reason="left", by=None)
    User.objects.filter(pk=developer.pk).update(is_active=False)
    assert restore_access(developer, tenant=lab, by=None) == 0
    assert not is_usable(key)


def test_a_revoked_key_stays_as_it_is(lab, project, developer):
    revoked = ApiKeyFactory(
        tenant=lab, project=project, owner=developer, state="revoked", revoked_at=developer.date_joined
    )
    assert suspend_access(developer, tenant=lab, reason="left", by=None) == 0
    revoked.refresh_from_db()
    assert revoked.suspended_at is None


def test_a_suspended_token_opens_nothing(client, lab, developer):
    _token, secret = issue_personal_access_token(developer, name="t", life=timedelta(days=1))
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.get("/api/v1/tenants/", headers=headers).status_code == 200
    suspend_access(developer, tenant=lab, reason="left the lab", by=None)
    assert client.get("/api/v1/tenants/", headers=headers).status_code == 200, "it is bound to no tenant"
    assert suspend_access(developer, tenant=None, reason="deactivated", by=None) == 1
    assert client.get("/api/v1/tenants/", headers=headers).status_code == 401
    restore_access(developer, tenant=None, by=None)
    assert client.get("/api/v1/tenants/", headers=headers).status_code == 200


def test_a_token_of_one_tenant_is_suspended_with_access_to_it(lab, developer):
    token, _ = issue_personal_access_token(developer, name="t", life=timedelta(days=1))
    PersonalAccessToken.objects.filter(pk=token.pk).update(tenant=lab)
    assert suspend_access(developer, tenant=lab, reason="left", by=None) == 1
    token.refresh_from_db()
    assert token.suspended_at is not None


def test_a_key_waiting_for_somebody_who_left_can_be_claimed_by_a_colleague(lab, project, developer, owner):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project, owner=developer)
    suspend_access(developer, tenant=lab, reason="left", by=None)
    with pytest.raises(Conflict, match="suspended: left"):
        claim_api_key(waiting.pk, by=developer)
    key, _secret = claim_api_key(waiting.pk, by=owner)
    assert is_usable(key)
    assert key.owner == owner


def test_nobody_claims_with_an_account_that_is_not_active_any_more(lab, project, developer):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    # The request was let in before.
    User.objects.filter(pk=developer.pk).update(is_active=False)
    with pytest.raises(PermissionDenied, match="no longer active"):
        claim_api_key(waiting.pk, by=developer)


@pytest.mark.django_db(transaction=True)
def test_who_claims_while_their_access_is_taken_holds_nothing_afterwards(lab, project, developer):
    def deactivate():
        with transaction.atomic():
            suspend_access(developer, tenant=None, reason="deactivated", by=None)
            User.objects.filter(pk=developer.pk).update(is_active=False)

    for _round in range(5):
        User.objects.filter(pk=developer.pk).update(is_active=True)
        waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
        at_the_same_time(lambda pk=waiting.pk: claim_api_key(pk, by=developer), deactivate)
        assert not is_usable(waiting)


def test_a_key_is_not_claimed_in_a_suspended_tenant_nor_after_its_end(lab, project, developer):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    Tenant.objects.filter(pk=lab.pk).update(status="suspended", suspended_reason="unpaid")
    with pytest.raises(Conflict, match="Lab is suspended: unpaid"):
        claim_api_key(waiting.pk, by=developer)
    Tenant.objects.filter(pk=lab.pk).update(status="active")
    ApiKey.objects.across_tenants().filter(pk=waiting.pk).update(expires_at=waiting.created_at)
    with pytest.raises(Conflict, match="expired before it was claimed"):
        claim_api_key(waiting.pk, by=developer)


def test_finance_gets_no_key_back(lab, project):
    """A key comes back to who may claim keys now."""
    person = member_of(lab, "finance")
    key = ApiKeyFactory(tenant=lab, project=project, owner=person)
    suspend_access(person, tenant=lab, reason="lower role", by=None)
    assert restore_access(person, tenant=lab, by=None) == 0
    assert not is_usable(key)
