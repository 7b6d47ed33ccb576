"""What somebody owns follows their role, in the tenant and in each project, whoever changes it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from accounts.models import Source, User
from audit.models import AuditEntry
from directory.group_mappings import apply_group_mappings
from directory.models import FederatedIdentity, GroupMapping
from tenants.actions import (
    accept_invitation,
    add_member,
    change_role,
    claim_api_key,
    invite,
    issue_personal_access_token,
    revoke_api_key,
    set_project_role,
)
from tenants.models import ApiKey, Membership, PersonalAccessToken, Tenant
from tenants.revision import current_revision
from tenants.suspension import suspend_access
from tests.concurrency import queued_at
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, member_of


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user)


def works(key):
    return ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()


def is_good(token):
    return PersonalAccessToken.objects.usable().filter(pk=token.pk).exists()


@pytest.fixture
def key(lab, project, developer):
    return ApiKeyFactory(tenant=lab, project=project, owner=developer)


@pytest.fixture
def other_key(lab, developer):
    return ApiKeyFactory(
        tenant=lab, project=ProjectFactory(tenant=lab, slug="numbers", name="Numbers"), owner=developer
    )


@pytest.fixture
def token(lab, developer):
    return issue_personal_access_token(developer, name="t", life=timedelta(days=1), tenant=lab)[0]


def by_hand(user, tenant, role, by):
    change_role(membership(user, tenant).pk, role, by=by)


@pytest.fixture(autouse=True)
def provider_of_groups(settings):
    settings.OIDC_ISSUER = "https://id.example"


def by_rule(user, tenant, role, by):
    """Make the membership a rule's, and let the rule give `role`."""
    Membership.objects.in_tenant(tenant).filter(user=user).update(source=Source.GROUP)
    GroupMapping.objects.all().delete()
    GroupMapping.objects.create(group="g", tenant=tenant, role=role)
    FederatedIdentity.objects.get_or_create(
        user=user, defaults={"issuer": "https://id.example", "subject": str(user.pk), "groups": ["g"]}
    )
    apply_group_mappings(user, reason="a test")


def by_script(user, tenant, role, by):
    add_member(tenant, user, role, by=by)


@pytest.mark.parametrize("give", [by_hand, by_rule, by_script])
class TestInTheTenant:
    def test_a_role_that_may_hold_no_keys_suspends_them_and_the_tenants_tokens(
        self, give, lab, owner, developer, key, token
    ):
        colleagues = ApiKeyFactory(tenant=lab, project=key.project, owner=owner)
        revision = current_revision()
        give(developer, lab, "viewer", owner)
        assert (works(key), is_good(token), works(colleagues)) == (False, False, True)
        assert current_revision() > revision
        line = AuditEntry.objects.in_tenant(lab).get(verb="access.suspended")
        assert (line.details["keys"], line.details["tokens"]) == ([key.prefix], [token.prefix])
        key.refresh_from_db()
        assert key.suspended_reason

        give(developer, lab, "admin", owner)
        assert (works(key), is_good(token)) == (True, True)
        assert AuditEntry.objects.in_tenant(lab).filter(verb="access.restored").count() == 1

    def test_a_role_that_may_hold_keys_as_well_changes_nothing(self, give, lab, owner, developer, key):
        revision = current_revision()
        give(developer, lab, "admin", owner)
        give(developer, lab, "developer", owner)
        assert works(key)
        assert current_revision() == revision

    def test_a_project_role_keeps_the_keys_of_its_project(self, give, lab, owner, developer, key, other_key):
        set_project_role(key.project.pk, membership(developer, lab).pk, "developer", by=owner)
        give(developer, lab, "viewer", owner)
        assert (works(key), works(other_key)) == (True, False)

    def test_a_project_role_that_slept_while_they_were_admin_narrows_again(
        self, give, lab, owner, developer, key, other_key
    ):
        set_project_role(key.project.pk, membership(developer, lab).pk, "viewer", by=owner)
        give(developer, lab, "admin", owner)
        assert (works(key), works(other_key)) == (True, True)
        give(developer, lab, "developer", owner)
        assert (works(key), works(other_key)) == (False, True)

    def test_nothing_comes_back_while_the_provider_refuses_them(self, give, lab, owner, developer, key):
        give(developer, lab, "viewer", owner)
        FederatedIdentity.objects.update_or_create(
            user=developer,
            defaults={"issuer": "https://id.example", "subject": "x", "groups": ["g"], "refused_at": now()},
        )
        give(developer, lab, "developer", owner)
        assert not works(key)

    def test_nothing_comes_back_to_somebody_inactive_and_nothing_revoked(
        self, give, lab, owner, developer, key, other_key
    ):
        give(developer, lab, "viewer", owner)
        revoke_api_key(other_key.pk, by=owner)
        User.objects.filter(pk=developer.pk).update(is_active=False)
        give(developer, lab, "developer", owner)
        assert not works(key)
        User.objects.filter(pk=developer.pk).update(is_active=True)
        give(developer, lab, "admin", owner)
        assert (works(key), works(other_key)) == (True, False)


def test_keys_in_other_tenants_go_on(lab, owner, developer):
    other = TenantFactory()
    add_member(other, developer, "developer", by=None)
    elsewhere = ApiKeyFactory(tenant=other, owner=developer)
    by_hand(developer, lab, "viewer", owner)
    assert works(elsewhere)


def test_a_gain_elsewhere_brings_no_token_back_that_a_rule_has_just_taken(lab, owner, developer, token):
    other = TenantFactory()
    GroupMapping.objects.create(group="g", tenant=other, role="viewer")
    by_rule_in_both = GroupMapping.objects.create(group="g", tenant=lab, role="viewer")
    Membership.objects.in_tenant(lab).filter(user=developer).update(source=Source.GROUP)
    FederatedIdentity.objects.create(
        user=developer, issuer="https://id.example", subject="x", groups=[by_rule_in_both.group]
    )
    apply_group_mappings(developer, reason="a test")
    assert not is_good(token)


def test_a_demotion_brings_no_token_back_that_was_suspended_before(lab, owner, developer, token):
    suspend_access(developer, tenant=lab, reason="somebody saw it", by=owner)
    by_hand(developer, lab, "viewer", owner)
    assert not is_good(token)


def test_an_invitation_to_a_role_that_may_hold_keys_brings_them_back(lab, owner, developer, key):
    by_hand(developer, lab, "viewer", owner)
    # As when a directory takes them out.
    membership(developer, lab).delete()
    _invitation, secret = invite(lab, developer.email, "developer", by=owner)
    assert not works(key)
    accept_invitation(secret, developer)
    assert works(key)


class TestInAProject:
    def test_a_narrower_role_suspends_the_keys_of_that_project_alone(
        self, lab, owner, developer, key, other_key, token
    ):
        member = membership(developer, lab).pk
        revision = current_revision()
        set_project_role(key.project.pk, member, "viewer", by=owner)
        assert (works(key), works(other_key), is_good(token)) == (False, True, True)
        assert current_revision() > revision
        line = AuditEntry.objects.in_tenant(lab).get(verb="access.suspended")
        assert line.details["keys"] == [key.prefix]
        set_project_role(key.project.pk, member, None, by=owner)
        assert works(key)

    def test_taking_a_wider_role_away_suspends_them(self, lab, project, owner, finance):
        member = membership(finance, lab).pk
        set_project_role(project.pk, member, "developer", by=owner)
        waiting = ApiKeyFactory.claimable(tenant=lab, project=project, owner=finance)
        key, _secret = claim_api_key(waiting.pk, by=User.objects.get(pk=finance.pk))
        set_project_role(project.pk, member, None, by=owner)
        assert not works(key)
        set_project_role(project.pk, member, "developer", by=owner)
        assert works(key)


@pytest.mark.django_db(transaction=True)
def test_who_claims_while_they_are_demoted_holds_nothing_that_works(lab, project, owner, developer):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project, owner=developer)
    member = membership(developer, lab).pk
    queued_at(
        Tenant.objects.filter(pk=lab.pk),
        lambda: claim_api_key(waiting.pk, by=User.objects.get(pk=developer.pk)),
        lambda: change_role(member, "viewer", by=owner),
    )
    assert membership(developer, lab).role == "viewer"
    assert not works(waiting)


@pytest.mark.django_db(transaction=True)
def test_two_who_change_a_members_roles_at_once_leave_keys_that_fit(lab, owner, developer, key):
    """One takes the tenant's role, the other the project's: together the key rests on nothing."""
    member = membership(developer, lab).pk
    set_project_role(key.project.pk, member, "developer", by=owner)
    queued_at(
        Tenant.objects.filter(pk=lab.pk),
        lambda: change_role(member, "viewer", by=owner),
        lambda: set_project_role(key.project.pk, member, None, by=owner),
    )
    assert not works(key)


class TestThePageBefore:
    def page(self, client, lab, user, what, said):
        return client.post(f"/t/lab/members/{membership(user, lab).pk}/{what}/", said)

    def test_names_the_keys_that_stop(self, client, lab, owner, developer, key, other_key, token):
        set_project_role(other_key.project.pk, membership(developer, lab).pk, "developer", by=owner)
        client.force_login(owner)
        answer = self.page(client, lab, developer, "role", {"role": "finance"}).content.decode()
        assert key.name in answer
        assert other_key.name not in answer
        assert "This key stops within seconds" in answer
        assert "1 access token" in answer
        assert works(key)

    def test_comes_for_a_wider_role_too_if_a_key_stops(self, client, lab, owner, developer, key):
        """From developer to finance of one project, say, or out of a role that slept."""
        member_of(lab, "owner")
        set_project_role(key.project.pk, membership(developer, lab).pk, "viewer", by=owner)
        by_hand(developer, lab, "admin", owner)
        client.force_login(owner)
        answer = self.page(client, lab, developer, "role", {"role": "developer"}).content.decode()
        assert key.name in answer

    def test_comes_for_a_role_in_a_project_if_a_key_stops(
        self, client, lab, owner, developer, key, other_key
    ):
        client.force_login(owner)
        said = {"project": str(key.project.pk), "role": "viewer"}
        answer = self.page(client, lab, developer, "project-role", said).content.decode()
        assert key.name in answer
        assert other_key.name not in answer
        assert works(key)
        assert (
            self.page(client, lab, developer, "project-role", said | {"confirmed": "on"}).status_code == 302
        )
        assert not works(key)
        said["role"] = ""
        assert self.page(client, lab, developer, "project-role", said).status_code == 302
        assert works(key)
