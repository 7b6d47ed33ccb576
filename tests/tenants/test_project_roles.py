"""A project's own role answers for what belongs to the project, and for nothing else."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from guardian.shortcuts import assign_perm

from accounts.models import User
from audit.models import AuditEntry
from catalog.actions import raise_access_request
from catalog.models import AccessRequest
from core.errors import Conflict
from core.scope import tenant_scope
from tenants import actions
from tenants.models import ApiKey, Membership, Project, ProjectRole
from tenants.permissions import may_somewhere, permissions_in, projects_where, tenants_where
from tenants.roles import PROJECT_PERMISSIONS
from tests.factories import ApiKeyFactory, CatalogModelFactory, ProjectFactory, TenantFactory, member_of


def again(user):
    """The same person, as the next request loads them."""
    return User.objects.get(pk=user.pk)


def membership(tenant, user):
    return Membership.objects.in_tenant(tenant).get(user=user)


@pytest.fixture
def other_project(lab):
    return ProjectFactory(tenant=lab, slug="numbers", name="Numbers")


@pytest.fixture
def set_role(lab, project, owner):
    def set_role(user, role, *, by=owner, on=project):
        return actions.set_project_role(on.pk, membership(lab, user).pk, role, by=by)

    return set_role


def test_without_a_project_role_the_tenants_role_answers(developer, finance, project):
    assert developer.has_perm("tenants.claim_key", project)
    assert not finance.has_perm("tenants.claim_key", project)


def test_a_project_role_narrows_there_and_nowhere_else(developer, project, other_project, lab, set_role):
    set_role(developer, "viewer")
    developer = again(developer)
    assert not developer.has_perm("tenants.claim_key", project)
    assert developer.has_perm("tenants.claim_key", other_project)
    assert developer.has_perm("tenants.claim_key", lab)
    assert list(projects_where(developer, "tenants.claim_key", lab)) == [other_project]


def test_a_project_role_widens_there_and_nowhere_else(finance, project, other_project, lab, set_role):
    set_role(finance, "admin")
    finance = again(finance)
    assert finance.has_perm("tenants.manage_limits", project)
    assert not finance.has_perm("tenants.manage_limits", other_project)
    assert not finance.has_perm("tenants.manage_limits", lab)
    assert list(projects_where(finance, "tenants.manage_limits", lab)) == [project]
    assert may_somewhere(finance, "tenants.manage_limits", lab)


def test_a_project_role_says_nothing_about_the_tenants_own_actions(finance, developer, project, set_role):
    set_role(finance, "admin")
    set_role(developer, "viewer")
    finance, developer = again(finance), again(developer)
    assert not finance.has_perm("tenants.manage_members", project)
    # As finance of the tenant.
    assert finance.has_perm("tenants.export_cost", project)
    assert developer.has_perm("tenants.view_cost", project)
    assert not permissions_in(developer, project) & PROJECT_PERMISSIONS


def test_a_project_role_changes_nothing_that_one_sees(
    lab, developer, finance, project, other_project, set_role
):
    set_role(developer, "viewer")
    set_role(finance, "admin")
    for person in (again(developer), again(finance)):
        assert set(Project.objects.visible_to(person)) == {project, other_project}


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_owners_and_admins_are_not_narrowed(lab, project, set_role, role):
    boss = member_of(lab, role)
    with pytest.raises(Conflict, match="may do everything"):
        set_role(boss, "viewer")
    # Nor by a row from before they became that.
    ProjectRole.objects.create(tenant=lab, membership=membership(lab, boss), project=project, role="viewer")
    assert again(boss).has_perm("tenants.claim_key", project)


def test_who_becomes_admin_is_not_narrowed_any_more(lab, developer, owner, project, set_role):
    set_role(developer, "viewer")
    actions.add_member(lab, developer, "admin", by=owner)
    assert again(developer).has_perm("tenants.claim_key", project)


def test_who_leaves_the_tenant_loses_the_role_in_its_projects(lab, finance, project, set_role):
    set_role(finance, "admin")
    actions.remove_member(membership(lab, finance).pk, by=finance)
    assert not ProjectRole.objects.in_tenant(lab).exists()
    assert not finance.has_perm("tenants.claim_key", project)
    assert not again(finance).has_perm("tenants.claim_key", project)


def test_a_narrower_role_counts_also_where_only_another_tenant_is_in_scope(
    lab, developer, project, other_project, set_role
):
    set_role(developer, "viewer")
    elsewhere = TenantFactory()
    with tenant_scope(elsewhere.pk, person=developer.pk):
        developer = again(developer)
        assert not developer.has_perm("tenants.claim_key", project)
        assert developer.has_perm("tenants.claim_key", other_project)


def test_rows_of_guardian_for_a_tenant_or_project_give_nothing(lab, finance, developer, project):
    group = Group.objects.create(name="everybody")
    finance.groups.add(group)
    for holder in (finance, group):
        assign_perm("tenants.manage_members", holder, lab)
        assign_perm("tenants.claim_key", holder, project)
    finance = again(finance)
    assert not finance.has_perm("tenants.manage_members", lab)
    assert not finance.has_perm("tenants.claim_key", project)
    assert not tenants_where(finance, "tenants.manage_members").exists()
    assert not projects_where(finance, "tenants.claim_key", lab).exists()


def test_a_role_is_given_changed_and_taken_with_a_line_each(lab, finance, project, set_role):
    given = set_role(finance, "developer")
    assert set_role(finance, "developer") == given  # safe to repeat
    set_role(finance, "admin")
    assert set_role(finance, None) is None
    assert set_role(finance, None) is None
    lines = AuditEntry.objects.in_tenant(lab).filter(verb__startswith="project_role.").order_by("pk")
    assert [line.verb for line in lines] == [
        "project_role.given",
        "project_role.changed",
        "project_role.taken",
    ]
    assert not again(finance).has_perm("tenants.claim_key", project)


def test_nobody_changes_their_own_and_only_who_manages_members_changes_others(
    lab, project, developer, set_role
):
    admin = member_of(lab, "admin")
    with pytest.raises(PermissionDenied, match="your own role"):
        set_role(admin, "viewer", by=admin)
    viewer = member_of(lab, "viewer")
    with pytest.raises(PermissionDenied, match="manage members"):
        set_role(viewer, "developer", by=developer)


def test_an_admin_of_a_project_raises_nobody_there(lab, finance, developer, project, set_role):
    set_role(finance, "admin")
    with pytest.raises(PermissionDenied, match="manage members"):
        set_role(developer, "admin", by=again(finance))


def test_a_stranger_finds_neither_project_nor_member(lab, project, developer, stranger, owner):
    pk = membership(lab, developer).pk
    with pytest.raises(Project.DoesNotExist):
        actions.set_project_role(project.pk, pk, "viewer", by=stranger)
    foreign = membership(Membership.objects.across_tenants().get(user=stranger).tenant, stranger)
    with pytest.raises(Membership.DoesNotExist):
        actions.set_project_role(project.pk, foreign.pk, "viewer", by=owner)


@pytest.mark.parametrize("role", ["owner", "king", ""])
def test_a_project_knows_four_roles(developer, set_role, role):
    with pytest.raises(ValidationError, match="Choose one of"):
        set_role(developer, role)


def test_keys_are_claimed_and_revoked_by_the_projects_role(lab, developer, finance, project, set_role):
    key = ApiKeyFactory.claimable(tenant=lab, project=project)
    set_role(developer, "viewer")
    set_role(finance, "developer")
    with pytest.raises(PermissionDenied, match="claim keys in Letters"):
        actions.claim_api_key(key.pk, by=again(developer))
    actions.claim_api_key(key.pk, by=again(finance))
    with pytest.raises(PermissionDenied, match="revoke keys in Letters"):
        actions.revoke_api_key(key.pk, by=again(developer))
    assert actions.revoke_api_key(key.pk, by=again(finance)).state == ApiKey.State.REVOKED


def test_limits_are_set_by_the_projects_role(lab, finance, project, other_project, set_role):
    set_role(finance, "admin")
    finance = again(finance)
    actions.set_limits(lab, {"requests_per_minute": 3}, by=finance, project=project)
    key = ApiKeyFactory(tenant=lab, project=project)
    actions.set_limits(lab, {"requests_per_minute": 3}, by=finance, key=key)
    for elsewhere in ({"project": other_project}, {}):
        with pytest.raises(PermissionDenied):
            actions.set_limits(lab, {"requests_per_minute": 3}, by=finance, **elsewhere)


def test_models_are_asked_for_by_the_projects_role(
    client, lab, finance, developer, project, other_project, set_role
):
    model = CatalogModelFactory()
    set_role(finance, "developer")
    set_role(developer, "viewer")
    asking = {"purpose": "Letters.", "expected_tokens_per_day": 10}
    with pytest.raises(PermissionDenied, match="ask for model access in Letters"):
        raise_access_request(project, model.name, by=again(developer), **asking)

    client.force_login(finance)
    page = client.get(reverse("request-new", args=["lab", model.name]))
    assert list(page.context["form"].fields["project"].queryset) == [project]
    sent = {"project": str(project.pk), "data_class": "internal", "duration_days": "30", **asking}
    assert client.post(reverse("request-new", args=["lab", model.name]), sent).status_code == 302
    mine = AccessRequest.objects.in_tenant(lab).get()
    assert client.post(reverse("request-withdraw", args=["lab", mine.pk])).status_code == 302


def test_pages_show_the_buttons_of_the_projects_role(client, lab, developer, finance, project, set_role):
    key = ApiKeyFactory.claimable(tenant=lab, project=project, name="waiting")
    set_role(developer, "viewer")
    set_role(finance, "developer")
    claim = reverse("key-claim", args=["lab", key.pk])
    for person, sees in ((developer, False), (finance, True)):
        client.force_login(person)
        assert (claim in client.get(reverse("key-list", args=["lab"])).content.decode()) is sees
        home = client.get(reverse("tenant-home", args=["lab"]))
        assert (claim in home.content.decode()) is sees
        assert home.context["portal"].keys_to_claim == int(sees)
        assert client.get(claim).status_code == (200 if sees else 403)


def test_roles_of_a_project_do_not_reach_into_another_tenant(finance, project, set_role):
    set_role(finance, "admin")
    elsewhere = TenantFactory()
    actions.add_member(elsewhere, finance, "viewer", by=None)
    foreign = ProjectFactory(tenant=elsewhere)
    finance = again(finance)
    assert not finance.has_perm("tenants.claim_key", foreign)
    assert list(projects_where(finance, "tenants.claim_key", elsewhere)) == []


def test_the_tenants_where_somebody_may(lab, owner, developer, operator, stranger):
    elsewhere = TenantFactory()
    actions.add_member(elsewhere, owner, "viewer", by=None)
    assert list(tenants_where(again(owner), "tenants.view_audit")) == [lab]
    assert set(tenants_where(again(owner), "tenants.view_cost")) == {lab, elsewhere}
    assert not tenants_where(developer, "tenants.view_audit").exists()
    assert lab not in tenants_where(stranger, "tenants.view_audit")
    assert lab in tenants_where(operator, "tenants.view_audit")


def test_a_service_account_with_the_role_of_an_admin_decides_nothing_about_people(lab, owner):
    program = actions.create_service_account(lab, name="nightly", role="admin", by=owner)
    assert list(tenants_where(again(program), "tenants.view_audit")) == [lab]
    assert not tenants_where(again(program), "tenants.manage_tokens").exists()
    assert not again(program).has_perm("tenants.manage_members", lab)
