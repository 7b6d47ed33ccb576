from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = _("Tenants")

    def ready(self) -> None:
        from accounts.signals import staff_roles_changed
        from tenants import signals, suspension
        from tenants.actions import emergency, owned, owned_resources

        for provider in owned.KINDS:
            owned_resources.register(provider)
        post_migrate.connect(give_tenant_roles_their_permissions, sender=self)
        user_logged_out.connect(emergency.end_at_sign_out, dispatch_uid="tenants.emergency")
        staff_roles_changed.connect(suspension.follow_staff_roles)
        signals.impact_wanted.connect(signals.count_keys_and_members)


def give_tenant_roles_their_permissions(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Give the groups of every tenant and project the permissions in tenants/roles.py: a role may have changed.

    Runs after every migrate, in one statement. Safe to repeat.
    """
    from tenants.role_groups import follow_roles

    if "guardian_groupobjectpermission" in connections[using].introspection.table_names():
        follow_roles(using=using)
