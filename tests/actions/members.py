"""Actions with who belongs to a tenant: members, invitations, service accounts."""

from __future__ import annotations

from tenants import actions
from tenants.models import Membership
from tests.factories import UserFactory, member_of
from tests.role_matrix import Action, EntryPoint, Shell


def membership(world, user):
    return Membership.objects.in_tenant(world.tenant).select_related("user").get(user=user)


def colleague(world, actor):
    """Another developer of the tenant, by their membership."""
    return membership(world, member_of(world.tenant, "developer"))


def another_owner(world, actor):
    return membership(world, member_of(world.tenant, "owner"))


def oneself(world, actor):
    """Whoever tries, with somebody else who owns the tenant; nobody where they do not belong."""
    another_owner(world, actor)
    return membership(world, actor)


def invitation(world, actor):
    made, _link = actions.invite(world.tenant, "new@example.com", "viewer", by=world.members["owner"])
    return made


def service_account(world, actor):
    account = actions.create_service_account(
        world.tenant, name="nightly-report", role="developer", by=world.members["owner"]
    )
    return membership(world, account)


def disabled_account(world, actor):
    account = service_account(world, actor)
    actions.disable_service_account(account.pk, by=world.members["owner"])
    return account


MEMBER = "/t/{w.tenant.slug}/members/{it.pk}/"

MEMBER_ACTIONS = [
    Action(
        "see who belongs",
        subject=colleague,
        page=EntryPoint("GET " + MEMBER, shows="{it.user.email}"),
        api=EntryPoint("GET /api/v1/members/{it.pk}/"),
    ),
    Action(
        "invite somebody",
        "tenants.actions.invite",
        page=EntryPoint(
            "POST /t/{w.tenant.slug}/members/invite/", {"email": "fresh@example.com", "role": "viewer"}
        ),
        api=EntryPoint(
            "POST /api/v1/invitations/",
            {"tenant": "{w.tenant.slug}", "email": "fresh@example.com", "role": "viewer"},
        ),
    ),
    Action(
        "invite an owner",
        "tenants.actions.invite",
        page=EntryPoint(
            "POST /t/{w.tenant.slug}/members/invite/", {"email": "fresh@example.com", "role": "owner"}
        ),
        api=EntryPoint(
            "POST /api/v1/invitations/",
            {"tenant": "{w.tenant.slug}", "email": "fresh@example.com", "role": "owner"},
        ),
    ),
    Action(
        "send an invitation again",
        "tenants.actions.resend_invitation",
        subject=invitation,
        page=EntryPoint("POST /t/{w.tenant.slug}/invitations/{it.pk}/resend/"),
        api=EntryPoint("POST /api/v1/invitations/{it.pk}/resend/"),
        unseen_at=("API",),
    ),
    Action(
        "withdraw an invitation",
        "tenants.actions.withdraw_invitation",
        subject=invitation,
        page=EntryPoint("POST /t/{w.tenant.slug}/invitations/{it.pk}/withdraw/"),
        api=EntryPoint("POST /api/v1/invitations/{it.pk}/withdraw/"),
        unseen_at=("API",),
    ),
    Action(
        "make somebody a member by hand",
        "tenants.actions.add_member",
        subject=lambda world, actor: UserFactory(),
        shell=Shell(lambda world, actor, it: actions.add_member(world.tenant, it, "developer", by=actor)),
    ),
    Action(
        "change a member's role",
        "tenants.actions.change_role",
        subject=colleague,
        page=EntryPoint("POST " + MEMBER + "role/", {"role": "viewer", "confirmed": "on"}),
        api=EntryPoint("POST /api/v1/members/{it.pk}/role/", {"role": "viewer"}),
    ),
    Action(
        "make a member an owner",
        "tenants.actions.change_role",
        subject=colleague,
        page=EntryPoint("POST " + MEMBER + "role/", {"role": "owner", "confirmed": "on"}),
        api=EntryPoint("POST /api/v1/members/{it.pk}/role/", {"role": "owner"}),
    ),
    Action(
        "change an owner's role",
        "tenants.actions.change_role",
        subject=another_owner,
        page=EntryPoint("POST " + MEMBER + "role/", {"role": "viewer", "confirmed": "on"}),
        api=EntryPoint("POST /api/v1/members/{it.pk}/role/", {"role": "viewer"}),
    ),
    Action(
        "change one's own role",
        "tenants.actions.change_role",
        subject=oneself,
        page=EntryPoint("POST " + MEMBER + "role/", {"role": "admin", "confirmed": "on"}),
        api=EntryPoint("POST /api/v1/members/{it.pk}/role/", {"role": "admin"}),
    ),
    Action(
        "give a member another role in a project",
        "tenants.actions.set_project_role",
        subject=colleague,
        page=EntryPoint("POST " + MEMBER + "project-role/", {"project": "{w.project.pk}", "role": "viewer"}),
        api=EntryPoint(
            "POST /api/v1/projects/{w.project.pk}/roles/", {"member": "{it.pk}", "role": "viewer"}
        ),
    ),
    Action(
        "remove a member",
        "tenants.actions.remove_member",
        subject=colleague,
        page=EntryPoint("POST " + MEMBER + "remove/"),
        api=EntryPoint("POST /api/v1/members/{it.pk}/remove/"),
    ),
    Action(
        "remove an owner",
        "tenants.actions.remove_member",
        subject=another_owner,
        page=EntryPoint("POST " + MEMBER + "remove/"),
        api=EntryPoint("POST /api/v1/members/{it.pk}/remove/"),
    ),
    Action(
        "leave",
        "tenants.actions.remove_member",
        subject=oneself,
        page=EntryPoint("POST " + MEMBER + "remove/"),
        api=EntryPoint("POST /api/v1/members/{it.pk}/remove/"),
    ),
    Action(
        "make a service account",
        "tenants.actions.create_service_account",
        page=EntryPoint(
            "POST /t/{w.tenant.slug}/service-accounts/new/", {"name": "nightly", "role": "developer"}
        ),
        api=EntryPoint(
            "POST /api/v1/service-accounts/",
            {"tenant": "{w.tenant.slug}", "name": "nightly", "role": "developer"},
        ),
    ),
    Action(
        "disable a service account",
        "tenants.actions.disable_service_account",
        subject=service_account,
        page=EntryPoint("POST " + MEMBER + "disable/"),
        api=EntryPoint("POST /api/v1/service-accounts/{it.pk}/disable/"),
    ),
    Action(
        "enable a service account",
        "tenants.actions.enable_service_account",
        subject=disabled_account,
        page=EntryPoint("POST " + MEMBER + "enable/"),
        api=EntryPoint("POST /api/v1/service-accounts/{it.pk}/enable/"),
    ),
    Action(
        "delete a service account",
        "tenants.actions.delete_service_account",
        subject=service_account,
        page=EntryPoint("POST " + MEMBER + "remove/"),
        api=EntryPoint("POST /api/v1/service-accounts/{it.pk}/delete/"),
    ),
]
