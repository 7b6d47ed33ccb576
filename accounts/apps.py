from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import sign_in_log

        sign_in_log.connect()
        post_migrate.connect(give_staff_roles_their_permissions)


def give_staff_roles_their_permissions(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Make the staff groups hold what accounts/roles.py says, as soon as each app's permissions exist.

    Runs after every migrate, like Django's own creation of permissions, which it follows. Safe to repeat.
    """
    from django.contrib.auth.models import Group, Permission

    from accounts.roles import STAFF_PERMISSIONS

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
