from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from accounts import sign_in_log

        sign_in_log.connect()
        post_migrate.connect(give_staff_roles_their_permissions)


def give_staff_roles_their_permissions(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Give the staff groups exactly the permissions in accounts/roles.py, as soon as each app's permissions exist.

    A group also loses permissions of our own apps that its role no longer has. It keeps those of other apps, which an
    operator may have added. Runs after every migrate, right after Django creates permissions. Safe to repeat.
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
        # The console's database role can only read groups, but it never migrates, so they do not differ then.
        if wanted != present:
            group, _ = Group.objects.using(using).get_or_create(name=str(role))
            group.permissions.add(*wanted - present)
            group.permissions.remove(*present - wanted)
