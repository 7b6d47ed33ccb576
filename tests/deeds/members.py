"""Deeds about who belongs to a tenant: members, invitations, service accounts."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from tenants.actions import add_member
from tenants.ids import uuid7
from tenants.models import Invitation, Membership, User
from tests.factories import member_of
from tests.role_matrix import Deed, Door


def colleague(world, actor):
    """A viewer of the tenant, by their membership."""
    user = member_of(world.tenant, "viewer")
    return Membership.objects.in_tenant(world.tenant).select_related("user").get(user=user)


def owner(world, actor):
    user = member_of(world.tenant, "owner")
    return Membership.objects.in_tenant(world.tenant).select_related("user").get(user=user)


def invitation(world, actor):
    return Invitation.objects.create(
        tenant=world.tenant,
        email=f"{uuid7()}@example.org",
        role="viewer",
        digest=str(uuid7()),
        invited_by=world.members["owner"],
        expires_at=now() + timedelta(days=1),
    )


def address(world, actor):
    return f"{uuid7()}@example.org"


def account(world, actor, *, is_active=True):
    user = User.objects.create_user(
        f"{uuid7()}@lab.service.invalid", name="robot", service_of=world.tenant, is_active=is_active
    )
    return add_member(world.tenant, user, "viewer", by=None)


MEMBERS = "/t/{w.tenant.slug}/members/"
API = "/api/v1/"

MEMBER_DEEDS = [
    Deed("see who belongs", page=Door(f"GET {MEMBERS}")),
    Deed(
        "change a member's role",
        "tenants.actions.change_role",
        subject=colleague,
        page=Door(f"POST {MEMBERS}{{it.pk}}/role/", {"role": "developer"}),
        api=Door(f"POST {API}members/{{it.pk}}/role/", {"role": "developer"}),
    ),
    Deed(
        "decide about an owner",
        "tenants.actions.change_role",
        subject=owner,
        page=Door(f"POST {MEMBERS}{{it.pk}}/role/", {"role": "admin", "confirmed": "on"}),
        api=Door(f"POST {API}members/{{it.pk}}/role/", {"role": "admin"}),
    ),
    Deed(
        "remove a member",
        "tenants.actions.remove_member",
        subject=colleague,
        page=Door(f"POST {MEMBERS}{{it.pk}}/remove/"),
        api=Door(f"POST {API}members/{{it.pk}}/remove/"),
    ),
    Deed(
        "invite somebody",
        "tenants.actions.invite",
        subject=address,
        page=Door(f"POST {MEMBERS}invite/", {"email": "{it}", "role": "viewer"}),
        api=Door(f"POST {API}invitations/", {"tenant": "{w.tenant.slug}", "email": "{it}", "role": "viewer"}),
    ),
    Deed(
        "send an invitation again",
        "tenants.actions.resend_invitation",
        subject=invitation,
        page=Door("POST /t/{w.tenant.slug}/invitations/{it.pk}/resend/"),
    ),
    Deed(
        "withdraw an invitation",
        "tenants.actions.withdraw_invitation",
        subject=invitation,
        page=Door("POST /t/{w.tenant.slug}/invitations/{it.pk}/withdraw/"),
    ),
    Deed(
        "make a service account",
        "tenants.actions.create_service_account",
        subject=lambda world, actor: uuid7(),
        page=Door("POST /t/{w.tenant.slug}/service-accounts/new/", {"name": "{it}", "role": "viewer"}),
        api=Door(
            f"POST {API}service-accounts/", {"tenant": "{w.tenant.slug}", "name": "{it}", "role": "viewer"}
        ),
    ),
    Deed(
        "disable a service account",
        "tenants.actions.disable_service_account",
        subject=account,
        page=Door(f"POST {MEMBERS}{{it.pk}}/disable/"),
        api=Door(f"POST {API}service-accounts/{{it.pk}}/disable/"),
    ),
    Deed(
        "enable a service account",
        "tenants.actions.enable_service_account",
        subject=lambda world, actor: account(world, actor, is_active=False),
        page=Door(f"POST {MEMBERS}{{it.pk}}/enable/"),
        api=Door(f"POST {API}service-accounts/{{it.pk}}/enable/"),
    ),
    Deed(
        "delete a service account",
        "tenants.actions.delete_service_account",
        subject=account,
        page=Door(f"POST {MEMBERS}{{it.pk}}/remove/"),
        api=Door(f"POST {API}service-accounts/{{it.pk}}/delete/"),
    ),
]
