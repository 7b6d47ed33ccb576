from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import sign_in_trail

        sign_in_trail.connect()
        from core.rls import raise_walls
        from tenants.actions import belongings, owned

        post_migrate.connect(give_staff_roles_their_permissions)
        for provider in owned.KINDS:
            belongings.register(provider)
        post_migrate.connect(give_tenant_roles_their_permissions, sender=self)
        post_migrate.connect(raise_walls, sender=self)

        from tenants import signals

        signals.stakes_wanted.connect(signals.count_keys_and_members)


def give_staff_roles_their_permissions(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Make the staff groups hold what tenants/roles.py says, as soon as each app's permissions exist.

    Runs after every migrate, like Django's own creation of permissions, which it follows. Safe to repeat.
    """
    from django.contrib.auth.models import Group, Permission

    from tenants.roles import STAFF_PERMISSIONS

    for role, wanted in STAFF_PERMISSIONS.items():
        codenames = [name.split(".")[1] for name in wanted if name.startswith(f"{sender.label}.")]
        if not codenames:
            continue
        permissions = Permission.objects.using(using).filter(
            content_type__app_label=sender.label, codename__in=codenames
        )
        group, _ = Group.objects.using(using).get_or_create(name=str(role))
        # With the console's role, which only reads them, nothing can be missing: it migrates nothing.
        if missing := permissions.exclude(group=group):
            group.permissions.add(*missing)


def give_tenant_roles_their_permissions(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Make the groups of every tenant and project hold what tenants/roles.py says: a role may have changed.

    Runs after every migrate, in one statement. Safe to repeat.
    """
    from tenants.role_groups import follow_roles

    if "guardian_groupobjectpermission" in connections[using].introspection.table_names():
        follow_roles(using=using)
