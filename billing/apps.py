from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = _("Billing")

    def ready(self) -> None:
        from billing import closing, cost_reports, database_conflicts, suspended
        from billing.known_kinds import make_declared_kinds
        from core import database_conflicts as conflicts
        from exports.kinds import register
        from tenants import signals
        from tenants.actions.closing import verify_final_exports_with

        post_migrate.connect(make_declared_kinds, sender=self)
        register(cost_reports.COSTS)
        signals.tenant_suspended.connect(suspended.stop_cost_reports)
        signals.impact_wanted.connect(suspended.count_stakes)
        verify_final_exports_with(closing.verify_final_export)
        conflicts.register(database_conflicts.SENTENCES)
