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
    """Make the staff groups hold exactly what accounts/roles.py says, as soon as each app's permissions exist.

    Of our own apps' permissions a group also loses what its role no longer has. Those of other apps, which an operator
    may have added, stay. Runs after every migrate, like Django's own creation of permissions, which it follows. Safe to
    repeat.
    """
    from django.conf import settings
    from django.contrib.auth.models import Group, Permission

    from accounts.roles import STAFF_PERMISSIONS

    if sender.label not in settings.OUR_APPS:
        return
    permissions = Permission.objects.using(using).filter(content_type__app_label=sender.label)
    ours = dict(permissions.values_list("pk", "codename"))
    held = set(permissions.filter(group__name__in=STAFF_PERMISSIONS).values_list("group__name", "pk"))
    for role, names in STAFF_PERMISSIONS.items():
        wanted = {pk for pk, codename in ours.items() if f"{sender.label}.{codename}" in names}
        present = {pk for name, pk in held if name == role}
        # With the console's role, which only reads them, nothing can differ: it migrates nothing.
        if wanted != present:
            group, _ = Group.objects.using(using).get_or_create(name=str(role))
            group.permissions.add(*wanted - present)
            group.permissions.remove(*present - wanted)
