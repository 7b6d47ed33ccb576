"""Roles change hands: nobody raises themselves, no tenant loses its last owner, and who goes leaves nothing open."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from accounts.models import Source, User
from audit.models import AuditEntry
from core.errors import Conflict
from tenants.actions import (
    add_member,
    change_role,
    create_service_account,
    invite,
    issue_personal_access_token,
    remove_member,
)
from tenants.actions.owned_resources import END, owned_resources_of
from tenants.models import ApiKey, Invitation, Membership, PersonalAccessToken, Project
from tenants.revision import current_revision
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, UserFactory, member_of


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user)


def fresh(user):
    """The person as their next request loads them."""
    return User.objects.get(pk=user.pk)


@pytest.fixture
def admin(lab):
    return member_of(lab, "admin", name="Ada Admin")


def test_a_new_role_acts_on_the_next_request_and_is_written_down(lab, owner, developer):
    change_role(membership(developer, lab).pk, "finance", by=owner)
    assert fresh(developer).has_perm("tenants.export_cost", lab)
    assert not fresh(developer).has_perm("tenants.claim_key", lab)
    line = AuditEntry.objects.in_tenant(lab).get(verb="membership.changed")
    assert line.actor == owner
    assert "finance" in str(line.details) + str(getattr(line, "changes", ""))


def test_the_same_role_again_changes_nothing(lab, owner, developer):
    lines = AuditEntry.objects.in_tenant(lab).count()
    change_role(membership(developer, lab).pk, "developer", by=owner)
    assert AuditEntry.objects.in_tenant(lab).count() == lines


def test_nobody_changes_their_own_role(lab, owner, admin):
    member_of(lab, "owner")
    for person in (owner, admin):
        with pytest.raises(PermissionDenied, match="your own role"):
            change_role(membership(person, lab).pk, "viewer", by=person)
        with pytest.raises(PermissionDenied, match="your own role"):
            add_member(lab, person, "viewer", by=person)


def test_only_owners_decide_about_owners(lab, owner, admin, developer):
    with pytest.raises(PermissionDenied, match="Only an owner"):
        change_role(membership(developer, lab).pk, "owner", by=admin)
    with pytest.raises(PermissionDenied, match="Only an owner"):
        change_role(membership(owner, lab).pk, "viewer", by=admin)
    with pytest.raises(PermissionDenied, match="Only an owner"):
        remove_member(membership(owner, lab).pk, by=admin)
    with pytest.raises(PermissionDenied, match="Only an owner"):
        add_member(lab, UserFactory(), "owner", by=admin)
    change_role(membership(developer, lab).pk, "owner", by=owner)
    assert membership(developer, lab).role == "owner"


def test_only_who_manages_members_does(lab, owner, developer, finance):
    for person in (developer, finance):
        with pytest.raises(PermissionDenied, match="manage members"):
            change_role(membership(owner, lab).pk, "viewer", by=person)
        with pytest.raises(PermissionDenied, match="manage members"):
            remove_member(membership(owner, lab).pk, by=person)


def test_a_stranger_finds_no_member(lab, developer, stranger):
    with pytest.raises(Membership.DoesNotExist):
        change_role(membership(developer, lab).pk, "viewer", by=stranger)
    with pytest.raises(Membership.DoesNotExist):
        remove_member(membership(developer, lab).pk, by=stranger)


def test_the_last_owner_stays(lab, owner, operator):
    last = membership(owner, lab).pk
    for action in (
        lambda: remove_member(last, by=owner),
        lambda: remove_member(last, by=operator),
        lambda: change_role(last, "admin", by=operator),
        lambda: add_member(lab, owner, "viewer", by=None),
    ):
        with pytest.raises(Conflict, match="last owner"):
            action()


def test_an_owner_whose_account_is_closed_does_not_count(lab, owner):
    gone = member_of(lab, "owner", is_active=False)
    with pytest.raises(Conflict, match="last owner"):
        remove_member(membership(owner, lab).pk, by=owner)
    remove_member(membership(gone, lab).pk, by=owner)


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_remove_each_other_one_remains(lab, owner):
    other = member_of(lab, "owner", name="Oya Owner")
    mine, theirs = membership(owner, lab).pk, membership(other, lab).pk
    outcomes = at_the_same_time(
        lambda: remove_member(theirs, by=fresh(owner)), lambda: remove_member(mine, by=fresh(other))
    )
    assert Membership.objects.in_tenant(lab).filter(role="owner").count() == 1
    assert sum(outcome is None for outcome in outcomes) == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_once_one_remains(lab, owner):
    other = member_of(lab, "owner", name="Oya Owner")
    mine, theirs = membership(owner, lab).pk, membership(other, lab).pk
    outcomes = at_the_same_time(
        lambda: remove_member(mine, by=owner), lambda: remove_member(theirs, by=other)
    )
    assert Membership.objects.in_tenant(lab).filter(role="owner").count() == 1
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Conflict]


@pytest.mark.django_db(transaction=True)
def test_two_who_inherit_from_each_other_in_two_tenants_take_turns(lab, owner):
    """Both persons are locked in one order, whoever leaves: else each would wait for the other."""
    elsewhere = TenantFactory()
    chief = member_of(elsewhere, "owner")
    dana, hugo = member_of(lab, "developer"), member_of(lab, "developer")
    for person in (dana, hugo):
        add_member(elsewhere, person, "developer", by=None)
        for tenant in (lab, elsewhere):
            ApiKeyFactory(tenant=tenant, project=ProjectFactory(tenant=tenant), owner=person)

    def leave(person, tenant, new_owner, by):
        choices = {"keys": str(membership(new_owner, tenant).pk)}
        return lambda: remove_member(membership(person, tenant).pk, by=fresh(by), choices=choices)

    outcomes = at_the_same_time(leave(dana, lab, hugo, owner), leave(hugo, elsewhere, dana, chief))
    assert outcomes == [None, None]


def test_who_is_removed_sees_and_may_nothing_from_the_next_request_on(client, lab, owner, developer):
    client.force_login(developer)
    assert client.get("/t/lab/").status_code == 200
    remove_member(membership(developer, lab).pk, by=owner)
    assert client.get("/t/lab/").status_code == 404
    assert not fresh(developer).has_perm("tenants.view_cost", lab)
    assert not Project.objects.visible_to(fresh(developer)).exists()
    line = AuditEntry.objects.in_tenant(lab).get(verb="membership.removed")
    assert (line.actor, line.details["user"]) == (owner, developer.email)


def test_anybody_may_leave(lab, owner, finance):
    remove_member(membership(finance, lab).pk, by=finance)
    assert not finance.memberships.exists()
    assert AuditEntry.objects.in_tenant(lab).filter(verb="membership.left", actor=finance).exists()


def test_what_a_group_mapping_gave_no_person_takes(lab, owner):
    user = UserFactory()
    add_member(lab, user, "developer", by=None, source=Source.GROUP)
    pk = membership(user, lab).pk
    for action in (
        lambda: change_role(pk, "viewer", by=owner),
        lambda: remove_member(pk, by=owner),
        lambda: remove_member(pk, by=user),
        lambda: add_member(lab, user, "viewer", by=owner),
    ):
        with pytest.raises(Conflict, match="group mapping"):
            action()


class TestWhatALeaverOwns:
    @pytest.fixture
    def owned(self, lab, project, developer):
        ApiKeyFactory(tenant=lab, project=project, owner=developer, name="in use")
        ApiKeyFactory.claimable(tenant=lab, project=project, owner=developer, created_for=developer)
        elsewhere = ApiKeyFactory(owner=developer, name="elsewhere")
        token, _ = issue_personal_access_token(developer, name="laptop", life=timedelta(days=9))
        PersonalAccessToken.objects.filter(pk=token.pk).update(tenant=lab)
        ProjectFactory(tenant=lab, owner=developer, name="Claims")
        return elsewhere

    def test_is_shown_by_kind(self, lab, developer, owned):
        shown = {kind.kind: kind.count for kind in owned_resources_of(developer, lab)}
        assert shown == {"keys": 2, "tokens": 1, "projects": 1}

    def test_nothing_happens_until_all_of_it_is_decided(self, lab, owner, developer, owned):
        with pytest.raises(ValidationError) as refusal:
            remove_member(membership(developer, lab).pk, by=owner, choices={"keys": END})
        assert set(refusal.value.message_dict) == {"tokens", "projects"}
        assert ApiKey.objects.in_tenant(lab).current().filter(owner=developer).count() == 2

    def test_goes_to_a_named_member_and_works_on(self, lab, owner, developer, owned):
        new_owner = member_of(lab, "developer", name="Nora New Owner")
        new_owners = str(membership(new_owner, lab).pk)
        remove_member(
            membership(developer, lab).pk,
            by=owner,
            choices={"keys": new_owners, "tokens": END, "projects": new_owners},
        )
        assert ApiKey.objects.in_tenant(lab).usable().filter(owner=new_owner).count() == 1
        assert ApiKey.objects.in_tenant(lab).claimable().get().created_for == new_owner
        assert Project.objects.in_tenant(lab).get(name="Claims").owner == new_owner
        assert PersonalAccessToken.objects.get(user=developer).revoked_at is not None
        line = AuditEntry.objects.in_tenant(lab).get(verb="membership.removed")
        assert line.details["settled"]["keys"] == {"handed_over": 2, "to": new_owner.email}

    def test_or_ends_and_gateways_learn_of_it(self, lab, owner, developer, owned):
        before = current_revision()
        ends = dict.fromkeys(("keys", "tokens", "projects"), END)
        remove_member(membership(developer, lab).pk, by=owner, choices=ends)
        assert not ApiKey.objects.in_tenant(lab).current().filter(owner=developer).exists()
        assert current_revision() > before
        assert ApiKey.objects.across_tenants().get(pk=owned.pk).state == "active"

    @pytest.mark.parametrize("role", ["viewer", "finance"])
    def test_keys_go_only_to_who_may_hold_them(self, lab, owner, developer, owned, role):
        new_owner = str(membership(member_of(lab, role), lab).pk)
        with pytest.raises(ValidationError, match="may not hold keys"):
            remove_member(
                membership(developer, lab).pk,
                by=owner,
                choices={"keys": new_owner, "tokens": END, "projects": END},
            )

    def test_nothing_goes_to_a_stranger_or_to_the_leaver(self, lab, owner, developer, stranger, owned):
        foreign = stranger.memberships.get().pk
        for pk in (str(foreign), str(membership(developer, lab).pk), "nobody", ""):
            with pytest.raises(ValidationError):
                remove_member(
                    membership(developer, lab).pk,
                    by=owner,
                    choices={"keys": pk, "tokens": END, "projects": END},
                )

    def test_includes_the_service_accounts_they_answer_for(self, lab, owner):
        departing = member_of(lab, "admin")
        account = create_service_account(lab, name="nightly", role="developer", by=departing)
        key = ApiKeyFactory(tenant=lab, owner=account, project=ProjectFactory(tenant=lab))
        remove_member(membership(departing, lab).pk, by=owner, choices={"service_accounts": END})
        assert not fresh(account).is_active
        assert not ApiKey.objects.in_tenant(lab).usable().filter(pk=key.pk).exists()


def test_invitations_that_a_departing_member_sent_or_was_sent_are_dead(lab, owner):
    departing = member_of(lab, "admin")
    sent, _ = invite(lab, "newcomer@example.org", "viewer", by=departing)
    remove_member(membership(departing, lab).pk, by=owner)
    assert Invitation.objects.in_tenant(lab).get(pk=sent.pk).withdrawn_at is not None


def test_a_demoted_admins_invitations_are_dead(lab, owner, admin):
    sent, _ = invite(lab, "newcomer@example.org", "viewer", by=admin)
    change_role(membership(admin, lab).pk, "developer", by=owner)
    assert Invitation.objects.in_tenant(lab).get(pk=sent.pk).withdrawn_at is not None
