"""A closed tenant is read only: nobody comes, goes or changes there; a suspended one only lets go."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from tenants.actions import (
    add_member,
    change_project,
    change_role,
    change_tenant,
    create_service_account,
    delete_service_account,
    disable_service_account,
    enable_service_account,
    invite,
    remove_member,
    resend_invitation,
    set_project_role,
    suspend_tenant,
    withdraw_invitation,
)
from tenants.models import Invitation, Membership, Tenant
from tests.factories import ProjectFactory, TenantFactory, UserFactory, member_of


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user).pk


@pytest.fixture
def closed(db):
    tenant = TenantFactory(slug="closed", name="Closed", status="closed")
    tenant.owner, tenant.member = member_of(tenant, "owner"), member_of(tenant, "developer")
    tenant.project = ProjectFactory(tenant=tenant)
    tenant.program = UserFactory(service_of=tenant, responsible=tenant.owner)
    add_member(tenant, tenant.program, "viewer", by=None)
    tenant.invitation = Invitation.objects.create(
        tenant=tenant, email="nia@example.org", role="viewer", digest="d" * 64, invited_by=tenant.owner,
        expires_at=now() + timedelta(days=1),
    )  # fmt: skip
    return tenant


ACTIONS = {
    "change a role": lambda t: change_role(membership(t.member, t), "viewer", by=t.owner),
    "add a member": lambda t: add_member(t, UserFactory(), "viewer", by=t.owner),
    "remove a member": lambda t: remove_member(membership(t.member, t), by=t.owner),
    "leave": lambda t: remove_member(membership(t.member, t), by=t.member),
    "change a role in a project": lambda t: set_project_role(
        t.project.pk, membership(t.member, t), "viewer", by=t.owner
    ),
    "invite": lambda t: invite(t, "new@example.org", "viewer", by=t.owner),
    "invite again": lambda t: resend_invitation(t.invitation.pk, by=t.owner),
    "withdraw an invitation": lambda t: withdraw_invitation(t.invitation.pk, by=t.owner),
    "make a service account": lambda t: create_service_account(t, name="n", role="viewer", by=t.owner),
    "disable a service account": lambda t: disable_service_account(membership(t.program, t), by=t.owner),
    "enable a service account": lambda t: enable_service_account(membership(t.program, t), by=t.owner),
    "delete a service account": lambda t: delete_service_account(membership(t.program, t), by=t.owner),
    "change settings": lambda t: change_tenant(t.pk, by=t.owner, name="New"),
    "change a project": lambda t: change_project(t.project.pk, by=t.owner, name="New"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_is_changed(closed, action):
    lines = AuditEntry.objects.across_tenants().count()
    with pytest.raises(Conflict, match="Closed is closed"):
        ACTIONS[action](closed)
    assert AuditEntry.objects.across_tenants().count() == lines


def test_the_api_says_so_before_it_reads_what_is_wanted(client, closed):
    member, program = membership(closed.member, closed), membership(closed.program, closed)
    client.force_login(closed.owner)
    for path in (
        f"members/{member}/role/",
        f"members/{member}/remove/",
        f"projects/{closed.project.pk}/roles/",
        f"service-accounts/{program}/delete/",
        f"service-accounts/{program}/disable/",
        f"invitations/{closed.invitation.pk}/withdraw/",
    ):
        answer = client.post(f"/api/v1/{path}", {"role": 7, "choices": 7}, "application/json")
        assert (answer.status_code, answer.json()["code"]) == (409, "tenant_not_active"), path


def test_the_pages_offer_nothing(client, closed):
    client.force_login(closed.owner)
    for person in (closed.owner, closed.member, closed.program):
        page = f"/t/closed/members/{membership(person, closed)}/"
        shown = client.get(page).content.decode()
        for what in ("role/", "project-role/", "remove/"):
            assert f"{page}{what}" not in shown
        assert client.get(f"{page}remove/").status_code == 409
    assert client.post(f"{page}role/", {"role": "nonsense"}).status_code == 409


def test_in_a_suspended_tenant_roles_stay_and_people_can_be_let_go(client, lab, owner, operator, developer):
    suspend_tenant(lab.pk, by=operator, reason="Unpaid")
    member = membership(developer, lab)
    with pytest.raises(Conflict, match="Lab is suspended"):
        change_role(member, "viewer", by=owner)
    with pytest.raises(Conflict, match="Lab is suspended"):
        set_project_role(ProjectFactory(tenant=lab).pk, member, "viewer", by=owner)
    client.force_login(owner)
    shown = client.get(f"/t/lab/members/{member}/").content.decode()
    assert f"{member}/remove/" in shown
    assert f"{member}/role/" not in shown
    remove_member(member, by=owner)
    assert not User.objects.get(pk=developer.pk).memberships.exists()
    assert Tenant.objects.get(pk=lab.pk).status == "suspended"
