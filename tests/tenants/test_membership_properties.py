"""Whatever anybody does, in whatever order: an owner remains, who is gone is gone, and nobody raises themselves.

Hypothesis makes up sequences of actions by random people and plays them against the real actions and the real
database; each sequence is rolled back. After every action the rules below are checked against what the database says.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import transaction
from django.utils.timezone import now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from accounts.models import User
from core.errors import Conflict
from tenants import actions
from tenants.actions.owned_resources import END, owned_resources_of
from tenants.actions.people import deactivate_person, reactivate_person
from tenants.models import ApiKey, Invitation, Membership, PersonalAccessToken, Project, Tenant
from tenants.roles import Role
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, UserFactory, member_of, staff

REFUSALS = (PermissionDenied, Conflict, ValidationError, ObjectDoesNotExist)
# Of somebody or something, counted round.
NUMBERS = st.integers(0, 9)
ROLES = st.sampled_from(["owner", "admin", "viewer", "developer", "finance"])
ACTORS = st.sampled_from(["owner", "admin", "owner", "admin", "anybody"])


class Memberships(RuleBasedStateMachine):
    """A tenant with an owner, an admin and a developer; two outsiders; an owner of another tenant; an operator."""

    def __init__(self):
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.tenant = TenantFactory(slug="lab")
        self.project = ProjectFactory(tenant=self.tenant)
        for role in ("owner", "admin", "developer"):
            member_of(self.tenant, role, name=role)
        UserFactory.create_batch(2)
        member_of(TenantFactory(slug="elsewhere"), "owner")
        self.operator = staff("operator")
        # (secret, id of who invited, address).
        self.links = []
        self.last = self.powers()
        # The last action was refused, and rolled back: all is as it was when it was checked.
        self.is_unchanged = False

    def teardown(self):
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    # Who and what there is

    def people(self):
        """Everybody as their next request would load them, service accounts too; the operator apart."""
        return list(User.objects.exclude(pk=self.operator.pk).order_by("date_joined", "pk"))

    def person(self, number):
        people = self.people()
        return people[number % len(people)]

    def actor(self, who, number):
        """One of the owners or admins, who may do most; or just anybody."""
        holders = self.people() if who == "anybody" else self.holders(who) or self.people()
        return holders[number % len(holders)]

    def holders(self, role):
        held = Membership.objects.in_tenant(self.tenant).filter(role=role, user__is_active=True)
        return [membership.user for membership in held.select_related("user").order_by("pk")]

    def membership(self, number):
        members = list(Membership.objects.in_tenant(self.tenant).order_by("pk"))
        return members[number % len(members)]

    def powers(self):
        """By person, all they may do in the tenant and in its project."""
        return {
            person.pk: {f"tenant {action}" for action in person.get_all_permissions(self.tenant)}
            | {f"project {action}" for action in person.get_all_permissions(self.project)}
            for person in self.people()
        }

    @contextmanager
    def action(self, *, giver):
        """Try something; refusals are fine. Whoever can do more afterwards has it of `giver`, who had it before."""
        before = self.last
        try:
            with transaction.atomic():
                yield
        except REFUSALS:
            self.is_unchanged = True
            return
        after = self.last = self.powers()
        for person, held in after.items():
            gained = held - before.get(person, set())
            if not gained or giver == self.operator.pk:
                continue
            assert person != giver, f"somebody raised themselves: {gained}"
            assert gained <= before[giver], f"more than the giver had: {gained}"

    # Actions

    @rule(who=ACTORS, by=NUMBERS, to=NUMBERS, role=ROLES)
    def invite(self, who, by, to, role):
        inviter = self.actor(who, by)
        with self.action(giver=inviter.pk):
            invitation, secret = actions.invite(self.tenant, self.person(to).email, role, by=inviter)
            self.links.append((secret, inviter.pk, invitation.email))

    @rule(by=NUMBERS, link=NUMBERS, is_invited=st.booleans())
    def accept(self, by, link, is_invited):
        if not self.links:
            return
        secret, inviter, address = self.links[-1 - link % len(self.links)]
        person = User.objects.filter(email=address).first() if is_invited else self.person(by)
        with self.action(giver=inviter):
            actions.accept_invitation(secret, person)

    @rule(who=ACTORS, by=NUMBERS, which=NUMBERS)
    def send_again(self, who, by, which):
        invitations = list(Invitation.objects.in_tenant(self.tenant).order_by("pk"))
        if not invitations:
            return
        sender = self.actor(who, by)
        with self.action(giver=sender.pk):
            invitation, secret = actions.resend_invitation(
                invitations[which % len(invitations)].pk, by=sender
            )
            self.links.append((secret, sender.pk, invitation.email))

    @rule(who=ACTORS, by=NUMBERS, member=NUMBERS, role=ROLES)
    def change_role(self, who, by, member, role):
        actor = self.actor(who, by)
        with self.action(giver=actor.pk):
            actions.change_role(self.membership(member).pk, role, by=actor)

    @rule(who=ACTORS, by=NUMBERS, to=NUMBERS, role=ROLES)
    def add(self, who, by, to, role):
        actor = self.actor(who, by)
        with self.action(giver=actor.pk):
            actions.add_member(self.tenant, self.person(to), role, by=actor)

    @rule(who=ACTORS, by=NUMBERS, member=NUMBERS, new_owner=NUMBERS, hands_over=st.booleans())
    def remove(self, who, by, member, new_owner, hands_over):
        actor, leaving = self.actor(who, by), self.membership(member)
        with self.action(giver=actor.pk):
            actions.remove_member(leaving.pk, by=actor, choices=self.choices(leaving, new_owner, hands_over))

    @rule(member=NUMBERS)
    def leave(self, member):
        leaving = self.membership(member)
        with self.action(giver=leaving.user_id):
            actions.remove_member(leaving.pk, by=leaving.user, choices=self.choices(leaving, 0, False))

    def choices(self, leaving, new_owner, hands_over):
        return {
            kind.kind: str(self.membership(new_owner).pk) if hands_over and kind.can_hand_over else END
            for kind in owned_resources_of(leaving.user, self.tenant)
        }

    @rule(who=ACTORS, by=NUMBERS, role=ROLES)
    def make_service_account(self, who, by, role):
        actor = self.actor(who, by)
        with self.action(giver=actor.pk):
            name = f"robot {User.objects.count()}"
            actions.create_service_account(self.tenant, name=name, role=role, by=actor)

    @rule(
        who=ACTORS,
        by=NUMBERS,
        member=NUMBERS,
        what=st.sampled_from([actions.disable_service_account, actions.delete_service_account]),
    )
    def stop_service_account(self, who, by, member, what):
        actor, account = self.actor(who, by), self.membership(member)
        more = {"choices": self.choices(account, 0, False)} if what is actions.delete_service_account else {}
        with self.action(giver=actor.pk):
            what(account.pk, by=actor, **more)

    @rule(who=ACTORS, by=NUMBERS, member=NUMBERS)
    def enable_service_account(self, who, by, member):
        actor, account = self.actor(who, by), self.membership(member)
        with self.action(giver=actor.pk):
            actions.enable_service_account(account.pk, by=actor)

    @rule(who=ACTORS, by=NUMBERS, member=NUMBERS, role=st.none() | ROLES)
    def give_role_in_project(self, who, by, member, role):
        actor, target = self.actor(who, by), self.membership(member)
        with self.action(giver=actor.pk):
            actions.set_project_role(self.project.pk, target.pk, role, by=actor)

    @rule(member=NUMBERS)
    def get_a_key_and_a_token(self, member):
        user = User.objects.get(pk=self.membership(member).user_id)
        if user.is_active and user.has_perm("tenants.claim_key", self.project):
            ApiKeyFactory(tenant=self.tenant, project=self.project, owner=user)
        if user.is_active:
            # The tenant of a service account may be suspended.
            with suppress(Conflict):
                token, __ = actions.issue_personal_access_token(user, name="t", life=timedelta(days=1))
                PersonalAccessToken.objects.filter(pk=token.pk).update(tenant=self.tenant)

    @rule(suspends=st.booleans())
    def suspend_or_resume_the_tenant(self, suspends):
        with self.action(giver=self.operator.pk):
            if suspends and Tenant.objects.get(pk=self.tenant.pk).status == Tenant.Status.ACTIVE:
                actions.suspend_tenant(self.tenant.pk, by=self.operator, reason="Trying it out.")
            else:
                actions.resume_tenant(self.tenant.pk, by=self.operator)

    @rule(whom=NUMBERS, comes_back=st.booleans())
    def close_or_open_an_account(self, whom, comes_back):
        person = self.person(whom)
        with self.action(giver=self.operator.pk):
            action = reactivate_person if comes_back or not person.is_active else deactivate_person
            action(person, by=None, reason="The directory says so.")

    @rule()
    def time_passes(self):
        Invitation.objects.in_tenant(self.tenant).update(expires_at=now() - timedelta(seconds=1))

    # What holds after every action

    @invariant()
    def all_rules_hold(self):
        if self.is_unchanged:
            self.is_unchanged = False
            return
        self.there_is_an_owner_who_is_a_person()
        self.who_does_not_belong_has_nothing_here()
        self.nobody_holds_a_working_key_that_their_role_may_not_hold()
        self.a_suspended_tenant_has_no_usable_key()

    def there_is_an_owner_who_is_a_person(self):
        owners = Membership.objects.in_tenant(self.tenant).filter(role=Role.OWNER)
        assert owners.filter(user__service_of=None).exists()
        assert not owners.exclude(user__service_of=None).exists()

    def who_does_not_belong_has_nothing_here(self):
        people = self.people()
        members = set(Membership.objects.in_tenant(self.tenant).values_list("user", flat=True))
        outside = [person for person in people if person.pk not in members]
        locked_out = [person for person in people if person.pk not in members or not person.is_active]
        for person in locked_out:
            assert not self.last[person.pk]
        assert not ApiKey.objects.in_tenant(self.tenant).usable().filter(owner__in=locked_out).exists()
        tokens = PersonalAccessToken.objects.filter(user__in=locked_out, tenant=self.tenant)
        assert not tokens.filter(revoked_at=None, suspended_at=None).exists()
        carrying = Group.objects.filter(user__in=outside)
        for place in (self.tenant, self.project):
            assert not carrying.filter(name__contains=str(place.pk)).exists()
        for person in outside:
            assert not Tenant.objects.visible_to(person).filter(pk=self.tenant.pk).exists()
            assert not Project.objects.visible_to(person).in_tenant(self.tenant).exists()

    def nobody_holds_a_working_key_that_their_role_may_not_hold(self):
        for key in ApiKey.objects.in_tenant(self.tenant).usable().select_related("owner", "project"):
            assert key.owner.has_perm("tenants.claim_key", key.project)

    def a_suspended_tenant_has_no_usable_key(self):
        if Tenant.objects.get(pk=self.tenant.pk).status != Tenant.Status.ACTIVE:
            assert not ApiKey.objects.in_tenant(self.tenant).usable().exists()


@pytest.mark.timeout(600)
def test_no_sequence_of_actions_breaks_the_rules_of_belonging(db):
    run_state_machine_as_test(
        Memberships,
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
