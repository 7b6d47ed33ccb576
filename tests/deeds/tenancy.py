"""Deeds in a tenant itself: its people, their roles, its trail."""

from __future__ import annotations

from tenants import actions
from tenants.models import Membership
from tests.factories import UserFactory, member_of, staff
from tests.role_matrix import Deed, Door, Shell


def colleague(world, actor):
    """Another developer of the tenant, by their membership."""
    user = member_of(world.tenant, "developer")
    return Membership.objects.in_tenant(world.tenant).select_related("user").get(user=user)


def somebody(world, actor):
    return UserFactory()


TENANCY_DEEDS = [
    Deed(
        "create a tenant",
        "tenants.actions.create_tenant",
        shell=Shell(lambda world, actor, it: actions.create_tenant(slug="fresh", name="Fresh", by=actor)),
    ),
    Deed(
        "create a project",
        "tenants.actions.create_project",
        shell=Shell(
            lambda world, actor, it: actions.create_project(
                world.tenant, slug="fresh", name="Fresh", by=actor
            )
        ),
    ),
    Deed(
        "set limits",
        "tenants.actions.set_limits",
        shell=Shell(
            lambda world, actor, it: actions.set_limits(
                world.tenant, {"requests_per_minute": 3}, project=world.project, by=actor
            )
        ),
    ),
    Deed(
        "give a member a role",
        "tenants.actions.add_member",
        subject=somebody,
        shell=Shell(lambda world, actor, it: actions.add_member(world.tenant, it, "developer", by=actor)),
    ),
    Deed(
        "give a member another role in a project",
        "tenants.actions.set_project_role",
        subject=colleague,
        api=Door("POST /api/v1/projects/{w.project.pk}/roles/", {"member": "{it.pk}", "role": "viewer"}),
    ),
    Deed(
        "read the audit trail",
        api=Door("GET /api/v1/audit/", {"tenant": "{w.tenant.slug}"}),
    ),
    Deed(
        "give a staff role",
        "tenants.actions.make_staff",
        subject=somebody,
        shell=Shell(lambda world, actor, it: actions.make_staff(it, "auditor", by=actor)),
    ),
    Deed(
        "take a staff role",
        "tenants.actions.end_staff_role",
        subject=lambda world, actor: staff("auditor"),
        shell=Shell(lambda world, actor, it: actions.end_staff_role(it, "auditor", by=actor)),
    ),
]
