from __future__ import annotations

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = _("Tenants")

    def ready(self) -> None:
        import audit
        from accounts.signals import staff_roles_changed
        from tenants import signals, suspension
        from tenants.actions import emergency, owned, owned_resources
        from tenants.webhooks import events

        for provider in owned.KINDS:
            owned_resources.register(provider)
        user_logged_out.connect(emergency.end_at_sign_out, dispatch_uid="tenants.emergency")
        staff_roles_changed.connect(suspension.follow_staff_roles)
        signals.impact_wanted.connect(signals.count_keys_and_members)
        audit.listen(events.queue)
