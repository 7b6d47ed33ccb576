"""Roles follow groups by mappings; what a person gave stays, and so does the last owner."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import StaffRoleAssignment
from audit.models import AuditEntry
from directory.group_mappings import apply_group_mapping, apply_group_mappings, preview
from directory.models import DirectoryGroup, FederatedIdentity, GroupMapping
from tenants.actions import set_project_role
from tenants.actions.tokens import issue_personal_access_token
from tenants.models import ApiKey, Membership, PersonalAccessToken
from tenants.revision import current_revision
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, TenantFactory, UserFactory, member_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def provider_of_groups(settings):
    settings.OIDC_ISSUER = "https://id.example"


def mapping(group, tenant=None, role="", staff_role=""):
    return GroupMapping.objects.create(group=group, tenant=tenant, role=role, staff_role=staff_role)


def in_groups(*groups, user=None, **fields):
    """A person whose provider says that they are in these groups."""
    user = user or UserFactory(**fields)
    FederatedIdentity.objects.update_or_create(
        user=user,
        defaults={"issuer": "https://id.example", "subject": user.email, "groups": list(groups)},
    )
    return user


def role_of(user, tenant):
    membership = Membership.objects.in_tenant(tenant).filter(user=user).first()
    return membership and (membership.role, membership.source)


def follow(user):
    apply_group_mappings(user, reason="a test")
    return type(user).objects.get(pk=user.pk)


def said(verb):
    return AuditEntry.objects.across_tenants().filter(verb=verb)


def test_a_group_gives_a_role_and_its_actions(lab):
    mapping("writers", lab, "developer")
    user = follow(in_groups("writers", "others"))
    assert role_of(user, lab) == ("developer", "group")
    assert user.has_perm("tenants.claim_key", lab)
    line = said("membership.added").get()
    assert (line.actor, line.reason, line.tenant) == (None, "a test", lab)


def test_a_group_of_the_directory_counts_like_one_of_the_provider(lab):
    mapping("Writers", lab, "viewer")
    user = UserFactory()
    DirectoryGroup.objects.create(display_name="Writers").members.add(user)
    assert role_of(follow(user), lab) == ("viewer", "group")


def test_what_an_earlier_provider_said_counts_no_more(lab, settings):
    mapping("writers", lab, "developer")
    user = follow(in_groups("writers"))
    settings.OIDC_ISSUER = "https://another.example"
    assert role_of(follow(user), lab) is None


def test_names_of_groups_are_compared_as_they_are_written(lab):
    mapping("Writers", lab, "viewer")
    assert role_of(follow(in_groups("writers")), lab) is None


def test_the_strongest_of_several_roles_wins_in_each_tenant(lab):
    other = TenantFactory()
    for group, role in {"a": "viewer", "b": "admin", "c": "finance"}.items():
        mapping(group, lab, role)
    mapping("a", other, "finance")
    user = follow(in_groups("a", "b", "c"))
    assert role_of(user, lab) == ("admin", "group")
    assert role_of(user, other) == ("finance", "group")
    in_groups("a", user=user)
    assert role_of(follow(user), lab) == ("viewer", "group")


def test_whoever_leaves_the_group_loses_the_role_at_once(lab):
    mapping("writers", lab, "developer")
    user = follow(in_groups("writers"))
    in_groups(user=user)
    user = follow(user)
    assert role_of(user, lab) is None
    assert not user.has_perm("tenants.view_cost", lab)
    assert not user.groups.exists()
    assert said("membership.removed").get().reason == "a test"


def test_a_role_that_a_person_gave_is_left_alone(lab):
    mapping("writers", lab, "admin")
    user = member_of(lab, "viewer")
    in_groups("writers", user=user)
    assert role_of(follow(user), lab) == ("viewer", "person")
    in_groups(user=user)
    assert role_of(follow(user), lab) == ("viewer", "person")


def test_applying_again_changes_and_says_nothing(lab):
    mapping("writers", lab, "developer")
    mapping("staff", staff_role="operator")
    user = follow(in_groups("writers", "staff"))
    before = AuditEntry.objects.across_tenants().count(), current_revision()
    follow(user)
    assert (AuditEntry.objects.across_tenants().count(), current_revision()) == before


def test_a_group_gives_and_takes_a_staff_role(db):
    mapping("reviewers", staff_role="security-reviewer")
    user = follow(in_groups("reviewers"))
    assert user.staff_roles == {"security-reviewer"}
    assert user.has_perm("catalog.decide_review")
    in_groups(user=user)
    user = follow(user)
    assert not user.is_staff
    assert not user.has_perm("catalog.decide_review")
    assert not StaffRoleAssignment.objects.exists()


def test_a_staff_role_that_a_person_gave_is_left_alone(operator):
    mapping("reviewers", staff_role="auditor")
    user = follow(in_groups("reviewers", user=operator))
    assert user.staff_roles == {"operator", "auditor"}
    in_groups(user=user)
    assert follow(user).staff_roles == {"operator"}


def test_keys_and_tokens_that_rested_on_a_lost_role_are_suspended_and_come_back_with_it(lab, project):
    mapping("writers", lab, "developer")
    user = follow(in_groups("writers"))
    key = ApiKeyFactory(tenant=lab, project=project, owner=user)
    token, _ = issue_token(user)
    revision = current_revision()
    in_groups(user=user)
    follow(user)
    assert not ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()
    assert current_revision() > revision
    assert PersonalAccessToken.objects.get(pk=token.pk).suspended_at is not None
    in_groups("writers", user=user)
    follow(user)
    assert ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()
    assert PersonalAccessToken.objects.get(pk=token.pk).suspended_at is None


def issue_token(user):
    return issue_personal_access_token(user, name="t", life=timedelta(days=1))


def test_whoever_leaves_loses_the_keys_of_a_project_role_too(lab, project):
    """A viewer who was a developer in one project, and still belongs elsewhere."""
    mapping("readers", lab, "viewer")
    mapping("elsewhere", TenantFactory(), "viewer")
    user = follow(in_groups("readers", "elsewhere"))
    set_project_role(project.pk, user.memberships.get(tenant=lab).pk, "developer", by=member_of(lab, "owner"))
    key = ApiKeyFactory(tenant=lab, project=project, owner=user)
    follow(in_groups("elsewhere", user=user))
    key.refresh_from_db()
    assert role_of(user, lab) is None
    assert key.suspended_at is not None


def test_a_weaker_role_suspends_keys_only_if_it_may_hold_none(lab, project):
    mapping("admins", lab, "admin")
    mapping("writers", lab, "developer")
    mapping("readers", lab, "viewer")
    user = follow(in_groups("admins", "writers", "readers"))
    key = ApiKeyFactory(tenant=lab, project=project, owner=user)
    in_groups("writers", "readers", user=user)
    follow(user)
    key.refresh_from_db()
    assert key.suspended_at is None
    in_groups("readers", user=user)
    follow(user)
    key.refresh_from_db()
    assert key.suspended_at is not None


def test_keys_in_other_tenants_go_on(lab, project):
    other = TenantFactory()
    mapping("writers", lab, "developer")
    mapping("others", other, "developer")
    user = follow(in_groups("writers", "others"))
    elsewhere = ApiKeyFactory(tenant=other, owner=user)
    in_groups("others", user=user)
    follow(user)
    elsewhere.refresh_from_db()
    assert elsewhere.suspended_at is None


def test_the_last_owner_stays_and_the_audit_log_says_so_once(lab):
    mapping("owners", lab, "owner")
    user = follow(in_groups("owners"))
    in_groups(user=user)
    follow(user)
    follow(user)
    assert role_of(user, lab) == ("owner", "group")
    assert said("membership.last_owner_kept").count() == 1
    member_of(lab, "owner")
    follow(user)
    assert role_of(user, lab) is None


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_leave_the_group_at_once_leave_one_owner(lab):
    mapping("owners", lab, "owner")
    users = [follow(in_groups("owners")) for _ in range(2)]
    for user in users:
        in_groups(user=user)
    at_the_same_time(*(lambda user=user: apply_group_mappings(user, reason="a test") for user in users))
    assert Membership.objects.in_tenant(lab).filter(role="owner").count() == 1


def test_a_closed_tenant_stays_as_it_is(db):
    closed = TenantFactory(status="closed")
    mapping("writers", closed, "developer")
    user = in_groups()
    Membership.objects.create(tenant=closed, user=user, role="viewer", source="group")
    assert role_of(follow(user), closed) == ("viewer", "group")
    assert role_of(follow(in_groups("writers")), closed) is None


def test_accounts_for_programs_follow_no_groups(lab):
    mapping("writers", lab, "developer")
    account = in_groups("writers", service_of=lab)
    assert role_of(follow(account), lab) is None


def test_a_mapping_that_begins_or_ends_reaches_everybody_it_concerns(lab, django_assert_max_num_queries):
    begun = mapping("writers", lab, "developer")
    users = [in_groups("writers") for _ in range(3)]
    bystander = in_groups("others")
    apply_group_mapping(begun, reason="begun")
    begun.refresh_from_db()
    assert begun.applied_at is not None
    assert {role_of(user, lab) for user in users} == {("developer", "group")}
    assert role_of(bystander, lab) is None
    # Nothing to do: as many however many they are.
    with django_assert_max_num_queries(12):
        apply_group_mapping(begun, reason="again")
    begun.ended_at, begun.applied_at = begun.created_at, None
    begun.save()
    apply_group_mapping(begun, reason="ended")
    assert {role_of(user, lab) for user in users} == {None}
    assert not GroupMapping.objects.exists()


def test_one_whose_roles_cannot_be_computed_keeps_nobody_waiting_for_a_mapping(lab, monkeypatch):
    begun = mapping("writers", lab, "developer")
    users = [in_groups("writers") for _ in range(3)]

    def fails_for_one(user, *, reason):
        if user == users[0]:
            raise RuntimeError("no roles for you")
        apply_group_mappings(user, reason=reason)

    monkeypatch.setattr("directory.group_mappings.apply_group_mappings", fails_for_one)
    apply_group_mapping(begun, reason="begun")
    assert [role_of(user, lab) for user in users] == [
        None,
        ("developer", "group"),
        ("developer", "group"),
    ]
    assert GroupMapping.objects.unapplied().get() == begun, "the clock repeats it"
    monkeypatch.undo()
    apply_group_mapping(begun, reason="begun")
    assert role_of(users[0], lab) == ("developer", "group")
    assert not GroupMapping.objects.unapplied().exists()


def test_a_preview_says_who_gains_who_loses_and_who_stays(lab):
    mapping("readers", lab, "viewer")
    old = mapping("writers", lab, "developer")
    ana = follow(in_groups("writers", email="ana@example.com"))
    ben = follow(in_groups("writers", "readers", email="ben@example.com"))
    in_groups("authors", email="cem@example.com")
    dot = member_of(lab, "finance", email="dot@example.com")
    in_groups("authors", user=dot)
    new = GroupMapping(group="authors", tenant=lab, role="admin")
    seen = [
        (change.person.email[:3], change.before, change.after, change.kept, change.is_loss)
        for change in preview(beginning=new, ending=old)
    ]
    assert seen == [
        ("ana", "developer", "", "", True),
        ("ben", "developer", "viewer", "", True),
        ("cem", "", "admin", "", False),
        ("dot", "finance", "finance", "person", False),
    ]
    assert role_of(ana, lab) == role_of(ben, lab) == ("developer", "group")


def test_a_preview_names_the_last_owner_who_stays(lab):
    owners = mapping("owners", lab, "owner")
    for _ in range(2):
        follow(in_groups("owners"))
    kept = [change.kept for change in preview(ending=owners)]
    assert sorted(kept) == ["", "last_owner"]


def test_a_preview_asks_the_database_as_often_for_many_as_for_few(lab, django_assert_num_queries):
    begun = GroupMapping(group="writers", tenant=lab, role="developer")
    in_groups("writers")
    with CaptureQueriesContext(connection) as few:
        preview(beginning=begun)
    for _ in range(20):
        in_groups("writers")
    with django_assert_num_queries(len(few)):
        assert len(preview(beginning=begun)) == 21
