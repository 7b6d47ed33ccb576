from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PrivacyConfig(AppConfig):
    name = "privacy"
    verbose_name = _("Privacy")

    def ready(self) -> None:
        from exports.kinds import register
        from privacy import audit_files
        from tenants import signals

        register(*audit_files.AUDIT_KINDS.values())
        signals.person_erased.connect(audit_files.let_audit_files_go)
